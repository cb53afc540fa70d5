"""A table of components: the names of one kind, the factory behind each, and its settings filled in and checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar, get_origin

from spaces.notation.component import Component, Literal, written
from spaces.notation.errors import UserError, unknown
from spaces.notation.factory import Kinds, check_factory, check_made, num_positional, settings_of
from spaces.notation.limits import check_size
from spaces.notation.nested import Nested
from spaces.notation.own_modules import OWN_ERRORS, import_factory, said_by
from spaces.notation.setting_types import typed

T = TypeVar("T")


class Table(Generic[T], Mapping[str, Callable[..., T]]):
    """The names of one kind of component and the factory behind each.

    A factory takes what the framework knows as positional arguments and what a user sets as keyword-only ones:
    `def conv(site, *, depth: int = 1)`. A name that is a dotted path (`package.module.name`) is imported instead of
    looked up, so a user's own component needs no edit here; `spaces.notation.own_modules` says which may be. `makes` is the class
    of what factories make, or several; `takes` is how many positional arguments they have, by default as many as the entries
    have. `nested` are the settings that are components themselves, each with its table; None stands for this one. A factory
    that annotates one as `Nested` is given it bound to its table, any other its text.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, Callable[..., T]],
        nested: Mapping[str, Table[Any] | None] | None = None,
        *,
        makes: Kinds = object,
        takes: int | None = None,
    ) -> None:
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
            annotation = parameter.annotation
            if _is_nested(annotation):
                value, annotation = str(value) if isinstance(value, Nested) else value, str
            if name in given or isinstance(value, bool | int | float | str | tuple):
                value = typed(value, annotation, f"{self.kind} {component.name}, setting {name}")
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
            made = self[component.name](*context, **self._bound_settings(component))
        except UserError:
            raise
        except OWN_ERRORS as error:
            if component.name in self or "memory" in str(error):
                raise
            raise UserError(f"{self.kind} {component} cannot be made ({said_by(error)}); mend it, or take another") from None
        check_made(f"{self.kind} {component.name}", made, self._makes)
        return made

    def bind(self, text: str | Component) -> Nested[T]:
        """The component resolved, with its factory and its settings, and not yet built."""
        component = self.resolve(text)
        return Nested(str(component), self[component.name], self._bound_settings(component), partial(self.build, component))

    def _bound_settings(self, component: Component) -> dict[str, Any]:
        """The settings of a resolved component as its factory takes them."""
        parameters = self.parameters(component.name)
        return {
            name: self._nested[name].bind(value) if _is_nested(parameters[name].annotation) else value
            for name, value in component.settings
        }

    def registers(self, text: str | Component) -> bool:
        """Whether the name, and those of nested components, are this table's own, so that nothing need be imported."""
        component = Component.parse(text) if isinstance(text, str) else text
        nested = {name: self._nested[name] for name, _ in component.settings if name in self._nested}
        return (
            component.name in self
            and not component.positional
            and all(table.registers(str(dict(component.settings)[name])) for name, table in nested.items())
        )

    def describe(self, name: str) -> str:
        """The first paragraph of the factory's docstring, in one line."""
        return " ".join((inspect.getdoc(self[name]) or "").partition("\n\n")[0].split())

    def parameters(self, name: str) -> dict[str, inspect.Parameter]:
        """The settings that a user may give, by name, with resolved annotations."""
        return settings_of(self[name])

    def _named(self, component: Component, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Literal]:
        if len(component.positional) > len(parameters):
            raise UserError(
                f"{self.kind} {component.name} takes {len(parameters)} settings ({', '.join(parameters) or 'none'}), "
                f"got {len(component.positional)} values: {component}"
            )
        given = dict(zip(parameters, component.positional, strict=False))
        for name, value in component.settings:
            if name not in parameters:
                raise (
                    unknown(f"setting of {self.kind} {component.name}:", name, parameters)
                    if parameters
                    else UserError(f"{self.kind} {component.name} takes no settings, got {name}={written(value)}")
                )
            if name in given:
                raise UserError(f"{self.kind} {component.name}: a setting is given once, got {name} twice in {component}")
            given[name] = value
        return given


def _is_nested(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) is Nested
