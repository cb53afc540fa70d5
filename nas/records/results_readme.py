"""results/README.md: a template of prose, and in it what `nas.records.columns` knows. `python -m nas.records.results_readme`
writes it, as does `make results/README.md`."""

from __future__ import annotations

import ast
from pathlib import Path

from nas.records.column import Column, Role
from nas.records.columns import COLUMNS
from nas.records.row_kinds import FILES

RESULTS = Path(__file__).parents[2] / "results"


def results_readme() -> str:
    """The text of results/README.md: the template with what its two places are for."""
    text = (RESULTS / "README.template.md").read_text(encoding="utf-8")
    for place, written in (("columns", columns_markdown()), ("benchmarks", benchmarks_markdown())):
        text = text.replace(f"<!-- {place} -->\n", written)
    return text


def columns_markdown() -> str:
    """The files with what a row of each is, and the columns, a table for each role, in Markdown."""
    files = _table(("file", "a row is"), [(f"`{file}.csv`", meaning) for file, meaning in FILES.items()])
    tables = [
        f"### {role.name.capitalize()}: {role.value}\n\n"
        + _table(
            ("column", "in", "holds", "unit", "better", "meaning"),
            [_line(column) for column in COLUMNS.values() if column.role is role],
        )
        for role in Role
    ]
    heading = "## Columns\n\nCells are written raw: shares in 0..1 and not percent, bytes and not MiB.\n"
    return "\n".join([files, heading, *tables])


def benchmarks_markdown() -> str:
    """What the script of each benchmark says of its CSV, in Markdown; the scripts are read, not imported."""
    scripts = [RESULTS.parent / "benchmarks" / f"{path.stem}.py" for path in sorted((RESULTS / "benchmarks").glob("*.csv"))]
    said = {script: ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) for script in scripts}
    return "\n".join(f"### `benchmarks/{script.stem}.csv`\n\n```text\n{text}\n```\n" for script, text in said.items())


def _line(column: Column) -> tuple[str, ...]:
    files = "all" if set(column.files) == {*FILES} else ", ".join(column.files)
    return f"`{column.name}`", files, column.type.name, column.unit, column.better or "", column.meaning


def _table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rows = [header, ("---",) * len(header), *lines]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in rows)


if __name__ == "__main__":
    (RESULTS / "README.md").write_text(results_readme(), encoding="utf-8")
