"""Time and peak memory of one meta-step of SEDONA by each hypergradient engine, and by a plain script, in one run.

    python benchmarks/meta_step.py --out results/benchmarks/meta_step.csv --device auto

vgg19 and resnet50 with four heads at every gap, at T = 1, 2, 5, 10, 20 inner steps. `released` does what the released code does,
written here: higher, each training loss from a second run of the classifier, running statistics in the validation pass, torch's
default layout, the gradient of the last training loss; `adjoint for train` computes that same gradient. `unroll` has torch's own
second derivatives; `unroll with our kernels` has those of `adjoint`, which tells the gain of the kernels from that of the
recursion. Two rows more compare one step of pretraining with the same written in plain PyTorch: a sum of all losses, one backward
pass, torch's fused SGD, channels-last. `, heads alone` runs each head by itself instead of all in lockstep; `, bf16` has its
forward passes under autocast; `, gaps / 3` and `, 2 heads` go back through a third of the gaps, or 2 of the 4 heads of each,
drawn anew each step. With --inner-batch and --outer-batch other sizes are measured.

All take turns. Seconds are the process's own on a CPU, which other programs disturb less, the wall clock's on a GPU. Memory is
what the step adds at its peak to what was there: resident memory on a CPU (Linux), which holds what the allocator keeps too,
allocated memory on a GPU. With --live the bytes of live tensors are counted as well, in a run of its own that is not timed.
Ratios are to the first of the group, medians over the turns; on a CPU T = 10 and 20 have one turn. Batches are the paper's
(128 and 1,024 images) on a GPU.

Appends a row an engine, backbone and T. Takes about half an hour on one quiet core.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import higher
import torch
from torch.nn import functional as F

from benchmarks.command import benchmark_parser, made_by
from methods.losses import smoothed_cross_entropy
from methods.training.optimization import sgd
from nas.device import read_device
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.strategies.sedona.bilevel import Batch, Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from nas.strategies.sedona.sampling import Sampling
from nas.strategies.sedona.second_order import SecondOrder
from spaces.heads import HEADS
from spaces.memory.peak_memory import PeakMemory
from spaces.space import SearchSpace

INPUT_SHAPE, NUM_CLASSES = (3, 32, 32), 10
CANDIDATES = [f"conv(depth={depth})" for depth in (1, 2, 3, 4)]
NUM_STEPS = (1, 2, 5, 10, 20)
ON_CPU, ON_GPU = (32, 128), (128, 1024)  # inner and outer batch
META_STEPS = ("unroll", "unroll with our kernels", "adjoint", "identity", "adjoint for train", "released")
FASTER = (
    "unroll, heads alone",
    *(f"{engine}, {how}" for engine in ("adjoint", "identity") for how in ("heads alone", "bf16", "gaps / 3", "2 heads")),
)
TRAINING_STEPS = ("plain training", "training")

Step = Callable[[], object]


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/meta_step.csv")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--backbones", nargs="+", default=["vgg19", "resnet50"], help="which backbones")
    parser.add_argument("--steps", nargs="+", type=int, default=NUM_STEPS, metavar="T", help="how many inner steps")
    parser.add_argument(
        "--engines", nargs="+", default=META_STEPS, choices=(*META_STEPS, *FASTER), help="which, the first to compare with"
    )
    parser.add_argument("--live", action="store_true", help="count live tensor bytes too (takes several times as long)")
    parser.add_argument("--turns", type=int, default=2, help="how often each is measured up to T = 5")
    parser.add_argument(
        "--inner-batch", type=int, help=f"images an inner step (default: {ON_CPU[0]} on a CPU, {ON_GPU[0]} on a GPU)"
    )
    parser.add_argument("--outer-batch", type=int, help=f"images an outer step (default: {ON_CPU[1]} or {ON_GPU[1]})")
    arguments = parser.parse_args()
    device = arguments.device
    inner, outer = ON_CPU if device.type == "cpu" else ON_GPU
    sizes = arguments.inner_batch or inner, arguments.outer_batch or outer
    source: dict[str, Cell] = {"threads": 1, "device": device_name(device), **made_by()}
    for backbone in arguments.backbones:
        for num_steps in arguments.steps:
            turns = arguments.turns if num_steps <= 5 or device.type == "cuda" else 1
            rows = measured(backbone, tuple(arguments.engines), num_steps, device, turns, live=arguments.live, sizes=sizes)
            if num_steps == min(arguments.steps):
                rows += measured(backbone, TRAINING_STEPS, num_steps, device, 3 * turns, live=False, sizes=sizes)
            ResultsLog(arguments.out).append_all([row | source for row in rows])


def measured(
    backbone: str,
    names: tuple[str, ...],
    num_steps: int,
    device: torch.device,
    turns: int,
    *,
    live: bool,
    sizes: tuple[int, int] | None = None,
) -> list[dict[str, Cell]]:
    """A row a name; the first is what the others are compared with. `sizes` are those of the inner and the outer batch."""
    sizes = sizes or (ON_CPU if device.type == "cpu" else ON_GPU)
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    for name in names:  # the first step of a kind also chooses kernels
        made(backbone, name, 1, sizes, device)()
    for _ in range(turns):
        for name in names:
            found[name].append(seconds_and_bytes(made(backbone, name, num_steps, sizes, device), device))
    alive = {name: live_bytes(made(backbone, name, num_steps, sizes, device)) if live else None for name in names}
    rows: list[dict[str, Cell]] = []
    for name in names:
        seconds, peaks = zip(*found[name], strict=True)
        ratios = [
            median(own[i] / reference[i] for own, reference in zip(found[name], found[names[0]], strict=True)) for i in (0, 1)
        ]
        print(
            f"{backbone:10} T = {num_steps:2}  {name:23} {median(seconds):8.2f} s  x {ratios[0]:5.2f}   "
            f"{median(peaks) / 2**20:7.0f} MiB  x {ratios[1]:5.3f}   live {(alive[name] or 0) / 2**20:7.0f} MiB",
            flush=True,
        )
        rows.append(
            {
                "backbone": backbone,
                "num_steps": num_steps,
                "engine": name,
                "compared_with": names[0],
                "turns": turns,
                "seconds": median(seconds),
                "seconds_ratio": ratios[0],
                "peak_bytes": int(median(peaks)),
                "memory_ratio": ratios[1],
                "live_bytes": alive[name],
                "inner_batch": sizes[0],
                "outer_batch": sizes[1],
            }
        )
    return rows


def seconds_and_bytes(step: Step, device: torch.device) -> tuple[float, int]:
    """What the step takes, and what it adds to the memory in use at its peak."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before, started = torch.cuda.memory_allocated(device), time.perf_counter()
        step()
        torch.cuda.synchronize(device)
        return time.perf_counter() - started, torch.cuda.max_memory_allocated(device) - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, started = resident("VmRSS"), time.process_time()
    step()
    return time.process_time() - started, resident("VmHWM") - before


