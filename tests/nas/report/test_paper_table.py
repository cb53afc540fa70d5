"""The fair table for papers: Markdown's cells are the table's, LaTeX compiles, and bold is what the caption says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nas.report.comparable import read_rows
from nas.report.fair_table import FairTable, fair_table, line_cells
from nas.report.paper_table import as_latex, as_markdown, is_best, latex_text, markdown_text, paper_table
from spaces.decoupling import Decoupling

RESULTS = Path(__file__).parents[3] / "results"
HOSTILE = r"own.m(a='\input{x}',b='$x$ & 50% #1 ~^_|*b*`c`<script>[a](b)')"


@pytest.fixture(scope="module")
def converged() -> FairTable:
    return fair_table(read_rows([RESULTS / "converged" / "evaluate.csv"]))


def markdown_cells(text: str) -> list[list[str]]:
    """The cells of the table below its head, as they are shown."""
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell.replace("**", "")) for cell in line] for line in cells]


def test_cells_of_markdown_are_those_of_the_table(converged: FairTable) -> None:
    found = markdown_cells(as_markdown(converged))
    assert len(found) == len(converged.lines)
    for cells, line in zip(found, converged.lines, strict=True):
        method, error, *costs, heads = line_cells(line, Decoupling.parse(line.decoupling), converged.shared)
        assert cells[0] == method and cells[1] == str(line.num_blocks) and heads in cells
        half = "" if line.n == 1 else f"±{line.interval:.2f}"
        assert f"{line.test_error:.2f}{half}" == error and error in cells
        assert set(cells) - {"", "uncut"} <= {method, error, *costs, heads, str(line.num_blocks), "4", "2,4,6"}


def test_what_is_the_same_in_all_lines_is_in_the_caption_alone(converged: FairTable) -> None:
    three = replace(converged, lines=tuple(line for line in converged.lines if line.n == 3))
    table = paper_table(three)
    assert (
        "n" in paper_table(converged).header
        and "n" not in table.header
        and "All lines: n 3, params (k) 1,769.8, MACs (M) 11.07, backbone vgg11(width=1.0), task" in " ".join(table.caption)
    )
    assert [table.header[0], table.header[table.error]] == ["method", "test error (%)"]
    alone = paper_table(replace(converged, lines=converged.lines[:1]))
    assert "n" in alone.header and len(alone.rows) == 1


def test_bold_is_the_lowest_of_its_k_whose_interval_is_apart(converged: FairTable) -> None:
    lines = {(line.method, line.num_blocks): line for line in converged.lines}
    best = {key for key, line in lines.items() if is_best(line, converged.lines)}
    assert best == {("dgl", 2)}  # 18.62 ± 0.77 and 25.77 ± 1.73; those of K=4 overlap, and K=1 has exits beside what has none
    text = as_latex(converged)
    assert text.count(r"\textbf{") == 1 and r"\textbf{18.62$\pm$0.77}" in text and "**18.62±0.77**" in as_markdown(converged)
    alone = lines["dgl", 2]
    assert not is_best(alone, [alone]) and not is_best(replace(alone, interval=None), converged.lines)
    unsure = [alone, replace(lines["predsim", 2], interval=None)]
    assert not is_best(alone, unsure)


def test_no_cell_is_a_command_of_latex_or_of_markdown(converged: FairTable) -> None:
    hostile = replace(converged, lines=(replace(converged.lines[0], method=HOSTILE), *converged.lines[1:]))
    latex, markdown = as_latex(hostile), as_markdown(hostile)
    assert r"\input" not in latex and r"\textbackslash{}input\{x\}" in latex and r"\$x\$ \& 50\% \#1" in latex
    assert markdown_cells(markdown)[0][0] == HOSTILE and "<script>" not in markdown.replace(r"\<script\>", "")
    assert latex_text("1,769.8 a,b") == r"1,769.8 a,\allowbreak{}b"
    assert markdown_text("label_smoothing _x_ 2*3") == r"label_smoothing \_x\_ 2\*3"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(converged: FairTable, tmp_path: Path) -> None:
    hostile = replace(converged, lines=(replace(converged.lines[0], method=HOSTILE), *converged.lines[1:]))
    packages = r"\usepackage{booktabs}\usepackage[T1]{fontenc}\usepackage{textcomp}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{as_latex(hostile)}\end{{document}}"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"], cwd=tmp_path, check=True)
    assert (tmp_path / "table.pdf").stat().st_size


def test_every_environment_is_closed_and_each_line_has_all_columns(converged: FairTable) -> None:
    text = as_latex(converged)
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1] == ["table", "tabular"]
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == len(converged.lines) + 1 and {line.count(" & ") + 1 for line in rows} == {len(columns)}
    assert text.count(r"\midrule") == 1 + len({line.num_blocks for line in converged.lines}) - 1


def test_published_values_stand_in_columns_and_what_differs_in_the_caption() -> None:
    fair = fair_table(read_rows([RESULTS / "cifar10_resnet32" / "evaluate.csv"]), published=True)
    table = paper_table(fair)
    assert table.header[-3:] == ("published (%)", "differs", "from")
    valued = [row for row in table.rows if row[-3]]
    assert ("8.13±0.23", "a", "InfoPro Table 2") in [row[-3:] for row in valued]
    told = " ".join(table.caption)
    assert "all: init default (fan_out)" in told and all(f" {row[-2]}: " in told for row in valued if row[-2])
