"""A call from Python: its arguments as options, and the process as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from nas.commands.option import read_options
from nas.commands.typed_names import typed_names
from nas.device import switches_restored
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError
from spaces.notation.own_modules import only_allowed

Options = TypeVar("Options")


@contextmanager
def python_call(
    cls: type[Options], name: str, positional: Sequence[str], given: Sequence[Any], keywords: Mapping[str, Any]
) -> Iterator[tuple[Options, str]]:
    """The options of a call of `nas.NAME`, and the call as the column `command` has it. What the call names may be imported;
    torch's threads and switches are afterwards as they were."""
    if len(given) > len(positional):
        raise UserError(f"nas.{name} takes {', '.join(positional)} by place, got {len(given)} values; give the others by name")
    by_place = dict(zip(positional, given, strict=False))
    if twice := [one for one in by_place if one in keywords]:
        raise UserError(f"{twice[0]} is given once, got it by place and by name; leave one of them out")
    values = {**by_place, **keywords}
    options = read_options(cls, values)
    command = f"nas.{name}({', '.join(f'{key}={_written(value)}' for key, value in values.items())})"
    with switches_restored(), only_allowed(getattr(options, "allow", ()), typed_names(options)):
        yield options, command


def _written(value: Any) -> str:
    """A value as it can be typed again, without the password of a results store."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return repr(value) if isinstance(value, bool | int | float | None) else repr(redacted(str(value)))
