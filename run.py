"""Search where to cut a network and which heads to use; evaluate what was found. `python run.py --help` says more."""

import sys

from nas.cli.current_folder import leave_out_current_folder, put_current_folder_last

if __name__ == "__main__":  # before anything is imported that Python has not loaded yet, `__future__` included
    leave_out_current_folder(__file__)

from nas.cli.process import Ended, end_at_once_on_signals, open_streams, signals_raise_ended, unbroken_streams

if __name__ == "__main__":  # before the imports below, which take seconds
    open_streams()
    end_at_once_on_signals()

import argparse
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any, NoReturn, Self

import torch
import yaml
from tqdm import tqdm

from methods.sides import SIDES, read_side
from methods.table import METHODS, learns_jointly, method_class
from methods.training.growth import check_grows
from methods.training.loop import Diverged
from methods.training.memory import out_of_memory
from methods.training.optimization import SCHEDULES
from methods.training.settings import TrainingSettings
from nas.cli.runs import run_runs
from nas.cli.terminal import plain_output
from nas.cost import cost, timed
from nas.data.new.new_inputs import new_inputs
from nas.device import check_switches, read_device, set_switches, use_threads
from nas.evaluation.comparison import Comparison
from nas.evaluation.evaluator import Evaluator, Weights
from nas.evaluation.evaluators import EVALUATORS, SearchEvaluator
from nas.evaluation.figures import FIGURES, checked_figures
from nas.evaluation.measurements.ensemble import COLUMN, Ensemble
from nas.evaluation.measurements.exits import Exits
from nas.exits.confidence import CONFIDENCES
from nas.exits.predict import Prediction, predict, predictions_csv
from nas.notice import notice, shown_notices
from nas.objectives import OBJECTIVES, checked_objectives
from nas.problem import Problem, Report
from nas.records.results_log import Cell, ResultsLog, check_folder
from nas.records.reuse import notice_other_commits
from nas.records.row_kinds import RUNS, TRIALS
from nas.report.comparable import read_rows
from nas.report.exit_lines import exit_lines
from nas.report.exit_tables import curves_table, exits_table, summarise_curves, summarise_exits
from nas.report.fair_table import as_csv, fair_table, plain, written
from nas.report.network import cost_table, picture
from nas.report.plots import exit_plot, pareto_plot
from nas.report.searches import agreement, pareto_table, searches_table
from nas.report.short_names import short_decoupling
from nas.report.summary import failed_note, summarise, summary_table
from nas.report.table import table
from nas.runs.trained_run import TrainedRun, run_name
from nas.search import Evaluated, Searched, common_front, search
from nas.strategies import STRATEGIES
from nas.tasks import TASKS
from nas.trials import Trials, search_key
from spaces.backbones import BACKBONES
from spaces.decoupling import Decoupling
from spaces.dotted_names import dotted_names
from spaces.heads import HEADS, NO_HEAD
from spaces.named import is_space_file, named_in_file, named_spaces, read_space
from spaces.notation.component import Component
from spaces.notation.errors import UserError, one_line, unknown
from spaces.notation.limits import check_size
from spaces.notation.own_modules import is_on_python_path, only_allowed
from spaces.notation.plain_yaml import read_yaml
from spaces.rules import SPLITS, read_decoupling

INTERRUPTED = 130


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that shows defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: one line, with the nearest real option."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the options")


