"""Components by name: `name(setting=literal)` in the shell, in YAML and in CSV cells. Looked up, never executed."""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from spaces.notation.errors import UserError, unknown
from spaces.notation.factory import Kinds, check_factory, check_made, num_positional, settings_of
from spaces.notation.limits import check_size
from spaces.notation.own_modules import OWN_ERRORS, import_factory, said_by

T = TypeVar("T")
Literal = Any  # None, bool, int, float, str, or a tuple of these
LISTS = (tuple, list, Sequence)  # annotations of a setting that is a list; it always comes as a tuple


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
            raise UserError(f"a component is written in {LONGEST:,} characters at most, but {len(text):,} came: {text[:40]!r}...")
        head, bracket, rest = text.strip().partition("(")
        if not re.fullmatch(r"\d*[^\W\d]\w*(\.\w+)*(:\w+)?", head):
            raise UserError(f"a component is written name or name(setting=value, ...), but {text!r} came")
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
            raise UserError(f"a component is written name(setting=value, ...), texts of several words or signs in quotes"
                            f"{_in_quotes(rest)}, but {text!r} does not parse") from None

    @staticmethod
    def _of(head: str, call: ast.Call, text: str) -> Component:
        names = [setting.arg for setting in call.keywords]
        if None in names or len(set(names)) < len(names):
            raise UserError(f"settings are written name=value, each once, but {text!r} came")
        settings = tuple((str(setting.arg), _literal(setting.value, text)) for setting in call.keywords)
        return Component(head, settings, tuple(_literal(value, text) for value in call.args))

    def __str__(self) -> str:
        written = [_write(value) for value in self.positional] + [f"{k}={_write(v)}" for k, v in self.settings]
        return f"{self.name}({','.join(written)})" if written else self.name


