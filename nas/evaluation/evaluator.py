"""One evaluation: train a decoupling, score it, and make the row that says everything about it."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path

import torch

from methods.method import Method
from methods.training.loop import Batch, Diverged, Progress, Trained, autocast, error_and_loss, train
from methods.training.memory import out_of_memory
from methods.training.settings import Precision
from nas.cost import Cost, cost, timed
from nas.data.digest import weights_digest
from nas.data.task_data import Batches, Part
from nas.evaluation.figures import measured
from nas.evaluation.figures.training_run import TrainingRun
from nas.evaluation.keeping import kept_run
from nas.exits.logs import ExitLogs
from nas.notice import notice
from nas.problem import Problem, Report, Score
from nas.records.provenance import device_name, provenance
from nas.records.results_log import Cell, ResultsLog, check_folder, each_once, told_of_path
from nas.records.reuse import told_undigested, undigested
from nas.records.run_lock import Claim
from nas.records.status import DIVERGED, OK, OUT_OF_MEMORY
from nas.runs import trained_run
from nas.runs.trained_run import TrainedRun, run_name
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

EVAL_BATCH_SIZE = 512
CHECKPOINT = "checkpoint.pt"
TRAINED = ("weights_digest", "test_digest")  # tell rows with the same key apart: what came out, and what it was tested on
UNFINISHED = (CHECKPOINT, "checkpoint.part", "trained.part")  # what a run, or one that was killed, leaves beside its weights


class Evaluator:
    """`evaluator(decoupling)` reads the score from `log`, or trains and appends a row.

    `labels` are columns that say who asked, such as the strategy of a search; they are no part of what makes two rows
    the same, so strategies, and a search with a larger budget, take over what is there. With `test` the test split is
    read, once, after training; `ensemble` > 1 adds the error of the sum of the last heads' log-probabilities (SEDONA's
    auxiliary-head ensemble, sedona.md 1). `exits` are the logs of what exits and adaptive inference score and cost. With
    `keep` the weights stay, as a `TrainedRun` in the run's folder, which the row names; a run without them is trained again.
    Where that gives other weights than the row's, as with other `--threads`, they have a row and a folder of their own.
    """

    def __init__(self, problem: Problem, log: ResultsLog, report: Report, *, command: str, test: bool, ensemble: int = 1,
                 exits: ExitLogs | None = None, keep: bool = False, labels: Mapping[str, Cell] | None = None) -> None:
        self.problem, self.log, self.report = problem, log, report
        self.command, self.test, self.ensemble, self.exits, self.keep = command, test, ensemble, exits, keep
        self.labels, self.provenance = dict(labels or {}), provenance()

    @property
    def _source(self) -> dict[str, Cell]:
        """What made a row, and on what."""
        return {**self.provenance, "device": device_name(self.problem.device), "threads": torch.get_num_threads(),
                "command": self.command}

    @cached_property
    def batches(self) -> Batches:
        """The training batches."""
        settings = self.problem.settings
        return self.problem.data.train_batches(settings.batch_size, limit=settings.class_limit)

    def key(self, decoupling: Decoupling) -> dict[str, Cell]:
        """The cells that make two rows the same evaluation."""
        ensemble = {"ensemble": self.ensemble} if self.test else {}
        exits = self.exits.key if self.exits else {}
        return {**self.problem.key(self.problem.adapt(decoupling)), **ensemble, **exits}

    def recorded(self, decoupling: Decoupling) -> dict[str, str] | None:
        """The first row that is there already and lacks nothing: it was tested on this test split, with all rows of its exits,
        and its weights too if they are to be kept."""
        key = self.key(decoupling)
        first = self.log.find(key)
        if first is None or self._lacks(key, first) is None:
            return first
        return next((row for row in self.log.find_all(key) if self._lacks(key, row) is None), None)

    def why_again(self, decoupling: Decoupling) -> str | None:
        """Why a run that has a row is trained again; None where it has none, or one that lacks nothing."""
        key = self.key(decoupling)
        first = self.log.find(key)
        return self._lacks(key, first) if first and self.recorded(decoupling) is None else None

    def has_undigested(self, decoupling: Decoupling) -> bool:
        """Whether an older version left a row that cannot be reused."""
        return bool(undigested(self.log, self.key(decoupling)))

    def _lacks(self, key: Mapping[str, Cell], row: Mapping[str, str]) -> str | None:
        """What a row that is there has not of what is asked for; None if nothing."""
        if row["status"] != "ok":
            return None
        if self.test and row.get("test_digest") != self.problem.data.test_digest:
            return "the test split is another"
        if self.keep and kept_digest(self.problem.runs / row["run"]) != row.get("weights_digest"):
            return "the weights are not kept"
        if self.exits is not None and not self.exits.complete(_own(key, row)):
            return "the exits are not recorded"
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """Of rows that an older version left, of whatever decoupling."""
        key = {name: cell for name, cell in self.key(Decoupling((), ())).items() if name != "decoupling"}
        return told_undigested(len(undigested(self.log, key)))

    def __call__(self, decoupling: Decoupling) -> Score:
        """The score, after waiting for another process that trains the same."""
        row = self.recorded(decoupling)
        if row is None:
            with self.claim(decoupling):
                row = self.recorded(decoupling) or self.run(decoupling)
        else:
            self.tidy(decoupling)
        return read_score(row)

    def tidy(self, decoupling: Decoupling) -> None:
        """Remove what a process that was killed between the row and its clean-up left of a run that has its row; nothing if
        another process has the run, or in a folder that may only be read."""
        folder = self.run_folder(decoupling)
        claim = self.claim(decoupling)
        if claim.is_left() or (folder.is_dir() and not (folder / trained_run.FILE).is_file()) or _unfinished(folder):
            with suppress(OSError, UserError):
                if claim.try_take():
                    try:
                        _remove_unfinished(folder)
                    finally:
                        claim.release()

    def run_folder(self, decoupling: Decoupling) -> Path:
        """Where this evaluation keeps its checkpoint while it is unfinished."""
        return self.problem.run_folder(self.key(decoupling))

    def claim(self, decoupling: Decoupling) -> Claim:
        """What tells other processes that this one trains it."""
        return Claim(self.run_folder(decoupling))

    def run(self, decoupling: Decoupling) -> dict[str, str]:
        """Train, score, append; the caller holds the claim. The checkpoint goes once the row is on disk."""
        problem, asked = self.problem, decoupling
        decoupling = problem.adapt(asked)
        folder, key = self.run_folder(asked), self.key(asked)
        self._check_ready(folder)
        row: dict[str, Cell] = {**self.labels, **key, "run": folder.name, "space": str(problem.space.spec)}
        costs = self._cost(decoupling)
        row |= {"num_blocks": len(costs.blocks), "params": costs.params, "head_params": costs.head_params, "macs": costs.macs,
                "head_macs": costs.head_macs, "peak_activation_bytes": costs.peak_activation_bytes,
                "pipeline_speedup_bound": None}
        try:
            row["pipeline_speedup_bound"] = self._pipeline_speedup_bound(decoupling, costs)
            row |= self._measured(key, folder, decoupling)
        except (Diverged, MemoryError, RuntimeError, OSError) as error:
            if (status := failed_status(error)) is None:
                raise
            row |= {"status": status, "validation_error": 1.0, "validation_loss": None}
        if row["status"] != OK:
            gc.collect()  # what the run held is there for the next
        row |= problem.data.facts(problem.results)
        row |= self._source
        self.log.append_once(row, _own(key, row))
        for place in {folder, problem.runs / str(row["run"])}:
            _remove_unfinished(place)
        recorded = self.recorded(asked)
        assert recorded is not None, "a row that was appended is found"
        return recorded

    def _check_ready(self, folder: Path) -> None:
        """Say now, and not after hours, what could not be written in the end."""
        for log in (self.log, *((self.exits.exits, self.exits.curves) if self.exits else ())):
            log.check_ready()
        with told_of_path(f"the folder {folder} of an unfinished run", "change the permissions or name another --runs"):
            check_folder(folder)

    def _measured(self, key: Mapping[str, Cell], folder: Path, decoupling: Decoupling) -> dict[str, Cell]:
        """What training gives, with all that is written and kept of the trained run."""
        problem = self.problem
        trained, figures = self._train(decoupling, folder)
        weights = weights_digest(trained.method.state_dict())
        row: dict[str, Cell] = {"run": self._name(key, weights), "weights_digest": weights, **figures}
        test = problem.data.test() if self.test else None
        if self.test:
            row["test_digest"] = problem.data.test_digest
        row |= self._scores(trained, test)
        kept = None
        if self.keep:
            calibrated = self.exits is not None and self.exits.calibrated
            named = key if row["run"] == folder.name else {**key, "weights_digest": weights}
            path = problem.runs / str(row["run"]) / trained_run.FILE
            kept = kept_run(path, named, problem, decoupling, trained.method, EVAL_BATCH_SIZE, calibrated=calibrated)
        if self.exits:  # written when nothing is left that may run out of memory, which gives a row without exits
            self.exits.add(_own(key, row), self._source, problem, decoupling, trained.method, test, EVAL_BATCH_SIZE)
        if kept:
            kept.save()
        return row

    def _name(self, key: Mapping[str, Cell], weights: str) -> str:
        """The run's: that of its key, unless a row is there that has other weights, which is told."""
        rows = self.log.find_all(key)
        if not rows:
            return run_name(key)
        for row in rows:
            if row.get("weights_digest") == weights:
                return row["run"]
        name = run_name({**key, "weights_digest": weights})
        here = {column: str(cell) for column, cell in self._source.items()}
        differing = [f"{column} is {rows[0].get(column)} there and {here[column]} here"
                     for column in ("commit", "torch", "device", "threads") if rows[0].get(column) != here[column]]
        notice(f"run {rows[0]['run']} came out otherwise than its row ({', '.join(differing) or 'nothing tells why'}): what "
               f"was trained now is the run {name}, with a row of its own")
        return name

    def _train(self, decoupling: Decoupling, folder: Path) -> tuple[Trained, dict[str, Cell]]:
        """The trained run, and the figures that were measured meanwhile."""
        problem, checkpoint = self.problem, folder / CHECKPOINT
        method = problem.build(decoupling)
        what = f"{problem.method.partition('(')[0]} {decoupling} seed {problem.seed}"
        validation = partial(problem.data.eval_batches, problem.data.validation, EVAL_BATCH_SIZE)
        report = partial(_pass_on, self.report, what, problem.settings.grow is not None)
        trained_stages = problem.trained_stages(method)
        with measured(problem.figures, TrainingRun(method, problem.device, trained_stages, checkpoint.exists())) as figures:
            trained = train(method, self.batches, validation, problem.settings, seed=problem.seed, device=problem.device,
                            trained_stages=trained_stages, checkpoint=checkpoint, report=report)
            return trained, figures()

    def _cost(self, decoupling: Decoupling) -> Cost:
        """What the network, and a step in which all of it trains, cost, from shapes alone."""
        problem, data = self.problem, self.problem.data
        return cost(lambda: problem.build(decoupling), data.input_shape, data.num_classes, problem.settings.batch_size)

    def _pipeline_speedup_bound(self, decoupling: Decoupling, costs: Cost) -> float:
        """From measured seconds."""
        problem = self.problem
        x, y = self.batches.batch(problem.seed, 0)
        plain = replace(problem.settings, compile="no", grow=None)  # compiling twice would cost more than it tells
        return timed(costs, problem.build(decoupling), plain, x, y, device=problem.device).pipeline_speedup_bound

    def _scores(self, trained: Trained, test: Part | None) -> dict[str, Cell]:
        problem, data = self.problem, self.problem.data
        row: dict[str, Cell] = {
            "status": "ok",
            "validation_error": trained.validation_error,
            "validation_loss": trained.validation_loss,
            "train_loss": trained.train_loss,
            "best_iteration": trained.best_iteration,
            "epochs": problem.settings.iterations / self.batches.num_batches,
            "step_seconds": trained.step_seconds,
        }
        if test is not None:
            read = partial(data.eval_batches, test, EVAL_BATCH_SIZE)
            error, loss = error_and_loss(trained.method, read(), problem.settings.precision)
            row |= {"test_error": error, "test_loss": loss}
            if self.ensemble > 1:
                row["ensemble_test_error"] = ensemble_error(trained.method, read(), self.ensemble, problem.settings.precision)
        return row

    def exit_rows(self, decoupling: Decoupling) -> list[dict[str, str]]:
        """What is recorded of the exits, depth by depth; empty for a run that diverged."""
        return self._of_exits(self.exits.exits, decoupling) if self.exits else []

    def curve_rows(self, decoupling: Decoupling) -> list[dict[str, str]]:
        """What is recorded of adaptive inference, rule by rule, rising thresholds."""
        return self._of_exits(self.exits.curves, decoupling) if self.exits else []

    def _of_exits(self, log: ResultsLog, decoupling: Decoupling) -> list[dict[str, str]]:
        row = self.recorded(decoupling)
        return each_once(log.find_all(_own(self.key(decoupling), row))) if row else []