def parser() -> Parser:
    """The command line: seven commands, and the options of each."""
    top = Parser(prog="run.py", description=__doc__, allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True,
                                  metavar="search | evaluate | profile | compare | predict | runs | list")

    search = _command(commands, "search", "search a space with a strategy")
    _problem_options(search, task="digits(validation=0.4)", space="small")
    search.add_argument("--strategy", default="sedona(pretrain=150,meta_steps=30,inner_steps=3,memory=20,meta_lr=0.05)",
                        help="how to search; see `run.py list`")
    search.add_argument("--method", default="dgl", help="the method that trains what is searched")
    search.add_argument("--objectives", nargs="+", default=["error"], metavar="O",
                        help=f"what to minimise, error among them: {', '.join(OBJECTIVES)}")
    search.add_argument("--evaluator", default="train", help="where scores come from; see `run.py list`")
    search.add_argument("--seed", type=int, default=0, help="of the search and of every training in it")
    search.add_argument("--seeds", type=int, default=1, metavar="N", help="N searches, with seeds from --seed on")
    _save_weights_option(search)
    _training_options(search, epochs=20)

    evaluate = _command(commands, "evaluate", "train decouplings with several methods and seeds, and compare")
    _problem_options(evaluate, task="digits", space="small")
    evaluate.add_argument("--decoupling", nargs="+", default=["even(3)"], metavar="D",
                          help="'3:conv(depth=1) 5:linear', even(K), balanced(K), published(K), layerwise or uncut")
    evaluate.add_argument("--methods", nargs="+", default=["dgl", "backprop"], metavar="M",
                          help="how to train; see `run.py list`")
    evaluate.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0..N-1")
    evaluate.add_argument("--scale", type=float, default=None, metavar="S",
                          help="a trial: of --epochs or --iterations, and of the samples for training and validation, the share "
                               "S in 0..1, so that S * S is left of the steps of so many epochs; the test split stays whole, "
                               "and rows say S")
    evaluate.add_argument("--ensemble", type=int, default=1, metavar="M", help="also sum the last M heads at test time")
    evaluate.add_argument("--exits", action="store_true",
                          help="also write the error and the cost of stopping after each block, to exits.csv, and of leaving as "
                               "soon as an exit is sure, to curves.csv")
    evaluate.add_argument("--calibrate", action="store_true",
                          help="with --exits: divide each exit's logits by a temperature that is fitted on validation")
    evaluate.add_argument("--measure", nargs="*", default=[], metavar="FIGURE",
                          help="also measure these figures while a run trains, such as energy_joules; see `run.py list`")
    weights = evaluate.add_mutually_exclusive_group()
    _save_weights_option(weights)
    weights.add_argument("--discard-weights", action="store_true",
                         help="save no weights; else those of what is trained are saved, so that nothing that is asked of a run "
                              "later trains it again")
    evaluate.add_argument("--grow", metavar="G",
                          help="train block by block: frozen(...), what is trained stays as it is, or training(...), it goes on; "
                               "starts=[0,0.5] says after which share of training each begins")
    evaluate.add_argument("--extend", type=Path, metavar="RUN",
                          help="begin with the blocks of this run, whose weights are saved, and train only those behind, "
                               "or from the first on that --side gives a new input")
    _side_options(evaluate)
    _training_options(evaluate, epochs=30, several=True)

    predict = _command(commands, "predict", "answer new inputs with a trained run", config=False)
    predict.add_argument("run", type=Path, metavar="RUN", help="the run's folder, as evaluate says")
    predict.add_argument("inputs", type=Path, metavar="INPUTS",
                         help="a folder of images, an image, an .npz with the array images, or a CSV file with the column text")
    predict.add_argument("--budget", type=int, metavar="MACS", help="the most multiply-accumulates that an input may take")
    predict.add_argument("--threshold", type=float, metavar="T", help="an input leaves at the first exit that is so sure")
    predict.add_argument("--calibrate", action="store_true",
                         help="divide each exit's logits by the temperature that was fitted on validation, as evaluate does")
    predict.add_argument("--rule", metavar="R", help=f"how sure an exit is: {', '.join(CONFIDENCES)} (default: max_softmax)")
    predict.add_argument("--out", type=Path, metavar="FILE", help="write the answers there, as CSV, and not on the screen")
    _allow_option(predict)
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.add_argument("--threads", type=int, default=1, help="CPU threads of this process")

    profile = _command(commands, "profile", "what each block of a decoupling costs")
    _problem_options(profile, task="digits", space="small")
    profile.add_argument("--decoupling", default="even(3)", metavar="D", help="as in evaluate")
    profile.add_argument("--method", default="dgl", help="what trains it; see `run.py list`")
    _side_options(profile)
    _training_options(profile, epochs=1)

    compare = _command(commands, "compare", "methods against K, from the rows of evaluate", config=False)
    compare.add_argument("csv", nargs="+", type=Path, metavar="CSV", help="files that evaluate wrote")
    compare.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE",
                         help="only rows with this cell; may come several times, values of one column are alternatives")
    compare.add_argument("--figures", nargs="+", default=[], metavar="COLUMN",
                         help="columns of figures that the table is to have beside the usual ones, such as parameters_trained")
    compare.add_argument("--out", type=Path, metavar="FILE", help="also write the table there, as CSV with raw numbers")

    runs = _command(commands, "runs", "list or clean what lies below --runs: saved weights, unfinished runs", config=False)
    runs.add_argument("action", choices=["list", "clean"], help="list them, or remove those that all choices hold for")
    runs.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where they lie")
    runs.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where the CSV files lie")
    runs.add_argument("--unfinished", action="store_true", help="clean: what was interrupted; the same command would begin anew")
    runs.add_argument("--without-row", action="store_true", help="clean: what no row of --results names")
    runs.add_argument("--older-than", type=float, metavar="DAYS", help="clean: what was last written so many days ago or more")
    runs.add_argument("--all", action="store_true", help="clean: every run")
    runs.add_argument("--dry-run", action="store_true", help="clean: say what would go, and remove nothing")

    _command(commands, "list", "what there is, with one line each", config=False)
    return top


