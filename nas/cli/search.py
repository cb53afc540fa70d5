"""`run.py search`: searches a space, and shows what was found."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from typing import Any

from methods.table import traits
from nas.charts.pareto import pareto_charts
from nas.cli.config import Invocation
from nas.cli.drawn import drawn
from nas.cli.next_steps import command_lines, leave_report, watch_words
from nas.cli.output import allowing, command_line, say_where
from nas.cli.plans import planning, show_search_plan
from nas.cli.program import program_words
from nas.cli.progress.progress import Progress
from nas.cli.terminal import columns_of
from nas.commands.evaluate import EvaluateOptions
from nas.commands.option import options_of
from nas.commands.problem import read_task
from nas.commands.search import Search
from nas.commands.search_options import SearchOptions
from nas.problem import Problem
from nas.report.network import picture
from nas.report.searches import agreement, pareto_table, searches_table
from nas.searches import Evaluated, Searched
from nas.tasks import TASKS
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.notation.component import Component


def run_search(asked: Invocation) -> None:
    """Search once with each seed, and show what was found."""
    options: SearchOptions = asked.options
    progress = Progress(quiet=asked.json or asked.quiet)
    if asked.dry_run:
        with planning(options):
            return show_search_plan(Search(options, progress, command_line()).plan(), asked)
    ready = Search(options, progress, command_line())
    say_where(ready.problem, asked)
    with progress:
        result = ready.run()
    plot = options.results.folder / "pareto.png" if len(ready.objectives) > 1 else None
    if plot:
        evaluated = [point for searched in result.searches for point in searched.evaluated]
        plot = drawn(pareto_charts(evaluated, result.front, ready.objectives), plot)
    words = next_words(options, result.decoupling)
    facts = {
        "decoupling": str(result.decoupling),
        "row": result.row,
        "notes": result.found.notes,
        "csv": str(result.csv),
        "new_rows": result.new_rows,
        "plot": plot and str(plot),
        "next": shlex.join(words),
    }
    if asked.json:
        print(json.dumps(facts | search_facts(result.searches, result.front)))
    else:
        show_searches(ready.problem, result.searches, result.front, facts, trains=ready.trains)
        if asked.leaves_report and (report := leave_report(options.results)):
            print(f"report      {report}, a page of all results: open it in a browser")
        if not asked.quiet:
            print(f"\nnext, train what was found beside baselines:\n\n{command_lines(words)}")
            print(f"\nand see it live, while it runs:\n\n{command_lines(watch_words(options.results))}")


def search_facts(searches: list[Searched], front: list[Evaluated]) -> dict[str, Any]:
    """Each search's answer, how far they agree, and the Pareto front, for programs."""
    answers = [
        {
            "seed": searched.seed,
            "decoupling": str(searched.found.decoupling),
            "validation_error": searched.score.error,
            "status": searched.score.status,
            "notes": searched.found.notes,
        }
        for searched in searches
    ]
    points = [
        {
            "seed": point.seed,
            "decoupling": str(point.decoupling),
            "validation_error": point.score.error,
            "peak_activation_bytes": point.score.peak_activation_bytes,
            "pipeline_speedup_bound": point.score.pipeline_speedup_bound,
            "status": point.score.status,
        }
        for point in front
    ]
    return {"searches": answers, "agreement": asdict(agreement(searches)) if len(searches) > 1 else None, "front": points}


def show_searches(
    problem: Problem, searches: list[Searched], front: list[Evaluated], facts: dict[str, Any], *, trains: bool
) -> None:
    """The same for people, with a picture of the lowest error; `trains` where scores were not looked up in a table."""
    best = front[0]
    if len(searches) > 1:
        print(f"{searches_table(searches, columns_of(sys.stdout))}\n")
    print(picture(best.decoupling, problem.space.num_units, joint=traits(problem.method).end_to_end))
    if facts["plot"]:
        print(f"\n{pareto_table(front, columns_of(sys.stdout))}")
    print(f"\nfound       {best.decoupling}")
    print(f"validation  {100 * best.score.error:.2f} % error, {best.score.status}")
    for note in facts["notes"]:
        print(f"note        {note}")
    if trains:
        known = "" if facts["new_rows"] else " (all were there already)"
        print(f"rows        {facts['new_rows']} new in {facts['csv']}{known}")
    else:
        print(f"answers     from {facts['csv']}, made at commit {facts['row'].get('commit') or 'unknown'}")
    if facts["plot"]:
        print(f"plot        {facts['plot']}")


# What the next command says in its own words, or does not take over from the search.
OF_SEARCH = ("space", "task", "embeddings", "seeds", "epochs", "iterations", "allow", "save_weights")


def next_words(options: SearchOptions, found: Decoupling) -> list[str]:
    """Of the evaluate line for what was found, next to the baselines, with all options of both commands that are not the
    usual."""
    task = read_task(options)
    defaults = TASKS.parameters(task.name)
    settings = tuple((name, value) for name, value in task.settings if name != "validation" and value != defaults[name].default)
    others = ["backprop"] if NO_HEAD in found.heads else ["dgl", "predsim", "backprop"]
    methods = dict.fromkeys([options.method, *others])
    parts = [
        *program_words(),
        "evaluate",
        "--space",
        options.space,
        "--task",
        str(Component(task.name, settings)),
        "--decoupling",
        str(found),
        f"even({found.num_blocks})",
        "--methods",
        *methods,
        "--seeds",
        "3",
    ]
    for name, one in options_of(EvaluateOptions).items():
        if name in OF_SEARCH or not hasattr(options, name):
            continue
        value = getattr(options, name)
        if value not in (one.default, *(one.default if one.several else ())):
            parts += [one.flag] if value is True else [one.flag, str(value)]
    return [*parts, *allowing(options.allow)]
