"""One evaluation: train a decoupling, score and measure it, and make the row that says everything about it."""

from __future__ import annotations

import gc
import json
import math
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Literal

import torch

from methods.method import Method
from methods.table import traits
from methods.training.batches import Batch
from methods.training.diverged import Diverged
from methods.training.epoch import Epoch
from methods.training.loop import FurtherCheckpoint, Progress, Trained, train
from methods.training.memory import out_of_memory
from methods.training.prefix_tree import train_together
from methods.training.scoring import error_and_loss
from methods.training.stages.share import Share
from methods.training.stages.stage_checkpoints import has_checkpoint, parts_of
from nas.cost import Cost, cost, timed
from nas.data.digest import weights_digest
from nas.data.task_data import Batches, Part
from nas.evaluation.figures import measured
from nas.evaluation.figures.training_run import TrainingRun
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE, MeasuredRun, Measurement
from nas.evaluation.saved_run import run_to_save
from nas.notice import notice
from nas.problem import Problem, Report, Score
from nas.records.attempts import attempt_of, attempts_made, is_repeatable, standing
from nas.records.claim import Claim
from nas.records.column import Role
from nas.records.columns import names
from nas.records.event_files import EventFiles
from nas.records.heartbeat import Task
from nas.records.history import TOLD, History, next_training, rows_of
from nas.records.log import Cell, Log
from nas.records.partial import ITERATIONS_TRAINED, exactly, is_partial
from nas.records.provenance import device_name, provenance
from nas.records.results_log import check_folder, told_of_path
from nas.records.reuse import told_undigested, undigested
from nas.records.row_kinds import HISTORY
from nas.records.status import DIVERGED, KILLED, OK, OUT_OF_MEMORY
from nas.runs import trained_run
from nas.runs.folders import ABOUT, CHECKPOINT, UNFINISHED
from nas.runs.trained_run import TrainedRun, run_name
from nas.side_by_side import SideBySide
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

Weights = Literal["discarded", "saved", "required"]  # of a run: gone after it, saved after it, or there in the end
State = dict[str, torch.Tensor]
TRAINED = ("weights_digest", "test_digest")  # tell rows with the same key apart: what came out, and what it was tested on
FAILED: dict[str, Cell] = {"validation_error": 1.0, "validation_loss": None}  # what a row says of a run that did
ASKED = ("ensemble", "exits", "calibrated")  # columns of older rows, whose runs were named after them too


