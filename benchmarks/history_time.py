"""What history.csv costs: a run that scores every exit in its validations and writes a row an epoch, beside one without.

    python benchmarks/history_time.py

Two kinds of rows. `whole run`: two epochs on the embedded digits, of which 40 % are the validation split, more than anybody takes
for training alone; both ways are run from beginning to end, in turns. `epoch of CIFAR-10`: a training step of 128 images and a
validation batch of 512 are measured in turns, and put together to 351 steps and 10 batches, the epoch of a 45,000/5,000 split.
Seconds are the process's own on one thread, which other programs disturb less.

extra        median over the turns of the seconds with over those without, minus 1, what a row computes included; at most 0.03 is
             the target, and `--history losses` leaves exits out
row_seconds  median time of appending a row on the wall clock, which waits for the disk, to a file in a temporary folder
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from methods.method import Method
from methods.table import METHODS, traits
from methods.training.batches import Batch
from methods.training.epoch import Epoch
from methods.training.loop import train
from methods.training.scoring import ErrorAndLoss
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE
from nas.records.history import History
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import HISTORY
from nas.tasks import TASKS
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
TURNS_OF_RUNS, TURNS_OF_STEPS, BATCH_SIZE, STEPS, VALIDATION_BATCHES = 15, 7, 128, 351, 10
CASES = (
    ("dgl", "even(2)"),
    ("dgl", "even(4)"),
    ("dgl", "layerwise"),
    ("predsim", "even(4)"),
    ("auglocal", "even(4)"),
    ("early_exit", "even(4)"),
    ("al", "even(4)"),
)
RUNS = (("dgl", "even(3)"), ("dgl", "layerwise"), ("early_exit", "even(3)"))
KEY: dict[str, Cell] = {"method": "dgl", "decoupling": "3:linear", "task": "digits", "seed": 0}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/history_time.csv")
    arguments = parser.parse_args()
    rows = [*map(whole_run, RUNS), *map(epoch_of_cifar10, CASES)]
    source: dict[str, Cell] = {"threads": 1, "device": device_name(CPU), **made_by()}
    for row in rows:
        print(f"{row['what']:18} {row['method']:10} {row['decoupling']:10} extra {row['extra']:7.2%}")
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def seconds(work: Callable[[], object]) -> float:
    """Of the process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def each_turn(count: int, *works: Callable[[], object]) -> list[list[float]]:
    """Of each turn the seconds of each; one turn before, which is not counted."""
    for work in works:
        work()
    return [[seconds(work) for work in works] for _ in range(count)]


def row(what: str, case: tuple[str, str], whole: float, extra: float) -> dict[str, Cell]:
    """What was found."""
    return {
        "what": what,
        "method": case[0],
        "decoupling": case[1],
        "seconds": whole,
        "extra": extra,
        "row_seconds": row_seconds(),
    }


def row_seconds(count: int = 50) -> float:
    """Of a row, on the wall clock, in a log that has some."""
    with TemporaryDirectory() as folder:
        history = History(ResultsLog(Path(folder) / "history.csv", HISTORY), KEY, "0123456789abcdef", 1)
        taken = []
        for number in range(count):
            began = time.perf_counter()
            history.record(Epoch(number, number / 13, (2.0,) * 4, (0.5,) * 4, 0.5, 1.5, 0.1, 1.0))
            taken.append(time.perf_counter() - began)
    return median(taken)


def whole_run(case: tuple[str, str]) -> dict[str, Cell]:
    """Two epochs on digits, with and without."""
    spec, text = case
    data = TASKS.build("digits(validation=0.4)", Path("data"))
    space = SearchSpace("small", ("conv(depth=1)",), input_shape=data.input_shape, num_classes=data.num_classes)
    batches = data.train_batches(64)
    settings = TrainingSettings(iterations=2 * batches.num_batches, batch_size=64)

    def run(folder: Path | None) -> None:
        method = build(spec, text, space)

        def validation() -> Iterator[Batch]:
            return data.eval_batches(data.validation, EVAL_BATCH_SIZE)

        given = method, batches, validation, settings
        if folder is None:
            train(*given, seed=0, device=CPU)
            return
        log = ResultsLog(folder / "history.csv", HISTORY)
        history = History(log, KEY, "0123456789abcdef", len(log.rows()) + 1)
        train(*given, seed=0, device=CPU, record=history.record, exit_errors=traits(spec).has_exit_logits)

    with TemporaryDirectory() as folder:
        turns = each_turn(TURNS_OF_RUNS, lambda: run(None), lambda: run(Path(folder)))
    return row("whole run", case, median(without for without, _ in turns), median(one / other for other, one in turns) - 1)


def epoch_of_cifar10(case: tuple[str, str]) -> dict[str, Cell]:
    """A step, and a validation batch with and without exits, put together to an epoch."""
    spec, text = case
    space = SearchSpace("vgg11(width=0.25)", ("conv(depth=1)",), input_shape=(3, 32, 32), num_classes=10)
    method = build(spec, text, space)
    trainer = Trainer(method, TrainingSettings(iterations=STEPS, batch_size=BATCH_SIZE), seed=0, device=CPU)
    generator = torch.Generator().manual_seed(0)

    def images(size: int) -> Batch:
        x = torch.randn(size, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
        return x, torch.randint(10, (size,), generator=generator)

    (x, y), held_out = images(BATCH_SIZE), images(EVAL_BATCH_SIZE)

    def step() -> None:
        method.train()
        trainer.step(x, y, 0)

    every = range(method.net.num_blocks)
    works = step, lambda: answer(method, held_out, every[-1:]), lambda: answer(method, held_out, every)
    turns = [
        (STEPS * own + VALIDATION_BATCHES * last, VALIDATION_BATCHES * (exits - last))
        for own, last, exits in each_turn(TURNS_OF_STEPS, *works)
    ]
    return row(
        "epoch of CIFAR-10", case, median(without for without, _ in turns), median(more / without for without, more in turns)
    )


def build(spec: str, text: str, space: SearchSpace) -> Method:
    """The method on its decoupling, with its own heads."""
    kind = traits(spec)
    decoupling = kind.adapt(read_decoupling(text, space, kind.default_head, batch_size=BATCH_SIZE))
    torch.manual_seed(0)
    return METHODS.build(spec, space.build(decoupling, head_lookahead=kind.head_lookahead))


@torch.no_grad()
def answer(method: Method, batch: Batch, exits: range) -> None:
    """As a validation scores a batch."""
    method.eval()
    scores = {exit: ErrorAndLoss() for exit in exits}
    carry = method.start(batch[0])
    for block in range(method.net.num_blocks):
        carry = method.run_block(block, carry)
        if block in scores:
            scores[block].add(method.exit_logits(block, carry), batch[1])
    for score in scores.values():
        score.read()


if __name__ == "__main__":
    main()
