"""The experiments that come with the program, by name: files of options for `evaluate --config`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from spaces.notation.errors import unknown

_BESIDE_THE_CODE = Path(__file__).resolve().parents[2] / "experiments"


def experiments() -> dict[str, Path]:
    """Of each its file: beside the code, or where installing has put it."""
    if (_BESIDE_THE_CODE / "published.csv").is_file():
        found = list(_BESIDE_THE_CODE.glob("*.yaml"))
    else:
        try:
            installed = files("decoupled-nas") or []
        except PackageNotFoundError:
            installed = []
        found = [Path(str(file.locate())) for file in installed if file.match("decoupled-nas/experiments/*.yaml")]
    return {path.stem: path for path in sorted(found)}


def what_it_is(path: Path) -> str:
    """The line of an experiment's file that says what it reproduces."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("# Reproduces:")), "")


def configuration(given: Path) -> Path:
    """The file that --config names: one that is there, or an experiment by its name. A name that is neither is a UserError."""
    if given.exists() or given.name != str(given) or given.suffix:
        return given
    found = experiments()
    if str(given) not in found:
        raise unknown("experiment", str(given), found)
    return found[str(given)]