LONGEST = 20_000  # characters of a component
_SHOWN = 300  # of its settings, where they are told in quotes
_LARGEST = 1024  # bits of a whole number
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)  # what Python's parser raises
_BARE_PATH = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|"""  # a quoted text, which is left as it is, or, as a value,
                        r"""(?<=[=(,\[])\s*((?:~?/|\.{1,2}/|(?:~|\.{1,2})(?=\s*[,)\]])|\.[^\W\d]|[~\w.-]+/|[^\W\d][\w.]*(?:-|\.\d))"""
                        r"""[^][(){},='"]*?)(?=\s*[,)\]])""")


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
    raise UserError(f"a setting is a number, a word, a quoted text{_in_quotes(text.partition('(')[2])} or a list of these; see "
                    f"{text!r}")


def _write(value: Literal) -> str:
    if isinstance(value, str):
        bare = value.isidentifier() and value.isascii() and not keyword.iskeyword(value)
        return value if bare else repr(value)
    if isinstance(value, tuple):
        return "[" + ",".join(_write(element) for element in value) + "]"
    written = repr(value)
    return {"inf": "1e999", "-inf": "-1e999"}.get(written, written)  # literals that read back as infinity


class Table(Generic[T], Mapping[str, Callable[..., T]]):
    """The names of one kind of component and the factory behind each.

    A factory takes what the framework knows as positional arguments and what a user sets as keyword-only ones:
    `def conv(site, *, depth: int = 1)`. A name that is a dotted path (`package.module.name`) is imported instead of
    looked up, so a user's own component needs no edit here; `spaces.notation.own_modules` says which may be. `makes` is the class
    of what factories make, or several; `takes` is how many positional arguments they have, by default as many as the entries
    have. `nested` are the settings that are components themselves, each with its table; None stands for this one.
    """

    def __init__(self, kind: str, entries: Mapping[str, Callable[..., T]],
                 nested: Mapping[str, Table[Any] | None] | None = None, *,
                 makes: Kinds = object, takes: int | None = None) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._nested = {name: self if table is None else table for name, table in (nested or {}).items()}
        self._makes = makes
        self._takes = num_positional(next(iter(entries.values()))) if takes is None else takes

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name in self._entries:
            return self._entries[name]
        if "." in name or ":" in name:
            factory = import_factory(self.kind, name)
            check_factory(f"{self.kind} {name!r}", factory, self._takes, self._makes)
            return factory
        raise unknown(self.kind, name, self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def resolve(self, text: str | Component) -> Component:
        """The component with every setting filled in and checked; an unknown setting or a wrong type is a UserError.

        A setting that is None by default and in fact is left out, so that a new optional setting renames no old result.
        """
        component = Component.parse(text) if isinstance(text, str) else text
        parameters = self.parameters(component.name)
        given = self._named(component, parameters)
        settings = []
        for name, parameter in parameters.items():
            value = given.get(name, parameter.default)
            if value is inspect.Parameter.empty:
                raise UserError(f"{self.kind} {component.name} needs the setting {name}: {component.name}({name}=...)")
            if isinstance(value, list):
                value = tuple(value)
            if name in given or isinstance(value, bool | int | float | str | tuple):
                value = _typed(value, parameter.annotation, f"{self.kind} {component.name}, setting {name}")
            check_size(f"{self.kind} {component.name}, setting {name},", name, value)
            if name in self._nested:
                value = str(self._nested[name].resolve(str(value)))
            if value is not None or parameter.default is not None:
                settings.append((name, value))
        return Component(component.name, tuple(settings))

    def build(self, text: str | Component, *context: Any) -> T:
        """Call the factory with the framework's arguments and the resolved settings."""
        component = self.resolve(text)
        try:
            made = self[component.name](*context, **dict(component.settings))
        except UserError:
            raise
        except OWN_ERRORS as error:
            if component.name in self or "memory" in str(error):
                raise
            raise UserError(f"{self.kind} {component} cannot be made ({said_by(error)}); mend it, or take another") from None
        check_made(f"{self.kind} {component.name}", made, self._makes)
        return made

    def registers(self, text: str | Component) -> bool:
        """Whether the name, and those of nested components, are this table's own, so that nothing need be imported."""
        component = Component.parse(text) if isinstance(text, str) else text
        nested = {name: self._nested[name] for name, _ in component.settings if name in self._nested}
        return component.name in self and not component.positional and all(
            table.registers(str(dict(component.settings)[name])) for name, table in nested.items())

    def describe(self, name: str) -> str:
        """The first line of the factory's docstring."""
        return (inspect.getdoc(self[name]) or "").partition("\n")[0]

    def parameters(self, name: str) -> dict[str, inspect.Parameter]:
        """The settings that a user may give, by name, with resolved annotations."""
        return settings_of(self[name])

    def _named(self, component: Component, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Literal]:
        if len(component.positional) > len(parameters):
            raise UserError(
                f"{self.kind} {component.name} takes {len(parameters)} settings ({', '.join(parameters) or 'none'}), "
                f"but {len(component.positional)} values came: {component}"
            )
        given = dict(zip(parameters, component.positional, strict=False))
        for name, value in component.settings:
            if name not in parameters:
                raise unknown(f"setting of {self.kind} {component.name}:", name, parameters) if parameters else UserError(
                    f"{self.kind} {component.name} takes no settings, but {name}={_write(value)} came"
                )
            if name in given:
                raise UserError(f"{self.kind} {component.name}: the setting {name} came twice in {component}")
            given[name] = value
        return given


def _typed(value: Literal, annotation: Any, where: str) -> Literal:
    """`value` as the annotation wants it; an int serves as a float, a tuple's elements are checked one by one."""
    if annotation is Any:
        return value
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        options = get_args(annotation)
        if value is None and type(None) in options:
            return None
        for option in options:
            if option is not type(None) and _fits(value, option):
                return _typed(value, option, where)
    elif origin is typing.Literal:
        if value in get_args(annotation):
            return value
        if isinstance(value, str):
            raise unknown(f"value of {where}:", value, [str(option) for option in get_args(annotation)])
    elif (origin or annotation) in LISTS:
        element, *_ = *get_args(annotation), Any
        if isinstance(value, tuple):
            return tuple(_typed(entry, element, where) for entry in value)
    elif _fits(value, annotation):
        return annotation(value)
    raise UserError(f"{where} must be {_name(annotation)}, but {_write(value)} came")


def _fits(value: Literal, annotation: Any) -> bool:
    if (get_origin(annotation) or annotation) in LISTS:
        return isinstance(value, tuple)
    if get_origin(annotation) is typing.Literal:
        return value in get_args(annotation)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, annotation) and not (annotation is int and isinstance(value, bool))


def _name(annotation: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "a word or a quoted text", type(None): "None"}
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_name, get_args(annotation)))
    if get_origin(annotation) is typing.Literal:
        return " or ".join(map(_write, get_args(annotation)))
    if get_origin(annotation) in LISTS:
        return "a list" + "".join(f" (each {_name(element)})" for element in get_args(annotation)[:1])
    return names.get(annotation) or str(annotation).replace("typing.", "")
