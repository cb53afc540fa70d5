"""The trajectory of a search: a row of trials.csv for each decoupling that it asked for, in the order of asking."""

from __future__ import annotations

import math
import time

from nas.budget import Budget, Failures
from nas.evaluation.by_fidelity import ByFidelity
from nas.problem import Problem, Score
from nas.records.log import Cell
from nas.records.provenance import provenance
from nas.records.row_kinds import TRIALS
from nas.runs.trained_run import run_name
from nas.studies.mirror import StudyMirror
from spaces.decoupling import Decoupling


def search_key(problem: Problem, strategy: str, evaluator: str, *, at_once: int = 1) -> dict[str, Cell]:
    """What tells searches apart: who asks, and all that the answers depend on. `run_name` of it is the search's name."""
    settings = {name: cell for name, cell in problem.key(Decoupling((), ())).items() if name != "decoupling"}
    return {
        "strategy": strategy,
        "objectives": " ".join(problem.objectives),
        "evaluator": evaluator,
        "space": str(problem.space.spec),
        **settings,
        **({"at_once": at_once} if at_once > 1 else {}),  # one has always been none
    }


class Trials:
    """Writes what one search asks for. A trial that is there already, of a search that goes on, is not written again.

    `seconds` count from when this was made, which is when the search begins. Where a search goes on they go on from the last
    trial that is there, so that time in which nothing ran, or whose work was lost with a process, does not count.
    """

    def __init__(
        self,
        problem: Problem,
        key: dict[str, Cell],
        evaluator: ByFidelity,
        failures: Failures | None = None,
        *,
        command: str,
        mirror: StudyMirror | None = None,
    ) -> None:
        self._mirror = mirror
        self._failures = failures or Failures(Budget())
        self.log, self.evaluator, self.number = problem.results.log("trials.csv", TRIALS), evaluator, 0
        self.key, self.name, self.source = key, run_name(key), {**provenance(), "command": command}
        self._iterations_at = problem.iterations_at
        self._trained: dict[Decoupling, set[int]] = {}  # up to these iterations, of what the search has asked for so far
        self._began = time.monotonic()

    def begin(self, decoupling: Decoupling, fidelity: float = 1.0) -> None:
        """One more is in flight."""
        if self._mirror:
            self._mirror.begin(decoupling, fidelity)

    def close(self) -> None:
        """There are no more."""
        if self._mirror:
            self._mirror.close()

    def add(self, decoupling: Decoupling, score: Score, fidelity: float = 1.0) -> None:
        """The next trial, and its score; a UserError where too many have failed by now."""
        row = self.evaluator.recorded(decoupling, fidelity) or {}
        self._write(decoupling, score, fidelity, row)
        if self._mirror:
            self._mirror.tell(score, {name: cell for name in ("run", "host") if (cell := row.get(name))})
        self._failures.add(f"trial {self.number}, '{decoupling}'", score.status)

    def _anew(self, decoupling: Decoupling, fidelity: float) -> int:
        """The iterations by which the search trains the decoupling further; with own schedules, where none goes on from another,
        all of a run that it has not asked for before."""
        iterations, trained = self._iterations_at(fidelity), self._trained.setdefault(decoupling, set())
        if self.evaluator.own_schedules:
            anew = 0 if iterations in trained else iterations
        else:
            anew = max(0, iterations - max(trained, default=0))
        trained.add(iterations)
        return anew

    def _write(self, decoupling: Decoupling, score: Score, fidelity: float, row: dict[str, str]) -> None:
        self.number += 1
        anew = self._anew(decoupling, fidelity)
        trial: dict[str, Cell] = {
            "search": self.name,
            "number": self.number,
            "run": row.get("run"),
            "decoupling": str(decoupling),
            "status": score.status,
            "validation_error": score.error,
            **({} if fidelity == 1 else {"fidelity": fidelity}),
        }
        if there := self.log.find(trial):
            self._began = time.monotonic() - float(there["seconds"])
            return
        costs: dict[str, Cell] = {
            "validation_loss": None if math.isnan(score.loss) else score.loss,
            "peak_activation_bytes": score.peak_activation_bytes,
            "pipeline_speedup_bound": score.pipeline_speedup_bound,
        }
        mine = row.get("search") == self.name
        seconds = {"known": not mine, "seconds": time.monotonic() - self._began}
        self.log.append_once({**self.key, **trial, **costs, "iterations_anew": anew, **seconds, **self.source}, trial)
