"""What `nas.decouple` costs: a training step at one block beside the untouched model's, and the call itself.

    python benchmarks/any_network.py --out results/any_network/overhead.csv --device auto

Models of torchvision and timm, one thread. The plain step is the model's forward, cross-entropy, backward and one
torch.optim.SGD with momentum; the other one is `net.step` of `nas.decouple(model, "uncut", method="backprop(...)")` of an equal
model, which runs the model's modules as units. Both take turns in one process. On the CPU the seconds are the process's own
(process_time), which other programs disturb less; on a GPU they are the wall clock's, the device waited for.

ratio             median over the turns of the step's seconds over the plain step's in the same turn; at most 1.03 is the target
equal             whether the weights of both are equal to the bit after all turns
decouple_seconds  median of `nas.decouple(model, "even(4)")`: tracing, cutting and heads; with_plan_seconds: of "balanced(4)"

Appends a row a model to the CSV. Takes some minutes.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.nn import functional as F

import nas
from benchmarks.command import benchmark_parser, made_by
from nas.device import read_device
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from spaces.torchvision_import import torchvision

TURNS, STEPS, TARGET = 11, 3, 1.03
# name, side of the images in pixels, batch size
MODELS = (
    ("torchvision resnet18", 64, 32),
    ("torchvision mobilenet_v3_small", 64, 32),
    ("torchvision efficientnet_b0", 64, 16),
    ("timm vit_tiny_patch16_224", 224, 8),
    ("timm convnext_atto", 64, 32),
)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/any_network/overhead.csv")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    source: dict[str, Cell] = {"threads": 1, "turns": TURNS, "device": device_name(arguments.device), **made_by()}
    print(f"{'model':32} {'plain ms':>9} {'ratio':>7} {'equal':>6} {'decouple s':>11} {'balanced s':>11}")
    for name, side, batch_size in MODELS:
        row = measured(name, side, batch_size, arguments.device)
        ResultsLog(arguments.out).append_all([row | source])


def measured(name: str, side: int, batch_size: int, device: torch.device) -> dict[str, Cell]:
    """The row of a model."""
    torch.manual_seed(0)
    model = made(name).to(device)
    x = torch.randn(batch_size, 3, side, side, device=device)
    y = torch.randint(10, (batch_size,), device=device)
    plain, twin = copy.deepcopy(model), copy.deepcopy(model)
    net = nas.decouple(twin, "uncut", example=x, method="backprop(label_smoothing=0.0)", optimizer=optimizer)
    steps = [plain_step(plain, x, y), lambda: net.step(x, y)]
    seconds = take_turns(steps, device)
    ratio = median(own / reference for reference, own in zip(*seconds, strict=True))
    equal = all(map(torch.equal, plain.state_dict().values(), twin.state_dict().values()))
    calls = {
        rule: median(timed(lambda rule=rule: decoupled(model, rule, x)) for _ in range(5)) for rule in ("even(4)", "balanced(4)")
    }
    row: dict[str, Cell] = {
        "model": name,
        "side": side,
        "batch_size": batch_size,
        "plain_ms": round(1000 * median(seconds[0]), 2),
        "ratio": round(ratio, 4),
        "target": TARGET,
        "equal": equal,
        "units": len(nas.backbone(model, x).units),
        "decouple_seconds": round(calls["even(4)"], 3),
        "with_plan_seconds": round(calls["balanced(4)"], 3),
    }
    print(
        f"{name:32} {row['plain_ms']:9} {row['ratio']:7} {equal!s:>6} {row['decouple_seconds']:11} {row['with_plan_seconds']:11}",
        flush=True,
    )
    return row


def made(name: str) -> nn.Module:
    """A model of ten classes."""
    library, _, model = name.partition(" ")
    if library == "torchvision":
        return torchvision().models.get_model(model, weights=None, num_classes=10)  # type: ignore[no-any-return]
    torchvision()
    import timm

    return timm.create_model(model, num_classes=10)  # type: ignore[no-any-return]


def optimizer(parameters: Any) -> torch.optim.Optimizer:
    """That of both loops."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def decoupled(model: nn.Module, rule: str, x: torch.Tensor) -> object:
    """The call that is timed, on a copy that is not."""
    return nas.decouple(copy.deepcopy(model), rule, example=x, head="linear")


def plain_step(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Callable[[], object]:
    """A step of plain PyTorch."""
    sgd = optimizer(model.parameters())

    def step() -> None:
        F.cross_entropy(model(x), y).backward()
        sgd.step()
        sgd.zero_grad()

    return step


def take_turns(steps: list[Callable[[], object]], device: torch.device) -> list[list[float]]:
    """Seconds a step of each, in turns that begin with another one each time."""
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(-1, TURNS):  # the first warms up
        for place in range(len(steps)):
            number = (place + turn) % len(steps)
            torch.manual_seed(turn + 1)  # dropout draws alike
            took = timed(lambda number=number: [steps[number]() for _ in range(STEPS)], device)
            if turn >= 0:
                seconds[number].append(took / STEPS)
    return seconds


def timed(what: Callable[[], object], device: torch.device | None = None) -> float:
    """The seconds that it takes."""
    on_gpu = device is not None and device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize(device)
    begun = clock()
    what()
    if on_gpu:
        torch.cuda.synchronize(device)
    return clock() - begun


if __name__ == "__main__":
    main()
