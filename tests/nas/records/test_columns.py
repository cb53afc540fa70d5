"""Cells are what their column says: every results file of ours reads to the bit, and one wrong cell is named with its place."""

import csv
from dataclasses import asdict
from pathlib import Path

import pytest

from methods.training.settings import TrainingSettings
from nas.evaluation.measurements.exits import Exits
from nas.evaluation.tabular import Tabular
from nas.records.column import Role
from nas.records.columns import COLUMNS, names
from nas.records.provenance import provenance
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import ALPHA_BETA, CURVES, DECISIONS, EXITS, HISTORY, RUNS, RowKind
from nas.report.comparable import read_rows
from nas.report.fair_table import fair_table, written
from spaces.notation.errors import UserError

RESULTS = Path(__file__).parents[3] / "results"
KINDS = {
    "evaluate": RUNS,
    "search": RUNS,
    "small_cifar10": RUNS,
    "exits": EXITS,
    "curves": CURVES,
    "history": HISTORY,
    "decisions": DECISIONS,
    "alpha_beta": ALPHA_BETA,
}
FILES = [path for path in sorted(RESULTS.rglob("*.csv")) if path.stem in KINDS]
SMALL = RESULTS / "adaptive" / "cifar10"


def rows_of(path: Path, count: int | None = None) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[:count]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_the_files_that_are_there_read_as_they_were_written(path: Path) -> None:
    assert ResultsLog(path, KINDS[path.stem]).rows() == rows_of(path)


WRONG = {
    "share": ["x", "nan", "inf", "-0.1", "1.1", "20 %", "0,5", "12.5"],
    "count": ["x", "nan", "-1", "1.5", "1,000", "0x10", "²", "٣", "1_0", "9" * 5000],
    "number": ["x", "nan", "inf", "-1", "0.1s", "1_0", "1_0e9999", "٣"],
    "folder": ["..", "../../etc", "/etc/0123456789"],
    "flag": ["yes", "1", "0"],
    "decoupling": ["3", "linear:3", "3:linear 2:linear", "x:linear"],
    "component": ["dgl(", "3", "dgl(a=)", "=1+1"],
}
CELLS = [
    ("evaluate.csv", RUNS, column, cell)
    for column, kind in {
        "validation_error": "share",
        "test_error": "share",
        "seed": "count",
        "iterations": "count",
        "num_blocks": "count",
        "params": "count",
        "peak_activation_bytes": "count",
        "lr": "number",
        "validation_loss": "number",
        "step_seconds": "number",
        "pipeline_speedup_bound": "number",
        "checkpoint_units": "flag",
        "exits": "flag",
        "decoupling": "decoupling",
        "run": "folder",
        "method": "component",
        "backbone": "component",
        "task": "component",
    }.items()
    for cell in WRONG[kind]
    if not (column == "validation_loss" and cell == "-1")
]
CELLS += [
    ("evaluate.csv", RUNS, column, "")
    for column in (
        "test_error",
        "validation_error",
        "validation_loss",
        "status",
        "method",
        "seed",
        "num_blocks",
        "peak_activation_bytes",
        "pipeline_speedup_bound",
    )
]
CELLS += [("evaluate.csv", RUNS, "test_digest", cell) for cell in ("x", "1.2E+15", "0123456789ABCDEF")]
CELLS += [("evaluate.csv", RUNS, "status", cell) for cell in ("OK", "yes", "0")]
CELLS += [
    ("exits.csv", EXITS, column, cell)
    for column, kind in {"depth": "count", "macs": "count", "test_error": "share", "temperature": "number"}.items()
    for cell in WRONG[kind]
]
CELLS += [("exits.csv", EXITS, column, "") for column in ("depth", "test_error")]
CELLS += [
    ("curves.csv", CURVES, column, cell)
    for column, kind in {"test_macs": "number", "test_error": "share", "chosen": "flag"}.items()
    for cell in WRONG[kind]
]
CELLS += [("curves.csv", CURVES, "test_shares", cell) for cell in ("", " ", "0.5 x", "0.5 1.5", "0.5;0.5")]


@pytest.mark.parametrize(("name", "kind", "column", "cell"), CELLS, ids=lambda value: str(value)[:12])
def test_a_cell_that_does_not_hold_is_named_with_its_place(
    tmp_path: Path, name: str, kind: RowKind, column: str, cell: str
) -> None:
    rows = rows_of(SMALL / name, 3)
    rows[0].setdefault(column, "")
    rows[1][column] = cell
    with pytest.raises(UserError) as error:
        ResultsLog(write(tmp_path / name, rows), kind).rows()
    message = str(error.value)
    assert message.startswith(f"{tmp_path / name}, line 3: column {column} ") and "\n" not in message
    assert len(message) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("column", ["run", "weights_digest"])
