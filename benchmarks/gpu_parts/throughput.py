"""Images a second of a training step: plain PyTorch, our loop uncut, and our loop in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.gpu_parts.part import Case, Row, Setup, measuring
from benchmarks.gpu_parts.utilisation import utilisation
from benchmarks.step_time import INPUT_SHAPE, NUM_CLASSES, now, plain_resnet50, plain_vgg19
from methods.table import METHODS
from methods.training.scoring import autocast
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.device import set_switches, switches_restored
from spaces.decoupling import Decoupling
from spaces.rules import even
from spaces.space import SearchSpace

PLAIN: dict[str, Callable[[int], nn.Module]] = {"vgg19": plain_vgg19, "resnet50": plain_resnet50}
SIZES = ((1, 128), (4, 128), (1, 1024), (4, 1024))  # width, where 4 is the usual one and 1 SEDONA's, and images a step
AS_WRITTEN = (("bf16", "no"), ("fp32", "no"), ("tf32", "no"))  # precision and --compile
COMPILED = (("bf16", "default"), ("bf16", "reduce-overhead"), ("fp32", "default"))  # a compiler takes minutes for each
NUM_BLOCKS = (2, 4)
TURNS, STEPS, WARM_UP = 7, 20, 5

Step = Callable[[], object]


def cases(setup: Setup, ways: Sequence[tuple[str, str]], sizes: Sequence[tuple[int, int]]) -> list[Case]:
    """A case a network, size and way, the first way first for all networks: its rows take turns."""
    sizes = ((1, 4),) if setup.rehearse else sizes
    wanted = []
    for precision, mode in ways:
        for width, batch_size in sizes:
            for backbone in PLAIN:
                key = {"backbone": backbone, "width": width, "batch_size": batch_size, "precision": precision, "compile": mode}
                wanted.append(Case(key, lambda given=(setup, backbone, width, batch_size, precision, mode): measured(*given)))
    return wanted


def measured(setup: Setup, backbone: str, width: int, batch_size: int, precision: str, mode: str) -> list[Row]:
    """A row a loop, plain PyTorch first, with which the others are compared."""
    turns, steps, warm_up = (2, 1, 1) if setup.rehearse else (TURNS, STEPS, WARM_UP)
    device = setup.device
    with ExitStack() as until_done:
        until_done.enter_context(switches_restored())
        set_switches(precision, deterministic=False)  # type: ignore[arg-type]
        if setup.rehearse and mode != "no":
            torch.compiler.set_stance("force_eager")  # the same calls, without the minutes of a compiler
            until_done.callback(torch.compiler.set_stance, "default")
        x = torch.randn(batch_size, *INPUT_SHAPE, device=device).contiguous(memory_format=torch.channels_last)
        y = torch.arange(batch_size, device=device) % NUM_CLASSES
        loops = dict(made(backbone, width, precision, mode, x, y))
        for step in loops.values():
            for _ in range(warm_up):
                step()
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(turns):
            for name, step in loops.items():
                begun = now(device)
                for _ in range(steps):
                    step()
                seconds[name].append((now(device) - begun) / steps)
        rows: list[Row] = []
        for name, own in seconds.items():
            ratio = median(mine / reference for mine, reference in zip(own, next(iter(seconds.values())), strict=True))
            busy = utilisation(loops[name], device)
            row: Row = {
                "loop": name,
                "images_per_second": batch_size / median(own),
                "step_seconds": median(own),
                "seconds_ratio": ratio,
                "utilisation": busy,
                "turns": turns,
            }
            told = "" if busy is None else f"  {busy:.0%} busy"
            print(
                f"  {backbone} width {width}, {batch_size} images, {precision}, compile {mode}: {name:14}"
                f"{batch_size / median(own):12,.0f} images/s  x {ratio:.3f}{told}",
                flush=True,
            )
            rows.append(row)
        return rows


def made(backbone: str, width: int, precision: str, mode: str, x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[str, Step]]:
    """Each loop with its step on the batch."""
    yield "plain PyTorch", plain(PLAIN[backbone](width), precision, mode, x, y)
    space = SearchSpace(f"{backbone}(width={width})", ["mlp_sr"], input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    points = {"backprop": Decoupling()} | {f"dgl even({k})": even(space, "mlp_sr", num_blocks=k) for k in NUM_BLOCKS}
    for name, point in points.items():
        method = METHODS.build(name.partition(" ")[0], space.build(point))
        settings = TrainingSettings(precision=precision, compile=mode)  # type: ignore[arg-type]
        trainer = Trainer(method, settings, seed=0, device=x.device)
        yield name, lambda trainer=trainer: trainer.step(x, y, iteration=0)


def plain(model: nn.Module, precision: str, mode: str, x: torch.Tensor, y: torch.Tensor) -> Step:
    """As anyone would write it: one loss, autocast, torch.compile of the model, a fused optimizer, channels-last."""
    model.to(device=x.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    network = model if mode == "no" else torch.compile(model, mode=mode)

    def step() -> None:
        with autocast(x.device, precision):  # type: ignore[arg-type]
            loss = F.cross_entropy(network(x), y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


PARTS = (
    measuring(
        "throughput",
        "images a second and how busy the GPU is: plain PyTorch, one block, two and four; fp32, tf32, bf16",
        partial(cases, ways=AS_WRITTEN, sizes=SIZES),
    ),
    measuring("compiled", "the same, compiled: bf16, with CUDA graphs, and fp32", partial(cases, ways=COMPILED, sizes=SIZES[:2])),
)
