"""The one exception that is meant for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 500  # characters of a message
MOST = 60  # names that a message lists


class UserError(ValueError):
    """Something that the user gave does not hold: the message says the rule, what came, and what to do.

    `run.py` prints it as one line and exits with code 2; every other exception is a bug and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text as it may be shown, whatever came: without its middle where it is too long, and what would move a terminal's
    cursor, or has no place in UTF-8, written as an escape."""
    if len(text) > longest:
        text = f"{text[: longest * 5 // 8]} ... {text[-longest // 4 :]}"
    shown = "".join(sign if sign.isprintable() else " " if sign in "\n\r\t" else ascii(sign)[1:-1] for sign in text)
    return shown if len(shown) <= longest else f"{shown[: longest * 5 // 8]} ... {shown[-longest // 4 :]}"


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that no table holds, with the nearest real names first."""
    known = sorted(known)
    name = one_line(name, 80)  # nothing is near to what is longer
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    there = f"there are: {', '.join(known)}" if len(known) <= MOST else f"there are {len(known)}, such as {', '.join(known[:4])}"
    hint = f"did you mean {' or '.join(near)}?" if near else there
    return UserError(f"unknown {kind} {name!r}; {hint}")
