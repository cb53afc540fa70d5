"""The copy of a search as an Optuna study: live, once, and never in the search's way."""

from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from nas.notice import heard_notices
from nas.problem import Score
from nas.studies.mirror import StudyMirror, open_storage
from nas.studies.points import OptunaPoints
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.25,heads=[linear,'conv(depth=1)'],num_blocks=2)", (1, 4, 4), 3)
POINTS = [Decoupling((cut,), ("linear",)) for cut in (1, 3, 5)]
PROBLEM = SimpleNamespace(space=SPACE, objectives=("error",), iterations_at=lambda fidelity: round(10 * fidelity))


class Claim:
    """One that a single process has."""

    def __init__(self, free=True):
        self.free = free

    def try_take(self):
        return self.free

    def release(self):
        pass


def mirror(storage, claim=None):
    return StudyMirror(storage, PROBLEM, "search", claim or Claim())


def score(error, status="ok"):
    return Score(error, 0.1, 5, 2.0, status)


def trials(storage):
    return optuna.load_study(study_name="search", storage=storage).trials


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def test_a_trial_runs_while_it_is_in_flight_and_then_has_its_score(storage):
    copy = mirror(storage)
    copy.begin(POINTS[0])
    copy.begin(POINTS[1])
    assert [trial.state for trial in trials(storage)] == [TrialState.RUNNING] * 2
    copy.tell(score(0.25), {"run": "abc", "host": "node1"})
    copy.tell(score(1.0, "diverged: nan"), {})
    first, second = trials(storage)
    assert (first.state, first.values, second.state) == (TrialState.COMPLETE, [0.25], TrialState.FAIL)
    assert first.user_attrs == {"decoupling": "1:linear", "run": "abc", "host": "node1", "status": "ok"}
    assert OptunaPoints(SPACE).decode(first.params) == POINTS[0]


def test_a_partial_training_is_pruned_and_no_candidate_for_the_best(storage):
    copy = mirror(storage)
    for fidelity, error in ((0.5, 0.125), (1.0, 0.25)):
        copy.begin(POINTS[0], fidelity)
        copy.tell(score(error), {})
    partial, whole = trials(storage)
    assert (partial.state, partial.intermediate_values, partial.user_attrs["fidelity"]) == (TrialState.PRUNED, {5: 0.125}, 0.5)
    assert optuna.load_study(study_name="search", storage=storage).best_trial.number == whole.number == 1


def test_a_study_says_which_search_it_is_a_copy_of(storage):
    settings = {"strategy": "random(trials=3)", "seed": 0, "schedule": None, "evaluator": "train", "vocabulary": ""}
    for _ in range(2):
        StudyMirror(storage, PROBLEM, "search", Claim(), settings=settings).begin(POINTS[0])
    told = optuna.load_study(study_name="search", storage=storage).user_attrs
    assert told == {"strategy": "random(trials=3)", "seed": 0, "evaluator": "train"}


def test_a_search_that_goes_on_doubles_no_trial(storage):
    copy = mirror(storage)
    copy.begin(POINTS[0])
    copy.tell(score(0.25), {})
    copy.begin(POINTS[1])  # and killed
    again = mirror(storage)
    for point, error in zip(POINTS, (0.25, 0.5, 0.75), strict=True):
        again.begin(point)
        again.tell(score(error), {})
    assert [(trial.state, trial.values) for trial in trials(storage)] == [
        (TrialState.COMPLETE, [error]) for error in (0.25, 0.5, 0.75)
    ]


def test_one_of_several_processes_writes_and_the_next_one_goes_on(storage):
    one, other = mirror(storage), mirror(storage, claim := Claim(free=False))
    for copy in (one, other):
        copy.begin(POINTS[0])
    assert len(trials(storage)) == 1
    claim.free = True
    other.tell(score(0.5), {})
    other.begin(POINTS[1])
    assert [trial.state for trial in trials(storage)] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_a_storage_that_dies_is_told_once_and_does_not_end_the_search(storage, monkeypatch):
    copy = mirror(storage)
    copy.begin(POINTS[0])
    monkeypatch.setattr(
        storage, "create_new_trial", lambda *a, **k: (_ for _ in ()).throw(OperationalError("x", {}, OSError("server is gone")))
    )
    with heard_notices((notices := []).append):
        copy.begin(POINTS[1])
        copy.begin(POINTS[2])
    assert len(notices) == 1 and "the search goes on" in notices[0] and "gone" in notices[0]


def test_a_storage_that_cannot_be_used_is_one_line_without_its_password(tmp_path):
    for url in (
        "postgresql://me:secret@127.0.0.1:1/db",
        f"sqlite:///{tmp_path}/none/studies.db",
        "no url",
        "nodb://me:secret@x/y",
    ):
        with pytest.raises(UserError, match="^--storage is a database") as raised:
            open_storage(url)
        assert "secret" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_database_file_has_the_study(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    copy = mirror(storage)
    copy.begin(POINTS[0])
    copy.tell(score(0.5), {})
    assert trials(open_storage(f"sqlite:///{tmp_path}/studies.db"))[0].values == [0.5]
