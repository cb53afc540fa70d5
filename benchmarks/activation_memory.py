"""Peak activation memory of one training step of vgg19 (3 x 32 x 32, batches of 128): backprop beside DGL.

    python benchmarks/activation_memory.py --out results/activation_memory.csv --device auto

Bytes an image, the batch counted, weights with their gradients and the optimizer not. Four figures a case:

counted  from shapes, on the meta device: exact
sum      the same with `sum(losses).backward()` in place of a backward pass a stage
cpu      counted in a real step of the Trainer on the CPU
cuda     on a GPU only: torch.cuda.max_memory_allocated of a real step less what was allocated before it (weights,
         optimizer); so it has the weights' gradients and the kernels' workspaces in it

Ratios are to the same figure of our backprop without checkpoint_units, and to that of plain PyTorch: nn.Conv2d,
nn.BatchNorm2d and nn.ReLU() not in place, with a training loop written here. Appends a row a case to the CSV.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.nn import functional as F

from methods.method import Method
from methods.settings import TrainingSettings
from methods.table import METHODS
from methods.training import Trainer
from nas.provenance import device_name, provenance
from nas.results import ResultsLog
from run import read_device
from spaces.activations import PeakMemory
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace
from spaces.splits import balanced, even, published

BATCH_SIZE, INPUT_SHAPE, NUM_CLASSES = 128, (3, 32, 32), 10
NUM_BLOCKS = (2, 4, 8)
HEADS = ("linear", "mlp_sr", "conv(depth=1)", "conv(depth=4)")
TARGETS = {False: 0.45, True: 0.30}  # of balanced(4) with mlp_sr, by checkpoint_units
FIGURES = ("counted", "sum", "cpu", "cuda")

Step = Callable[[torch.Tensor, torch.Tensor], object]
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """What is measured: a split's name, the head, and the decoupling that they make."""

    split: str
    head: str
    decoupling: Decoupling
    checkpoint_units: bool

    @property
    def target(self) -> float | None:
        """The ratio to backprop that this case is meant to reach."""
        named = self.split == "balanced" and self.head == "mlp_sr" and self.decoupling.num_blocks == 4
        return TARGETS[self.checkpoint_units] if named else None

    def build(self, space: SearchSpace) -> Method:
        """The method on its network."""
        net = space.build(self.decoupling, checkpoint_units=self.checkpoint_units)
        return METHODS.build("dgl" if self.decoupling.cuts else "backprop", net)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/activation_memory.csv"), help="the CSV file to append to")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    device = read_device(arguments.device)
    space = SearchSpace("vgg19", HEADS, input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    source = {"device": device_name(device), **provenance(), "command": shlex.join(["python", *sys.argv])}
    plain, backprop = of_plain(device), of_case(Case("uncut", "", Decoupling(), False), space, device)
    print(f"backprop: {kib(backprop)}\nplain PyTorch: {kib(plain)} (KiB an image)\n\n{HEADER}")
    rows = [row(space, None, plain, plain, backprop)]
    for case in cases(space):
        figures = of_case(case, space, device)
        rows.append(row(space, case, figures, plain, backprop))
        print(line(case, figures, plain, backprop), flush=True)
    ResultsLog(arguments.out).append_all([columns | source for columns in rows])


def cases(space: SearchSpace) -> Iterator[Case]:
    """Backprop, and every split with every head, without and with checkpoint_units."""
    for again in (False, True):
        yield Case("uncut", "", Decoupling(), again)
        for num_blocks in NUM_BLOCKS:
            for head in HEADS:
                yield Case("even", head, even(space, head, num_blocks=num_blocks), again)
                yield Case("balanced", head, balanced(space, head, num_blocks=num_blocks, checkpoint_units=again), again)
            yield Case("published", "its own", published(space, None, num_blocks=num_blocks), again)


def of_case(case: Case, space: SearchSpace, device: torch.device) -> Figures:
    """All figures of a case, in bytes an image."""
    with torch.device("meta"):
        method = case.build(space)

    def stage_by_stage(x: torch.Tensor, y: torch.Tensor) -> None:
        carry = method.start(x, y)
        for k in range(method.num_stages):
            result, loss = method.isolated_stage(k, carry, y)
            loss.backward()
            carry = result

    def at_once(x: torch.Tensor, y: torch.Tensor) -> None:
        torch.stack(list(method.losses(x, y))).sum().backward()

    def trainer(place: torch.device) -> tuple[nn.Module, Step]:
        trainer = Trainer(case.build(space), TrainingSettings(), seed=0, device=place)
        return trainer.method, lambda x, y: trainer.step(x, y, iteration=0)

    meta = torch.device("meta")
    return {"counted": counted(method, stage_by_stage, meta), "sum": counted(method, at_once, meta), **real(trainer, device)}


def of_plain(device: torch.device) -> Figures:
    """The same figures of plain PyTorch, which has one loss and so no `sum`."""
    with torch.device("meta"):
        model = plain_vgg19()
    return {"counted": counted(model, lambda x, y: F.cross_entropy(model(x), y).backward(), torch.device("meta")),
            "sum": None, **real(plain_trainer, device)}


def plain_trainer(place: torch.device) -> tuple[nn.Module, Step]:
    """The network on its device, and its training step."""
    model = plain_vgg19().to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, fused=True)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return model, step