class Evaluator:
    """`evaluator(decoupling)` reads the score from `log`, or trains and appends a row.

    `labels` are columns that say who asked, such as the strategy of a search; they are no part of what makes two rows
    the same, so strategies, and a search with a larger budget, take over what is there. With `test` the test split is
    read, once, after training. `measurements` are what a run is asked for besides; they change neither the run nor its row.

    `events` are files that follow the history of each run, which has the error of every exit unless `exit_errors` is False.

    `side_by_side`: the processes that train the stages of a run; the rows are the same without them.

    `weights` says what becomes of the weights of a run that is trained: "saved" as a `TrainedRun` in the run's folder, which
    the row names, or "discarded". What is asked of a run later is measured with its saved weights; where there are none, it
    is trained again. A row without weights counts as done for all that is written of it, unless they are "required".
    Where training again gives other weights than the row's, as with other `--threads`, they have a row and a folder of
    their own.

    A run that was killed or ran out of memory is tried again until that many `retries` were made, by whomever.

    With a `fidelity` below 1 a run is trained in part. Its row says how far (`iterations_trained`), and has no test error and no
    measurements; its checkpoint stays in the folder of the whole run, for a longer training to go on from. Where that was trained
    further before, the partial training is done anew, in a folder that goes with its row's being written.
    """

    def __init__(
        self,
        problem: Problem,
        log: Log,
        report: Report,
        *,
        command: str,
        test: bool,
        measurements: Sequence[Measurement] = (),
        weights: Weights = "discarded",
        labels: Mapping[str, Cell] | None = None,
        retries: int = 0,
        side_by_side: SideBySide | None = None,
        events: EventFiles | None = None,
        exit_errors: bool = True,
    ) -> None:
        assert test or not measurements, "measurements read the test split"
        self.problem, self.log, self.report = problem, log, report
        self.command, self.test, self.measurements, self.weights = command, test, tuple(measurements), weights
        self.labels, self.provenance, self.retries = dict(labels or {}), provenance(), retries
        self.side_by_side = side_by_side
        self.history, self.events = problem.results.log("history.csv", HISTORY), events
        self._scores_exits = exit_errors and traits(problem.method).has_exit_logits  # in each validation of a training
        self._refused: set[tuple[str, str]] = set()  # what was too much for the memory, by run and measurement
        self._answers: dict[
            Decoupling, Trained | Diverged | FurtherCheckpoint
        ] = {}  # of what was trained together, until it has its row
        self._num_together = 0

    @property
    def _source(self) -> dict[str, Cell]:
        """The columns of provenance: commit, versions, device, threads, command."""
        return {
            **self.provenance,
            "device": device_name(self.problem.device),
            "threads": torch.get_num_threads(),
            "command": self.command,
        }

    @cached_property
    def batches(self) -> Batches:
        """The training batches, of a replica's size where there are several."""
        settings, replicas = self.problem.settings, self.problem.settings.replicas or 1
        return self.problem.data.train_batches(settings.batch_size // replicas, limit=settings.class_limit)

    def key(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, Cell]:
        """The cells that make two rows the same training."""
        return self.problem.key(self.problem.adapt(decoupling), fidelity)

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, str] | None:
        """The row that is there already: tested on this test split, its weights saved if they are required; of several the
        first that has all measurements, or the first."""
        key = self.key(decoupling, fidelity)
        there = standing(self.log.find_all(exactly(key)))
        if is_partial(key):
            return there[0] if there else None
        first = there[0] if there else None
        if first is None or (self._lacks(first) is None and not self._unmeasured(key, first)):
            return first
        rows = [row for row in there if self._lacks(row) is None]
        return next(
            (row for row in rows if not self._unmeasured(key, row)),
            next((row for row in rows if self._has_weights(row)), rows[0] if rows else None),
        )

    def missing(self, decoupling: Decoupling) -> list[Measurement]:
        """The measurements that a run with a row has still to be asked for; all where there is no row. What was too much for
        the memory is not asked for again by this evaluator."""
        row = self.recorded(decoupling)
        if row is None:
            return list(self.measurements)
        return [one for one in self._unmeasured(self.key(decoupling), row) if (row["run"], one.name) not in self._refused]

    def is_done(self, decoupling: Decoupling, fidelity: float = 1.0) -> bool:
        """Whether its row and all that is asked of it are there."""
        row = self.recorded(decoupling, fidelity)
        return row is not None and not self._repeats(row) and (is_partial(row) or not self.missing(decoupling))

    def is_to_be_repeated(self, decoupling: Decoupling) -> bool:
        """Whether the run failed in a way that another attempt might not, and may have one."""
        row = self.recorded(decoupling)
        return row is not None and self._repeats(row)

    def _repeats(self, row: Mapping[str, str]) -> bool:
        return is_repeatable(row) and attempt_of(row) <= self.retries

    def measured(self, measurement: Measurement, decoupling: Decoupling) -> list[list[dict[str, str]]]:
        """What is recorded of it by the measurement, for each of its files; nothing of a run that diverged."""
        row = self.recorded(decoupling)
        return measurement.recorded(_own(self.key(decoupling), row)) if row else [[] for _ in measurement.rows]

    def only_measures(self, decoupling: Decoupling) -> bool:
        """Whether what is missing is found out without training, with saved weights."""
        return not self.is_done(decoupling) and self._with_weights(decoupling) is not None

    def why_again(self, decoupling: Decoupling) -> str | None:
        """Why a run that has a row is trained again; None where it has none, or need not be."""
        first = self.log.find(exactly(self.key(decoupling)))
        if first is None or self.is_done(decoupling) or self._with_weights(decoupling):
            return None
        if self.is_to_be_repeated(decoupling):
            return f"they failed, and may be tried {self.retries + 1} times"
        if lacks := self._lacks(first):
            return lacks
        return f"no weights are saved to measure {' and '.join(one.name for one in self.missing(decoupling))} with"

    def has_undigested(self, decoupling: Decoupling) -> bool:
        """Whether an older version left a row that cannot be reused."""
        return bool(undigested(self.log, self.key(decoupling)))

    def _lacks(self, row: Mapping[str, str]) -> str | None:
        """What a row that is there has not of what every row has to have; None if nothing."""
        if row["status"] != OK:
            return None
        if self.test and row.get("test_digest") != self.problem.data.test_digest:
            return "the test split is another"
        return "its weights are not saved" if self.weights == "required" and not self._has_weights(row) else None

    def _unmeasured(self, key: Mapping[str, Cell], row: Mapping[str, str]) -> list[Measurement]:
        own = _own(key, row)
        return [one for one in self.measurements if row["status"] == OK and not one.is_complete(own)]

    def _has_weights(self, row: Mapping[str, str]) -> bool:
        return bool(row.get("run")) and saved_digest(self.problem.runs / row["run"]) == row.get("weights_digest")

    def _with_weights(self, decoupling: Decoupling) -> dict[str, str] | None:
        """The row to measure: the recorded one, or one that was tested on another split, if its weights are saved."""
        recorded = self.recorded(decoupling)
        rows = [recorded] if recorded else self.log.find_all(exactly(self.key(decoupling)))
        return next((row for row in rows if row["status"] == OK and self._has_weights(row)), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """Of rows that an older version left, of whatever decoupling."""
        key = {name: cell for name, cell in self.key(Decoupling((), ())).items() if name != "decoupling"}
        return told_undigested(len(undigested(self.log, key)))

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score:
        """The score, after waiting for another process that trains the same."""
        if self.is_done(decoupling, fidelity):
            if not is_partial(self.key(decoupling, fidelity)):
                self.tidy(decoupling)
        else:
            with self.claim(decoupling):
                while not self.is_done(decoupling, fidelity):
                    self.run(decoupling, fidelity)
        row = self.recorded(decoupling, fidelity)
        assert row is not None, "a row that was appended is found"
        return read_score(row)

    def try_run(self, decoupling: Decoupling, fidelity: float = 1.0) -> bool:
        """Train and measure what is not done, unless another process is at it: whether it is done now."""
        if self.is_done(decoupling, fidelity):
            return True
        claim = self.claim(decoupling)
        if not claim.try_take():
            return False
        try:
            while not self.is_done(decoupling, fidelity):  # still, now that nobody else has it
                self.run(decoupling, fidelity)
            return True
        finally:
            claim.release()

    def tidy(self, decoupling: Decoupling) -> None:
        """Remove what a process that was killed between the row and its clean-up left of a run that has its row; nothing if
        another process has the run, or in a folder that may only be read."""
        row = self.recorded(decoupling)
        if row is not None and is_repeatable(row):  # with more retries another command goes on from what is left
            return
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
        """Where this evaluation keeps its checkpoint while it is unfinished; at every fidelity."""
        return self.problem.run_folder(self.key(decoupling))

    def claim(self, decoupling: Decoupling) -> Claim:
        """What tells other processes that this one has the run."""
        return self.problem.results.claim(self.run_folder(decoupling))

    def run(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, str]:
        """Train what has no row and append it, then measure what is not measured yet; the caller has the claim.

        Weights are saved before the row that names them, and the checkpoint goes last. Whatever kills the process, the next
        one takes the run up from the checkpoint, the saved weights or the row, and finds what is still missing.
        """
        with self._told(decoupling):
            return self._run(decoupling, fidelity)

    def _run(self, decoupling: Decoupling, fidelity: float) -> dict[str, str]:
        folder = self.run_folder(decoupling)
        self._check_ready(folder)
        if is_partial(self.key(decoupling, fidelity)):
            return self._trained_partly(decoupling, fidelity)
        row, there = self.recorded(decoupling), self._with_weights(decoupling)
        run = self._loaded(there, decoupling) if there else None
        if there is None or run is None:
            row, run = self._trained(decoupling)
        elif row is None:
            row = self._tested_again(there, run)
        if run is not None:
            with self._claim_of(row, folder):
                self._measure(row, run)
        for place in {folder, self.problem.runs / row["run"]}:
            _remove_unfinished(place)
        return self.recorded(decoupling) or row

    def run_together(self, asked: Sequence[Decoupling], fidelity: float = 1.0) -> None:
        """`run` each, those that are to be trained in one go, what begins alike once; the caller has the claims on all. Where
        all are too much for the memory, one half after the other."""
        for decoupling in asked:
            self._check_ready(self.run_folder(decoupling))
        untrained = [decoupling for decoupling in asked if self._is_to_be_trained(decoupling, fidelity)]
        with self._told(*untrained):
            reason = self._train_together(untrained, fidelity) if len(untrained) > 1 else None
        if reason is not None:
            notice(f"{len(untrained)} runs together are out of memory: {reason}; they go on in two halves, one after the other")
            gc.collect()  # what all held is there for the half
            half = len(asked) // 2
            for part in (asked[:half], asked[half:]):
                self.run_together(part, fidelity)
            return
        try:
            for decoupling in asked:
                self.run(decoupling, fidelity)
        finally:
            self._answers.clear()  # of a run that could not be written: another training of it has another answer

    def _train_together(self, untrained: Sequence[Decoupling], fidelity: float) -> str | None:
        """Train these in one go, for `run` to find the answers; what was too much for the memory, or None."""
        problem, points = self.problem, [self.problem.adapt(decoupling) for decoupling in untrained]
        histories = [self._begin_history(self.key(decoupling), self.run_folder(decoupling)) for decoupling in untrained]
        until = self.key(untrained[0], fidelity).get(ITERATIONS_TRAINED)
        assert until is None or isinstance(until, int)
        try:
            answers = train_together(
                [problem.build(point) for point in points],
                self.batches,
                self._validation,
                problem.settings,
                seed=problem.seed,
                device=problem.device,
                checkpoints=[self.run_folder(decoupling) / CHECKPOINT for decoupling in untrained],
                until=until,
                report=partial(_pass_on, self.report, self._tasks_of(*untrained), f"{len(points)} runs together", False, until),
                records=[history.record for history in histories],
                exit_errors=self._scores_exits,
            )
        except (MemoryError, RuntimeError, OSError) as error:
            if (reason := out_of_memory(error)) is None:
                raise
            return reason
        finally:
            vars(self).pop("batches", None)
        self._answers, self._num_together = dict(zip(points, answers, strict=True)), len(points)
        return None

    def _told(self, *asked: Decoupling) -> AbstractContextManager[None]:
        """While this is open, other processes can see that this one is at these runs."""
        keys = [(self.run_folder(decoupling).name, self.key(decoupling)) for decoupling in asked]
        told = [Task({"run": run, **{name: key[name] for name in TOLD}}) for run, key in keys]
        return self.problem.results.heartbeat.telling(*told)

    def _tasks_of(self, *asked: Decoupling) -> list[Task]:
        """What is told of these."""
        tasks = [self.problem.results.heartbeat.task_of(self.run_folder(decoupling).name) for decoupling in asked]
        return [task for task in tasks if task]

    def _is_to_be_trained(self, decoupling: Decoupling, fidelity: float) -> bool:
        """Whether `run` would train it, and go on from its checkpoint."""
        if not is_partial(self.key(decoupling, fidelity)):
            return self._with_weights(decoupling) is None
        row = self.recorded(decoupling)
        return row is None or is_repeatable(row)

    def _validation(self) -> Iterator[Batch]:
        return self.problem.data.eval_batches(self.problem.data.validation, EVAL_BATCH_SIZE)

    def _check_ready(self, folder: Path) -> None:
        """Say now, and not after hours, what could not be written in the end."""
        for log in (self.log, self.history, *(rows.log for one in self.measurements for rows in one.rows)):
            log.check_ready()
        with told_of_path(f"the folder {folder} of an unfinished run", "change the permissions or name another --runs"):
            check_folder(folder)

    def _trained(self, asked: Decoupling) -> tuple[dict[str, str], MeasuredRun | None]:
        """Train, score, save, append: the row, and what is to be measured; None where the run failed."""
        decoupling = self.problem.adapt(asked)
        folder, key = self.run_folder(asked), self.key(asked)
        history = self._begin_history(key, folder)
        scored = partial(self._scored, key, folder, decoupling, history=history)
        return self._appended(key, folder, decoupling, history, scored)

    def _trained_partly(self, asked: Decoupling, fidelity: float) -> dict[str, str]:
        """Train it up to its fidelity and append the row. The checkpoint stays, unless there was a further one, or the run is
        done: then nothing would go on from it."""
        decoupling, key, folder = self.problem.adapt(asked), self.key(asked, fidelity), self.run_folder(asked)
        own = self.problem.runs / run_name(key)
        whole = self.recorded(asked)
        goes_on = whole is None or is_repeatable(whole)
        history = self._begin_history(self.key(asked), folder) if goes_on else None

        def scored(costs: Cost) -> tuple[dict[str, Cell], None]:
            if goes_on:
                with suppress(FurtherCheckpoint):
                    return self._scored_partly(key, folder, decoupling, costs, history), None
            _say_what(key, own)
            return self._scored_partly(key, own, decoupling, costs, None), None  # its epochs are told already

        row, _ = self._appended(key, folder, decoupling, history, scored)
        _remove_unfinished(own)
        return row

    def _appended(
        self,
        key: dict[str, Cell],
        folder: Path,
        decoupling: Decoupling,
        history: History | None,
        scored: Callable[[Cost], tuple[dict[str, Cell], MeasuredRun | None]],
    ) -> tuple[dict[str, str], MeasuredRun | None]:
        """The row of a training that is done by `scored`, or failed in it; and what is to be measured."""
        costs, attempt = self._cost(decoupling), attempts_made(self.log.find_all(exactly(key))) + 1
        row = self._begun(key, folder, costs)
        row |= {"attempts": attempt} if attempt > 1 else {}
        row |= {"training": history.training} if history is not None and history.training > 1 else {}
        run = None
        try:
            row["pipeline_speedup_bound"] = self._known_bound(key)
            if row["pipeline_speedup_bound"] is None:
                costs = self._timed(decoupling, costs)
                row["pipeline_speedup_bound"] = costs.pipeline_speedup_bound
            scores, run = scored(costs)
            row |= scores
        except (Diverged, MemoryError, RuntimeError, OSError) as error:
            if (status := failed_status(error)) is None:
                raise
            row |= {"status": status, **FAILED}
            if status.startswith(OUT_OF_MEMORY):
                row |= {"attempts": attempt, "host": socket.gethostname()}
        finally:
            vars(self).pop("batches", None)  # and what reads ahead, maybe in processes, while other runs have their turn
        if row["status"] != OK:
            gc.collect()  # what the run held is there for the next
        return self._append(row, key), run

    def _known_bound(self, key: Mapping[str, Cell]) -> float | None:
        """What a partial training of the same run has measured; the time that takes again would be most of a short one."""
        alike = self.log.find_all({name: cell for name, cell in key.items() if name != ITERATIONS_TRAINED})
        bounds = [row.get("pipeline_speedup_bound") for row in alike if is_partial(row)]
        return None if self.side_by_side is not None else next((float(bound) for bound in bounds if bound), None)

    def record_killed(self, asked: Decoupling, reason: str, host: str, fidelity: float = 1.0) -> None:
        """Append the row of an attempt whose process was killed there, unless the run has a row that stands."""
        row = self.recorded(asked, fidelity)
        if row is not None and not is_repeatable(row):
            return
        decoupling, key = self.problem.adapt(asked), self.key(asked, fidelity)
        begun = self._begun(key, self.run_folder(asked), self._cost(decoupling))
        attempt = attempts_made(self.log.find_all(exactly(key))) + 1
        self._append({**begun, "status": f"{KILLED}: {reason}", **FAILED, "attempts": attempt, "host": host}, key)

    def _begun(self, key: Mapping[str, Cell], folder: Path, costs: Cost) -> dict[str, Cell]:
        """What a row says of a run before it has begun."""
        return {
            **self.labels,
            **key,
            "run": folder.name,
            "space": str(self.problem.space.spec),
            "num_blocks": len(costs.blocks),
            "params": costs.params,
            "head_params": costs.head_params,
            "macs": costs.macs,
            "head_macs": costs.head_macs,
            "peak_activation_bytes": costs.peak_activation_bytes,
            "pipeline_speedup_bound": None,
        }

    def _append(self, row: Mapping[str, Cell], key: Mapping[str, Cell]) -> dict[str, str]:
        """The row as it stands in the log."""
        own = exactly(_own(key, row))
        self.log.append_once({**row, **self.problem.data.facts(self.problem.results.folder), **self._source}, own)
        appended = self.log.find(own)
        assert appended is not None, "a row that was appended is found"
        return appended

    def _scored(
        self, key: dict[str, Cell], folder: Path, decoupling: Decoupling, costs: Cost, history: History
    ) -> tuple[dict[str, Cell], MeasuredRun | None]:
        """What training gives, its weights saved if they are to be."""
        problem = self.problem
        trained, figures = self._train(decoupling, folder, costs, history)
        weights = {name: tensor.detach().cpu() for name, tensor in trained.method.state_dict().items()}
        digest = weights_digest(weights)
        named = self._named(key, digest)
        row: dict[str, Cell] = {"run": run_name(named), "weights_digest": digest, **figures}
        history.copy_to(run_name(named))
        test = problem.data.test() if self.test else None
        row |= self._validation_scores(trained)
        if test is not None:
            row |= self._test_scores(trained.method, test)
        if self.weights != "discarded":
            path = problem.runs / run_name(named) / trained_run.FILE
            saved = run_to_save(path, named, problem, decoupling, trained.method, weights)
            with self._claim_of(row, folder):
                saved.save()
        del trained
        return row, self._with(weights, decoupling, test) if self.measurements and test is not None else None

    def _scored_partly(
        self, key: dict[str, Cell], folder: Path, decoupling: Decoupling, costs: Cost, history: History | None
    ) -> dict[str, Cell]:
        """What training up to the key's iterations gives, with the checkpoint in this folder; the weights are the last."""
        iterations = key[ITERATIONS_TRAINED]
        assert isinstance(iterations, int)
        trained, figures = self._train(decoupling, folder, costs, history, until=iterations)
        digest = weights_digest({name: tensor.detach().cpu() for name, tensor in trained.method.state_dict().items()})
        return {"weights_digest": digest, **figures, **self._validation_scores(trained)}

    def _validation_scores(self, trained: Trained) -> dict[str, Cell]:
        settings = self.problem.settings
        return {
            "status": OK,
            "validation_error": trained.validation_error,
            "validation_loss": trained.validation_loss,
            "train_loss": trained.train_loss,
            "best_iteration": trained.best_iteration,
            "epochs": settings.iterations / (self.batches.num_batches // (settings.replicas or 1)),
            "step_seconds": None if math.isnan(trained.step_seconds) else trained.step_seconds,
        }

    def _test_scores(self, method: Method, test: Part) -> dict[str, Cell]:
        data = self.problem.data
        error, loss = error_and_loss(method, data.eval_batches(test, EVAL_BATCH_SIZE), self.problem.settings.precision)
        return {"test_digest": data.test_digest, "test_error": error, "test_loss": loss}

    def _tested_again(self, row: Mapping[str, str], run: MeasuredRun) -> dict[str, str]:
        """A row like one that is there, but for another test split."""
        left_out = (*ASKED, "ensemble_test_error", *names(lambda column: column.role is Role.PROVENANCE))
        same = {name: cell for name, cell in row.items() if name not in left_out}
        return self._append({**same, **self._test_scores(run.method, run.test)}, self.key(run.decoupling))

    def _loaded(self, row: Mapping[str, str], asked: Decoupling) -> MeasuredRun | None:
        """The run whose weights are saved; None where they are not those of the network that this version builds."""
        saved = TrainedRun.load(self.problem.runs / row["run"])
        return self._with(saved.weights, self.problem.adapt(asked), self.problem.data.test())

    def _with(self, weights: Mapping[str, torch.Tensor], decoupling: Decoupling, test: Part) -> MeasuredRun | None:
        """The method with these weights: built alike whether they were just trained or were saved once, so that what is
        measured is the same."""
        method, device = self.problem.build(decoupling), self.problem.device
        if {name: one.shape for name, one in method.state_dict().items()} != {name: one.shape for name, one in weights.items()}:
            return None
        method.load_state_dict(weights)
        method.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return MeasuredRun(self.problem, decoupling, method.eval(), test)

    def _measure(self, row: Mapping[str, str], run: MeasuredRun) -> None:
        """Write what is missing. What is too much for the memory is told, and the others go on."""
        key = _own(self.key(run.decoupling), row)
        for one in self._unmeasured(key, row):
            try:
                one.record(key, self._source, run)
            except (MemoryError, RuntimeError, OSError) as error:
                if (reason := out_of_memory(error)) is None:
                    raise
                notice(f"the {one.name} of run {row['run']} are not measured: out of memory: {reason}")
                gc.collect()
            if not one.is_complete(key):
                self._refused.add((row["run"], one.name))

    def _claim_of(self, row: Mapping[str, Cell], folder: Path) -> AbstractContextManager[object]:
        """The claim on the run that the row names, where that is not this one, which is ours."""
        named = self.problem.runs / str(row["run"])
        return nullcontext() if named == folder else self.problem.results.claim(named)

    def _named(self, key: dict[str, Cell], digest: str) -> dict[str, Cell]:
        """What the run is named after: its key, unless a row or a folder is there that has other weights, which is told.

        A row of an older version was named after what it was asked for, too.
        """
        rows = [row for row in self.log.find_all(exactly(key)) if not is_repeatable(row)]
        for row in rows:
            if row.get("weights_digest") == digest:
                own = {**key, **{name: _typed(row[name]) for name in ASKED if row.get(name)}}
                names = ({**one, **with_digest} for one in (key, own) for with_digest in ({}, {"weights_digest": digest}))
                return next((named for named in names if run_name(named) == row["run"]), key)
        named = {**key, "weights_digest": digest}
        if not rows:
            return key if saved_digest(self.problem.run_folder(key)) in (None, digest) else named
        here = {column: str(cell) for column, cell in self._source.items()}
        differing = [
            f"{column} is {rows[0].get(column)} there and {here[column]} here"
            for column in ("commit", "torch", "device", "threads")
            if rows[0].get(column) != here[column]
        ]
        notice(
            f"run {rows[0]['run']} came out otherwise than its row ({', '.join(differing) or 'nothing tells why'}): what "
            f"was trained now is the run {run_name(named)}, with a row of its own"
        )
        return named

    def _train(
        self, decoupling: Decoupling, folder: Path, costs: Cost, history: History | None = None, *, until: int | None = None
    ) -> tuple[Trained, dict[str, Cell]]:
        """The trained run, and the figures that were measured meanwhile."""
        problem, checkpoint = self.problem, folder / CHECKPOINT
        if (answer := self._answers.pop(decoupling, None)) is not None:
            if isinstance(answer, Exception):
                raise answer
            with measured((), TrainingRun(answer.method, problem.device, 0, False)) as figures:
                return answer, {**figures(), "trained_together": self._num_together}
        method = problem.build(decoupling)
        what = f"{problem.method.partition('(')[0]} {decoupling} seed {problem.seed}"
        tasks = self._tasks_of(decoupling)
        report = partial(_pass_on, self.report, tasks, what, problem.settings.grow is not None, until)
        trained_stages, replicas = problem.trained_stages(method), problem.settings.replicas or 1
        seconds = [block.seconds or 0.0 for block in costs.blocks]
        others = (
            None
            if self.side_by_side is None
            else self.side_by_side.others(problem, decoupling, method, seconds, self.batches if replicas > 1 else None)
        )
        with measured(
            problem.figures, TrainingRun(method, problem.device, trained_stages, has_checkpoint(checkpoint))
        ) as figures:
            trained = train(
                method,
                self.batches if replicas == 1 else Share(self.batches, replicas, 0),
                self._validation,
                problem.settings,
                seed=problem.seed,
                device=problem.device,
                trained_stages=trained_stages,
                checkpoint=checkpoint,
                until=until,
                report=report,
                record=_untold if history is None else history.record,
                exit_errors=self._scores_exits,
                others=others,
            )
            # Seconds are of steps in which all stages train, uncompiled, and of a replica's share of the batch.
            plain = problem.settings.grow is None and problem.settings.compile == "no"
            are_timed = plain and not trained_stages and replicas == 1
            side = (
                {}
                if others is None or self.side_by_side is None
                else self.side_by_side.cells(others.plan, seconds if are_timed else None, trained.step_seconds)
            )
            return trained, {**figures(), **side}

    def write_events(self, decoupling: Decoupling) -> None:
        """Of a run that has its row what `events` have not yet, as where they were not asked for when it trained."""
        row = self.recorded(decoupling)
        if self.events is not None and row is not None and row.get("run"):
            self.events.write(rows_of(self.history, row["run"], int(row.get("training") or 1)))

    def _begin_history(self, key: Mapping[str, Cell], folder: Path) -> History:
        """Of the training that begins in the folder, or goes on there. Its number lies beside its checkpoint."""
        training = _number_of_training(folder) or next_training(self.history, folder.name)
        _say_what({**key, "training": training}, folder)
        return History(self.history, key, folder.name, training, events=self.events)

    def _cost(self, decoupling: Decoupling) -> Cost:
        """What the network, and a step in which all of it trains, cost, from shapes alone."""
        problem, data = self.problem, self.problem.data
        return cost(lambda: problem.build(decoupling), data.input_shape, data.num_classes, problem.settings.batch_size)

    def _timed(self, decoupling: Decoupling, costs: Cost) -> Cost:
        """With the measured seconds of each stage's step, from which the bound on a pipeline's speed-up follows."""
        if len(costs.blocks) == 1:
            return costs  # whose bound is 1, whatever a step takes
        problem = self.problem
        x, y = self.batches.batch(problem.seed, 0)
        plain = replace(problem.settings, compile="no")  # compiling twice would cost more than it tells
        return timed(costs, problem.build(decoupling), plain, x, y, device=problem.device)


def _number_of_training(folder: Path) -> int | None:
    """Of the unfinished training in the folder; None where there is none, or one of an older version."""
    with suppress(OSError, ValueError):
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        number = about.get("training") if isinstance(about, dict) else None
        return number if type(number) is int and number > 0 else None
    return None


def _untold(epoch: Epoch) -> None:
    """Of an epoch that is in the history already."""


def _say_what(key: Mapping[str, Cell], folder: Path) -> None:
    """Write the key of a run that begins into its folder, so that what is unfinished can be listed, and which training it is."""
    folder.mkdir(parents=True, exist_ok=True)
    part = (folder / ABOUT).with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(part, "x", encoding="utf-8") as file:
        json.dump(key, file, indent=1)
    part.replace(folder / ABOUT)


def saved_digest(folder: Path) -> str | None:
    """Of the weights that are saved in a run's folder; None where there are none that can be read."""
    try:
        status = (folder / trained_run.FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _saved_digest(folder, status.st_mtime_ns, status.st_size)


@cache
def _saved_digest(folder: Path, *stamp: int) -> str | None:
    try:
        return TrainedRun.load(folder).digest
    except UserError:
        return None


def _typed(cell: str) -> Cell:
    """A count or a flag of a row."""
    return cell == "True" if cell in ("True", "False") else int(cell)


def _own(key: Mapping[str, Cell], row: Mapping[str, Cell]) -> dict[str, Cell]:
    """The key of one of several rows with the same key."""
    told = (*TRAINED, "attempts") if is_repeatable({"status": str(row.get("status"))}) else TRAINED
    return {**key, **{name: row.get(name) for name in told}}


def _unfinished(folder: Path) -> list[Path]:
    parts = [part.path for part in parts_of(folder / CHECKPOINT)]
    return [*(folder / name for name in UNFINISHED if (folder / name).exists()), *parts]


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
    return Score(
        error=float(row["validation_error"]),
        loss=float(row["validation_loss"] or math.nan),
        peak_activation_bytes=int(row["peak_activation_bytes"]),
        pipeline_speedup_bound=float(row["pipeline_speedup_bound"] or 1.0),
        status=row["status"],
    )


def _pass_on(report: Report, tasks: Sequence[Task], what: str, grows: bool, until: int | None, progress: Progress) -> None:
    """To whoever started this, and to the `tasks` that other processes can see; a training may stop at `until`."""
    figures = {"loss": progress.losses[-1]}
    if grows:
        figures["stages"] = len(progress.losses)
    if progress.validation_error is not None:
        figures["validation_error"] = progress.validation_error
    for task in tasks:
        task.tell("training", progress.iteration, until or progress.iterations, figures)
    report(what, progress.iteration, progress.iterations, **figures)
