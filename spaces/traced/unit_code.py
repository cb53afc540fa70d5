"""The code of a unit: a function that can be pickled, since it is kept as the text it was made of."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import Any, Self

from torch import fx


class UnitCode:
    """A graph as a function of the unit and what the unit is given.

    text   its source, which torch.fx wrote of calls that were made; no text from outside
    names  what the source calls, beside what it has of torch.fx in any case
    file   where tracebacks say that it stands
    """

    def __init__(self, text: str, names: Mapping[str, Any], file: str) -> None:
        self.text, self.names, self.file = text, names, file
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        held = {**_ALWAYS, **names}
        exec(compile(text, file, "exec"), held)
        self._run = held["forward"]

    @classmethod
    def of(cls, graph: fx.Graph, name: str) -> Self:
        """The code of the graph of the unit with this name."""
        code = graph.python_code("self")
        return cls(code.src, {name: value for name, value in code.globals.items() if name not in _ALWAYS}, f"<unit {name}>")

    def __call__(self, unit: Any, h: Any) -> Any:
        return self._run(unit, h)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew of its text; the functions that it calls are looked up by their names, as those of any pickle."""
        return type(self), (self.text, self.names, self.file)


_ALWAYS: Mapping[str, Any] = fx.Graph().python_code("self").globals  # modules among them, which no pickle takes
