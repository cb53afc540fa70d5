"""The experiments that come with the program, by name: files of options for `evaluate --config`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from itertools import takewhile
from pathlib import Path

from spaces.notation.errors import unknown

_BESIDE_THE_CODE = Path(__file__).resolve().parents[2] / "experiments"
VALUES = "published.csv"


def experiments() -> dict[str, Path]:
    """Of each its file: beside the code, or where installing has put it."""
    return {path.stem: path for path in _files("*.yaml")}


def values_file() -> Path | None:
    """The file of the values that papers print; None where it is not installed."""
    return next(iter(_files(VALUES)), None)


def _files(pattern: str) -> list[Path]:
    if (_BESIDE_THE_CODE / VALUES).is_file():
        return sorted(_BESIDE_THE_CODE.glob(pattern))
    try:
        installed = files("decoupled-nas") or []
    except PackageNotFoundError:
        installed = []
    return sorted(Path(str(file.locate())) for file in installed if file.match(f"decoupled-nas/experiments/{pattern}"))


def what_it_is(path: Path) -> str:
    """What the first lines of an experiment's file say that it reproduces."""
    return _comment(path).partition("Reproduces:")[2].partition("Deviates:")[0].strip().rstrip(".")


def where_it_deviates(path: Path) -> str:
    """What the first lines of an experiment's file say of how it deviates from the paper."""
    return _comment(path).partition("Deviates:")[2].strip().rstrip(".")


def _comment(path: Path) -> str:
    comment = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.removeprefix("#").strip() for line in comment)


def configuration(given: Path) -> Path:
    """The file that --config names: one that is there, or an experiment by its name. A name that is neither is a UserError."""
    if given.exists() or given.name != str(given) or given.suffix:
        return given
    found = experiments()
    if str(given) not in found:
        raise unknown("experiment", str(given), found)
    return found[str(given)]
