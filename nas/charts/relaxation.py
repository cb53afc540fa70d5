"""What SEDONA learned: alpha and beta over meta-steps as heat maps, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence

from nas.charts.chart import Axis, Chart, Drawable, HeatMap, Point, Series
from nas.charts.look import looks
from nas.charts.results import Given, Row
from nas.charts.words import named
from nas.report.short_names import short_head
from spaces.notation.errors import UserError

SHARE = "share_"
STEPS = Axis("meta-step")


def alpha(given: Given) -> list[Drawable]:
    """How much each gap is cut, over the meta-steps of each search."""
    charts: list[Drawable] = []
    for name, told, rows in _searches(given.alpha_beta):
        gaps, steps = _gaps(rows), _steps(rows)
        cells = {(row["gap"], row["meta_step"]): _number(row.get("cut_share")) for row in rows}
        values = tuple(tuple(cells.get((gap, step)) for step in steps) for gap in gaps)
        if not any(value is not None for of_gap in values for value in of_gap):
            continue
        cut = _cut(given, rows[0])
        charts.append(
            HeatMap(
                named("alpha", name),
                "alpha",
                "Where to cut, over meta-steps",
                "The share with which SEDONA cuts each gap, from 0 to 1, after each meta-step: softmax of alpha, given the "
                "space's constraints." + (f" It decided to cut after {', '.join(sorted(cut, key=int))} units." if cut else ""),
                STEPS,
                Axis("gap, units before it", names=tuple(gaps)),
                tuple(map(float, steps)),
                values,
                Axis("share of cutting"),
                0.0,
                1.0,
                tuple(place for place, gap in enumerate(gaps) if gap in cut),
                _command(given, rows[0]),
                note=told,
            )
        )
    return charts


def beta(given: Given) -> list[Drawable]:
    """How much of each head each gap has, over the meta-steps of each search."""
    charts: list[Drawable] = []
    for name, told, rows in _searches(given.alpha_beta):
        there = dict.fromkeys(column for row in rows for column, cell in row.items() if cell)  # a file has heads of all searches
        heads = [column for column in there if column.startswith(SHARE)]
        gaps, steps = _gaps(rows), _steps(rows)
        of_rows = {(row["gap"], row["meta_step"]): row for row in rows}
        own = {(row["gap"], head) for row in rows for head in heads if row.get(head)}
        pairs = [(gap, head) for gap in gaps for head in heads if (gap, head) in own] if len(heads) > 1 else []
        values = tuple(tuple(_number(of_rows.get((gap, step), {}).get(head)) for step in steps) for gap, head in pairs)
        if not any(value is not None for of_pair in values for value in of_pair):
            continue
        cut = _cut(given, rows[0])
        charts.append(
            HeatMap(
                named("beta", name),
                "beta",
                "Which head, over meta-steps",
                "The share of each candidate head at each gap, from 0 to 1, after each meta-step: softmax of beta. The rows of a "
                "gap stand together.",
                STEPS,
                Axis("gap and head", names=tuple(f"{gap} {_head(head.removeprefix(SHARE))}" for gap, head in pairs)),
                tuple(map(float, steps)),
                values,
                Axis("share of the head"),
                0.0,
                1.0,
                tuple(place for place, (gap, head) in enumerate(pairs) if cut.get(gap) == head.removeprefix(SHARE)),
                _command(given, rows[0]),
                note=told,
            )
        )
    return charts


def decisions(given: Given) -> list[Drawable]:
    """Which gaps SEDONA cuts for each K, with which heads, and how sure it was."""
    charts: list[Drawable] = []
    for name, told, rows in _searches(given.decisions):
        counts = sorted({row["num_blocks"] for row in rows}, key=int)
        of_heads: dict[str, list[Point]] = {}
        for row in sorted(rows, key=lambda row: (int(row["num_blocks"]), int(row["gap"]))):
            point = Point(
                float(row["gap"]), float(counts.index(row["num_blocks"])), text=_decided(row), command=_command(given, row)
            )
            of_heads.setdefault(_head(row["head"]), []).append(point)
        colours = looks(sorted(of_heads))
        charts.append(
            Chart(
                named("decisions", name),
                "decisions",
                "What was decided",
                "The gaps that SEDONA cuts for each K, the number of blocks, and the heads that it puts there.",
                Axis("gap, units before it"),
                Axis("blocks (K)", names=tuple(counts)),
                tuple(
                    Series(head, tuple(points), "points", colours[head].colour, colours[head].marker)
                    for head, points in sorted(of_heads.items())
                ),
                note=told,
            )
        )
    return charts


def _decided(row: Row) -> str:
    margins = [
        f"{name.replace('_', ' ')} {float(row[name]):.3g}"
        for name in ("cut_share", "cut_margin", "head_share", "head_margin")
        if row.get(name)
    ]
    return "\n".join(
        [f"K = {row['num_blocks']}, cut after {row['gap']} units", _head(row["head"]), *margins, row.get("certainty", "")]
    )


def _searches(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """The rows of each search and seed, with what tells it from the others: a name and words."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["run"], row["seed"]), []).append(row)
    several = len({run for run, _ in found}) > 1
    if len(found) == 1:
        return [("", "", own) for own in found.values()]
    return [
        (named(f"seed{seed}", run[:8] if several else ""), f"seed {seed}" + (f", search {run}" if several else ""), own)
        for (run, seed), own in found.items()
    ]


def _cut(given: Given, row: Row) -> dict[str, str]:
    """The gaps that the row's search decided to cut, with their heads, of the K that its answer has; of several the largest."""
    own = [one for one in given.decisions if (one["run"], one["seed"]) == (row["run"], row["seed"])]
    largest = max((int(one["num_blocks"]) for one in own), default=0)
    return {one["gap"]: one["head"] for one in own if int(one["num_blocks"]) == largest}


def _gaps(rows: Sequence[Row]) -> list[str]:
    return sorted({row["gap"] for row in rows}, key=int)


def _steps(rows: Sequence[Row]) -> list[str]:
    return sorted({row["meta_step"] for row in rows}, key=int)


def _head(cell: str) -> str:
    """The head in short, where the cell or the column's name holds one."""
    try:
        return short_head(cell)
    except UserError:
        return cell


def _number(cell: str | None) -> float | None:
    """Of a cell whose column each space names anew, so that no reader of rows has checked it."""
    try:
        return float(cell) if cell else None
    except ValueError:
        return None


def _command(given: Given, row: Row) -> str:
    """Of the search's first row."""
    return next(
        (one.get("command", "") for one in (*given.trials, *given.search) if row["run"] in (one.get("search"), one.get("run"))),
        "",
    )
