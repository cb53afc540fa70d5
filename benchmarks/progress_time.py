"""What progress costs: a training that reports each step to bars in a terminal, or to a log, beside one that reports to nobody.

    python benchmarks/progress_time.py

Steps of 16 digits, the shortest that anybody trains, so that reports are as many a second as can be; the three ways take turns.
The terminal is a stream that keeps nothing; drawing is what the program does for one.

extra         median over the turns of the process's seconds with over those without, minus 1; at most 0.01 is the target
call_seconds  median time of a report that draws nothing
draw_seconds  median time of a drawing, of which there are few a second (`nas.cli.progress.progress.SECONDS`)
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from methods.table import METHODS, traits
from methods.training.loop import train
from methods.training.settings import TrainingSettings
from nas.cli.progress.bars import Bars
from nas.cli.progress.progress import Progress
from nas.cli.progress.tracker import Tracker
from nas.problem import Report, silent
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.tasks import TASKS
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
TURNS, STEPS, BATCH_SIZE, DRAWINGS = 6, 300, 16, 200
NAME = "dgl 2:mlp_sr 4:mlp_sr seed 0"


class Terminal(io.StringIO):
    """Says that it is one, and keeps nothing."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/progress_time.csv")
    arguments = parser.parse_args()
    trains = training()
    trains(silent)
    turns = [turn(trains, first % 3) for first in range(TURNS)]
    source: dict[str, Cell] = {"threads": 1, "device": device_name(CPU), **made_by()}
    rows: list[dict[str, Cell]] = []
    for place, what in enumerate(("bars", "log"), 1):
        extra = median(turn[place] / turn[0] for turn in turns) - 1
        rows.append({"what": what, "steps": STEPS, "seconds": median(turn[0] for turn in turns), "extra": extra})
    rows = [row | {"call_seconds": call_seconds(), "draw_seconds": draw_seconds()} for row in rows]
    for row in rows:
        print(
            f"{row['what']}: extra {row['extra']:.2%}, a report {1e6 * float(str(row['call_seconds'])):.1f} us, "
            f"a drawing {1e3 * float(str(row['draw_seconds'])):.2f} ms"
        )
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def turn(trains: Callable[[Report], None], first: int) -> list[float]:
    """The seconds of silence, bars and log, of which another is the first in each turn."""
    streams = (None, Terminal(), io.StringIO())
    found = {place % 3: seconds(trains, streams[place % 3]) for place in range(first, first + 3)}
    return [found[place] for place in range(3)]


def training() -> Callable[[Report], None]:
    """A short training that reports each step."""
    data = TASKS.build("digits", Path("data"))
    space = SearchSpace("small(width=0.25)", ("mlp_sr",), input_shape=data.input_shape, num_classes=data.num_classes)
    batches, settings = data.train_batches(BATCH_SIZE), TrainingSettings(iterations=STEPS, batch_size=BATCH_SIZE)

    def run(report: Report) -> None:
        torch.manual_seed(0)
        point = read_decoupling("even(3)", space, traits("dgl").default_head)
        train(
            METHODS.build("dgl", space.build(point)),
            batches,
            lambda: data.eval_batches(data.validation, 512),
            settings,
            seed=0,
            device=CPU,
            report=lambda progress: report(NAME, progress.iteration, STEPS, loss=float(progress.losses[-1])),
        )

    return run


def seconds(run: Callable[[Report], None], stream: io.StringIO | None) -> float:
    """Of the process, with progress on the stream; without one nobody is told."""
    if stream is None:
        began = time.process_time()
        run(silent)
        return time.process_time() - began
    with redirect_stderr(stream):
        began = time.process_time()
        with Progress(quiet=False) as progress:
            progress("runs", 0, 12)
            run(progress)
        return time.process_time() - began


def call_seconds() -> float:
    """Of a report that draws nothing."""
    taken = []
    with redirect_stderr(Terminal()), Progress(quiet=False, clock=lambda: 0.0) as progress:
        for step in range(DRAWINGS):
            began = time.perf_counter()
            progress(NAME, step, DRAWINGS, loss=0.5)
            taken.append(time.perf_counter() - began)
    return median(taken)


def draw_seconds() -> float:
    """Of a drawing."""
    tracker, taken = Tracker(), []
    bars = Bars(tracker, Terminal())
    tracker.told("runs", 3, 12, 0, {})
    for step in range(DRAWINGS):
        tracker.told(NAME, step, DRAWINGS, 0, {"loss": 0.5, "validation_error": 0.1})
        began = time.perf_counter()
        bars.told()
        taken.append(time.perf_counter() - began)
    return median(taken)


if __name__ == "__main__":
    main()
