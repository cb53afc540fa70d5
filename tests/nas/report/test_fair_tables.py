"""Rows of several networks, tasks and recipes: a fair table for each set that compares, and no row lost without a word."""

import csv

import pytest

from nas.report.comparable import read_rows
from nas.report.fair_table import fair_table
from nas.report.fair_tables import fair_tables, file_names
from tests.nas.report.test_fair_table import DIVERGED, ROW


def cells(*changes):
    return [{column: str(cell) for column, cell in (ROW | change).items()} for change in changes]


def tables(*changes):
    found, refused = fair_tables(cells(*changes))
    return [(one.title, [line.line.n for line in one.lines]) for one in found], refused


def test_rows_that_compare_are_one_table_which_is_that_of_compare(tmp_path):
    rows = cells({"seed": 0}, {"seed": 1, "test_error": 0.3}, {"decoupling": "4:mlp_sr"})
    with open(tmp_path / "evaluate.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (one,), refused = fair_tables(rows)
    assert one.fair == fair_table(read_rows([tmp_path / "evaluate.csv"])) and not refused
    assert (one.name, one.title) == ("", "")
    assert [line.line for line in one.lines] == list(one.fair.lines) and len({line.key for line in one.lines}) == 2
    assert [[row["seed"] for row in line.rows] for line in one.lines] == [["0"], ["0", "1"]]


def test_each_task_has_a_table_that_says_what_tells_it_apart_the_larger_first():
    found, _ = tables({"task": "digits(crop=1)"}, {"seed": 0}, {"seed": 0, "decoupling": "4:mlp_sr"})
    assert found == [("task cifar10(crop=4)", [1, 1]), ("task digits(crop=1)", [1])]


def test_a_run_that_diverged_stays_with_its_line_though_its_epochs_are_empty():
    found, _ = tables({"seed": 0}, {"seed": 1, **DIVERGED}, {"seed": 0, "epochs": 2.0, "iterations": 1400})
    assert found == [("iterations 700", [2]), ("iterations 1400", [1])]


def test_a_line_with_two_learning_rates_is_in_two_tables():
    found, refused = tables({"seed": 0}, {"seed": 1}, {"seed": 0, "lr": 0.01})
    assert found == [("lr 0.1", [2]), ("lr 0.01", [1])] and not refused


def test_lines_tuned_each_for_itself_stay_in_one_table():
    found, refused = tables({"seed": 0}, {"seed": 0, "lr": 0.01, "decoupling": "4:mlp_sr"})
    assert found == [("", [1, 1])] and not refused


def test_what_no_table_can_hold_is_said_and_the_other_lines_stay():
    found, refused = tables({"seed": 0}, {"seed": 0, "test_error": 0.2}, {"decoupling": "4:mlp_sr"}, {"task": "digits(crop=1)"})
    assert [counts for _, counts in found] == [[1], [1]]
    assert len(refused) == 1 and refused[0].startswith("left out of the table: a seed counts once, got seed 0 of")


def test_no_two_names_of_tables_are_the_same():
    titles = ["task a(x=1)", "task a(x=2)", "task a(x=3)", "space space(gaps=[1]), task b", "task ../c"]
    assert file_names(titles) == ["a", "a-no2", "a-no3", "b", "c"]


def test_the_name_of_a_table_says_which_setting_a_number_is_and_ends_with_a_whole_word():
    assert file_names(["iterations 500, epochs 1.5", "iterations 1000, epochs 3.0"]) == [
        "iterations-500-epochs-1.5",
        "iterations-1000-epochs-3.0",
    ]
    long = [f"backbone network{end}, optimizer sgd(momentum=0.9), schedule constant, precision float32" for end in "ab"]
    assert file_names(long) == ["networka-sgd-constant-float32", "networkb-sgd-constant-float32"]
    longer = [f"{title}, task {'x' * 30}" for title in long]
    assert file_names(longer) == ["networka-sgd-constant-float32", "networkb-sgd-constant-float32"]


@pytest.mark.parametrize("count", [1, 0])
def test_one_table_needs_no_name(count):
    assert file_names(["task a"] * count) == [""] * count
