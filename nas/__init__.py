"""Searches where to cut a network into gradient-isolated blocks, trains what was found, and writes rows that can be trusted.

The public names, imported when first used. They take what the command line takes, print nothing and raise `UserError`.
"""

# The command line passes here before the current folder is left out of imports, so nothing is imported at this level.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nas.commands.compare import compare, read_history, read_results
    from nas.commands.evaluate import evaluate
    from nas.commands.export import export
    from nas.commands.export_results import export_results
    from nas.commands.plot import plot
    from nas.commands.predict import load_run, predict
    from nas.commands.profile import profile
    from nas.commands.report import write_report
    from nas.commands.search import SearchResult, search
    from nas.own_loop.decouple import decouple
    from nas.own_loop.decoupled import Decoupled
    from nas.own_loop.step_memory import Memory, memory
    from nas.problem import Found, Problem, Report, Score, Strategy
    from nas.runs.trained_run import TrainedRun
    from spaces.notation.errors import UserError
    from spaces.traced.traced_backbone import backbone

_MODULES = {
    "search": "nas.commands.search",
    "evaluate": "nas.commands.evaluate",
    "compare": "nas.commands.compare",
    "profile": "nas.commands.profile",
    "plot": "nas.commands.plot",
    "predict": "nas.commands.predict",
    "write_report": "nas.commands.report",
    "export": "nas.commands.export",
    "export_results": "nas.commands.export_results",
    "load_run": "nas.commands.predict",
    "read_results": "nas.commands.compare",
    "read_history": "nas.commands.compare",
    "decouple": "nas.own_loop.decouple",
    "Decoupled": "nas.own_loop.decoupled",
    "memory": "nas.own_loop.step_memory",
    "Memory": "nas.own_loop.step_memory",
    "SearchResult": "nas.commands.search",
    "TrainedRun": "nas.runs.trained_run",
    "Problem": "nas.problem",
    "Score": "nas.problem",
    "Found": "nas.problem",
    "Strategy": "nas.problem",
    "Report": "nas.problem",
    "UserError": "spaces.notation.errors",
    "backbone": "spaces.traced.traced_backbone",
}
__all__ = [
    "Decoupled",
    "Found",
    "Memory",
    "Problem",
    "Report",
    "Score",
    "SearchResult",
    "Strategy",
    "TrainedRun",
    "UserError",
    "backbone",
    "compare",
    "decouple",
    "evaluate",
    "export",
    "export_results",
    "load_run",
    "memory",
    "plot",
    "predict",
    "profile",
    "read_history",
    "read_results",
    "search",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Import a public name with the module that it lies in."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
