"""`run.py evaluate`: trains and compares."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from nas.charts.exits import exit_charts
from nas.cli.config import Invocation
from nas.cli.drawn import drawn
from nas.cli.next_steps import command_lines, report_words, typed_here
from nas.cli.output import allowing, command_line, say, say_where
from nas.cli.plans import planning, show_plan
from nas.cli.program import program_words
from nas.cli.progress.progress import Progress
from nas.cli.terminal import columns_of
from nas.commands.evaluate import EvaluateOptions, Evaluation
from nas.evaluation.measurements.ensemble import COLUMN
from nas.report.exit_lines import exit_lines
from nas.report.exit_tables import curves_table, exits_table, summarise_curves, summarise_exits
from nas.report.short_names import short_decoupling
from nas.report.summary import failed_note, summarise, summary_table
from spaces.dotted_names import dotted_names


def run_evaluate(asked: Invocation) -> None:
    """Train and compare."""
    options: EvaluateOptions = asked.options
    progress = Progress(quiet=asked.json or asked.quiet)
    if asked.dry_run:
        with planning(options):
            return show_plan(Evaluation(options, progress, command_line()).plan(), asked)
    evaluation = Evaluation(options, progress, command_line())
    problem, log, comparison = evaluation.problem, evaluation.log, evaluation.comparison
    exits, ensemble = evaluation.exits, evaluation.ensemble
    say_where(problem, asked)
    before = len(log.rows())
    there, wanted = comparison.counts()
    if there and not (asked.json or asked.quiet):
        say(f"{there} of {wanted} runs are in {options.results} already and are not repeated")
    with progress:
        rows = evaluation.run()
    summaries, choices = summarise(rows), comparison.choices()
    exit_rows, curve_rows = comparison.measured(exits) if exits else ([], [])
    depths, leaving = summarise_exits(exit_rows), summarise_curves(curve_rows, exit_rows)
    plot = options.results.folder / "exits.png" if exit_rows else None
    if exits and plot:
        plot = drawn(exit_charts(exit_lines(exits.exits.rows(), exits.curves.rows(), problem.task)), plot)
    ensembles = summarise(comparison.with_figure(ensemble, COLUMN), COLUMN) if ensemble else []
    if asked.json:
        facts = {
            "summary": summaries,
            "chosen": choices,
            "ensemble": ensembles,
            "exits": depths,
            "adaptive": leaving,
            "curves": curve_rows,
            "rows": rows,
            "csv": log.where,
            "plot": plot and str(plot),
            "new_rows": len(log.rows()) - before,
        }
        print(json.dumps(facts, default=asdict))
        return
    if choices:
        print("chosen on validation for each method:\n" + "\n".join(map(str, choices)) + "\n")
    print(summary_table(summaries, columns_of(sys.stdout)))
    if note := failed_note(summaries, [f"{s.method} {short_decoupling(s.decoupling)}" for s in summaries]):
        print(f"\n{note}")
    if ensembles:
        print(f"\nsum of the last {options.ensemble} heads (test error; val error is the classifier's):")
        print(summary_table(ensembles, columns_of(sys.stdout)))
    if exits:
        print(f"\nstopping after each block (rows in {exits.exits.where}):\n{exits_table(depths, columns_of(sys.stdout))}")
    if exits and leaving:
        print(
            f"\nleaving as soon as an exit is sure, at the cheapest threshold with the validation error of the best exit or "
            f"less (rows in {exits.curves.where}):\n{curves_table(leaving, columns_of(sys.stdout))}"
        )
    if plot:
        print(f"\nplot {plot}")
    if asked.quiet:
        return
    print(f"\nrows in {log.where}")
    if saved := comparison.saved():
        listed = ", ".join(map(str, saved[:3])) + (f" and {len(saved) - 3} more" if len(saved) > 3 else "")
        print(f"weights in {listed}; answer new inputs with\n{predict_command(saved[0], rows)}")
    if not asked.quiet:
        print(f"a page of all results:\n{command_lines(report_words(options.results))}")


def predict_command(run: Path, rows: Iterable[Mapping[str, str]]) -> str:
    """The line that answers new inputs with a saved run, and allows the packages that components in its row are of."""
    cells = [
        row.get(column, "")
        for row in rows
        if row.get("run") == run.name
        for column in ("method", "backbone", "decoupling", "side")
    ]
    packages = sorted({re.split("[.:]", name)[0] for cell in cells for name in dotted_names(cell)})
    return shlex.join(typed_here([*program_words(), "predict", *allowing(packages), str(run)])) + " INPUTS"
