"""`list` and `show`: what there is, and all that there is to say of a name."""

from __future__ import annotations

from dataclasses import dataclass

from nas.commands.option import option, required


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What `list` takes."""

    kinds: tuple[str, ...] = option(
        (),
        "only these: spaces, methods, heads, strategies, tasks, ...; with their settings",
        metavar="KIND",
        positional=True,
        may_be_empty=True,
    )
    search: str | None = option(None, "only what has this in its name, its line or its settings", metavar="WORD")


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What `show` takes."""

    name: str = required(
        "a name of `run.py list`; kind:name where several kinds are wanted apart", metavar="NAME", positional=True
    )