def _command(commands: Any, name: str, text: str, *, config: bool = True) -> Parser:
    command = commands.add_parser(name, help=text, description=text, allow_abbrev=False,
                                  formatter_class=Formatter)
    command.add_argument("--json", action="store_true", help="print the facts for programs, and no progress")
    if config:
        command.add_argument("--config", type=Path, metavar="FILE", help="options from a YAML file; flags win")
        command.add_argument("--print-config", action="store_true", help="print all options as such a file, and stop")
    return command


def _problem_options(command: Parser, *, task: str, space: str) -> None:
    command.add_argument("--space", default=space, help="a built-in space, a YAML file or a dotted path")
    command.add_argument("--task", default=task, help="the data; see `run.py list`")
    _allow_option(command)
    command.add_argument("--embeddings", metavar="PATH",
                         help="word vectors that a text network starts from, in GloVe's or fastText's text form; the task's "
                              "setting of that name")
    command.add_argument("--data-dir", type=Path, default=Path(os.environ.get("NAS_DATA_DIR", "data")), metavar="DIR",
                         help="where the data lies; or set NAS_DATA_DIR")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    command.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    if not command.prog.endswith("profile"):
        command.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where the CSV files lie")
        command.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR",
                             help="where saved weights and unfinished runs lie")


def _save_weights_option(command: Any) -> None:
    command.add_argument("--save-weights", action="store_true",
                         help="save the weights of each run below --runs, for predict, --extend and later measurements; a run "
                              "that has a row and no weights is trained again")


def _allow_option(command: Parser) -> None:
    command.add_argument("--allow", action="append", default=[], metavar="PACKAGE",
                         help="a package of yours from which files may name components, such as a trained run, a space or a "
                              "configuration; what is named on the command line needs none; may come several times")


def _side_options(command: Parser) -> None:
    command.add_argument("--side", metavar="S", help="what blocks are given beside the activation; see `run.py list`")
    command.add_argument("--side-dim", metavar="A-B-...", help="short for --side 'text(dim=[A,B,...])': tokens of each block")


def _training_options(command: Parser, *, epochs: int, several: bool = False) -> None:
    many: dict[str, Any] = {"nargs": "+"} if several else {}
    rate, schedule = ([0.1], ["cosine"]) if several else (0.1, "cosine")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, default=None, help=f"passes over the training split (default: {epochs})")
    length.add_argument("--iterations", type=int, default=None, help="optimizer steps, instead of --epochs")
    command.set_defaults(default_epochs=epochs)
    command.add_argument("--batch-size", type=int, default=64, help="samples a step")
    tuned = "; of several the best on validation is taken, for each method" if several else ""
    command.add_argument("--lr", type=float, default=rate, help=f"learning rate{tuned}", **many)
    command.add_argument("--schedule", default=schedule, help=f"{', '.join(SCHEDULES)}, with (...) their settings{tuned}", **many)
    command.add_argument("--weight-decay", type=float, default=1e-4, help="L2 weight decay")
    command.add_argument("--optimizer", default="sgd", help="sgd(...) or adam(...), one a stage")
    command.add_argument("--precision", default="fp32", help="fp32, bf16 or fp16; on a GPU also tf32")
    command.add_argument("--deterministic", action="store_true",
                         help="on a GPU: equal seeds give equal bits, in more time; a CPU does so anyway")
    command.add_argument("--checkpoint-units", action="store_true", help="less memory, more computing")
    command.add_argument("--compile", default="no",
                         help="torch.compile makes one graph of each stage: no, default or reduce-overhead (CUDA graphs)")
    if not command.prog.endswith("profile"):
        command.add_argument("--class-batches", metavar="C",
                             help="classes(num=20,until=0.5): batches of the first half hold 20 classes each")


