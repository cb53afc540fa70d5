"""A user's own modules: what may be imported by name, and how one that cannot be is told."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spaces.notation.errors import UserError
from spaces.notation.factory import in_python

# What code that does not fit raises, and code that nobody has tried.
OWN_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, NameError)


@dataclass(frozen=True)
class Allowed:
    """What names may import: `modules`, and whatever lies in `packages`."""

    packages: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()

    def __contains__(self, module: str) -> bool:
        parts = module.split(".")
        return module in self.modules or any(".".join(parts[: depth + 1]) in self.packages for depth in range(len(parts)))


_allowed: ContextVar[Allowed | None] = ContextVar("_allowed", default=None)  # None: a program names what it likes


@contextmanager
def only_allowed(packages: Iterable[str] = (), names: Iterable[str] = ()) -> Iterator[None]:
    """Inside, a dotted name is imported only where it lies in one of the packages, or in the module of one of the names.

    A command allows what was typed. So what a file names, a kept run or a space, is looked up in the tables, and nothing
    that came with the file is ever imported.
    """
    packages = frozenset(packages)
    for package in packages:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", package):
            raise UserError(f"what is allowed is a package, such as my_package or my_package.heads, got {package!r}")
    token = _allowed.set(Allowed(packages, frozenset(_module(name) for name in names)))
    try:
        yield
    finally:
        _allowed.reset(token)


def allowed_here() -> Allowed | None:
    """What names may import here, so that another process of the same command can be told; None for all."""
    return _allowed.get()


def allow_only(allowed: Allowed | None) -> None:
    """From now on, in the rest of this thread, what names may import."""
    _allowed.set(allowed)


@contextmanager
def names_of_a_file() -> Iterator[None]:
    """Inside, names are those of a file: where nobody said what is allowed, nothing is."""
    token = _allowed.set(_allowed.get() or Allowed())
    try:
        yield
    finally:
        _allowed.reset(token)


def is_on_python_path(name: str, apart_from: Iterable[Path]) -> bool:
    """Whether the module of a dotted name is installed or in a folder of PYTHONPATH, these folders left out: those that are on
    the path only because the program was started from there or lies there."""
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() not in {*apart_from}]
    return PathFinder.find_spec(_module(name).partition(".")[0], elsewhere) is not None


def import_factory(kind: str, path: str) -> Callable[..., Any]:
    """What the dotted path names, which must be callable. torchvision is made importable first, since it may need it."""
    module, _, name = path.replace(":", ".").rpartition(".")
    allowed = _allowed.get()
    if allowed is not None and module not in allowed:
        raise UserError(
            f"{kind} {path!r} is named by a file, and nothing that a file names is imported; if you trust that code, "
            f"give --allow {module.partition('.')[0]}"
        )
    if in_python(module):  # importing some of its modules does things, too
        raise UserError(f"{kind} {path!r} must be a function or a class that makes one, which Python's own library has not")
    try:
        if module not in sys.modules:
            from spaces.torchvision_import import torchvision  # with torch, which reading a file's components does without

            with suppress(ImportError, RuntimeError, OSError):  # one that is not there, or broken otherwise, may not be needed
                torchvision()
        factory = getattr(importlib.import_module(module), name)
    except UserError:
        raise
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"{kind} {path!r} cannot be imported ({error}{_place(error)}); is its folder on PYTHONPATH?") from None
    except (Exception, SystemExit) as error:  # whatever a user's module does
        raise UserError(f"{kind} {path!r} cannot be imported ({said_by(error)}); mend the module, or take another") from None
    if not callable(factory):
        raise UserError(f"{kind} {path!r} must be a function or a class, but it is a {type(factory).__name__}")
    return factory


def _module(name: str) -> str:
    return name.replace(":", ".").rpartition(".")[0]


def said_by(error: BaseException) -> str:
    """What an exception of a user's own code says, in a line, and at which line of theirs it was raised."""
    said = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{': ' * bool(said)}{said}{_place(error)}"


def _place(error: BaseException) -> str:
    """The file and line of a user's module at which it was raised; nothing where none had begun."""
    if isinstance(error, SyntaxError):
        return f", {error.filename}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_not_own()) and "importlib" not in frame.filename
    ]
    return f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def _not_own() -> tuple[str, ...]:
    """How the names of files begin whose lines are not the user's: compiled code, PyTorch and this program."""
    torch = find_spec("torch")
    folders = [Path(str(torch.origin)).parent] if torch else []
    return ("<", *map(str, (*folders, Path(__file__).parents[1])))
