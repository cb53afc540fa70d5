"""How many tokens a second one CPU thread puts into batches: nas.data.texts.texts beside a DataLoader that pads.

    python -m benchmarks.text_path --data-dir data --out results/benchmarks/text_path.csv

Both make shuffled batches of 128 int64 texts out of ids in memory. The DataLoader is given one tensor a text and pads
with `pad_sequence`, with no worker and with one (which adds a process); the ratio is to the faster of the two. Tokens of
the texts count, padding does not; what share of an epoch it is stands beside. The three take turns in one process; a
figure is the median of the repeats. Appends one row a task to the CSV.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from benchmarks.command import benchmark_parser, made_by
from nas.data.texts.samples import TextSplit
from nas.data.texts.texts import Texts
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.tasks import TASKS
from spaces.activation import PADDING

Batch = tuple[torch.Tensor, torch.Tensor]
TASK_NAMES, BATCH_SIZE, REPEATS, WARM_UP = ("ag_news", "imdb"), 128, 7, 3


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/text_path.csv")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the folder of ag_news and imdb")
    arguments = parser.parse_args()
    for name in TASK_NAMES:
        data = TASKS.build(name, arguments.data_dir)
        assert isinstance(data, Texts)
        own, no_worker, one_worker = measure(data)
        ratio = own / max(no_worker, one_worker)
        own_padding, loader_padding = padding(every_batch(data)), padding(iter(loader(OneByOne(data.train), 0)))
        print(
            f"{name}: own {own:,.0f}, DataLoader {no_worker:,.0f} without a worker, {one_worker:,.0f} with one (tokens/s); "
            f"ratio {ratio:.1f}, medians of {REPEATS}; padding {own_padding:.1%}, {loader_padding:.1%}"
        )
        ResultsLog(arguments.out).append(
            {
                "task": name,
                "batch_size": BATCH_SIZE,
                "threads": 1,
                "repeats": REPEATS,
                "own_tokens_per_second": own,
                "loader_tokens_per_second": no_worker,
                "loader_one_worker_tokens_per_second": one_worker,
                "ratio": ratio,
                "own_padding": own_padding,
                "loader_padding": loader_padding,
                "device": device_name(torch.device("cpu")),
                **made_by(),
            }
        )


def measure(data: Texts) -> tuple[float, float, float]:
    """Tokens a second: own, the DataLoader without a worker, with one; medians of alternating repeats."""
    batches, texts = data.train_batches(BATCH_SIZE), OneByOne(data.train)
    repeats = [
        (
            speed((batches.batch(0, iteration) for iteration in range(10_000)), 500),
            speed(endless(loader(texts, 0)), 200),
            speed(endless(loader(texts, 1)), 200),
        )
        for _ in range(REPEATS)
    ]
    own, no_worker, one_worker = (statistics.median(figures) for figures in zip(*repeats, strict=True))
    return own, no_worker, one_worker


class OneByOne(Dataset):
    """Each text as a tensor of its ids, with its class."""

    def __init__(self, split: TextSplit) -> None:
        places = zip(split.starts.tolist(), split.lengths.tolist(), split.labels, strict=True)
        self._samples = [(split.tokens[start : start + length].long(), label) for start, length, label in places]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, number: int) -> Batch:
        return self._samples[number]


def loader(texts: OneByOne, workers: int) -> DataLoader:
    return DataLoader(
        texts, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers, collate_fn=padded, persistent_workers=workers > 0
    )


def padded(batch: list[Batch]) -> Batch:
    return pad_sequence([ids for ids, _ in batch], batch_first=True, padding_value=PADDING), torch.stack([y for _, y in batch])


def endless(batches: DataLoader) -> Iterator[Batch]:
    while True:
        yield from batches


def every_batch(data: Texts) -> Iterator[Batch]:
    batches = data.train_batches(BATCH_SIZE)
    return (batches.batch(0, iteration) for iteration in range(batches.num_batches))


def padding(batches: Iterator[Batch]) -> float:
    """The share of padding among all tokens."""
    counts = [(int((x == PADDING).sum()), x.numel()) for x, _ in batches]
    return sum(padding for padding, _ in counts) / sum(total for _, total in counts)


def speed(batches: Iterator[Batch], count: int) -> float:
    """Tokens a second, without padding, over `count` batches, after a warm-up."""
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    made = [next(batches)[0] for _ in range(count)]
    seconds = time.perf_counter() - start
    return sum(int((x != PADDING).sum()) for x in made) / seconds


if __name__ == "__main__":
    main()
