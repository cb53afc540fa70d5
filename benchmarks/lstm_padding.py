"""Time and memory of a bidirectional LSTM layer over padded texts: spaces/layers/padded_lstm.py beside packed sequences.

    python benchmarks/lstm_padding.py --out results/benchmarks/lstm_padding.csv

64 texts of T tokens at most, of which padding is about a seventh, D features in and H out of each direction, one thread.
`packed` is torch's own way (`pack_padded_sequence`); both take turns in one process, which counts its own seconds.

train_ratio, eval_ratio  median over the turns of packed's seconds over ours: forward and backward, and forward alone
kept_over_counted        bytes that our forward pass keeps for its backward pass over those that nas/cost.py's shapes count

Appends a row a shape to the CSV.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.command import benchmark_parser, made_by
from benchmarks.step_time import now
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from spaces.layers.padded_lstm import padded_lstm

NUM_TEXTS, CPU = 64, torch.device("cpu")
SHAPES = ((20, 50, 50), (60, 50, 50), (200, 100, 50), (20, 300, 300), (60, 300, 300))  # T, D, H


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/lstm_padding.csv")
    parser.add_argument("--turns", type=int, default=7, help="how often each is measured, after one to warm up")
    arguments = parser.parse_args()
    source: dict[str, Cell] = {
        "num_texts": NUM_TEXTS,
        "threads": 1,
        "turns": arguments.turns,
        "device": device_name(CPU),
        **made_by(),
    }
    print("   T    D    H  packed ms  ours ms  train ratio  eval ratio  kept / counted")
    ResultsLog(arguments.out).append_all([measured(*shape, arguments.turns) | source for shape in SHAPES])


def measured(length: int, features: int, hidden: int, turns: int) -> dict[str, Cell]:
    """A row for one shape."""
    torch.manual_seed(0)
    lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
    values = torch.randn(NUM_TEXTS, length, features, requires_grad=True)
    lengths = torch.linspace(length, 0.72 * length, NUM_TEXTS).round().long()
    mask = torch.arange(length) < lengths[:, None]

    def packed() -> torch.Tensor:
        outputs, _ = lstm(pack_padded_sequence(values, lengths, batch_first=True))
        return pad_packed_sequence(outputs, batch_first=True)[0]

    def ours() -> torch.Tensor:
        return padded_lstm(lstm, values, mask, None)[0]

    train = take_turns([lambda run=run: run().sum().backward() for run in (packed, ours)], turns)  # type: ignore[misc]
    with torch.no_grad():
        evaluated = take_turns([packed, ours], turns)
    counted = kept(lstm.to("meta"), values.detach().to("meta"), mask.to("meta"))
    lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
    row: dict[str, Cell] = {
        "length": length,
        "features": features,
        "hidden": hidden,
        "padding": 1 - mask.double().mean().item(),
        "packed_seconds": median(train[0]),
        "seconds": median(train[1]),
        "train_ratio": ratio(train),
        "eval_ratio": ratio(evaluated),
        "kept_over_counted": kept(lstm, values.detach(), mask) / counted,
    }
    print(
        f"{length:4}{features:5}{hidden:5}{1e3 * median(train[0]):11.1f}{1e3 * median(train[1]):9.1f}{row['train_ratio']:13.2f}"
        f"{row['eval_ratio']:12.2f}{row['kept_over_counted']:16.2f}",
        flush=True,
    )
    return row


def kept(lstm: nn.LSTM, values: torch.Tensor, mask: torch.Tensor) -> int:
    """Bytes of all that is saved for the backward pass, parameters left out."""
    weights = {parameter.untyped_storage()._cdata for parameter in lstm.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        outputs = padded_lstm(lstm, values.requires_grad_(), mask, None)
    del outputs
    return sum(storage.nbytes() for key, storage in storages.items() if key not in weights)


def take_turns(runs: list[Callable[[], object]], turns: int) -> list[list[float]]:
    """The seconds of `turns` calls of each, after one to warm up; each turn calls all of them."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(turns + 1):
        for run, row in zip(runs, seconds, strict=True):
            started = now(CPU)
            run()
            row.append(now(CPU) - started)
    return [row[1:] for row in seconds]


def ratio(seconds: list[list[float]]) -> float:
    """Median over the turns of the first's seconds over the second's."""
    return median(first / second for first, second in zip(*seconds, strict=True))


if __name__ == "__main__":
    main()
