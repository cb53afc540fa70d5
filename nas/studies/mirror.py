"""A copy of a search as a study in an Optuna storage, for optuna-dashboard to show; the search never reads it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas.notice import notice
from nas.objectives import measured
from nas.problem import Problem, Score
from nas.records.claim import Claim
from nas.records.log import Cell
from nas.records.status import OK
from nas.records.stores.url import redacted
from nas.studies.points import OptunaPoints
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError, one_line

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

Facts = Mapping[str, str]


class StudyMirror:
    """Trial n of the search is trial n - 1 of the study: running while it is in flight, then complete, failed where its run
    failed, or pruned where it was trained in part, which makes it no candidate for the study's best. The study has the search's
    `settings` as attributes, since its name says none of them. Of the processes that search, the one with the `claim` writes;
    when it is gone, the next one writes what is missing.

    A storage that fails meanwhile is told once, and nothing more is written.
    """

    def __init__(
        self, storage: BaseStorage, problem: Problem, name: str, claim: Claim, *, settings: Mapping[str, Cell] | None = None
    ) -> None:
        self._storage, self._problem, self._name, self._claim = storage, problem, name, claim
        self._settings = {key: cell for key, cell in (settings or {}).items() if cell not in (None, "")}
        self._points = OptunaPoints(problem.space)
        self._asked: list[tuple[Decoupling, float]] = []
        self._told: list[tuple[Score, Facts]] = []
        self._study: Study | None = None
        self._is_there, self._is_told = 0, 0  # how many trials the study has, and of how many it was told the end
        self._failed = False

    def begin(self, decoupling: Decoupling, fidelity: float = 1.0) -> None:
        """The search has asked for it, at this fidelity."""
        self._asked.append((decoupling, fidelity))
        self._write()

    def tell(self, score: Score, facts: Facts) -> None:
        """The oldest that is in flight has this score; `facts` are shown beside it."""
        self._told.append((score, facts))
        self._write()

    def close(self) -> None:
        """Let another process write."""
        self._claim.release()

    def _write(self) -> None:
        if self._failed:
            return
        try:
            with storage_errors():
                if self._study is None:
                    if not self._claim.try_take():
                        return
                    self._study = self._opened()
                self._bring_up(self._study)
        except StorageError as error:
            self._failed = True
            notice(f"the study in --storage is no longer written, and the search goes on: {error}")

    def _opened(self) -> Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=self._storage,
            study_name=self._name,
            directions=["minimize"] * len(self._problem.objectives),
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(self._problem.objectives))
        there = study.user_attrs
        for key, cell in self._settings.items():
            if key not in there:
                study.set_user_attr(key, cell)
        self._is_there = len(study.get_trials(deepcopy=False))
        return study

    def _bring_up(self, study: Study) -> None:
        """Write what the study lacks."""
        from optuna.trial import Trial, TrialState, create_trial

        for decoupling, fidelity in self._asked[self._is_there :]:
            params = self._points.encode(decoupling)
            study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=params,
                    distributions={name: self._points.distributions[name] for name in params},
                    user_attrs={"decoupling": str(decoupling), **({} if fidelity == 1 else {"fidelity": fidelity})},
                )
            )
            self._is_there += 1
        for number in range(self._is_told, len(self._told)):
            frozen = study.get_trials(deepcopy=False)[number]
            (score, facts), fidelity = self._told[number], self._asked[number][1]
            if not frozen.state.is_finished():
                trial = Trial(study, frozen._trial_id)
                for name, fact in {**facts, "status": score.status}.items():
                    trial.set_user_attr(name, fact)
                objectives = self._problem.objectives
                if score.status != OK:
                    study.tell(number, state=TrialState.FAIL)
                elif fidelity < 1:
                    if len(objectives) == 1:  # Optuna has intermediate values of one alone
                        trial.report(score.error, self._problem.iterations_at(fidelity))
                    study.tell(number, state=TrialState.PRUNED)
                else:
                    study.tell(number, measured(score, objectives))
            self._is_told = number + 1


class StorageError(Exception):
    """What a storage said, in one line and without a password."""


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a storage that fails raises into a StorageError."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        text = str(getattr(error, "__cause__", None) or error).split("\n")[0]
        raise StorageError(redacted(one_line(text, 240)) or type(error).__name__) from None


def open_storage(url: str) -> BaseStorage:
    """The storage of --storage; a UserError where it cannot be used. A PostgreSQL one is used through psycopg."""
    from optuna.storages import RDBStorage

    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    try:
        with storage_errors():
            return RDBStorage(url)
    except StorageError as error:
        raise UserError(
            "--storage is a database that Optuna can write, such as sqlite:///studies.db or postgresql://user@host/database, "
            f"got {redacted(url)}: {error}; mend it, or leave it out"
        ) from None
