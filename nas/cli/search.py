"""`run.py search`: searches a space, and shows what was found."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict, replace
from typing import Any

from methods.table import learns_jointly
from nas.cli.output import Bars, allowing, command_line, drawn, say_where
from nas.cli.parser import parser
from nas.cli.problem import checked_seeds, read_problem, read_task
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.evaluators import EVALUATORS, SearchEvaluator
from nas.notice import notice
from nas.objectives import checked_objectives
from nas.problem import Problem, Report
from nas.records.results_log import Cell, ResultsLog
from nas.records.reuse import notice_other_commits
from nas.records.row_kinds import RUNS, TRIALS
from nas.report.network import picture
from nas.report.plots import pareto_plot
from nas.report.searches import agreement, pareto_table, searches_table
from nas.runs.trained_run import run_name
from nas.search import Evaluated, Searched, common_front, search
from nas.strategies import STRATEGIES
from nas.tasks import TASKS
from nas.trials import Trials, search_key
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.notation.component import Component
from spaces.notation.errors import UserError


def run_search(options: argparse.Namespace) -> None:
    """Search once with each seed, and show what was found."""
    seeds, objectives = checked_seeds(options.seed, options.seeds), checked_objectives(options.objectives)
    progress = Bars(quiet=options.json)
    problem = read_problem(options, options.method, options.seed, options.lr, options.schedule)
    strategy = STRATEGIES.resolve(options.strategy)
    searcher = STRATEGIES.build(strategy)
    check_searchable(problem)
    problems = [replace(problem, seed=seed, objectives=objectives) for seed in seeds]
    keys = [search_key(problem, str(strategy), str(EVALUATORS.resolve(options.evaluator))) for problem in problems]
    evaluators = [read_evaluator(options, *pair, progress) for pair in zip(problems, keys, strict=True)]
    log, trials = evaluators[0].log, ResultsLog(options.results / "trials.csv", TRIALS)
    if any(trials.find({"search": run_name(key)}) is None for key in keys):  # of one that has begun all may be there
        for written_to in (trials, log) if isinstance(evaluators[0], Evaluator) else (trials,):
            written_to.check_ready()
    say_where(problem, options)
    for note in dict.fromkeys(note for evaluator in evaluators for note in evaluator.notes):
        notice(note)
    before = len(log.rows())
    with progress:
        searches = [search(searcher, problem, evaluator, progress, trials=Trials(problem, key, evaluator, command=command_line()))
                    for problem, key, evaluator in zip(problems, keys, evaluators, strict=True)]
    pairs = zip(evaluators, searches, strict=True)
    notice_other_commits(row for evaluator, searched in pairs for row in map(evaluator.recorded, searched.scores) if row)
    front = common_front(searches, objectives)
    best = front[0]
    plot = options.results / "pareto.png" if len(objectives) > 1 else None
    if plot:
        plot = drawn(pareto_plot, [point for searched in searches for point in searched.evaluated], front, objectives, plot)
    place = seeds.index(best.seed)
    facts = {"decoupling": str(best.decoupling), "row": evaluators[place].recorded(best.decoupling),
             "notes": searches[place].found.notes, "csv": str(log.path), "new_rows": len(log.rows()) - before,
             "plot": plot and str(plot), "next": next_command(options, best.decoupling)}
    if options.json:
        print(json.dumps(facts | search_facts(searches, front)))
    else:
        show_searches(problem, searches, front, facts, trains=isinstance(evaluators[place], Evaluator))


def search_facts(searches: list[Searched], front: list[Evaluated]) -> dict[str, Any]:
    """Each search's answer, how far they agree, and the Pareto front, for programs."""
    answers = [{"seed": searched.seed, "decoupling": str(searched.found.decoupling), "validation_error": searched.score.error,
                "status": searched.score.status, "notes": searched.found.notes} for searched in searches]
    points = [{"seed": point.seed, "decoupling": str(point.decoupling), "validation_error": point.score.error,
               "peak_activation_bytes": point.score.peak_activation_bytes,
               "pipeline_speedup_bound": point.score.pipeline_speedup_bound, "status": point.score.status} for point in front]
    return {"searches": answers, "agreement": asdict(agreement(searches)) if len(searches) > 1 else None, "front": points}


def show_searches(problem: Problem, searches: list[Searched], front: list[Evaluated], facts: dict[str, Any], *,
                  trains: bool) -> None:
    """The same for people, with a picture of the lowest error; `trains` where scores were not looked up in a table."""
    best = front[0]
    if len(searches) > 1:
        print(f"{searches_table(searches)}\n")
    print(picture(best.decoupling, problem.space.num_units, joint=learns_jointly(problem.method)))
    if facts["plot"]:
        print(f"\n{pareto_table(front)}")
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
    print(f"next        {facts['next']}")


def read_evaluator(options: argparse.Namespace, problem: Problem, key: dict[str, Cell], report: Report) -> SearchEvaluator:
    """What scores the decouplings of the search with this key: their training, or what --evaluator puts in its place."""
    log = ResultsLog(options.results / "search.csv", RUNS)
    training = Evaluator(problem, log, report, command=command_line(), test=False,
                         weights="required" if options.save_weights else "discarded",
                         labels={"strategy": key["strategy"], "search": run_name(key)})
    return EVALUATORS.build(options.evaluator, training)


def check_searchable(problem: Problem) -> None:
    """Refuse a search whose answer the method would ignore, and heads that it cannot learn with."""
    point = next(decoupling for decoupling in problem.space.enumerate() if decoupling.cuts or problem.space.size == 1)
    for asked in [point.with_head(head) for head in problem.space.heads]:
        trained = problem.adapt(asked)
        if trained.cuts != asked.cuts or (len(problem.space.heads) > 1 and trained != asked):
            raise UserError(f"method {problem.method} trains '{trained}' when '{asked}' is asked for, so this search would have "
                            f"no effect; choose another method, or a space with one head, in which only the cuts are searched")


def next_command(options: argparse.Namespace, found: Decoupling) -> str:
    """The evaluate line for what was found, next to the baselines."""
    task = read_task(options)
    defaults = TASKS.parameters(task.name)
    kept = tuple((name, value) for name, value in task.settings if name != "validation" and value != defaults[name].default)
    others = ["backprop"] if NO_HEAD in found.heads else ["dgl", "predsim", "backprop"]
    methods = dict.fromkeys([options.method, *others])
    parts = ["python", "run.py", "evaluate", "--space", options.space, "--task", str(Component(task.name, kept)),
             "--decoupling", str(found), f"even({found.num_blocks})", "--methods", *methods, "--seeds", "3"]
    usual = vars(parser().parse_args(["evaluate"]))
    for name in ("data_dir", "results", "runs", "batch_size", "lr", "schedule", "weight_decay", "optimizer", "precision",
                 "compile", "class_batches", "device", "threads"):
        value = getattr(options, name)
        if value not in (usual[name], *(usual[name] if isinstance(usual[name], list) else [])):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    parts += allowing(options.allow)
    parts += [f"--{name.replace('_', '-')}" for name in ("checkpoint_units", "deterministic") if getattr(options, name)]
    return shlex.join(parts)
