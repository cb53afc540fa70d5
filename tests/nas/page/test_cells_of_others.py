"""Whatever one column of a file holds, the page is made: rows that cannot be read are warnings, and cells of no use are left."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from nas.charts.results import read_given
from nas.page.data import page_data
from nas.page.page import as_json

RESULTS = Path(__file__).parents[3] / "results"
CELLS = ("", "nan", "inf", "-1", "x", "1e400", "<b>", "9" * 400, "0")
COLUMNS = {  # those in which a reader of rows lets something pass that charts and facts compute with
    "digits/evaluate.csv": ("iterations", "batch_size", "space", "command"),
    "digits/search.csv": ("iterations", "batch_size", "space", "step_seconds"),
    "digits/alpha_beta.csv": ("share_conv(depth=1,reduction=4)", "cut_share"),
    "texts_search/decisions.csv": ("head", "cut_margin"),
    "adaptive/cifar10/exits.csv": ("test_loss", "seconds"),
}


@pytest.mark.parametrize(("name", "column"), [(name, column) for name, columns in COLUMNS.items() for column in columns])
def test_any_cell_leaves_a_page(name: str, column: str, tmp_path: Path) -> None:
    with open(RESULTS / name, newline="", encoding="utf-8") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), CELLS, strict=False)]
    with open(tmp_path / Path(name).name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {column: cell} for row, cell in zip(rows, CELLS, strict=False))
    assert as_json(page_data(read_given([tmp_path]), "page"))