def live_bytes(step: Step) -> int:
    """The most bytes of tensors made in the step that are alive at once."""
    with PeakMemory() as memory:
        step()
    return memory.peak


def resident(name: str) -> int:
    """Bytes of this process's memory, now (VmRSS) or at most (VmHWM)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def made(backbone: str, name: str, num_steps: int, sizes: tuple[int, int], device: torch.device) -> Step:
    """A step of that name, ready to run."""
    torch.manual_seed(0)
    layout = torch.contiguous_format if name == "released" else torch.channels_last
    space = SearchSpace(backbone, CANDIDATES, input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    network = space.build_backbone()
    candidates = [[HEADS.build(head, space.site(gap, network)) for head in space.heads] for gap in space.gaps]
    relaxation = Relaxation(network, space.gaps, candidates).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(relaxation.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    architecture = Architecture.zeros(len(space.gaps), len(space.heads), device=device)
    name, _, faster = name.partition(", ")
    if faster == "heads alone":
        relaxation.kinds = [[None] * len(space.heads) for _ in space.gaps]

    def batch(size: int) -> Batch:
        x = torch.randn(size, *INPUT_SHAPE, device=device).contiguous(memory_format=layout)
        return x, torch.arange(size, device=device) % NUM_CLASSES

    inner, outer = [batch(sizes[0]) for _ in range(num_steps)], batch(sizes[1])
    if name == "released":
        return lambda: released_meta_step(relaxation, optimizer, architecture, inner, outer)
    if name in TRAINING_STEPS:
        return training_step(relaxation, inner[0], plain=name == "plain training")
    if name == "unroll with our kernels":
        return lambda: unroll_with_our_kernels(Bilevel(relaxation, optimizer, architecture, inner, outer))
    engine, _, objective = name.partition(" for ")
    gaps, heads = len(space.gaps) // 3 if faster == "gaps / 3" else None, 2 if faster == "2 heads" else None
    sampling = Sampling(len(space.gaps), len(space.heads), gaps, heads) if gaps or heads else None
    precision = "bf16" if faster == "bf16" else "fp32"
    return lambda: ENGINES[engine](
        Bilevel(relaxation, optimizer, architecture, inner, outer, objective or "validation", precision, sampling)
    )


def unroll_with_our_kernels(problem: Bilevel) -> object:
    """The reference engine on adjoint's convolutions and BatchNorm, whose second derivatives are faster than torch's."""
    with SecondOrder():
        return ENGINES["unroll"](problem)


def training_step(relaxation: Relaxation, batch: Batch, *, plain: bool) -> Step:
    """A step of pretraining, ours or as anyone would write it for the same network."""
    x, y = batch
    undecided = Architecture.zeros(len(relaxation.gaps), len(relaxation.heads[0]), device=x.device)
    optimizer = (
        torch.optim.SGD(relaxation.parameters(), 0.01, 0.9, weight_decay=1e-4, fused=True)
        if plain
        else sgd(relaxation.parameters(), 0.01, 1e-4)
    )

    def plain_loss() -> torch.Tensor:
        h, losses = x, []
        for unit, heads in zip(relaxation.units, relaxation.heads, strict=False):
            h = unit(h)
            losses.append(smoothed_cross_entropy(sum(head(h) for head in heads) / len(heads), y, 0.1))
        losses.append(smoothed_cross_entropy(relaxation.classifier(relaxation.units[-1](h)), y, 0.1))
        return torch.stack(losses).sum()

    def step() -> None:
        loss = plain_loss() if plain else relaxation(Relaxation.inner_loss, x, y, undecided)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def released_meta_step(
    relaxation: Relaxation, optimizer: torch.optim.Optimizer, architecture: Architecture, inner: list[Batch], outer: Batch
) -> tuple[torch.Tensor, ...]:
    """What the released code computes, without its fork of higher: each gradient is divided by what
    reaches its unit of the nested loss."""
    leaves = [t.detach().clone().requires_grad_() for t in (architecture.alpha, architecture.beta)]
    shares, mixture = leaves[0].softmax(1), leaves[1].softmax(1)
    scales = 1 / (shares[:, 0].detach() + 1e-5)
    reach = torch.cat([shares.new_ones(1), shares[:, 1].cumprod(0)])
    divisors = []
    for parameter_name, _ in relaxation.named_parameters():
        part, number, *_ = parameter_name.split(".")
        divisors.append(reach[int(number) if part in ("units", "heads") else -1])

    def losses(self: Relaxation, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        local = []
        for unit, heads, weights, scale in zip(self.units, self.heads, mixture, scales, strict=False):
            x = unit(x)
            logits = sum(weight * head(x / scale) for weight, head in zip(weights, heads, strict=True))
            local.append(smoothed_cross_entropy(scale * logits, y, 0.1))
        x = self.units[-1](x)
        self.classifier(x)  # the released forward pass computes the logits, and the loss computes them again
        loss = smoothed_cross_entropy(self.classifier(x), y, 0.1)
        for (cut, above), local_loss in zip(shares.flip(0), reversed(local), strict=True):
            loss = cut * local_loss + above * loss
        return loss

    def validation(self: Relaxation, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for unit in self.units:
            x = unit(x)
        return F.cross_entropy(self.classifier(x), y)

    with higher.innerloop_ctx(relaxation, optimizer) as (functional, steps):
        for batch in inner:
            loss = functional(losses, *batch)
            steps.step(loss, grad_callback=lambda gradients: [g / d for g, d in zip(gradients, divisors, strict=True)])
        functional.eval()
        functional(validation, *outer)
        return torch.autograd.grad(loss, leaves)


if __name__ == "__main__":
    main()
