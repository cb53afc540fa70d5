"""Components as short as they can be told apart, for tables that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from methods.table import METHODS
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.notation.component import Component, Literal
from spaces.notation.errors import UserError


def short_names(methods: Iterable[str]) -> dict[str, str]:
    """Each method's name, with the settings in which it differs from another of the same name, or from what the table of
    methods has by default; a method among these alike."""
    parsed = {method: Component.parse(method) for method in methods}
    groups: dict[str, list[Component]] = {}
    for component in parsed.values():
        known = [METHODS.resolve(component.name)] if component.name in METHODS else []
        groups.setdefault(component.name, known).append(component)
    return {method: _told_apart(own, groups[own.name]) for method, own in parsed.items()}


def short_among(names: Iterable[str]) -> dict[str, str]:
    """Each component's name, with the settings in which it differs from another of the same name among these alone."""
    parsed = {name: Component.parse(name) for name in names}
    groups: dict[str, list[Component]] = {}
    for component in parsed.values():
        groups.setdefault(component.name, []).append(component)
    return {name: _told_apart(own, groups[own.name]) for name, own in parsed.items()}


def _told_apart(own: Component, group: Sequence[Component]) -> str:
    differing = [(name, value) for name, value in own.settings if any((name, value) not in one.settings for one in group)]
    return str(Component(own.name, tuple((name, _short_setting(value, name, group)) for name, value in differing)))


def _short_setting(value: Literal, name: str, group: Sequence[Component]) -> Literal:
    """A component among the settings, such as the base of `man`, in its short name among those of the group."""
    if not isinstance(value, str) or "(" not in value:
        return value
    others = [dict(one.settings).get(name) for one in group]
    return short_names(other for other in others if isinstance(other, str))[value]


@lru_cache(maxsize=2**12)
def short_head(head: str) -> str:
    """The head without the settings that have their defaults; read back, it is the same."""
    own = Component.parse(head)
    if own.name not in HEADS:
        return head
    defaults = {name: parameter.default for name, parameter in HEADS.parameters(own.name).items()}
    return str(Component(own.name, tuple((name, value) for name, value in own.settings if value != defaults.get(name))))


def short_heads(point: Decoupling) -> str:
    """The heads of all cuts, or the one that all have."""
    heads = list(map(short_head, point.heads))
    return heads[0] if len(set(heads)) == 1 else " ".join(heads)


def short_cuts(point: Decoupling) -> str:
    """The cuts, neighbours as `2-15`."""
    return _runs(point.cuts)


def _runs(places: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for place in places:
        if not runs or runs[-1][-1] != place - 1:
            runs.append([])
        runs[-1].append(place)
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def short_decoupling(decoupling: str) -> str:
    """A decoupling with short heads; with `1-3,7:linear` where all cuts have the same."""
    point = Decoupling.parse(decoupling)
    if point.cuts and len(set(point.heads)) == 1:
        return f"{short_cuts(point)}:{short_heads(point)}"
    return str(Decoupling(point.cuts, tuple(map(short_head, point.heads))))


def short_space(space: str) -> str:
    """What may be searched in a space, as `gaps 1-6, heads linear mlp_sr, K 2 to 4`, without its backbone; what is no space of a
    row stays as it is."""
    try:
        settings = dict(Component.parse(space).settings)
        gaps, heads, count = (settings.get(name) for name in ("gaps", "heads", "num_blocks"))
        if not isinstance(gaps, tuple) or not isinstance(heads, tuple):
            return space
        parts = [
            f"gaps {_runs([gap for gap in gaps if isinstance(gap, int)])}",
            f"heads {' '.join(short_head(str(head)) for head in heads)}",
        ]
    except UserError:
        return space
    if count:
        parts.append(f"K {count[0]} to {count[-1]}" if isinstance(count, tuple) else f"K {count}")
    if (least := settings.get("min_block", 1)) != 1:
        parts.append(f"blocks of {least} units at least")
    return ", ".join(parts)
