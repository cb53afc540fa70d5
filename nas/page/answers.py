"""The best answers: of each set of rows that compares, and of each search, the decoupling that validation speaks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from nas.charts.network import network_of
from nas.charts.results import Given
from nas.charts.trajectories import SAME
from nas.page.asked import Row
from nas.page.pool import Pool
from nas.page.tables import error_text
from nas.records.columns import COLUMNS
from nas.records.partial import is_partial, whole_rows
from nas.records.status import OK
from nas.report.fair_tables import ShownLine, Table
from nas.report.short_names import short_decoupling, short_names

MOST = 12  # answers of one kind that a page has


def answers_of(given: Given, pool: Pool) -> list[dict[str, Any]]:
    """Those of the largest tables, or where there are none those of the largest searches."""
    compared = [answer for table in given.tables[:MOST] if (answer := _of_table(table, pool))]
    return compared or _of_searches(_candidates(given), pool)


def _candidates(given: Given) -> list[Row]:
    """The rows of searches that may be an answer: all but those that were asked for at fidelities below 1 alone."""
    short, whole = (
        {trial["run"] for trial in given.trials if trial.get("run") and is_partial(trial) == partial} for partial in (True, False)
    )
    return [row for row in whole_rows(dict(row) for row in given.search) if row.get("run") not in short - whole]


def _of_table(table: Table, pool: Pool) -> dict[str, Any] | None:
    """Of the lines in several blocks the one with the lowest mean error on validation, which is what one may choose by."""
    lines = [line for line in table.lines if line.line.num_blocks > 1]
    if not lines:
        return None
    best = min(lines, key=_validation)
    uncut = [
        line
        for line in table.lines
        if line.line.num_blocks == 1 and not line.line.checkpoint_units and line.line.decoupling == "uncut"
    ]
    whole = min(uncut, key=lambda line: line.line.test_error, default=None)
    number = f"{len(lines):,} lines" if len(lines) > 1 else "1 line"
    return {
        "table": table.name,
        "title": f"{best.label} on {short_decoupling(best.line.decoupling)}",
        "about": f"Of {number} in several blocks the one with the lowest validation error, "
        f"{100 * _validation(best):.2f} %. The test error had no say.",
        "figures": _figures(best, whole),
        "command": pool.number(best.command),
        "group": pool.number(best.key),
        "network": _picture(best.rows[0]),
    }


def _validation(line: ShownLine) -> float:
    """The mean error on validation; a run that failed was wrong always."""
    return fmean(float(row["validation_error"] or 1) for row in line.rows)


def _figures(answer: ShownLine, uncut: ShownLine | None) -> list[tuple[str, str, str]]:
    """Name, value, and what it is beside the network in one piece where rows have that."""
    best, whole, label = answer.line, uncut.line if uncut else None, uncut.label.partition("(")[0] if uncut else ""
    peak, step, macs = (COLUMNS[name] for name in ("peak_activation_bytes", "step_seconds", "macs"))
    beside = f" of {label}'s" if whole else ""

    def share(own: float | None, other: float | None) -> str:
        return f"{own / other:.2f}{beside}" if own and other else ""

    found = [
        (
            "test error",
            error_text(best) + " %",
            f"{best.test_error - whole.test_error:+.2f} against {label}" if whole else f"{best.n} seeds",
        ),
        ("blocks", str(best.num_blocks), ""),
        (
            "peak of activations",
            f"{peak.show(best.peak_activation_bytes)} MiB",
            share(best.peak_activation_bytes, whole.peak_activation_bytes if whole else None),
        ),
        (
            "training MACs a sample",
            f"{macs.show(best.train_macs)} M",
            share(best.train_macs, whole.train_macs if whole else None),
        ),
    ]
    if best.step_seconds is not None:
        found.append(
            ("seconds a step", step.show(best.step_seconds), share(best.step_seconds, whole.step_seconds if whole else None))
        )
    if best.pipeline_speedup_bound is not None:
        found.append(("pipeline bound", f"{best.pipeline_speedup_bound:.2f}", ""))
    return found


def _picture(row: Mapping[str, object]) -> dict[str, Any]:
    """The network of a row as the page draws it."""
    network = network_of(row)
    return {
        "joint": network.joint,
        "text": network.about,
        "notes": network.unknown,
        "blocks": [{"units": block.units, "range": block.range, "head": block.head} for block in network.blocks],
        "costs": [asdict(cost) for cost in network.costs],
    }


def _of_searches(rows: Sequence[Row], pool: Pool) -> list[dict[str, Any]]:
    searches: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.get("status") == OK and row.get("strategy", "").partition("(")[0] != "tune":
            searches.setdefault(tuple(row.get(name) or "" for name in SAME), []).append(row)
    largest = sorted(searches.values(), key=len, reverse=True)[:MOST]
    return [
        _of_search(min(own, key=lambda row: float(row["validation_error"])), len({row["decoupling"] for row in own}), pool)
        for own in largest
    ]


def _of_search(best: Row, asked: int, pool: Pool) -> dict[str, Any]:
    peak, macs, bound = (COLUMNS[name] for name in ("peak_activation_bytes", "macs", "pipeline_speedup_bound"))
    short = short_decoupling(best["decoupling"])
    which = (
        f"of {asked:,} decouplings that were trained the one with the lowest validation error" if asked > 1 else "the only one"
    )
    figures = [
        ("validation error", f"{100 * float(best['validation_error']):.2f} %", f"seed {best['seed']}"),
        ("blocks", best["num_blocks"], ""),
        ("peak of activations", f"{peak.show(float(best['peak_activation_bytes']))} MiB", ""),
        ("training MACs a sample", f"{macs.show(float(best['macs']) + float(best['head_macs']))} M", ""),
        ("pipeline bound", bound.show(float(best["pipeline_speedup_bound"])), ""),
    ]
    return {
        "table": "",
        "title": f"{short_names([best['method']])[best['method']]} on {short}",
        "about": f"{best['task'].partition('(')[0]}: {which}. What it does on the test split is for `evaluate` to say.",
        "figures": figures,
        "command": pool.number(best.get("command", "")),
        "group": pool.number(""),  # of no line: nothing else on the page can be narrowed to it
        "network": _picture(best),
    }
