"""The settings that ship with a ground truth are those of its rows, and a search of every decoupling is answered from it."""

from pathlib import Path

import pandas as pd
import pytest

from nas.cli.config import parse

FOLDER = Path(__file__).resolve().parents[2] / "results" / "tabular"
TABLES = [path for path in sorted(FOLDER.glob("*.yaml")) if path.with_suffix(".csv").exists()]  # others are still in the making


@pytest.mark.parametrize("options_file", TABLES, ids=lambda path: path.stem)
def test_the_options_beside_a_table_are_those_of_its_rows(options_file: Path) -> None:
    options = parse(["search", "--config", str(options_file)]).options
    table = options_file.with_suffix(".csv")
    assert options.evaluator == f"tabular(path='results/tabular/{table.name}')"
    rows = pd.read_csv(table)
    for name in ("batch_size", "lr", "weight_decay", "precision"):
        assert set(rows[name]) == {getattr(options, name)}
    for name in ("task", "method", "optimizer", "schedule"):
        assert set(rows[name].str.partition("(")[0]) == {getattr(options, name).partition("(")[0]}
    assert rows.groupby("seed")["decoupling"].nunique().nunique() == 1