def parse(argv: list[str]) -> argparse.Namespace:
    """The options: defaults, then the configuration file, then the flags."""
    for one in argv:
        if re.search("[\\0\ud800-\udfff]", one):
            raise UserError(f"arguments are text in UTF-8, but {one!r} came; name files so too")
        if re.fullmatch("--[^=]*=--", one):  # argparse takes the value away
            raise UserError(f"{one[:-3]} takes a value, but -- came")
    known = parser()
    typed = options = _parse_known(known, argv)
    if getattr(options, "config", None):
        options = _parse_known(known, [argv[0], *_from_file(options.config, options), *argv[1:]])
    options.allow, options.typed = vars(typed).get("allow", []), typed_names(typed)  # whatever the file says
    return options


def typed_names(options: argparse.Namespace) -> set[str]:
    """The dotted names of components among the options, and those in a space's file that is named there, as far as their
    modules are installed or on PYTHONPATH: what came beside the file is not."""
    given = [vars(options).get(name) for name in NAMED]
    texts = [text for value in given for text in (value if isinstance(value, list) else [value]) if text is not None]
    typed = set().union(*(dotted_names(text) for text in texts if not is_space_file(text)))
    space = vars(options).get("space") or ""
    in_file = named_in_file(Path(space)) if is_space_file(space) else set()
    return typed | {name for name in in_file if is_on_python_path(name, (Path.cwd(), Path(__file__).resolve().parent))}


NAMED = ("space", "task", "strategy", "evaluator", "method", "methods", "decoupling", "side", "schedule", "optimizer",
         "class_batches", "grow", "rule", "measure")  # options that name components


def _parse_known(known: Parser, argv: list[str]) -> argparse.Namespace:
    options, rest = known.parse_known_args(argv)
    if rest:
        flags = [name for command in known._subparsers._group_actions[0].choices[options.command]._actions  # type: ignore
                 for name in command.option_strings]
        name = rest[0].partition("=")[0]
        if name in flags:
            raise UserError(f"options stand behind the command, as in run.py {options.command} {name}")
        raise unknown(f"option of {options.command}:", name, flags)
    return options


def _from_file(path: Path, options: argparse.Namespace) -> list[str]:
    """A configuration file's keys as flags."""
    keys = read_yaml(path, "the configuration", "--print-config shows one")
    if not isinstance(keys, dict):
        raise UserError(f"a configuration holds options by name, as --print-config shows; {path} does not")
    flags: list[str] = []
    for key, value in keys.items():
        if not hasattr(options, str(key)) or key in NOT_IN_CONFIG:
            raise unknown(f"key of {path}:", str(key), settings_of(options))
        flag = "--" + str(key).replace("_", "-")
        length_is_given = options.epochs is not None or options.iterations is not None
        if value is None or value is False or (key in ("epochs", "iterations") and length_is_given):
            continue
        several, switch = (isinstance(getattr(options, key), kind) for kind in (list, bool))
        if any(str(entry).startswith("--") for entry in (value if isinstance(value, list) else [value])):
            raise UserError(f"{key} takes values, not options, but {value!r} came in {path}")
        if isinstance(value, dict) or (isinstance(value, list) and not several) or (value is True) != switch:
            wanted = "true or false" if switch else "values" if several else "one value"
            raise UserError(f"{key} takes {wanted}, but {value!r} came in {path}")
        flags += [flag] if value is True else [flag, *map(str, value if isinstance(value, list) else [value])]
    return flags


NOT_IN_CONFIG = ("command", "config", "print_config", "json", "default_epochs", "allow", "typed")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a configuration file may hold."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    return {key: value for key, value in plain.items() if key not in NOT_IN_CONFIG}


def main(argv: list[str]) -> int:
    """Run one command; the exit code."""
    with unbroken_streams(), plain_output(), shown_notices(), signals_raise_ended():
        return _run(argv)


