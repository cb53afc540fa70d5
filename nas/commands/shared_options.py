"""The options that several commands share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from methods.training.optimization import SCHEDULES
from nas.commands.option import option
from nas.records.event_files import EventFiles
from nas.records.results import Results


def data_dir() -> Path:
    """The folder of the data: the environment's NAS_DATA_DIR, or `data`."""
    return Path(os.environ.get("NAS_DATA_DIR", "data"))


@dataclass(frozen=True, kw_only=True)
class AllowOptions:
    """The packages whose components files may name."""

    allow: tuple[str, ...] = option(
        (),
        "a package of yours from which files may name components, such as a trained run, a space or a configuration; what is "
        "named in the call itself needs none; may come several times",
        metavar="PACKAGE",
        in_file=False,
        repeated=True,
    )


@dataclass(frozen=True, kw_only=True)
class WhereOptions:
    """Which rows are shown."""

    where: tuple[str, ...] = option(
        (),
        "only rows with this cell, and what belongs to their runs; may come several times, values of one column are alternatives",
        metavar="COLUMN=VALUE",
        repeated=True,
    )


@dataclass(frozen=True, kw_only=True)
class PageOptions(WhereOptions):
    """What a page of results shows."""

    title: str | None = option(None, "the page's title; without it the names of the results")


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """The device and the threads that compute."""

    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    threads: int = option(1, "CPU threads of this process")


@dataclass(frozen=True, kw_only=True)
class ProblemOptions:
    """What is cut, and on what it trains."""

    space: str = option("small", "a built-in space, a YAML file or a dotted path", components=True)
    task: str = option("digits", "the data; see `run.py list`", components=True)
    embeddings: str | None = option(
        None,
        "word vectors that a text network starts from, in GloVe's or fastText's text form; the task's setting of that name",
        metavar="PATH",
    )
    data_dir: Path = option(data_dir, "where the data lies; or set NAS_DATA_DIR", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """Where rows and runs lie, and whether weights are saved."""

    results: Results = option(
        Results("results"),
        "where rows lie: a folder of CSV files, or postgresql://user@host/database, which many hosts may share",
        metavar="WHERE",
    )
    runs: Path = option(Path("runs"), "where saved weights and unfinished runs lie", metavar="DIR")
    save_weights: bool = option(
        False,
        "save the weights of each run below --runs, for predict, --extend and later measurements; a run that has a row "
        "and no weights is trained again",
        excludes="weights",
        former="--keep",
    )
    history: str = option(
        "exits",
        "what history.csv has of each validation: exits, the error of every exit too, or losses, without these, which takes a "
        "little less time",
        choices=("exits", "losses"),
    )
    log: str | None = option(
        None,
        "tensorboard: also write the curves of each run, as history.csv has them, for TensorBoard into the folder tensorboard "
        "of --results",
        choices=("tensorboard",),
    )

    def event_files(self) -> EventFiles | None:
        """What --log asks for; a UserError where its package is not there."""
        return None if self.log is None else EventFiles(self.results.folder / "tensorboard")


@dataclass(frozen=True, kw_only=True)
class SideOptions:
    """What blocks are given beside the activation."""

    side: str | None = option(
        None, "what blocks are given beside the activation; see `run.py list`", metavar="S", components=True
    )
    side_dim: str | None = option(None, "short for --side 'text(dim=[A,B,...])': tokens of each block", metavar="A-B-...")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long and how a run trains, but for learning rate, schedule and weight decay; EPOCHS are those of neither --epochs nor
    --iterations."""

    EPOCHS: ClassVar[int]

    epochs: int | None = option(None, "passes over the training split", excludes="length")
    iterations: int | None = option(None, "optimizer steps, instead of --epochs", excludes="length")
    batch_size: int = option(64, "samples a step")
    optimizer: str = option("sgd", "sgd(...) or adam(...), one a stage", components=True)
    precision: str = option("fp32", "fp32, bf16 or fp16; on a GPU also tf32")
    deterministic: bool = option(False, "on a GPU: equal seeds give equal bits, in more time; a CPU does so anyway")
    checkpoint_units: bool = option(False, "less memory, more computing")
    compile: str = option("no", "torch.compile makes one graph of each stage: no, default or reduce-overhead (CUDA graphs)")


@dataclass(frozen=True, kw_only=True)
class ClassBatchesOptions:
    """Which classes a batch may hold."""

    class_batches: str | None = option(
        None, "classes(num=20,until=0.5): batches of the first half hold 20 classes each", metavar="C", components=True
    )


@dataclass(frozen=True, kw_only=True)
class OneRateOptions:
    """Learning rate, schedule and weight decay of all that is trained."""

    lr: float = option(0.1, "learning rate")
    weight_decay: float = option(1e-4, "L2 weight decay")
    schedule: str = option("cosine", f"{', '.join(SCHEDULES)}, with (...) their settings", components=True)


@dataclass(frozen=True, kw_only=True)
class RatesOptions:
    """Learning rates, schedules and weight decays: of several each is tried with each, and the best on validation is taken."""

    lr: tuple[float, ...] = option((0.1,), "learning rate; of several the best on validation is taken, for each method")
    weight_decay: tuple[float, ...] = option((1e-4,), "L2 weight decay; of several the best on validation is taken likewise")
    schedule: tuple[str, ...] = option(
        ("cosine",),
        f"{', '.join(SCHEDULES)}, with (...) their settings; of several the best on validation is taken, for each method",
        components=True,
    )
    tune_epochs: int | None = option(
        None, "passes over the training split of each try, fewer than those of runs, which it has otherwise", excludes="try"
    )
    tune_iterations: int | None = option(None, "optimizer steps of each try, instead of --tune-epochs", excludes="try")
