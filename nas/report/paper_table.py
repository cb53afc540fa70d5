"""The fair table for papers: LaTeX and Markdown. What is the same in all lines stands in the caption."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nas.records.columns import COLUMNS
from nas.report.fair_table import FairTable, Line, differences_told, figure_column, line_cells, published_error
from nas.report.short_names import short_cuts
from spaces.decoupling import UNCUT, Decoupling

BOLD = "Bold: of its K the lowest mean, where its 95 % interval overlaps that of no other line of that K."
PUBLISHED = (
    "Published: what papers print, with its standard deviation; ours differs in the settings that the letter names, theirs in "
    "brackets:"
)
MEANING = "Test error: mean and half its 95 % interval over n seeds."
OF_COLUMNS = {
    "training params (k)": "training: with the heads, which inference leaves out",
    "training MACs (M)": "MACs are of one sample",
    "bound": "bound: what a pipeline of the blocks can gain at most",
}


@dataclass(frozen=True)
class PaperTable:
    """Columns as text, the lines below one another by K and error; `bold` are the lines whose error is, `caption` sentences."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    error: int
    bold: frozenset[int]
    caption: tuple[str, ...]


def paper_table(fair: FairTable) -> PaperTable:
    """What LaTeX and Markdown write. A column that is the same in all of several lines is in the caption."""
    header = _header(fair)
    letters, said = differences_told(fair)
    rows = [_row(line, fair, letter) for line, letter in zip(fair.lines, letters, strict=True)]
    constant = [len(rows) > 1 and len({row[place] for row in rows}) == 1 for place in range(len(header))]
    constant[_ERROR] = constant[0] = False  # of which every table has a column
    kept = [place for place in range(len(header)) if not constant[place] and any(row[place] for row in rows)]
    alike = [(header[place], rows[0][place]) for place in range(len(header)) if constant[place] and rows[0][place]]
    shown = tuple(header[place] for place in kept)
    bold = frozenset(place for place, line in enumerate(fair.lines) if is_best(line, fair.lines))
    told = [text for column, text in OF_COLUMNS.items() if column in shown]
    alike += [(name, cell) for name, cell in fair.shared.items() if cell and not name.endswith("_digest")]
    caption = [
        MEANING,
        *([f"{'; '.join(told)}."] if told else []),
        *([BOLD] if bold else []),
        f"All lines: {', '.join(f'{name} {cell}' for name, cell in alike)}.",
        *([f"{PUBLISHED} {'; '.join(f'{letter}: {own}' for letter, own in said.items())}."] if said else []),
        *(f"Note: {note}." for note in fair.notes),
    ]
    return PaperTable(
        shown,
        tuple(tuple(row[place] for place in kept) for row in rows),
        tuple(all(re.match(r"[\d.]", row[place]) or not row[place] for row in rows) and place not in _TEXTS for place in kept),
        kept.index(_ERROR),
        bold,
        tuple(caption),
    )


_TEXTS, _ERROR = (0, 2, 3), 4  # places of method, cuts and heads, and of the error


def _header(fair: FairTable) -> tuple[str, ...]:
    memory, step, bound = (COLUMNS[name].short for name in ("peak_activation_bytes", "step_seconds", "pipeline_speedup_bound"))
    more = [figure_column(name).heading for name in (fair.lines[0].figures if fair.lines else ())]
    costs = ("params (k)", "training params (k)", "MACs (M)", "training MACs (M)", f"{memory} (MiB)", step, bound)
    beside = ("published (%)", "differs", "from") if any(line.published for line in fair.lines) else ()
    return ("method", "K", "cuts", "heads", "test error (%)", "n", *costs, *more, *beside)


def _row(line: Line, fair: FairTable, letter: str) -> tuple[str, ...]:
    point = Decoupling.parse(line.decoupling)
    method, error, *costs, heads = line_cells(line, point, fair.shared)
    one = line.published
    valued = any(other.published for other in fair.lines)
    beside = ((published_error(one), letter, one.source) if one else ("", "", "")) if valued else ()
    return (method, str(line.num_blocks), short_cuts(point) or UNCUT, heads, error, *costs, *beside)


def is_best(line: Line, lines: Sequence[Line]) -> bool:
    """Whether the line has the lowest mean of its K, and an interval that overlaps that of no other line of that K."""
    others = [other for other in lines if other is not line and other.num_blocks == line.num_blocks]
    if not others or line.interval is None:
        return False
    high = line.test_error + line.interval
    return all(other.interval is not None and high < other.test_error - other.interval for other in others)


def as_latex(fair: FairTable) -> str:
    """A table environment with rules of booktabs; whatever cells hold is text."""
    table = paper_table(fair)
    rows = []
    for place, row in enumerate(table.rows):
        cells = [latex_text(cell) for cell in row]
        if place in table.bold:
            cells[table.error] = rf"\textbf{{{cells[table.error]}}}"
        if place and fair.lines[place].num_blocks != fair.lines[place - 1].num_blocks:
            rows.append(r"\midrule")
        rows.append(" & ".join(cells) + r" \\")
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{' '.join(map(latex_text, table.caption))}}}",
            rf"\begin{{tabular}}{{{''.join('r' if numeric else 'l' for numeric in table.numeric)}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.header)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """The text as LaTeX prints it; lines may break behind commas."""
    escaped = "".join(_LATEX.get(sign, sign) for sign in text)
    return re.sub(r",(?=\S)(?!\d{3}\b)", r",\\allowbreak{}", escaped)


def as_markdown(fair: FairTable) -> str:
    """A table of GitHub's Markdown below its caption."""
    table = paper_table(fair)
    rows = []
    for place, row in enumerate(table.rows):
        cells = [markdown_text(cell) for cell in row]
        if place in table.bold:
            cells[table.error] = f"**{cells[table.error]}**"
        rows.append(cells)
    lines = [[*map(markdown_text, table.header)], ["---:" if numeric else "---" for numeric in table.numeric], *rows]
    return "\n".join([" ".join(map(markdown_text, table.caption)), "", *(f"| {' | '.join(cells)} |" for cells in lines)])


def markdown_text(text: str) -> str:
    """The text as Markdown shows it; an underscore between letters is one as it is."""
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])|[\\`*\[\]<>|~$&#]", lambda found: "\\" + found[0], text)