def _run(argv: list[str]) -> int:
    try:
        options = parse(argv)
        if getattr(options, "print_config", False):
            print(yaml.safe_dump(settings_of(options), sort_keys=False), end="")
            return 0
        commands = {"search": run_search, "evaluate": run_evaluate, "profile": run_profile, "compare": run_compare,
                    "predict": run_predict, "runs": run_runs,
                    "list": run_list}
        with only_allowed(options.allow, options.typed):
            commands[options.command](options)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt as ended:
        by, code = (ended.by, ended.exit_code) if isinstance(ended, Ended) else ("", INTERRUPTED)
        print(f"\ninterrupted{by}{going_on(argv)}", file=sys.stderr)
        return code
    except BrokenPipeError:  # of stdout, which has been read as far as someone wanted
        return 0
    except (UserError, Diverged) as error:
        print(f"run.py: {one_line(str(error))}", file=sys.stderr)
    except (MemoryError, RuntimeError, OSError) as error:
        reason = out_of_memory(error)
        if reason is None and not isinstance(error, OSError):
            raise
        told = f"out of memory: {reason}" if reason else error
        print(f"run.py: {one_line(f'{told}{going_on(argv)}')}", file=sys.stderr)
    return 2


def going_on(argv: list[str]) -> str:
    """What a command that writes rows says when it ends early."""
    return f"; finished rows are kept, go on with: {command_line()}" if argv[:1] in (["search"], ["evaluate"]) else ""


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


def drawn(draw: Callable[..., None], *given: Any) -> Path | None:
    """Where the plot is, which comes last of what is `given`; None where it could not be written, which is said."""
    try:
        draw(*given)
    except OSError as error:
        print(f"there is no plot {given[-1]}: {error.strerror}", file=sys.stderr)
        return None
    return given[-1]


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


def run_evaluate(options: argparse.Namespace) -> None:
    """Train and compare."""
    seeds = checked_seeds(0, options.seeds)
    if options.calibrate and not options.exits:
        raise UserError("--calibrate is of the exits' logits, but --exits is not given; give both, or leave --calibrate out")
    progress = Bars(quiet=options.json)
    problem = read_problem(options, options.methods[0], 0, options.lr[0], options.schedule[0])
    log, tuning_log = (ResultsLog(options.results / name, RUNS) for name in ("evaluate.csv", "search.csv"))
    exits = Exits.of(options.results, calibrated=options.calibrate) if options.exits else None
    ensemble = Ensemble.of(options.results, log, options.ensemble) if options.ensemble != 1 else None
    measurements = [one for one in (ensemble, exits) if one is not None]
    weights: Weights = "required" if options.save_weights else "discarded" if options.discard_weights else "saved"
    comparison = Comparison(problem, options.methods, options.decoupling, seeds, log=log, tuning_log=tuning_log,
                            rates=options.lr, schedules=options.schedule, measurements=measurements,
                            weights=weights, report=progress, command=command_line())
    with torch.device("cpu" if problem.extends else "meta"):  # what cannot be built is said now, not after hours of other runs
        for method, points in comparison.points.items():
            for point in points:
                built, settings = replace(problem, method=method).build(point), problem.settings
                if settings.grow:
                    check_grows(settings.grow, built.num_stages, settings.iterations, trained=problem.trained_stages(built))
    say_where(problem, options)
    before = len(log.rows())
    for other in (tuning_log, *(rows.log for one in measurements for rows in one.rows)):
        other.rows()  # what does not read is said now
    there, wanted = comparison.counts()
    if there and not options.json:
        print(f"{there} of {wanted} runs are in {options.results} already and are not repeated", file=sys.stderr)
    with progress:
        rows = comparison.run()
    summaries = summarise(rows)
    exit_rows, curve_rows = comparison.measured(exits) if exits else ([], [])
    depths, leaving = summarise_exits(exit_rows), summarise_curves(curve_rows, exit_rows)
    plot = options.results / "exits.png" if exit_rows else None
    if exits and plot:
        plot = drawn(exit_plot, exit_lines(exits.exits.rows(), exits.curves.rows(), problem.task), plot)
    ensembles = summarise(comparison.with_figure(ensemble, COLUMN), COLUMN) if ensemble else []
    if options.json:
        facts = {"summary": summaries, "ensemble": ensembles, "exits": depths, "adaptive": leaving, "curves": curve_rows,
                 "rows": rows, "csv": str(log.path), "plot": plot and str(plot), "new_rows": len(log.rows()) - before}
        print(json.dumps(facts, default=asdict))
        return
    print(summary_table(summaries))
    if note := failed_note(summaries, [f"{s.method} {short_decoupling(s.decoupling)}" for s in summaries]):
        print(f"\n{note}")
    if ensembles:
        print(f"\nsum of the last {options.ensemble} heads (test error; val error is the classifier's):")
        print(summary_table(ensembles))
    if exits:
        print(f"\nstopping after each block (rows in {exits.exits.path}):\n{exits_table(depths)}")
    if exits and leaving:
        print(f"\nleaving as soon as an exit is sure, at the cheapest threshold with the validation error of the best exit or "
              f"less (rows in {exits.curves.path}):\n{curves_table(leaving)}")
    if plot:
        print(f"\nplot {plot}")
    print(f"\nrows in {log.path}")
    if saved := comparison.saved():
        listed = ", ".join(map(str, saved[:3])) + (f" and {len(saved) - 3} more" if len(saved) > 3 else "")
        print(f"weights in {listed}; answer new inputs with\n{predict_command(saved[0], rows)}")


