"""YAML files of plain data, as people write settings: nothing in them is executed, and none grows while it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from spaces.notation.errors import UserError

MOST_BYTES = 1_000_000  # settings take some hundred
_RAISED = (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class _Loader(yaml.SafeLoader):
    """Without aliases, by which a few bytes become gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name); write the value out")
        return super().compose_node(parent, index)


def read_yaml(path: Path, what: str, hint: str) -> Any:
    """What the file holds: numbers, words, true, false, null, and lists and mappings of these.

    `what` is what messages call the file, `hint` what to do where it cannot be read. One that is missing, no ordinary file,
    damaged, or that holds what its parser or a command line cannot take, is a UserError.
    """
    data = _bytes(path, what, hint)
    try:
        held = yaml.load(data.decode("utf-8"), Loader=_Loader)
        _check_plain(held)
    except _RAISED as error:  # all that tags, dates, numbers and depths make the parser raise
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise UserError(f"{what} {path} cannot be read, it is not a YAML file: {reason or type(error).__name__}") from None
    return held


def _bytes(path: Path, what: str, hint: str) -> bytes:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a device may never end
            raise UserError(f"{what} {path} cannot be read (it is no ordinary file); {hint}")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}); {hint}") from None
    if len(data) > MOST_BYTES:
        raise UserError(f"{what} {path} cannot be read (it has more than {MOST_BYTES:,} bytes); {hint}")
    return data


def _check_plain(value: object) -> None:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for entry in value:
            _check_plain(entry)
    elif isinstance(value, str):
        if not value.isprintable() and not set("\n\t").issuperset(sign for sign in value if not sign.isprintable()):
            raise ValueError(f"{value!r} has signs that no setting has")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ValueError(f"it holds a {type(value).__name__}, {value}; write it in quotes")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("it holds a whole number of more than 18 digits")
