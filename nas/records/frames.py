"""Rows as pandas DataFrames; the types of the cells are those of their columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nas.records.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def typed(rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """The rows with numbers as numbers (Int64, Float64), flags as booleans, all else as strings; an empty cell is NA."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), dtype="string").replace("", pd.NA)
    flags = {"True": True, "False": False}
    for name in frame:
        dtype = COLUMNS[name].type.dtype if name in COLUMNS else "string"
        if dtype == "boolean":
            frame[name] = frame[name].map(flags).astype(dtype)
        elif dtype != "string":
            frame[name] = pd.to_numeric(frame[name]).astype(dtype)
    return frame


def one_a_number(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row for each number in the lists of the column, which is then a column of numbers, with its place in the list, from 1 on,
    as `number`. Rows without a list are left out."""
    import pandas as pd

    lists = frame.dropna(subset=[column])
    long = lists.assign(**{column: lists[column].str.split()}).explode(column)
    long.insert(long.columns.get_loc(column), "number", (long.groupby(level=0).cumcount() + 1).astype("Int64"))
    return long.assign(**{column: pd.to_numeric(long[column]).astype("Float64")}).reset_index(drop=True)


def numbers(rows: Iterable[Mapping[str, str]], *columns: str) -> pd.DataFrame:
    """The rows as text, but for the columns of numbers, which are numpy's, NaN where a cell is empty; `columns` are there in
    any case."""
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    for name in dict.fromkeys((*frame, *columns)):
        if name not in frame:
            frame[name] = math.nan
        elif name in columns or (name in COLUMNS and COLUMNS[name].type.is_number):
            frame[name] = pd.to_numeric(frame[name].replace("nan", ""))  # pandas takes `nan` for a word in some columns
    return frame
