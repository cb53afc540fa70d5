"""The flags of each command, made of its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from inspect import get_annotations
from pathlib import Path
from typing import Any

from nas.cli.program import Parser, program
from nas.commands.compare import CompareOptions
from nas.commands.completion import CompletionOptions
from nas.commands.evaluate import EvaluateOptions
from nas.commands.export import ExportOptions
from nas.commands.export_results import ExportResultsOptions
from nas.commands.init import InitOptions
from nas.commands.names import ListOptions, ShowOptions
from nas.commands.option import Option, options_of
from nas.commands.plot import PlotOptions
from nas.commands.predict import PredictOptions
from nas.commands.profile import ProfileOptions
from nas.commands.report import ReportOptions
from nas.commands.runs import RunsOptions
from nas.commands.search_options import SearchOptions
from nas.commands.shared_options import (
    AllowOptions,
    ClassBatchesOptions,
    DeviceOptions,
    OneRateOptions,
    ProblemOptions,
    RatesOptions,
    RecordOptions,
    SideOptions,
    TrainingOptions,
)
from nas.commands.watch import WatchOptions
from nas.commands.work_options import BudgetOptions, WorkOptions


@dataclass(frozen=True)
class Command:
    """A command: its options, whether it reads a configuration file, what --out writes, if it has one, whether it leaves a page
    of all results, whether it plans with --dry-run, and forms in which it can print what it shows, with what each is."""

    name: str
    options: type | None
    config: bool = False
    out: str | None = None
    leaves_report: bool = False
    plans: bool = False
    forms: Mapping[str, str] = field(default_factory=dict)


COMMANDS = {
    command.name: command
    for command in (
        Command("search", SearchOptions, config=True, leaves_report=True, plans=True),
        Command("evaluate", EvaluateOptions, config=True, plans=True),
        Command("profile", ProfileOptions, config=True),
        Command(
            "compare",
            CompareOptions,
            out="also write the table there, as CSV with raw numbers",
            forms={
                "latex": "print the table for a paper: LaTeX, with rules of booktabs",
                "markdown": "print the table as Markdown",
            },
        ),
        Command("report", ReportOptions, out="the page to write, report.html without this"),
        Command("plot", PlotOptions),
        Command("predict", PredictOptions, out="write the answers there, as CSV, and not on the screen"),
        Command("export", ExportOptions),
        Command("export-results", ExportResultsOptions),
        Command("watch", WatchOptions),
        Command("runs", RunsOptions),
        Command("init", InitOptions),
        Command("list", ListOptions),
        Command("show", ShowOptions),
        Command("completion", CompletionOptions),
    )
}


TITLES: dict[type, str] = {
    ProblemOptions: "what is cut, and on what it trains",
    TrainingOptions: "how it trains",
    OneRateOptions: "learning rate, schedule and weight decay",
    RatesOptions: "learning rate, schedule and weight decay",
    SideOptions: "what blocks are given",
    ClassBatchesOptions: "what blocks are given",
    DeviceOptions: "what computes",
    WorkOptions: "who does the runs, and how much they may take",
    BudgetOptions: "who does the runs, and how much they may take",
    RecordOptions: "where results lie, and what is saved",
    AllowOptions: "components of yours",
}


def parser() -> Parser:
    """The command line: each command, with its options as flags."""
    top, commands = program()
    for name, flags in commands.items():
        _add_command(flags, COMMANDS[name])
    return top


def _add_command(flags: Parser, command: Command) -> None:
    printed = flags.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print the facts for programs, and no progress")
    for form, what in command.forms.items():
        printed.add_argument(f"--{form}", dest="form", action="store_const", const=form, help=what)
    told = flags.add_mutually_exclusive_group()
    told.add_argument("-q", "--quiet", action="store_true", help="print results alone: no progress, no notes, no notices")
    told.add_argument(
        "-v", "--verbose", action="store_true", help="also say what is skipped, where things are written, how long they took"
    )
    if command.config:
        flags.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="options from a YAML file, or of an experiment by its name (`run.py list`); flags win",
        )
        flags.add_argument("--print-config", action="store_true", help="print all options as such a file, and stop")
    if command.plans:
        flags.add_argument(
            "--dry-run",
            action="store_true",
            dest="plans",
            help="say what would run, what is there already, and about how long and how much memory it takes; write nothing",
        )
    titled: dict[str, Any] = {"": flags}
    groups: dict[str, Any] = {}
    for one in options_of(command.options).values() if command.options else ():
        title, group = _title(command.options, one), one.described.excludes
        if title not in titled:
            titled[title] = flags.add_argument_group(title)
        if group and group not in groups:
            groups[group] = titled[title].add_mutually_exclusive_group()
        _add_option(groups[group] if group else titled[title], one, _default_epochs(command, one))
    if command.leaves_report:
        flags.add_argument("--no-report", action="store_true", help="leave no page of all results, report.html, beside them")
    if command.out:
        flags.add_argument("--out", type=Path, metavar="FILE", help=command.out)


def _title(options: Any, one: Option) -> str:
    """Under which heading of the help an option stands: that of the class that it is of; none for a command's own."""
    own = next((base for base in options.__mro__ if one.name in get_annotations(base)), options)
    return TITLES.get(own, "")


def _default_epochs(command: Command, one: Option) -> str:
    """What --epochs means where it is not given, which depends on whether --iterations is."""
    with_length = one.name == "epochs" and command.options is not None and issubclass(command.options, TrainingOptions)
    return f" (default: {command.options.EPOCHS})" if with_length else ""  # type: ignore[union-attr]


def _add_option(flags: Any, one: Option, note: str) -> None:
    described = one.described
    if one.kind is bool:
        flags.add_argument(one.flag, *([described.former] if described.former else []), action="store_true", help=described.help)
        return
    how: dict[str, Any] = {"type": one.kind, "help": described.help.replace("%", "%%") + note}
    if described.metavar:
        how["metavar"] = described.metavar
    if described.choices:
        how["choices"] = described.choices
    if one.several:
        how |= {"action": "append"} if described.repeated else {"nargs": "*" if described.may_be_empty else "+"}
    if described.positional:
        flags.add_argument(one.name, **how, **({"default": ()} if described.may_be_empty else {}))
        return
    default = [] if one.default is MISSING else list(one.default) if one.several else one.default
    flags.add_argument(one.flag, default=default, **how)
