"""`plot`: the charts of results as figures for papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.charts.chart import Chart, Drawable
from nas.charts.drawn.chart_panel import leaves_panel
from nas.charts.drawn.figure import FORMATS, draw
from nas.charts.drawn.texts import COLUMN
from nas.charts.network import Network, networks
from nas.charts.results import Given, read_given
from nas.charts.table import CHARTS
from nas.commands.option import keywords_of, option, required
from nas.commands.python_call import python_call
from nas.commands.shared_options import WhereOptions
from nas.records.results_log import check_folder
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError, unknown

NETWORKS = "networks"  # the pictures of decouplings, beside `CHARTS`
KINDS = (*CHARTS, NETWORKS)
WIDEST = 40.0  # inches
ARROWS = "Where a whisker ends in an arrow, the interval goes on behind the edge."


@dataclass(frozen=True, kw_only=True)
class PlotOptions(WhereOptions):
    """What `plot` takes."""

    results: tuple[str, ...] = required(
        "folders of results, CSV files, or URLs of results stores", metavar="RESULTS", positional=True
    )
    charts: tuple[str, ...] = option(
        (), f"only these: {', '.join(KINDS)}; or the name of one file, without its ending", metavar="NAME"
    )
    out: Path = option(Path("figures"), "the folder of the figures, each a file of the chart's name", metavar="FOLDER")
    format: str = option("svg", "of the files", choices=FORMATS)
    width: float = option(COLUMN, "inches; a column of a paper is about 3.5, its whole width 7", metavar="INCHES")
    time_blocks: bool = option(
        False, "also time training steps on this machine, two seconds a network, for pictures with the seconds of each block"
    )


@dataclass(frozen=True)
class Figure:
    """A file, and what is on it: the chart's kind, its title, and a caption."""

    path: Path
    kind: str
    title: str
    caption: str


def plotted(options: PlotOptions) -> tuple[list[Figure], Given]:
    """Draw what is asked for; the figures in the order of a report, and the rows that they are made of."""
    if not 0.5 <= options.width <= WIDEST:
        raise UserError(f"--width is in inches, from 0.5 to {WIDEST:g}, got {options.width:g}; give another")
    try:
        if options.out.exists() and not options.out.is_dir():
            raise UserError(f"--out is a folder, got {options.out}, which is a file; name another")
        check_folder(options.out)
    except OSError as error:
        raise UserError(f"--out cannot be written: {options.out}: {error.strerror}; name another folder") from None
    given = read_given(options.results, options.where)
    places = ", ".join(redacted(place) for place in options.results)
    if given.is_empty():
        why = given.warnings[0] if given.warnings else "nothing is there"
        raise UserError(f"a figure is of rows that search or evaluate wrote, got {places}: {why}; name others")
    found = _asked(given, options.charts, places, timed=options.time_blocks)
    if options.time_blocks and not any(isinstance(chart, Network) for chart in found):
        raise UserError(f"--time-blocks is for pictures of {NETWORKS}, got none; leave it out")
    if not found:
        raise UserError(f"no chart can be made of {places}: there is nothing to compare; name others")
    return [_drawn(chart, options) for chart in found], given


def _asked(given: Given, names: Sequence[str], places: str, *, timed: bool) -> list[Drawable | Network]:
    """The charts of these kinds or names, or all; one that the results do not hold is a UserError."""
    kinds = [name for name in names if name in KINDS]
    single = [name for name in dict.fromkeys(names) if name not in KINDS]
    made: dict[str, list[Drawable | Network]] = {}
    for kind in KINDS:
        if not names or kind in kinds or any(name.startswith(_begins(kind)) for name in single):
            made[kind] = [*(networks(given, timed=timed) if kind == NETWORKS else CHARTS[kind](given))]
    for kind in kinds:
        if not made[kind]:
            held = ", ".join(other for other in CHARTS if CHARTS[other](given)) or "none"
            raise UserError(f"a chart is of rows that are there, got {kind}, for which {places} has none; there is {held}")
    every = {chart.name: chart for charts in made.values() for chart in charts}
    for name in single:
        if name not in every:
            raise unknown("chart", name, [*KINDS, *every])
    return [chart for kind, charts in made.items() for chart in charts if not names or kind in kinds or chart.name in single]


def _begins(kind: str) -> str:
    """How the names of its charts begin: those of networks, of searches and of exits have words of their own behind it."""
    return kind.removesuffix("s")


def _drawn(chart: Drawable | Network, options: PlotOptions) -> Figure:
    path = options.out / f"{chart.name}.{options.format}"
    try:
        draw([chart], path, width=options.width)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; name another folder by --out") from None
    beyond = ARROWS if isinstance(chart, Chart) and leaves_panel(chart) else ""
    caption = " ".join(part for part in (chart.about, beyond, f"({chart.note})" if chart.note else "") if part)
    return Figure(path, chart.kind, chart.title, caption)


@keywords_of(PlotOptions, "results")
def plot(*given: Any, **options: Any) -> list[Figure]:
    """Draw the charts of results as figures for papers, as `run.py plot` does: a list of files, each with its caption.

    for figure in nas.plot("results", charts=["error_memory", "networks"], out="figures", format="pdf"):
        print(figure.path, figure.caption)
    """
    with python_call(PlotOptions, "plot", ("results",), given, options) as (read, _):
        return plotted(read)[0]
