"""The pages of library networks say what their CSVs say."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.model_tables import PAGES, RESULTS, memory, tables, written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_made_of_its_rows(page: Path) -> None:
    assert written(page) == page.read_text(encoding="utf-8"), "python benchmarks/model_tables.py makes it anew"


def test_what_does_not_work_is_told_with_its_reason() -> None:
    rows = pd.read_csv(RESULTS / "models.csv").iloc[:2].assign(method_al=["yes", "no codes here"], outputs=["yes", "differ"])
    found = tables(rows)
    broken = rows.iloc[1]["network"]
    assert f"`{broken}` | al | no codes here |" in found and f"`{broken}` | outputs | differ |" in found
    (line,) = [line for line in found.splitlines() if f"`{broken}`" in line and "all but al" in line]
    assert "yes but outputs" in line


def test_memory_is_told_beside_backprops() -> None:
    rows = pd.read_csv(RESULTS / "memory.csv")
    first = rows.iloc[0]["network"]
    half = rows[rows["network"] == first].assign(ratio=0.125, peak=2e6, activations_ratio=0.25, activations=3e6)
    everything, activations = memory(half).splitlines()[2:]
    assert everything.startswith(f"| `{first}` | all | 2 MB | 0.12 |") and "| 3 MB | 0.25 |" in activations


def test_a_step_holds_what_nas_memory_says() -> None:
    rows = pd.read_csv(RESULTS / "memory.csv")
    assert ((rows["foreseen"] - rows["peak"]).abs() <= 0.01 * rows["peak"]).all()
