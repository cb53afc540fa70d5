"""Time of one training step: our loop, uncut and with DGL, beside plain PyTorch backprop of the same network.

    python benchmarks/step_time.py --out results/benchmarks/step_time.csv --device auto

vgg19 in batches of 128 and resnet50 in batches of 64, 3 x 32 x 32, one thread. The plain loop is written here: nn.Module,
cross-entropy, backward, one torch.optim.SGD with momentum; like ours it is fused and channels-last. The default SGD and
the default layout are there for information. All take turns in one process. On the CPU the seconds are the process's own
(process_time), which other programs disturb less; on a GPU they are the wall clock's, the device waited for.

ratio      median over the turns of the step's seconds over those of plain PyTorch in the same turn
explained  the ratio of the MACs: (macs + head_macs) / macs
excess     ratio / explained - 1; at most 0.05 is the target. What a head's MACs do not show, such as its pooling and its
           small matrices, raises it; the first layer of each block, which needs no gradient of its input, lowers it

Appends a row a loop to the CSV. Takes some minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.command import benchmark_parser, made_by
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost
from nas.device import read_device
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from spaces.decoupling import Decoupling
from spaces.rules import even
from spaces.space import SearchSpace

INPUT_SHAPE, NUM_CLASSES = (3, 32, 32), 10
NUM_BLOCKS, HEADS = (2, 4, 8), ("linear", "mlp_sr")
TURNS, TARGET = 11, 0.05

Step = Callable[[torch.Tensor, torch.Tensor], object]


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/step_time.csv")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    source: dict[str, Cell] = {"threads": 1, "turns": TURNS, "device": device_name(arguments.device), **made_by()}
    rows = [*measured("vgg19", plain_vgg19, 128, arguments.device), *measured("resnet50", plain_resnet50, 64, arguments.device)]
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def measured(backbone: str, plain: Callable[[], nn.Module], batch_size: int, device: torch.device) -> list[dict[str, Cell]]:
    """Time all loops on a backbone, and print what was found: a row each."""
    space = SearchSpace(backbone, HEADS, input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    decouplings = {"backprop": Decoupling()} | {
        f"dgl even({num_blocks}) {head}": even(space, head, num_blocks=num_blocks) for num_blocks in NUM_BLOCKS for head in HEADS
    }
    steps = (
        {"plain PyTorch": plain_step(plain(), device)}
        | {name: own_step(space, decoupling, device) for name, decoupling in decouplings.items()}
        | {
            "plain, default SGD": plain_step(plain(), device, fused=None),
            "plain, default layout": plain_step(plain(), device, layout=torch.contiguous_format),
        }
    )
    seconds = take_turns(list(steps.values()), batch_size, device)
    print(f"\n{backbone}, batches of {batch_size}{'':20}milliseconds     ratio explained    excess")
    rows: list[dict[str, Cell]] = []
    for name, own in zip(steps, seconds, strict=True):
        ratio = median(mine / reference for mine, reference in zip(own, seconds[0], strict=True))
        explained = explained_by_heads(space, decouplings.get(name, Decoupling()))
        excess = ratio / explained - 1
        verdict = f"   target {TARGET:.0%}: {'met' if excess <= TARGET else 'missed'}" if name in decouplings else ""
        print(f"{name:40}{median(own) * 1e3:12.1f}{ratio:10.3f}{explained:10.3f}{excess:+10.1%}{verdict}", flush=True)
        rows.append(
            {
                "backbone": backbone,
                "batch_size": batch_size,
                "loop": name,
                "decoupling": str(decouplings.get(name, Decoupling())),
                "seconds": median(own),
                "ratio": ratio,
                "explained_ratio": explained,
                "excess": excess,
            }
        )
    return rows


def take_turns(steps: list[Step], batch_size: int, device: torch.device) -> list[list[float]]:
    """The seconds of TURNS steps of each, after one to warm up; each turn runs all of them."""
    x = torch.randn(batch_size, *INPUT_SHAPE, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.arange(batch_size, device=device) % NUM_CLASSES
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(TURNS + 1):
        for step, row in zip(steps, seconds, strict=True):
            started = now(device)
            step(x, y)
            row.append(now(device) - started)
    return [row[1:] for row in seconds]


def now(device: torch.device) -> float:
    """Seconds on the clock of this device."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def explained_by_heads(space: SearchSpace, decoupling: Decoupling) -> float:
    """The MACs of the network with its heads over those without."""
    counts = cost(lambda: METHODS.build("dgl", space.build(decoupling)), INPUT_SHAPE, NUM_CLASSES, batch_size=2)
    return (counts.macs + counts.head_macs) / counts.macs


def own_step(space: SearchSpace, decoupling: Decoupling, device: torch.device) -> Step:
    """A step of the Trainer."""
    method = METHODS.build("dgl" if decoupling.cuts else "backprop", space.build(decoupling))
    trainer = Trainer(method, TrainingSettings(), seed=0, device=device)
    return lambda x, y: trainer.step(x, y, iteration=0)


def plain_step(
    model: nn.Module, device: torch.device, *, fused: bool | None = True, layout: torch.memory_format = torch.channels_last
) -> Step:
    """A step of plain PyTorch; the model is moved."""
    model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=fused)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        loss = F.cross_entropy(model(x.contiguous(memory_format=layout)), y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def plain_vgg19(width: int = 1) -> nn.Sequential:
    """vgg19 as it is usually written, at SEDONA's width times `width`; 4 is the usual one."""
    layers: list[nn.Module] = []
    inputs, hidden = INPUT_SHAPE[0], 1024 * width
    for channels, depth in ((16, 2), (32, 2), (64, 4), (128, 4), (128, 4)):
        outputs = channels * width
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, NUM_CLASSES),
    )


def plain_resnet50(width: int = 1) -> nn.Sequential:
    """resnet50 as it is usually written, at SEDONA's width times `width`; 4 is the usual one."""
    blocks: list[nn.Module] = []
    first = inputs = 16 * width
    for stage, (channels, depth) in enumerate(((16, 3), (32, 4), (64, 6), (128, 3))):
        for i in range(depth):
            blocks.append(Bottleneck(inputs, channels * width, 2 if stage and not i else 1))
            inputs = 4 * channels * width
    stem = (nn.Conv2d(INPUT_SHAPE[0], first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, NUM_CLASSES))


class Bottleneck(nn.Module):
    """A residual block as torchvision has it."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(n) for n in (channels, channels, 4 * channels))
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != 4 * channels:
            shortcut = nn.Conv2d(inputs, 4 * channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, 4 * channels, H / stride, W / stride)."""
        h = self.relu(self.bn1(self.conv1(x)))
        h = self.relu(self.bn2(self.conv2(h)))
        return self.relu(self.bn3(self.conv3(h)) + self.downsample(x))


if __name__ == "__main__":
    main()
