"""Rows of several networks, tasks and recipes: a fair table for each set that compares, and no row lost without a word."""

import csv

import pytest

from nas.report.comparable import read_rows
from nas.report.fair_tables import fair_tables
from tests.nas.report.test_fair_table import DIVERGED, ROW


@pytest.fixture
def tables(tmp_path):
    def of(*changes):
        with open(tmp_path / "evaluate.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(column for change in changes for column in ROW | change)))
            writer.writeheader()
            writer.writerows(ROW | change for change in changes)
        return fair_tables(read_rows([tmp_path / "evaluate.csv"]))

    return of


def test_rows_that_compare_are_one_table(tables):
    found = tables({"seed": 0}, {"seed": 1}, {"decoupling": "4:mlp_sr"})
    assert [(len(one.rows), len(one.table.lines), one.told_apart) for one in found.sets] == [(3, 2, {})]
    assert found.refused == ()
    assert found.sets[0].full_methods == {found.sets[0].table.lines[0].method: ROW["method"]}


def test_each_task_has_a_table_that_says_what_tells_it_apart_the_larger_first(tables):
    found = tables({"task": "digits(crop=1)"}, {"seed": 0}, {"seed": 1})
    assert [one.told_apart for one in found.sets] == [{"task": "cifar10(crop=4)"}, {"task": "digits(crop=1)"}]
    assert [line.n for one in found.sets for line in one.table.lines] == [2, 1]


def test_a_run_that_diverged_stays_with_its_line_though_its_epochs_are_empty(tables):
    found = tables({"seed": 0}, {"seed": 1, **DIVERGED}, {"seed": 0, "epochs": 2.0, "iterations": 1400})
    assert [[(line.n, line.diverged) for line in one.table.lines] for one in found.sets] == [[(2, 1)], [(1, 0)]]


def test_a_line_with_two_learning_rates_is_two_tables(tables):
    found = tables({"seed": 0}, {"seed": 1}, {"seed": 0, "lr": 0.01})
    assert [(one.told_apart, one.table.lines[0].n) for one in found.sets] == [({"lr": "0.1"}, 2), ({"lr": "0.01"}, 1)]


def test_lines_tuned_each_for_itself_stay_in_one_table(tables):
    found = tables({"seed": 0}, {"seed": 0, "lr": 0.01, "decoupling": "4:mlp_sr"})
    assert [len(one.table.lines) for one in found.sets] == [2]


def test_what_no_table_can_hold_is_said(tables):
    found = tables({"seed": 0}, {"seed": 0, "test_error": 0.2}, {"seed": 0, "task": "digits(crop=1)"})
    assert [one.rows["task"].iloc[0] for one in found.sets] == ["digits(crop=1)"]
    assert len(found.refused) == 1 and found.refused[0].startswith("2 rows are in no table: a seed counts once, got seed 0 of")
