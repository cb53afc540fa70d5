"""Components by name: `name(setting=literal)` in the shell, in YAML and in CSV cells. Looked up, never executed."""

from __future__ import annotations

import ast
import keyword
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from spaces.notation.errors import UserError

Literal = Any  # None, bool, int, float, str, or a tuple of these


@dataclass(frozen=True)
class Component:
    """A parsed `name(setting=literal)`. `Component.parse(str(c)) == c`; positional literals are named by `Table.resolve`."""

    name: str
    settings: tuple[tuple[str, Literal], ...] = ()
    positional: tuple[Literal, ...] = ()

    @staticmethod
    def parse(text: str) -> Component:
        """Read the notation. A bare word or path as a value is a string (`optuna(sampler=gp)`, `arrays(root=../mine)`); lists
        become tuples."""
        if len(text) > LONGEST:
            raise UserError(f"a component is written in {LONGEST:,} characters at most, got {len(text):,}: {text[:40]!r}...")
        head, bracket, rest = text.strip().partition("(")
        if not re.fullmatch(r"\d*[^\W\d]\w*(\.\w+)*(:\w+)?", head):
            raise UserError(f"a component is written name or name(setting=value, ...), got {text!r}")
        if not bracket:
            return Component(head)
        try:
            call = ast.parse(_BARE_PATH.sub(_quoted, f"_({rest}"), mode="eval").body
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                raise SyntaxError
            return Component._of(head, call, text)
        except _UNREADABLE as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"a component is written name(setting=value, ...), texts of several words or signs in quotes"
                f"{_in_quotes(rest)}, but {text!r} does not parse"
            ) from None

    @staticmethod
    def _of(head: str, call: ast.Call, text: str) -> Component:
        names = [setting.arg for setting in call.keywords]
        if None in names or len(set(names)) < len(names):
            raise UserError(f"settings are written name=value, each once, got {text!r}")
        settings = tuple((str(setting.arg), _literal(setting.value, text)) for setting in call.keywords)
        return Component(head, settings, tuple(_literal(value, text) for value in call.args))

    def __str__(self) -> str:
        values = [written(value) for value in self.positional] + [f"{k}={written(v)}" for k, v in self.settings]
        return f"{self.name}({','.join(values)})" if values else self.name


LONGEST = 20_000  # characters of a component
_SHOWN = 300  # of its settings, where they are told in quotes
_LARGEST = 1024  # bits of a whole number
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)  # what Python's parser raises
_BARE_PATH = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|"""  # a quoted text, which is left as it is, or, as a value,
    r"""(?<=[=(,\[])\s*((?:~?/|\.{1,2}/|(?:~|\.{1,2})(?=\s*[,)\]])|\.[^\W\d]|[~\w.-]+/|[^\W\d][\w.]*(?:-|\.\d))"""
    r"""[^][(){},='"]*?)(?=\s*[,)\]])"""
)


def _quoted(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else repr(found[1])


def _in_quotes(settings: str) -> str:
    """How the first value of a setting is written that is neither a number nor a word, a list or a component."""
    for name, value in () if len(settings) > _SHOWN else re.findall(r"(\w+)\s*=\s*(.*?)\s*(?=,\s*\w+\s*=|\)\s*$)", settings):
        is_word = value.replace(".", "").isidentifier() and not keyword.iskeyword(value)
        if not (is_word or re.fullmatch(r"""[-+]?[\d.]+(e[-+]?\d+)?|None|True|False|\[.*\]|'.*'|".*"|[\w.:]+\(.*\)""", value)):
            return f", as {name}={value!r}"
    return ""


def _literal(node: ast.expr, text: str) -> Literal:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call | ast.Attribute):  # a component inside a component, kept as its text
        inner = str(Component.parse(ast.unparse(node)))
        if len(inner) > LONGEST:  # each nesting doubles the signs before quotes
            raise ValueError
        return inner
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_literal(element, text) for element in node.elts)
    with suppress(ValueError, TypeError):
        value = ast.literal_eval(node)
        if type(value) is int and value.bit_length() > _LARGEST:
            raise ValueError
        if isinstance(value, bool | int | float | str | None):
            return value
    raise UserError(
        f"a setting is a number, a word, a quoted text{_in_quotes(text.partition('(')[2])} or a list of these; see {text!r}"
    )


def written(value: Literal) -> str:
    """The value as the notation writes it."""
    if isinstance(value, str):
        bare = value.isidentifier() and value.isascii() and not keyword.iskeyword(value)
        return value if bare else repr(value)
    if isinstance(value, tuple):
        return "[" + ",".join(written(element) for element in value) + "]"
    plain = repr(value)
    return {"inf": "1e999", "-inf": "-1e999"}.get(plain, plain)  # literals that read back as infinity
