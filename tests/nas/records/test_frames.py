"""Rows as DataFrames: numbers are numbers, flags are flags, and an empty cell is NA."""

from pathlib import Path

import pandas as pd

from nas.records.columns import COLUMNS
from nas.records.frames import numbers, typed
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import RUNS

PATH = Path(__file__).parents[3] / "results" / "adaptive" / "cifar10" / "evaluate.csv"
ROWS = [
    {"method": "dgl", "seed": "1", "lr": "0.1", "chosen": "True", "mine": "07", "params": "123456789012"},
    {"method": "", "seed": "", "lr": "", "chosen": "", "mine": "", "params": ""},
]


def test_cells_have_the_types_of_their_columns() -> None:
    frame = typed(ROWS)
    assert frame.iloc[0].to_dict() == {
        "method": "dgl",
        "seed": 1,
        "lr": 0.1,
        "chosen": True,
        "mine": "07",
        "params": 123456789012,
    }
    assert frame.iloc[1].isna().all()
    assert dict(frame.dtypes.astype(str)) == {
        "method": "string",
        "seed": "Int64",
        "lr": "Float64",
        "chosen": "boolean",
        "mine": "string",
        "params": "Int64",
    }


def test_a_file_of_ours() -> None:
    rows = ResultsLog(PATH, RUNS).rows()
    frame = typed(rows)
    assert {str(dtype) for dtype in frame.dtypes} == {"string", "Int64", "Float64", "boolean"}
    for column in frame:
        for cell, text in zip(frame[column], (row[column] for row in rows), strict=True):
            if not text:
                assert pd.isna(cell)
            else:
                assert float(cell) == float(text) if COLUMNS[column].type.is_number else str(cell) == text


def test_no_rows() -> None:
    assert typed([]).empty and numbers([]).empty


def test_columns_that_are_asked_for_are_there() -> None:
    frame = numbers(ROWS, "test_error")
    assert frame["test_error"].isna().all() and frame["lr"].tolist()[0] == 0.1 and frame["method"].tolist()[0] == "dgl"
