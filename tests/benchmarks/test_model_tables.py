"""The page of models says what its CSV says."""

import pandas as pd

from benchmarks.model_tables import PAGE, ROWS, page_with, tables


def test_the_page_is_made_of_the_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page_with(text, pd.read_csv(ROWS)) == text, "python benchmarks/model_tables.py makes it anew"


def test_what_does_not_work_is_told_with_its_reason() -> None:
    rows = pd.read_csv(ROWS).iloc[:2].assign(method_al=["yes", "no codes here"], outputs=["yes", "differ by 1e-01"])
    found = tables(rows)
    broken = rows.iloc[1]["network"]
    assert f"`{broken}` | al | no codes here |" in found and f"`{broken}` | outputs | differ by 1e-01 |" in found
    (line,) = [line for line in found.splitlines() if f"`{broken}`" in line and "all but al" in line]
    assert "yes but outputs" in line
