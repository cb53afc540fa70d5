"""One evaluation: train a decoupling, score and measure it, and make the row that says everything about it."""

from __future__ import annotations

import gc
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

import torch

from methods.method import Method
from methods.training.diverged import Diverged
from methods.training.loop import FurtherCheckpoint, Trained
from methods.training.memory import out_of_memory
from methods.training.scoring import error_and_loss
from nas.cost import Cost
from nas.data.digest import weights_digest
from nas.data.task_data import Part
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE, MeasuredRun, Measurement
from nas.evaluation.recorded_runs import RecordedRuns, Weights, own_key, read_score, saved_digest
from nas.evaluation.run_training import RunTraining, failed_status
from nas.evaluation.saved_run import run_to_save
from nas.evaluation.unfinished_run import number_of_training, remove_unfinished, say_what, unfinished_files
from nas.notice import notice
from nas.problem import Problem, Report, Score
from nas.records.attempts import attempts_made, is_repeatable
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
from nas.records.row_kinds import HISTORY
from nas.records.status import KILLED, OK, OUT_OF_MEMORY
from nas.runs import trained_run
from nas.runs.trained_run import TrainedRun, run_name
from nas.side_by_side import SideBySide
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

FAILED: dict[str, Cell] = {"validation_error": 1.0, "validation_loss": None}  # what a row says of a run that did
ASKED = ("ensemble", "exits", "calibrated")  # columns of older rows, whose runs were named after them too


class Evaluator(RecordedRuns):
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
        super().__init__(problem, log, test=test, measurements=measurements, weights=weights, retries=retries)
        self.command, self.labels, self.provenance = command, dict(labels or {}), provenance()
        self.side_by_side = side_by_side
        self.history, self.events = problem.results.log("history.csv", HISTORY), events
        self.training = RunTraining(problem, report, side_by_side, exit_errors=exit_errors)

    @property
    def _source(self) -> dict[str, Cell]:
        """The columns of provenance: commit, versions, device, threads, command."""
        return {
            **self.provenance,
            "device": device_name(self.problem.device),
            "threads": torch.get_num_threads(),
            "command": self.command,
        }

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
        if claim.is_left() or (folder.is_dir() and not (folder / trained_run.FILE).is_file()) or unfinished_files(folder):
            with suppress(OSError, UserError):
                if claim.try_take():
                    try:
                        remove_unfinished(folder)
                    finally:
                        claim.release()

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
            remove_unfinished(place)
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
            self.training.forget_answers()

    def _train_together(self, untrained: Sequence[Decoupling], fidelity: float) -> str | None:
        """Train these in one go, for `run` to find the answers; what was too much for the memory, or None."""
        folders = [self.run_folder(decoupling) for decoupling in untrained]
        keys = [self.key(decoupling) for decoupling in untrained]
        histories = [self._begin_history(key, folder) for key, folder in zip(keys, folders, strict=True)]
        until = self.key(untrained[0], fidelity).get(ITERATIONS_TRAINED)
        assert until is None or isinstance(until, int)
        return self.training.train_together([self.problem.adapt(one) for one in untrained], folders, histories, until=until)

    def _told(self, *asked: Decoupling) -> AbstractContextManager[None]:
        """While this is open, other processes can see that this one is at these runs."""
        keys = [(self.run_folder(decoupling).name, self.key(decoupling)) for decoupling in asked]
        told = [Task({"run": run, **{name: key[name] for name in TOLD}}) for run, key in keys]
        return self.problem.results.heartbeat.telling(*told)

    def _is_to_be_trained(self, decoupling: Decoupling, fidelity: float) -> bool:
        """Whether `run` would train it, and go on from its checkpoint."""
        if not is_partial(self.key(decoupling, fidelity)):
            return self._with_weights(decoupling) is None
        row = self.recorded(decoupling)
        return row is None or is_repeatable(row)

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
            say_what(key, own)
            return self._scored_partly(key, own, decoupling, costs, None), None  # its epochs are told already

        row, _ = self._appended(key, folder, decoupling, history, scored)
        remove_unfinished(own)
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
        costs, attempt = self.training.cost(decoupling), attempts_made(self.log.find_all(exactly(key))) + 1
        row = self._begun(key, folder, costs)
        row |= {"attempts": attempt} if attempt > 1 else {}
        row |= {"training": history.training} if history is not None and history.training > 1 else {}
        run = None
        try:
            row["pipeline_speedup_bound"] = None if self.side_by_side is not None else self._known_bound(key)
            if row["pipeline_speedup_bound"] is None:
                costs = self.training.timed(decoupling, costs)
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
            self.training.release_batches()
        if row["status"] != OK:
            gc.collect()  # what the run held is there for the next
        return self._append(row, key), run

    def record_killed(self, asked: Decoupling, reason: str, host: str, fidelity: float = 1.0) -> None:
        """Append the row of an attempt whose process was killed there, unless the run has a row that stands."""
        row = self.recorded(asked, fidelity)
        if row is not None and not is_repeatable(row):
            return
        decoupling, key = self.problem.adapt(asked), self.key(asked, fidelity)
        begun = self._begun(key, self.run_folder(asked), self.training.cost(decoupling))
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
        own = exactly(own_key(key, row))
        self.log.append_once({**row, **self.problem.data.facts(self.problem.results.folder), **self._source}, own)
        appended = self.log.find(own)
        assert appended is not None, "a row that was appended is found"
        return appended

    def _scored(
        self, key: dict[str, Cell], folder: Path, decoupling: Decoupling, costs: Cost, history: History
    ) -> tuple[dict[str, Cell], MeasuredRun | None]:
        """What training gives, its weights saved if they are to be."""
        problem = self.problem
        trained, figures = self.training.train(decoupling, folder, costs, history)
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
        trained, figures = self.training.train(decoupling, folder, costs, history, until=iterations)
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
            "epochs": settings.iterations / (self.training.batches.num_batches // (settings.replicas or 1)),
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
        key = own_key(self.key(run.decoupling), row)
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

    def write_events(self, decoupling: Decoupling) -> None:
        """Of a run that has its row what `events` have not yet, as where they were not asked for when it trained."""
        row = self.recorded(decoupling)
        if self.events is not None and row is not None and row.get("run"):
            self.events.write(rows_of(self.history, row["run"], int(row.get("training") or 1)))

    def _begin_history(self, key: Mapping[str, Cell], folder: Path) -> History:
        """Of the training that begins in the folder, or goes on there. Its number lies beside its checkpoint."""
        training = number_of_training(folder) or next_training(self.history, folder.name)
        say_what({**key, "training": training}, folder)
        return History(self.history, key, folder.name, training, events=self.events)


def _typed(cell: str) -> Cell:
    """A count or a flag of a row."""
    return cell == "True" if cell in ("True", "False") else int(cell)