def run_profile(options: argparse.Namespace) -> None:
    """Show what each block costs."""
    problem = read_problem(options, options.method, 0, options.lr, options.schedule)
    decoupling = adapted(problem, options.decoupling)
    data, size = problem.data, problem.settings.batch_size
    costs = cost(lambda: problem.build(decoupling), data.input_shape, data.num_classes, size)
    x, y = data.train_batches(size).batch(0, 0)
    costs = timed(costs, problem.build(decoupling), problem.settings, x, y, device=problem.device)
    if options.json:
        facts = asdict(costs) | {name: getattr(costs, name) for name in ("head_params", "head_macs", "training_only", "shares",
                                                                        "pipeline_speedup_bound")}
        print(json.dumps(facts | {"method": problem.method, "decoupling": str(decoupling)}))
        return
    say_where(problem, options)
    print(f"{problem.method}\n\n{picture(decoupling, problem.space.num_units, joint=learns_jointly(problem.method))}\n")
    print(cost_table(costs, decoupling))


def run_compare(options: argparse.Namespace) -> None:
    """Show the fair table of the rows that are asked for."""
    if options.out and options.out.resolve() in [path.resolve() for path in options.csv]:
        raise UserError(f"--out would replace {options.out}, which is read; name another file")
    check_out(options.out)
    fair = fair_table(read_rows(options.csv, options.where), options.figures)
    if options.out:
        write_file(options.out, as_csv(fair))
    print(json.dumps(plain(fair)) if options.json else written(fair))


def check_out(path: Path | None) -> None:
    """Say before the work that --out could not be written; nothing is made or changed."""
    if path is None:
        return
    try:
        if path.is_file():
            os.close(os.open(path, os.O_WRONLY))
        elif path.is_dir() or not path.parent.is_dir():
            raise UserError(f"--out is a file in a folder that is there, but {path} came; name such a file")
        elif not path.exists():
            check_folder(path.parent)
    except OSError as error:
        raise UserError(f"--out cannot be written: {path}: {error.strerror}; name another file") from None