def kept_digest(folder: Path) -> str | None:
    """Of the weights that are kept in a run's folder; None where there are none that can be read."""
    try:
        status = (folder / trained_run.FILE).stat()
    except FileNotFoundError:
        return None
    return _kept_digest(folder, status.st_mtime_ns, status.st_size)


@cache
def _kept_digest(folder: Path, *stamp: int) -> str | None:
    try:
        return TrainedRun.load(folder).digest
    except UserError:
        return None


def _own(key: Mapping[str, Cell], row: Mapping[str, Cell]) -> dict[str, Cell]:
    """The key of one of several rows with the same key."""
    return {**key, **{name: row.get(name) for name in TRAINED}}


def _unfinished(folder: Path) -> list[Path]:
    return [folder / name for name in UNFINISHED if (folder / name).exists()]


def _remove_unfinished(folder: Path) -> None:
    """And the folder, unless it has the weights, or files that are none of ours."""
    for path in _unfinished(folder):
        path.unlink()
    with suppress(OSError):
        folder.rmdir()


def failed_status(error: Exception) -> str | None:
    """The status of a run that ended with this error and is not to be tried again; None for what is no fault of the run."""
    if isinstance(error, Diverged):
        return f"{DIVERGED}: {error}"
    reason = out_of_memory(error)
    return None if reason is None else f"{OUT_OF_MEMORY}: {reason}"


