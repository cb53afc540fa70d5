"""What it costs that a process tells what it is at: which runs, how far, for `watch` and `runs list`.

    python benchmarks/heartbeat_time.py

A row for each store and each number of runs that are trained together. Seconds are the process's own on one thread.

tell_seconds  of telling one iteration, which nobody else sees yet; `step_seconds` is a training step of the smallest example
              (small, digits, batches of 64)
beat_seconds  of telling the store once, every 3 s at most
share         of one core: tell_seconds / step_seconds + beat_seconds / 3; at most 0.01 is the target
extra         training steps while the store is told 100 times as often, beside the same without: median over turns of their
              seconds divided, minus 1. So a hundredth of it, and noise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from benchmarks.postgres_server import empty_store, postgres_server
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.records import heartbeat
from nas.records.heartbeat import Task
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.tasks import TASKS
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
TURNS, STEPS, TELLS, BEATS, OFTEN, RUNS = 9, 60, 20_000, 200, 100, (1, 64)
KEY = {"method": "dgl(label_smoothing=0.1)", "decoupling": "2:mlp_sr 4:mlp_sr", "task": "digits(validation=0.4)", "seed": 0}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/heartbeat_time.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source: dict[str, Cell] = {"threads": 1, "device": device_name(CPU), **made_by()}
    rows = [measured(name, results, runs) | source for name, results in stores() for runs in RUNS]
    for row in rows:
        print(
            f"{row['store']:12} {row['runs']:3} runs: share {row['share']:8.4%}, told {OFTEN} times as often {row['extra']:7.2%}"
        )
    ResultsLog(arguments.out).append_all(rows)


def stores() -> Iterator[tuple[str, Results]]:
    """One of each kind."""
    with TemporaryDirectory() as folder:
        yield "folder", Results(folder)
    with postgres_server() as server:
        yield "postgresql", Results(empty_store(server))


def measured(store: str, results: Results, runs: int) -> dict[str, Cell]:
    """What telling of so many runs costs there."""
    tasks = [Task({"run": f"{number:016x}", **KEY}) for number in range(runs)]

    def tell(iteration: int = 1) -> None:
        for task in tasks:
            task.tell("training", iteration, 1000, {"loss": 0.5})

    step = training_step()
    alone = seconds(step, STEPS)
    tells = seconds(tell, TELLS // runs)
    with results.heartbeat.telling(*tasks):
        text = results.heartbeat.text()
        beat = seconds(lambda: results.beats.write("benchmark", results.heartbeat.text()), BEATS)
    results.beats.remove("benchmark")
    turns = []
    for _ in range(TURNS):
        without = seconds(step, STEPS)
        with told_often(results, tasks):
            told = seconds(lambda: (tell(), step()), STEPS)
        turns.append(told / without - 1)
    return {
        "store": store,
        "runs": runs,
        "step_seconds": alone,
        "tell_seconds": tells,
        "beat_seconds": beat,
        "bytes": len(text.encode()),
        "share": tells / alone + beat / heartbeat.SECONDS_BETWEEN,
        "extra": median(turns),
    }


@contextmanager
def told_often(results: Results, tasks: list[Task]) -> Iterator[None]:
    """While the store is told so often."""
    usual = heartbeat.SECONDS_TO_FIRST, heartbeat.SECONDS_BETWEEN
    heartbeat.SECONDS_TO_FIRST = heartbeat.SECONDS_BETWEEN = usual[1] / OFTEN
    try:
        with results.heartbeat.telling(*tasks):
            yield
    finally:
        heartbeat.SECONDS_TO_FIRST, heartbeat.SECONDS_BETWEEN = usual


def seconds(work: Callable[[], object], count: int) -> float:
    """Of the process, for each of so many."""
    work()
    began = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - began) / count


def training_step() -> Callable[[], object]:
    """Of the smallest example."""
    data = TASKS.build("digits(validation=0.4)", Path("data"))
    space = SearchSpace("small", ("conv(depth=1)",), input_shape=data.input_shape, num_classes=data.num_classes)
    torch.manual_seed(0)
    method = METHODS.build("dgl", space.build(read_decoupling("even(3)", space, traits("dgl").default_head, batch_size=64)))
    trainer = Trainer(method, TrainingSettings(iterations=1000, batch_size=64), seed=0, device=CPU)
    x, y = data.train_batches(64).batch(0, 0)
    return lambda: trainer.step(x, y, 0)


if __name__ == "__main__":
    main()
