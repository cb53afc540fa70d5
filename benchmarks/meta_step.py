"""Time and peak memory of one meta-step of SEDONA by each hypergradient engine, and by a plain script, in one run.

    python benchmarks/meta_step.py --out results/benchmarks/meta_step.csv --device auto

vgg19 and resnet50 with four heads at every gap, at T = 1, 2, 5, 10, 20 inner steps. `plain` does what the released code
does, written here: higher, each training loss from a second run of the classifier, running statistics in the validation
pass, torch's default layout, the gradient of the last training loss.

Memory: the peak of all live tensor bytes, weights and their copies included, at the paper's batches (128 and 1,024), counted
on the meta device, where nothing is computed. Seconds: medians over the turns, in which all take part one after the other;
at smaller batches on the CPU, where they are the process's own (other programs disturb them less), at the paper's on a GPU.
Ratios are to `unroll`, of seconds turn by turn.

Appends a row an engine, backbone and T. Takes about an hour on one core.
"""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import higher
import torch
from torch.nn import functional as F

from nas.provenance import device_name, provenance
from nas.results import Cell, ResultsLog
from nas.strategies.sedona.bilevel import Batch, Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from run import read_device
from spaces.activations import PeakMemory
from spaces.heads import HEADS
from spaces.space import SearchSpace

INPUT_SHAPE, NUM_CLASSES = (3, 32, 32), 10
CANDIDATES = [f"conv(depth={depth})" for depth in (1, 2, 3, 4)]
NUM_STEPS = (1, 2, 5, 10, 20)
PAPER = (128, 1024)  # inner and outer batch
ON_CPU = (16, 64)
NAMES = ("unroll", "adjoint", "identity", "plain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/meta_step.csv"), help="the CSV file to append to")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--backbones", nargs="+", default=["vgg19", "resnet50"], help="which backbones")
    parser.add_argument("--steps", nargs="+", type=int, default=NUM_STEPS, metavar="T", help="how many inner steps")
    parser.add_argument("--turns", type=int, default=3, help="how often each is timed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = arguments.device
    source: dict[str, Cell] = {"threads": 1, "turns": arguments.turns, "device": device_name(device), **provenance(),
                               "command": shlex.join(["python", *sys.argv])}
    for backbone in arguments.backbones:
        for num_steps in arguments.steps:
            rows = measured(backbone, num_steps, device, arguments.turns)
            ResultsLog(arguments.out).append_all([row | source for row in rows])


def measured(backbone: str, num_steps: int, device: torch.device, turns: int) -> list[dict[str, Cell]]:
    """A row for each engine and the plain script."""
    peaks = {name: peak_bytes(backbone, name, num_steps) for name in NAMES}
    sizes = ON_CPU if device.type == "cpu" else PAPER
    steps = {name: meta_step(backbone, name, num_steps, sizes, device) for name in NAMES}
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(turns + (device.type != "cpu")):  # the first on a GPU warms up
        for name, step in steps.items():
            started = now(device)
            step()
            seconds[name].append(now(device) - started)
            gc.collect()
    rows: list[dict[str, Cell]] = []
    for name in NAMES:
        own = seconds[name][-turns:]
        ratio = median(mine / reference for mine, reference in zip(own, seconds["unroll"][-turns:], strict=True))
        memory = peaks[name] / peaks["unroll"]
        print(f"{backbone:10} T = {num_steps:2}  {name:9} {median(own):8.2f} s  x {ratio:5.2f}   {peaks[name] / 2**20:9.0f} MiB  "
              f"x {memory:5.3f}", flush=True)
        rows.append({"backbone": backbone, "num_steps": num_steps, "engine": name, "seconds": median(own), "seconds_ratio": ratio,
                     "timed_inner_batch": sizes[0], "timed_outer_batch": sizes[1], "peak_bytes": peaks[name],
                     "memory_ratio": memory, "counted_inner_batch": PAPER[0], "counted_outer_batch": PAPER[1]})
    return rows


def peak_bytes(backbone: str, name: str, num_steps: int) -> int:
    """The most bytes of tensors alive at once in one meta-step at the paper's batches, those made before it included."""
    with torch.device("meta"):
        step = meta_step(backbone, name, num_steps, PAPER, torch.device("meta"))
        with PeakMemory() as memory:
            step()
    return memory.peak


def meta_step(backbone: str, name: str, num_steps: int, sizes: tuple[int, int], device: torch.device) -> Callable[[], object]:
    """One meta-step, ready to run."""
    torch.manual_seed(0)
    layout = torch.contiguous_format if name == "plain" else torch.channels_last
    space = SearchSpace(backbone, CANDIDATES, input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    network = space.build_backbone()
    candidates = [[HEADS.build(head, space.site(gap, network)) for head in space.heads] for gap in space.gaps]
    relaxation = Relaxation(network, space.gaps, candidates).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(relaxation.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    architecture = Architecture.zeros(len(space.gaps), len(space.heads), device=device)

    def batch(size: int) -> Batch:
        x = torch.randn(size, *INPUT_SHAPE, device=device).contiguous(memory_format=layout)
        return x, torch.arange(size, device=device) % NUM_CLASSES

    inner, outer = [batch(sizes[0]) for _ in range(num_steps)], batch(sizes[1])
    if name == "plain":
        return lambda: plain_meta_step(relaxation, optimizer, architecture, inner, outer)
    return lambda: ENGINES[name](Bilevel(relaxation, optimizer, architecture, inner, outer))


def plain_meta_step(relaxation: Relaxation, optimizer: torch.optim.Optimizer, architecture: Architecture, inner: list[Batch],
                    outer: Batch) -> tuple[torch.Tensor, ...]:
    """What the released code computes (sedona.md 1 and 4), without its fork of higher: each gradient is divided by what
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
            local.append(F.cross_entropy(scale * logits, y, label_smoothing=0.1))
        x = self.units[-1](x)
        self.classifier(x)  # the released forward pass computes the logits, and the loss computes them again
        loss = F.cross_entropy(self.classifier(x), y, label_smoothing=0.1)
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


def now(device: torch.device) -> float:
    """Seconds on the clock of this device."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
