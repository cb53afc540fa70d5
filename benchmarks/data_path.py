"""How many augmented CIFAR-10 images a second one CPU thread makes: nas.data.images.images beside torchvision's transforms.

    python benchmarks/data_path.py --data-dir data --out results/benchmarks/data_path.csv

Both crop (padding 2), flip and normalise batches of 128. torchvision works image by image in a DataLoader, with no
worker and with one (which adds a process); the ratio is to the faster of the two. The three take turns in one process;
a figure is the median of the repeats, in images a second. Appends one row to the CSV.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.command import benchmark_parser, made_by
from nas.data.images.images import Batch, Batches, Images
from nas.data.images.torchvision_import import torchvision
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.tasks import TASKS

BATCH_SIZE, REPEATS, WARM_UP = 128, 7, 3


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/data_path.csv")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the folder of cifar-10-batches-py")
    arguments = parser.parse_args()
    own, no_worker, one_worker = measure(arguments.data_dir)
    ratio = own / max(no_worker, one_worker)
    print(
        f"own {own:,.0f}, torchvision {no_worker:,.0f} without a worker, {one_worker:,.0f} with one (images/s); "
        f"ratio {ratio:.1f}, medians of {REPEATS}"
    )
    ResultsLog(arguments.out).append(
        {
            "task": "cifar10",
            "batch_size": BATCH_SIZE,
            "threads": 1,
            "repeats": REPEATS,
            "own_images_per_second": own,
            "torchvision_images_per_second": no_worker,
            "torchvision_one_worker_images_per_second": one_worker,
            "ratio": ratio,
            "device": device_name(torch.device("cpu")),
            **made_by(),
        }
    )


def measure(data_dir: Path) -> tuple[float, float, float]:
    """Images a second: own, torchvision without a worker, with one; medians of alternating repeats."""
    images = TASKS.build("cifar10", data_dir)
    batches, dataset = Batches(images, BATCH_SIZE), per_image(data_dir, images)
    repeats = [
        (
            speed((batches.batch(0, iteration) for iteration in range(10_000)), 600),
            speed(iter(DataLoader(dataset, BATCH_SIZE, shuffle=True, num_workers=0)), 60),
            speed(iter(DataLoader(dataset, BATCH_SIZE, shuffle=True, num_workers=1)), 60),
        )
        for _ in range(REPEATS)
    ]
    own, no_worker, one_worker = (statistics.median(figures) for figures in zip(*repeats, strict=True))
    return own, no_worker, one_worker


def per_image(data_dir: Path, images: Images) -> Dataset:
    """The same augmentation in torchvision's way."""
    transforms, (_, height, width) = torchvision().transforms, images.input_shape
    return torchvision().datasets.CIFAR10(
        data_dir,
        transform=transforms.Compose(
            [
                transforms.RandomCrop((height, width), padding=images.augmentation.crop),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(images.mean, images.std),
            ]
        ),
    )


def speed(batches: Iterator[Batch], count: int) -> float:
    """Images a second over `count` batches, after a warm-up."""
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    num_images = sum(len(next(batches)[1]) for _ in range(count))
    return num_images / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
