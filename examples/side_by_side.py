"""One's own network and loop in several processes, each of which trains some of the blocks. Seconds on two cores.

torchrun --nproc-per-node 2 examples/side_by_side.py
"""

from collections.abc import Iterator
from itertools import repeat

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nas

EPOCHS, BATCH = 5, 50


def network() -> nn.Sequential:
    """A convolutional network for 8 x 8 digits, as anyone would write it."""
    widths = [(1, 16), (16, 16), (16, 32), (32, 32)]
    layers = [nn.Sequential(nn.Conv2d(*pair, 3, padding=1), nn.BatchNorm2d(pair[1]), nn.ReLU()) for pair in widths]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def digits() -> tuple[TensorDataset, TensorDataset]:
    """1,500 digits to train on, and the others."""
    data = load_digits()
    x, y = torch.tensor(data.images[:, None] / 16, dtype=torch.float32), torch.tensor(data.target)
    return TensorDataset(x[:1500], y[:1500]), TensorDataset(x[1500:], y[1500:])


def batches(training: TensorDataset, is_first: bool) -> Iterator[tuple[torch.Tensor | None, torch.Tensor | None]]:
    """Those of all epochs; for processes behind the first, which are handed theirs, as many times nothing."""
    loader = DataLoader(training, batch_size=BATCH, shuffle=True)
    for _ in range(EPOCHS):
        yield from loader if is_first else repeat((None, None), len(loader))


def main() -> None:
    """Train, and let the first process say how well."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    training, validation = digits()
    model = network()
    net = nas.decouple(
        model,
        "even(4)",
        example=torch.zeros(2, 1, 8, 8),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    ).side_by_side(*training[:BATCH])  # <- the one line

    schedulers = [torch.optim.lr_scheduler.CosineAnnealingLR(o, EPOCHS * len(training) // BATCH) for o in net.optimizers()]
    is_first = net.own_blocks.start == 0
    for x, y in batches(training, is_first):
        net.step(x, y)
        for scheduler in schedulers:
            scheduler.step()
    net.gather().eval()
    print(f"trained blocks {[*net.own_blocks]}")
    if is_first:
        x, y = validation[:]
        with torch.no_grad():
            print(f"accuracy: {(net(x).argmax(1) == y).float().mean():.3f}")


if __name__ == "__main__":
    main()
