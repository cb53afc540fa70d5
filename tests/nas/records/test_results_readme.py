"""results/README.md is what the columns say today, and the columns are those of the files."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from nas.records.column import Role
from nas.records.columns import COLUMNS
from nas.records.results_readme import RESULTS, benchmarks_markdown, columns_markdown, results_readme
from nas.records.row_kinds import FILES


def test_the_readme_is_current() -> None:
    written = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert written == results_readme(), "write it anew: python -m nas.records.results_readme"


def test_every_column_and_file_is_in_it_once() -> None:
    lines = columns_markdown().splitlines()
    for name in (*COLUMNS, *(f"{file}.csv" for file in FILES)):
        assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1, name


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(RESULTS.rglob("*.csv")) if path.stem in FILES],
    ids=lambda path: str(path.relative_to(RESULTS)),
)
def test_each_column_of_a_file_is_said_to_be_in_it(path: Path) -> None:
    check_columns(path)


def check_columns(path: Path) -> None:
    """Each column of a file that was just written is an entry that names the file."""
    with open(path, newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    for column in header:
        prefix, _, rest = column.partition("_")
        name = f"{prefix}_HEAD" if prefix in ("share", "beta") and rest else column
        assert path.stem in COLUMNS[name].files


def test_each_column_has_a_plain_sentence_and_figures_say_which_way_is_better() -> None:
    for column in COLUMNS.values():
        assert column.meaning[0].isupper() or column.meaning[0] in "`a_" or column.meaning.startswith("exits.csv"), column.name
        assert column.meaning.endswith(".") and {*column.always} <= {*column.files} <= {*FILES}
        if column.tabled and column.name != "num_blocks":
            assert column.role is Role.FIGURE and column.better


def test_reading_results_imports_nothing_heavy() -> None:
    program = """
import sys
import nas.records.results_log, nas.records.frames, nas.records.results_readme
print(sorted({"torch", "pandas", "numpy", "scipy", "matplotlib"} & set(sys.modules)))
"""
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=RESULTS.parent, capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_the_csv_of_each_benchmark_is_described_by_its_script() -> None:
    text = benchmarks_markdown()
    for path in (RESULTS / "benchmarks").glob("*.csv"):
        assert f"### `benchmarks/{path.name}`" in text
    assert "None" not in text.splitlines()