def write_file(path: Path, text: str) -> None:
    """Write what --out asks for."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out cannot be written: {error}; name a file in a folder that is there") from None


def run_predict(options: argparse.Namespace) -> None:
    """Answer new inputs, and say at which depth."""
    if options.rule and options.threshold is None:
        raise UserError("--rule says how sure an exit is, which matters only with --threshold; give that, or leave --rule out")
    check_out(options.out)
    use_threads(options.threads)
    run, device = TrainedRun.load(options.run), read_device(options.device)
    set_switches(run.key["precision"], deterministic=bool(run.key.get("deterministic")))  # type: ignore[arg-type]
    rule = CONFIDENCES[str(CONFIDENCES.resolve(options.rule or "max_softmax"))]
    inputs = new_inputs(options.inputs, run.inputs)
    for note in inputs.notes:
        print(note, file=sys.stderr)
    found = predict(run, inputs, rule, budget=options.budget, threshold=options.threshold, calibrated=options.calibrate,
                    device=device)
    if found:
        _print_answers(found, run, options)
    if inputs.fault:
        raise UserError(inputs.fault)


def _print_answers(found: Sequence[Prediction], run: TrainedRun, options: argparse.Namespace) -> None:
    depths = {exit.depth: sum(answer.depth == exit.depth for answer in found) for exit in run.exits}
    if options.out:
        write_file(options.out, predictions_csv(found))
    if options.json:
        print(json.dumps({"predictions": None if options.out else [asdict(answer) for answer in found], "depths": depths}))
        return
    if not options.out:
        print(predictions_csv(found), end="")
    shares = ", ".join(f"{count} at depth {depth}" for depth, count in depths.items() if count)
    print(f"{len(found)} answers: {shares}; {sum(answer.macs for answer in found) / len(found):,.0f} multiply-accumulates "
          f"each on average, {run.exits[-1].macs:,} on the full path", file=sys.stderr)


def run_list(options: argparse.Namespace) -> None:
    """Show what there is."""
    tables: dict[str, dict[str, str]] = {"spaces": named_spaces()}
    for title, entries in (("backbones", BACKBONES), ("heads", HEADS), ("splits", SPLITS), ("methods", METHODS),
                           ("side inputs", SIDES), ("strategies", STRATEGIES), ("evaluators", EVALUATORS), ("tasks", TASKS),
                           ("confidence rules", CONFIDENCES), ("figures", FIGURES)):
        tables[title] = {str(_shown(entries, name)): entries.describe(name) for name in entries}
    if options.json:
        print(json.dumps(tables))
        return
    for title, rows in tables.items():
        lines = [pair for name, text in rows.items()
                 for pair in zip_longest(wrap(name, 76, subsequent_indent="    "), [text], fillvalue="")]
        print(f"{title}\n{table(['name', 'what'], lines)}\n")


def _shown(entries: Any, name: str) -> str:
    """A name with its settings and their defaults."""
    settings = [key if parameter.default is parameter.empty else f"{key}={parameter.default}"
                for key, parameter in entries.parameters(name).items()]
    return f"{name}({', '.join(settings)})" if settings else name


def checked_seeds(first: int, count: int) -> range:
    """`count` seeds from `first` on."""
    if count < 1:
        raise UserError(f"--seeds is how many seeds to run, from 1 on, but {count} came")
    check_size("--seeds", "seeds", count)
    for seed in (first, first + count - 1):
        if not 0 <= seed < 2**32:
            raise UserError(f"a seed is a whole number in 0..2**32 - 1, but {seed} came")
    return range(first, first + count)


def read_problem(options: argparse.Namespace, method: str, seed: int, lr: float, schedule: str) -> Problem:
    """Everything that a run needs, from the options."""
    use_threads(options.threads)
    device = read_device(options.device)
    task = read_task(options)
    resolved_method = METHODS.resolve(method)
    data = TASKS.build(task, options.data_dir)
    share = checked_scale(getattr(options, "scale", None))
    data = (data if share == 1 else data.scaled(share)).to(device)
    space = read_space(options.space, data.input_shape, data.num_classes, data.vectors)
    iterations, num_batches = options.iterations, data.train_batches(options.batch_size).num_batches
    if iterations is None:
        epochs = options.default_epochs if options.epochs is None else options.epochs
        if epochs < 1:
            raise UserError(f"--epochs is a whole number from 1 on, but {epochs} came")
        check_size("--epochs", "epochs", epochs)
        iterations = shortened(epochs, share) * num_batches
    else:
        iterations = shortened(iterations, share)
    given = {field.name: getattr(options, field.name) for field in fields(TrainingSettings) if hasattr(options, field.name)}
    settings = TrainingSettings(**given | {"iterations": iterations, "lr": lr, "schedule": schedule})
    switches = settings.precision, bool(settings.deterministic)
    check_switches(device, switches[0], deterministic=switches[1])
    set_switches(switches[0], deterministic=switches[1])
    data.train_batches(settings.batch_size, limit=settings.class_limit)  # refuses what the task cannot fill
    results, runs = (getattr(options, name, Path(name)) for name in ("results", "runs"))
    run = getattr(options, "extend", None)
    for folder in (results, runs):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--results and --runs are folders, but {folder} is a file; name another")
    return Problem(space, str(resolved_method), str(task), data, settings, seed, device, results, runs,
                   figures=checked_figures(getattr(options, "measure", [])),
                   scale=None if share == 1 else share, extends=TrainedRun.load(run) if run else None,
                   side=read_side(getattr(options, "side", None), getattr(options, "side_dim", None)))


def read_task(options: argparse.Namespace) -> Component:
    """The task with all its settings, --embeddings among them."""
    task = TASKS.resolve(options.task)
    if options.embeddings is None:
        return task
    if "embeddings" not in TASKS.parameters(task.name):
        raise UserError(f"--embeddings gives words their first vectors, but the task {task.name} has no words; leave it out")
    if "embeddings" in dict(task.settings):
        raise UserError("--embeddings and the task's own setting embeddings came; give one of them")
    return TASKS.resolve(Component(task.name, (*task.settings, ("embeddings", options.embeddings))))


def checked_scale(scale: float | None) -> float:
    """The share of a trial; 1, the whole, where none is given."""
    if scale is not None and not 0 < scale <= 1:
        raise UserError(f"--scale is the share that a trial takes, above 0 and at most 1, but {scale} came")
    return 1.0 if scale is None else scale


def shortened(count: int, share: float) -> int:
    """`count` epochs or iterations in a trial: at least one where there was one."""
    return max(min(count, 1), round(count * share))


def read_evaluator(options: argparse.Namespace, problem: Problem, key: dict[str, Cell], report: Report) -> SearchEvaluator:
    """What scores the decouplings of the search with this key: their training, or what --evaluator puts in its place."""
    log = ResultsLog(options.results / "search.csv", RUNS)
    training = Evaluator(problem, log, report, command=command_line(), test=False,
                         weights="required" if options.save_weights else "discarded",
                         labels={"strategy": key["strategy"], "search": run_name(key)})
    return EVALUATORS.build(options.evaluator, training)


def adapted(problem: Problem, text: str) -> Decoupling:
    """The decoupling that the text names, as the problem's method trains it."""
    default_head = method_class(problem.method).default_head
    return problem.adapt(read_decoupling(text, problem.space, default_head))


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