def test_a_row_with_a_digest_of_its_data_names_what_came_out(tmp_path: Path, column: str) -> None:
    name = "0123456789abcdef"
    row = rows_of(SMALL / "evaluate.csv", 1)[0] | {"data_digest": name, "weights_digest": name, "run": name}
    ResultsLog(write(tmp_path / "evaluate.csv", [row]), RUNS).rows()
    del row[column]
    with pytest.raises(UserError, match=f"line 2: column {column} is empty"):
        ResultsLog(write(tmp_path / "evaluate.csv", [row]), RUNS).rows()


@pytest.mark.parametrize("column", ["status", "method", "validation_error"])
def test_a_column_that_is_missing_is_named(tmp_path: Path, column: str) -> None:
    rows = [{name: cell for name, cell in row.items() if name != column} for row in rows_of(SMALL / "evaluate.csv", 2)]
    with pytest.raises(UserError, match=f"line 1: every run has {column}, got no such column"):
        ResultsLog(write(tmp_path / "evaluate.csv", rows), RUNS).find({"seed": 0})


def test_what_a_spreadsheet_writes_in_its_own_way_is_what_was_written(tmp_path: Path) -> None:
    rows = rows_of(SMALL / "evaluate.csv", 4)
    other = {"False": "FALSE", "0.0001": "1.00E-04", "64": "64.0", "0.0": "0"}
    turned = [
        {column: other.get(cell, cell) if column in COLUMNS else cell for column, cell in reversed(row.items())} for row in rows
    ]
    for row in turned:
        row["time"] = "23/11/2026 05:36"
    log = ResultsLog(write(tmp_path / "evaluate.csv", turned), RUNS)
    assert turned != rows and [row | {"time": own["time"]} for row, own in zip(log.rows(), rows, strict=True)] == rows
    settings = {name: rows[2][name] for name in asdict(TrainingSettings()) if name in rows[2]}
    key = {name: rows[2][name] for name in ("method", "backbone", "decoupling", "seed")} | settings
    assert log.find(key | {"weight_decay": 0.0001, "checkpoint_units": False, "batch_size": 64}) == log.rows()[2]
    assert log.find_all(key) == [log.rows()[2]]


def test_exits_and_curves_are_read_as_such(tmp_path: Path) -> None:
    for name in ("exits", "curves"):
        rows = rows_of(SMALL / f"{name}.csv", 1)
        write(tmp_path / f"{name}.csv", [rows[0] | {"test_error": "none"}])
        with pytest.raises(UserError, match="column test_error holds a share"):
            getattr(Exits.of(Results(tmp_path), calibrated=False), name).rows()


def test_a_table_is_read_as_runs(tmp_path: Path) -> None:
    rows = rows_of(RESULTS / "tabular" / "small_cifar10.csv", 2)
    path = write(tmp_path / "table.csv", [rows[0], rows[1] | {"validation_error": "x"}])
    with pytest.raises(UserError, match="line 3: column validation_error holds a share in 0..1, got 'x'"):
        Tabular.__init__(object.__new__(Tabular), _problem(), path)


def _problem() -> object:
    class Problem:
        method = "dgl"

    return Problem()


def test_a_file_in_which_every_run_diverged_is_one_of_evaluates(tmp_path: Path) -> None:
    lost = {"status": "diverged: the loss of stage 0 is nan", "validation_error": "1.0", "validation_loss": "", "epochs": ""}
    left_out = ("test_error", "test_loss", "step_seconds", "ensemble_test_error")
    (row,) = rows_of(SMALL / "evaluate.csv", 1)
    rows = [
        {name: cell for name, cell in row.items() if name not in left_out} | lost | {"seed": str(seed), "run": f"run{seed}"}
        for seed in (0, 1)
    ]
    rows[1]["status"] = "out of memory: 3 GiB were asked for"
    fair = fair_table(read_rows([write(tmp_path / "evaluate.csv", rows)]))
    (line,) = fair.lines
    assert (line.test_error, line.diverged, line.out_of_memory, line.step_seconds) == (100.0, 1, 1, None)
    assert "(1 diverged, 1 out of memory)" in written(fair)
    assert any("1 diverged, 1 out of memory of 2" in note for note in fair.notes)


def test_a_row_of_a_search_in_a_mixed_file_was_not_tested(tmp_path: Path) -> None:
    row = rows_of(SMALL / "evaluate.csv", 1)[0]
    searched = row | {"ensemble": "", "test_error": "", "test_loss": ""}
    assert len(ResultsLog(write(tmp_path / "both.csv", [row, searched]), RUNS).rows()) == 2


def test_the_columns_of_where_a_row_comes_from():
    besides = {"device", "threads", "command", "host", "parallel", "process_stages", "tries", "trained_together"}
    assert {*provenance(), *besides} == set(names(lambda column: column.role is Role.PROVENANCE))


@pytest.mark.parametrize("name", asdict(TrainingSettings()))
def test_every_training_setting_is_a_column_that_says_what_it_means_to_a_table(name: str) -> None:
    column = COLUMNS[name]
    assert column.role in (Role.SETTING, Role.RECIPE) and column.compared and {"evaluate", "exits"} <= {*column.files}
