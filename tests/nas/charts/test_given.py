"""What charts are made of: folders, files and stores read once, and what is wrong with them said."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nas.charts.results import Given, read_given
from spaces.notation.errors import UserError

RESULTS = Path(__file__).parents[3] / "results"


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def digits() -> list[dict[str, str]]:
    with open(RESULTS / "digits" / "evaluate.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_has_all_kinds_of_rows_and_a_file_its_own(tmp_path: Path) -> None:
    folder = read_given([RESULTS / "digits"])
    assert {source.kind for source in folder.sources} == {"evaluate", "search", "alpha_beta"}
    assert (len(folder.evaluate), len(folder.search), len(folder.alpha_beta)) == (21, 107, 200) and not folder.warnings
    for name in ("evaluate", "search", "alpha_beta"):
        copy = tmp_path / f"my_{name}.csv"
        copy.write_bytes((RESULTS / "digits" / f"{name}.csv").read_bytes())
        (source,) = read_given([copy]).sources
        assert source.kind == name
    assert [source.kind for source in read_given([RESULTS / "tabular" / "small_cifar10.csv"]).sources] == ["evaluate"]


def test_rows_that_are_given_twice_count_once(digits: list[dict[str, str]]) -> None:
    folder = RESULTS / "digits"
    assert len(read_given([folder, folder / "evaluate.csv", folder]).evaluate) == len(digits)


def test_what_is_not_there_is_empty_and_what_cannot_be_read_is_told(tmp_path: Path, digits: list[dict[str, str]]) -> None:
    assert read_given([tmp_path / "nowhere"]).is_empty() and Given().is_empty()
    write(tmp_path / "one" / "evaluate.csv", [digits[0], digits[1] | {"num_blocks": "two"}, digits[2]])
    (tmp_path / "one" / "history.csv").write_text("run,epoch\n1,2,3\n")
    given = read_given([tmp_path / "one"])
    assert len(given.evaluate) == 2
    assert any("evaluate.csv, line 3: column num_blocks holds a whole number" in told for told in given.warnings)
    assert any("history.csv, line 2: the header has 2 cells, got 3" in told for told in given.warnings)
    assert given.tables[0].lines


def test_of_many_rows_that_cannot_be_read_some_are_told(tmp_path: Path, digits: list[dict[str, str]]) -> None:
    path = write(tmp_path / "evaluate.csv", [row | {"status": "fine"} for row in digits])
    given = read_given([path])
    assert not given.evaluate and len(given.warnings) == 6 and given.warnings[-1].startswith("left out: 16 more rows of ")


def test_conditions_narrow_all_kinds_and_follow_runs(tmp_path: Path, digits: list[dict[str, str]]) -> None:
    rows = [row | {"run": f"{number:016x}"} for number, row in enumerate(digits)]
    write(tmp_path / "evaluate.csv", rows)
    told = {"training": 1, "iteration": 1, "epoch": 1, "validation_error": 0.5, "validation_loss": 1, "stage_losses": 1}
    names = ("run", "method", "decoupling", "task", "seed")
    history = [{**{name: row[name] for name in names}, **told, "scheduled_lr": 1} for row in rows]
    write(tmp_path / "history.csv", history)
    given = read_given([tmp_path], ["num_blocks=3", "method=dgl"])
    wanted = {row["run"] for row in rows if row["num_blocks"] == "3" and row["method"].startswith("dgl(")}
    assert wanted and {row["run"] for row in given.evaluate} == {row["run"] for row in given.history} == wanted
    with pytest.raises(UserError, match="unknown column 'blocks'"):
        read_given([tmp_path], ["blocks=3"])
    with pytest.raises(UserError, match="no row is left where num_blocks=7; there, num_blocks is 3, 1"):
        read_given([tmp_path], ["num_blocks=7"])


def test_a_file_of_something_else_is_told(tmp_path: Path) -> None:
    given = read_given([RESULTS / "benchmarks" / "step_time.csv"])
    assert given.is_empty() and "a file of results is one of evaluate, search" in given.warnings[0]


def test_runs_that_failed_are_in_the_tables_and_those_of_no_test_split_are_told(
    tmp_path: Path, digits: list[dict[str, str]]
) -> None:
    failed = digits[0] | {"status": "diverged: the loss of stage 0", "test_error": "", "seed": "9", "epochs": ""}
    untested = digits[0] | {"test_error": "", "seed": "8", "ensemble": ""}
    given = read_given([write(tmp_path / "evaluate.csv", [*digits, failed, untested])])
    (line,) = [line for table in given.tables for line in table.lines if line.line.diverged]
    assert line.line.n == 4 and "status ok and no test_error" in given.refused[0]