def allowing(packages: Iterable[str]) -> list[str]:
    """The flags that allow these packages."""
    return [part for package in packages for part in ("--allow", package)]


def predict_command(run: Path, rows: Iterable[Mapping[str, str]]) -> str:
    """The line that answers new inputs with a saved run, and allows the packages that components in its row are of."""
    cells = [row.get(column, "") for row in rows if row.get("run") == run.name
             for column in ("method", "backbone", "decoupling", "side")]
    packages = sorted({re.split("[.:]", name)[0] for cell in cells for name in dotted_names(cell)})
    return shlex.join(["python", "run.py", "predict", *allowing(packages), str(run)]) + " INPUTS"


def say_where(problem: Problem, options: argparse.Namespace) -> None:
    """Say what the run computes with; a second process of the same command shares its work."""
    if options.json:
        return
    threads = f", {options.threads} thread{'s' if options.threads > 1 else ''} a process" if problem.device.type == "cpu" else ""
    sharing = "; start the same command again to share the work" if options.command == "evaluate" else ""
    trial = f", a trial of scale {problem.scale:g}" if problem.scale else ""
    layout = ", channels-last" if problem.data.pixels else ""
    print(f"on {problem.device}{threads}{layout}, {problem.settings.precision}{trial}{sharing}", file=sys.stderr)
    for note in problem.data.notes:
        print(note, file=sys.stderr)


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])


class Bars:
    """Progress bars on stderr: one for what runs, with its loss and the time left."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet, self.what = quiet, ""
        self.bar: Any = None

    def __call__(self, what: str, done: int, total: int, **figures: float) -> None:
        if self.quiet:
            return
        if self.bar is None or what != self.what or done < self.bar.n:
            self.close()
            self.bar = tqdm(total=total, initial=0, leave=False, dynamic_ncols=True, delay=0.2,
                            mininterval=0.2 if sys.stderr.isatty() else 30)
            self.bar.set_description(what if len(what) < 48 else what[:45] + "...", refresh=False)
            self.what = what
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """End the bar that is shown."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


if __name__ == "__main__":
    put_current_folder_last()
    for stream in (sys.stdout, sys.stderr):  # a terminal without box characters gets question marks
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