def read_score(row: Mapping[str, str]) -> Score:
    """The score that a row holds; of a run without the memory for a step the bound on speed-up is 1, which is none."""
    return Score(error=float(row["validation_error"]), loss=float(row["validation_loss"] or math.nan),
                 peak_activation_bytes=int(row["peak_activation_bytes"]),
                 pipeline_speedup_bound=float(row["pipeline_speedup_bound"] or 1.0), status=row["status"])


@torch.no_grad()
def ensemble_error(method: Method, batches: Iterator[Batch], num_exits: int, precision: Precision) -> float:
    """The share of wrong answers of the summed log-probabilities of the last `num_exits` exits; all where fewer.

    Logits are summed instead: they differ from log-probabilities by the same number for every class.
    """
    method.eval()
    wrong = count = 0
    for x, y in batches:
        with autocast(x.device, precision):
            exits = list(method.exits(x))[-num_exits:]
        votes = torch.stack([logits.float() for logits in exits]).sum(0)
        wrong, count = wrong + int((votes.argmax(1) != y).sum()), count + len(y)
    return wrong / count


def _pass_on(report: Report, what: str, grows: bool, progress: Progress) -> None:
    figures = {"loss": progress.losses[-1]}
    if grows:
        figures["stages"] = len(progress.losses)
    if progress.validation_error is not None:
        figures["validation_error"] = progress.validation_error
    report(what, progress.iteration, progress.iterations, **figures)
