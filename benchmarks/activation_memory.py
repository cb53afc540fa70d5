"""Peak activation memory of one training step of vgg19 (3 x 32 x 32, batches of 128): backprop beside DGL.

    python benchmarks/activation_memory.py --out results/benchmarks/activation_memory.csv --device auto

In bytes an image, the batch included, weights and optimizer not. Four figures a case:

counted  from shapes, on the meta device: exact
sum      the same with `sum(losses).backward()` in place of a backward pass a stage
cpu      counted in a real step of the Trainer on the CPU
cuda     on a GPU only: torch.cuda.max_memory_allocated of such a step less what was allocated before it, so the weights'
         gradients and the kernels' workspaces are in it, which the others leave out

The ratios are to the same figure of our backprop, and of plain PyTorch: nn.Conv2d, nn.BatchNorm2d, nn.ReLU() not in
place, and the loop of benchmarks/step_time.py; neither is checkpointed. Appends a row a case to the CSV. Takes some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.command import benchmark_parser, made_by
from benchmarks.step_time import INPUT_SHAPE, NUM_CLASSES, Step, plain_step, plain_vgg19
from methods.method import Method
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.device import read_device
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.rules import balanced, even, published
from spaces.space import SearchSpace

BATCH_SIZE, NUM_BLOCKS = 128, (2, 4, 8)
HEADS = ("linear", "mlp_sr", "conv(depth=1)", "conv(depth=4)")
TARGETS = {False: 0.45, True: 0.30}  # of balanced(4) with mlp_sr, by checkpoint_units
META, CPU = torch.device("meta"), torch.device("cpu")

Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A decoupling of `space`, and the names of the split and the head that make it."""

    space: SearchSpace
    split: str
    head: str
    decoupling: Decoupling
    checkpoint_units: bool

    def build(self) -> Method:
        net = self.space.build(self.decoupling, checkpoint_units=self.checkpoint_units)
        return METHODS.build("dgl" if self.decoupling.cuts else "backprop", net)

    @property
    def target(self) -> float | None:
        """The ratio to backprop that this case is meant to reach."""
        named = (self.split, self.head, self.decoupling.num_blocks) == ("balanced", "mlp_sr", 4)
        return TARGETS[self.checkpoint_units] if named else None

    @property
    def columns(self) -> dict[str, Cell]:
        return {
            "backbone": str(self.space.backbone),
            "split": self.split,
            "head": self.head,
            "decoupling": str(self.decoupling),
            "num_blocks": self.decoupling.num_blocks,
            "checkpoint_units": self.checkpoint_units,
            "target_ratio": self.target,
        }


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/activation_memory.csv")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(1)
    source: dict[str, Cell] = {"batch_size": BATCH_SIZE, "device": device_name(device), **made_by()}
    space = SearchSpace("vgg19", HEADS, input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    plain = of_plain(device)
    backprop = of_case(next(cases(space)), device)
    print(
        f"{'':42}{'KiB an':>8}{'ratio to':>10}{'ratio to our backprop':>23}\n{'':42}{'image':>8}{'plain':>10}"
        + "".join(f"{name:>10}" for name in backprop)
    )
    rows = [source | {"method": "plain PyTorch"} | compared(plain, plain, backprop)]
    for case in cases(space):
        figures = of_case(case, device)
        method = "dgl" if case.decoupling.cuts else "backprop"
        rows.append(source | {"method": method} | case.columns | compared(figures, plain, backprop))
        show(case, figures, plain, backprop)
    ResultsLog(arguments.out).append_all(rows)


def cases(space: SearchSpace) -> Iterator[Case]:
    """Backprop first; then every split with every head, without and with checkpoint_units."""
    for again in (False, True):
        yield Case(space, "uncut", "", Decoupling(), again)
        for num_blocks in NUM_BLOCKS:
            for head in HEADS:
                yield Case(space, "even", head, even(space, head, num_blocks=num_blocks), again)
                cut = balanced(space, head, num_blocks=num_blocks, checkpoint_units=again)
                yield Case(space, "balanced", head, cut, again)
            yield Case(space, "published", "its own", published(space, None, num_blocks=num_blocks), again)


def of_case(case: Case, device: torch.device) -> Figures:
    """All figures of a case."""
    with META:
        method = case.build()

    def by_stage(x: torch.Tensor, y: torch.Tensor) -> None:
        given = method.start(x, y)
        for k in range(method.num_stages):
            carry, loss = method.isolated_stage(k, given, y)
            loss.backward()
            given = carry

    def at_once(x: torch.Tensor, y: torch.Tensor) -> None:
        torch.stack(list(method.losses(x, y))).sum().backward()

    def real(place: torch.device) -> tuple[nn.Module, Step]:
        trainer = Trainer(case.build(), TrainingSettings(), seed=0, device=place)
        return trainer.method, lambda x, y: trainer.step(x, y, iteration=0)

    return {"counted": counted(method, by_stage, META), "sum": counted(method, at_once, META), **run_for_real(real, device)}


def of_plain(device: torch.device) -> Figures:
    """The same figures of plain PyTorch; it has one loss, which is its sum."""
    with META:
        model = plain_vgg19()
    figure = counted(model, lambda x, y: F.cross_entropy(model(x), y).backward(), META)
    return {"counted": figure, "sum": figure, **run_for_real(plain_training, device)}


def plain_training(place: torch.device) -> tuple[nn.Module, Step]:
    """Plain PyTorch on a device: the model and its step."""
    model = plain_vgg19()
    return model, plain_step(model, place)


def run_for_real(training: Callable[[torch.device], tuple[nn.Module, Step]], device: torch.device) -> Figures:
    """A step counted on the CPU and, where `device` is a GPU, measured there; a step before it makes the momentum."""
    model, step = training(CPU)
    step(*batch(CPU, size=2))
    figures = {"cpu": counted(model, step, CPU)}
    if device.type == "cuda":
        model, step = training(device)
        step(*batch(device))
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step(*batch(device))
        figures["cuda"] = (torch.cuda.max_memory_allocated(device) - before) / BATCH_SIZE
    return figures


def counted(model: nn.Module, step: Step, place: torch.device) -> float:
    """The largest sum of the tensors that a step makes."""
    with PeakMemory(leave_out=model.parameters()) as memory:
        step(*batch(place))
    return memory.peak / BATCH_SIZE


def batch(place: torch.device, size: int = BATCH_SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with labels."""
    x = torch.randn(size, *INPUT_SHAPE, device=place).contiguous(memory_format=torch.channels_last)
    return x, torch.arange(size, device=place) % NUM_CLASSES


def compared(figures: Figures, plain: Figures, backprop: Figures) -> dict[str, Cell]:
    """The columns of a case's figures and ratios."""
    columns: dict[str, Cell] = {}
    for name, value in figures.items():
        columns |= {
            f"{name}_bytes_per_image": value,
            f"{name}_ratio": value / backprop[name],
            f"{name}_ratio_to_plain": value / plain[name],
        }
    return columns


def show(case: Case, figures: Figures, plain: Figures, backprop: Figures) -> None:
    """Print a line of the table."""
    label = f"{case.split}({case.decoupling.num_blocks}) {case.head}" if case.decoupling.cuts else "uncut"
    label += ", checkpoint_units" if case.checkpoint_units else ""
    ratios = [figures["counted"] / plain["counted"], *(figures[name] / backprop[name] for name in figures)]
    target = ""
    if case.target is not None:
        target = f"   target {case.target}: {'met' if ratios[1] <= case.target else 'missed'}"
    print(f"{label:42}{figures['counted'] / 1024:8.1f}" + "".join(f"{ratio:10.3f}" for ratio in ratios) + target, flush=True)


if __name__ == "__main__":
    main()