def plain_vgg19() -> nn.Sequential:
    """The same network in the way that it is usually written."""
    layers: list[nn.Module] = []
    inputs = INPUT_SHAPE[0]
    for outputs, depth in ((16, 2), (32, 2), (64, 4), (128, 4), (128, 4)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 1024), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(1024, 1024), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1024, NUM_CLASSES))


def real(trainer: Callable[[torch.device], tuple[nn.Module, Step]], device: torch.device) -> Figures:
    """A real step counted on the CPU and, where `device` is a GPU, measured there; the step before makes the momentum."""
    cpu = torch.device("cpu")
    model, step = trainer(cpu)
    step(*batch(cpu, 2))
    figures: Figures = {"cpu": counted(model, step, cpu), "cuda": None}
    if device.type == "cuda":
        model, step = trainer(device)
        step(*batch(device))
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step(*batch(device))
        figures["cuda"] = (torch.cuda.max_memory_allocated(device) - before) / BATCH_SIZE
    return figures


def counted(model: nn.Module, step: Step, device: torch.device) -> float:
    """The peak of all tensors that a step makes, in bytes an image."""
    with PeakMemory(leave_out=model.parameters()) as memory:
        step(*batch(device))
    return memory.peak / BATCH_SIZE


def batch(device: torch.device, size: int = BATCH_SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and any labels."""
    x = torch.randn(size, *INPUT_SHAPE, device=device).contiguous(memory_format=torch.channels_last)
    return x, torch.arange(size, device=device) % NUM_CLASSES


def ratios(figures: Figures, reference: Figures) -> Figures:
    """Each figure over that of the reference; over what is counted of the reference if it has no `sum`."""
    result: Figures = {}
    for name in FIGURES:
        value, base = figures[name], reference["counted" if name == "sum" else name]
        result[name] = value / base if value and base else None
    return result


def row(space: SearchSpace, case: Case | None, figures: Figures, plain: Figures, backprop: Figures) -> dict[str, str | float | None]:
    """A case's columns; plain PyTorch's if there is none."""
    described: dict[str, str | float | None] = {"method": "plain PyTorch", "backbone": str(space.backbone), "batch_size": BATCH_SIZE}
    if case:
        described |= {"method": "dgl" if case.decoupling.cuts else "backprop", "split": case.split, "head": case.head,
                      "decoupling": str(case.decoupling), "num_blocks": case.decoupling.num_blocks,
                      "checkpoint_units": case.checkpoint_units, "target_ratio": case.target}
    return (described | {f"{name}_bytes_per_image": figures[name] for name in FIGURES}
            | {f"{name}_ratio": ratio for name, ratio in ratios(figures, backprop).items()}
            | {f"{name}_ratio_to_plain": ratio for name, ratio in ratios(figures, plain).items()})


HEADER = f"{'':42}{'KiB an':>8}  ratio to backprop:{'':15}to plain:\n{'':42}{'image':>8}" + "".join(
    f"{name:>9}" for name in (*FIGURES, *FIGURES))


def line(case: Case, figures: Figures, plain: Figures, backprop: Figures) -> str:
    """A line of the table."""
    label = f"{case.split}({case.decoupling.num_blocks}) {case.head}" if case.decoupling.cuts else "uncut"
    label += ", checkpointed" if case.checkpoint_units else ""
    cells = [*ratios(figures, backprop).values(), *ratios(figures, plain).values()]
    reached = cells[0]
    verdict = ""
    if case.target and reached:
        verdict = f"   target {case.target:.2f}: {'met' if reached <= case.target else 'missed'}"
    shown = "".join(f"{cell:9.3f}" if cell else f"{'-':>9}" for cell in cells)
    return f"{label:42}{figures['counted'] / 1024:8.1f}{shown}{verdict}"  # type: ignore[operator]


def kib(figures: Figures) -> str:
    return ", ".join(f"{name} {value / 1024:.1f}" for name, value in figures.items() if value)


if __name__ == "__main__":
    main()
