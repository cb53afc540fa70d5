"""history.csv as a DataFrame: lists as rows of numbers, as plots take them."""

from pathlib import Path

import pytest

import nas
from methods.training.epoch import Epoch
from nas.records.history import History
from nas.records.results import Results
from nas.records.row_kinds import HISTORY
from spaces.notation.errors import UserError

KEY = {"method": "dgl(label_smoothing=0.1)", "decoupling": "3:linear", "task": "toy", "seed": 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = Results(tmp_path).log("history.csv", HISTORY)
    history = History(log, KEY, "0123456789abcdef", 1)
    for iteration, exits in ((3, (0.5, 0.25)), (6, ())):
        history.record(Epoch(iteration, iteration / 3, (2.0, 1.5), exits, 0.25, 1.25, 0.1, float("nan")))
    return tmp_path / "history.csv"


def test_an_epoch_is_a_row(path: Path) -> None:
    frame = nas.read_history(path)
    assert list(frame["epoch"]) == [1.0, 2.0] and list(frame["stage_losses"]) == ["2.0 1.5"] * 2
    assert frame["seconds"].isna().all() and frame["exit_errors"].isna().tolist() == [False, True]


def test_each_number_is_a_row_where_it_is_asked_for(path: Path) -> None:
    losses = nas.read_history(path, each="stage_losses")
    assert losses[["iteration", "number", "stage_losses"]].astype(float).values.tolist() == [
        [3, 1, 2.0],
        [3, 2, 1.5],
        [6, 1, 2.0],
        [6, 2, 1.5],
    ]
    assert losses["stage_losses"].dtype == "Float64" and losses["number"].dtype == "Int64"
    assert nas.read_history(path, each="exit_errors")[["iteration", "number"]].values.tolist() == [[3, 1], [3, 2]]


def test_what_is_not_there_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown column of lists: 'stage_loss'; did you mean stage_losses"):
        nas.read_history(path, each="stage_loss")
    assert nas.read_history(tmp_path / "none.csv", each="exit_errors").empty


@pytest.mark.parametrize(
    ("old", "new"), [("2.0 1.5", "2.0 x"), ("0.5 0.25", "0.5 25"), ("0123456789abcdef,1", "0123456789abcdef,")]
)
def test_a_cell_that_does_not_hold_is_named(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match="history.csv, line 2: column (stage_losses|exit_errors|training)"):
        nas.read_history(path)
