"""Where the units of a traced network end, and where its classifier begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import fx, nn
from torch.nn import functional as F

from spaces.notation.errors import UserError
from spaces.traced.cut_points import Traced
from spaces.traced.layout import layout_of, positions
from spaces.traced.opened import is_block, num_layers
from spaces.traced.tracer import MODULE, VALUE


@dataclass
class Segment:
    """The nodes between two points at which a network may be cut: up to the place `stop`, which lies behind the last one.

    layers      how many layers it has: convolutions, linear layers
    is_block    whether they are joined in a block, such as a residual one
    pools       whether fewer pixels or tokens come out than go in, and no layer does it
    pools_all   whether that is a mean or the like over all of them, with which a classifier begins
    is_vector   whether a vector comes out, and no map or tokens
    first_name, last_name   of the modules that are called, dotted
    """

    start: int
    stop: int
    layers: int
    is_block: bool
    pools: bool
    pools_all: bool
    is_vector: bool
    first_name: str
    last_name: str


def unit_ends(ways: Sequence[Traced], only: frozenset[str] | None = None) -> list[str]:
    """The names of the nodes after which units end, the last one where the classifier begins.

    A unit has a layer, and what follows it up to the next pool or layer: BatchNorm, activation, dropout. Pools belong to the
    unit after them; a stem of one layer belongs to the first block; what comes after the last map or token belongs to the
    classifier, which has the last layer at least. With `only`, units end at the modules of these names and nowhere else.
    """
    model = ways[0].model
    shared = _shared(ways[0])
    common = _common(ways)
    if only is not None:
        ends = [name for name in common if _target(ways[0], name) in only]
        _refuse_missing(ends, only, ways[0])
    else:
        segments = _segments(ways[0], common, dict(model.named_modules()))
        ends = [ways[0].nodes[stop - 1].name for stop in _folded(segments)]
    places = ways[0].place
    ends = [end for end in ends if not any(first <= places[end] < last for first, last, _ in shared)]
    if not ends:
        raise UserError(_stuck(ways[0], common, shared))
    return ends


def _common(ways: Sequence[Traced]) -> list[str]:
    """The nodes after which all ways through the network may be cut."""
    found = []
    for _, node in ways[0].tensor_nodes():
        points = [way.cut_point(way.place[node.name]) if node.name in way.place else None for way in ways]
        first = points[0]
        if first is None or any(point is None or point.constants != first.constants for point in points):
            continue
        inside = any(_goes_on(way, way.place[node.name]) for way in ways)
        if not inside and all(point is not None and point.value == node.name for point in points):
            found.append(node.name)
    return found


def _goes_on(way: Traced, place: int) -> bool:
    """Whether the module in which a node lies has more to do behind it."""
    following = next((node for node in way.nodes[place + 1 :] if node.op not in ("get_attr", "placeholder")), None)
    module = way.nodes[place].meta.get(MODULE)
    return module is not None and following is not None and following.op != "call_module" and following.meta.get(MODULE) == module


def _segments(way: Traced, ends: Sequence[str], modules: dict[str, nn.Module]) -> list[Segment]:
    stops = [0, *(way.place[name] + 1 for name in ends), len(way.nodes)]
    found = []
    before, was_vector = 0, False
    for start, stop in pairwise(dict.fromkeys(stops)):
        nodes = way.nodes[start:stop]
        names = list(dict.fromkeys(node.meta[MODULE] for node in nodes if node.meta.get(MODULE)))
        called = [modules[name] for name in names]
        layers = sum(map(num_layers, called)) + sum(_is_function_layer(node) for node in nodes)
        form = _form(nodes[-1], modules) if stop < len(way.nodes) else ()
        after = positions(form) if form else 1
        is_vector = len(form) < 2
        parts = (*nodes, *(part for one in called for part in one.modules()))
        pools_all = not layers and any(_pools_all(part, to_vector=is_vector and not was_vector) for part in parts)
        pools = not layers and (pools_all or after < before or (is_vector and not was_vector))
        first_name, last_name = (names[0], names[-1]) if names else ("", "")
        found.append(Segment(start, stop, layers, any(map(is_block, called)), pools, pools_all, is_vector, first_name, last_name))
        before, was_vector = after, is_vector
    return found


def _folded(segments: Sequence[Segment]) -> list[int]:
    """The places behind which units end."""
    units: list[list[Segment]] = []
    pending: list[Segment] = []
    body = 0
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        if segment.pools_all and units:
            body = body or len(units)
        if segment.layers:
            units.append([*pending, segment])
            pending = []
        elif pending or not units or _belongs_behind(segment, units[-1][-1], following):
            pending.append(segment)
        else:
            units[-1].append(segment)
    if len(units) > 1 and _num_layers(units[0]) == 1 and not _has_block(units[0]) and _has_block(units[1]):
        units[:2] = [units[0] + units[1]]
        body -= body > 0
    maps = [number for number, unit in enumerate(units) if not unit[-1].is_vector]
    last = body - 1 if body else maps[-1] if len(maps) > 1 else len(units) - 2
    if last == len(units) - 1 and not any(segment.layers for segment in pending):
        last -= 1
    return [unit[-1].stop for unit in units[: last + 1]]


def _belongs_behind(segment: Segment, before: Segment, behind: Segment | None) -> bool:
    """Whether a segment without layers belongs to the unit behind it: by its name, and where that does not tell, as pools do."""
    if behind is None or (segment.pools and behind.pools_all):
        return True
    with_before, with_behind = _in_common(segment, before), _in_common(segment, behind)
    return segment.pools if with_before == with_behind else with_before < with_behind


def _in_common(one: Segment, other: Segment) -> int:
    """How many parts of their modules' names two neighbours have in common."""
    names = (one.last_name, other.first_name) if one.stop <= other.start else (one.first_name, other.last_name)
    parts = [name.split(".")[:-1] for name in names]
    equal = [one_part == other_part for one_part, other_part in zip(*parts, strict=False)]
    return equal.index(False) if False in equal else len(equal)


def _pools_all(what: fx.Node | nn.Module, *, to_vector: bool) -> bool:
    """Whether a module or an operation pools to a size that is given, or takes a mean that leaves one vector."""
    name = type(what).__name__ if isinstance(what, nn.Module) else getattr(what.target, "__name__", str(what.target))
    return "adaptive" in name.lower() or (to_vector and name in ("mean", "amax"))


def _num_layers(unit: Sequence[Segment]) -> int:
    return sum(segment.layers for segment in unit)


def _has_block(unit: Sequence[Segment]) -> bool:
    return any(segment.is_block for segment in unit)


def _form(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[int, ...]:
    return layout_of(node, modules).to_form(node.meta[VALUE].shape)


def _is_function_layer(node: fx.Node) -> bool:
    return node.op == "call_function" and node.meta.get(MODULE) is None and node.target in _FUNCTIONS


def _target(way: Traced, name: str) -> str:
    return str(way.nodes[way.place[name]].meta.get(MODULE))


def _shared(way: Traced) -> list[tuple[int, int, str]]:
    """First and last place at which the same parameter is used, and its name: no cut may lie in between."""
    names = {id(parameter): name for name, parameter in way.model.named_parameters()}
    used: dict[int, list[int]] = {}
    reads = {node: place for place, node in enumerate(way.nodes)}
    for place, node in enumerate(way.nodes):
        places = [reads[user] for user in node.users if user in reads] if node.op == "get_attr" else [place]
        for parameter in way.parameters(node):
            used.setdefault(id(parameter), []).extend(places)
    return [(min(at), max(at), names[key]) for key, at in used.items() if at and min(at) < max(at)]


def _refuse_missing(ends: Sequence[str], only: frozenset[str], way: Traced) -> None:
    missing = sorted(only - {_target(way, end) for end in ends})
    if missing:
        name = missing[0]
        place = next((place for place, node in enumerate(way.nodes) if node.op == "call_module" and node.target == name), None)
        why = "which its forward does not call" if place is None else f"after which {', '.join(way.alive(place))} are alive"
        raise UserError(f"units end where one activation alone is alive, got {name}, {why}; name others")


def _stuck(way: Traced, common: Sequence[str], shared: Sequence[tuple[int, int, str]]) -> str:
    name = type(way.model).__name__
    inside = [place for place, node in way.tensor_nodes() if node.name != getattr(way.output, "name", None)]
    if shared and any(way.place[end] in inside for end in common):
        return f"blocks share no parameters, got {shared[0][2]} of {name}, which is used from its beginning to its end; untie it"
    fewest = min((way.alive(place) for place in inside), key=len, default=[])
    if len(fewest) < 2:
        return f"a network is cut between two layers at least, got {name}, which has none on both sides of a point to cut at"
    return (
        f"a network is cut where one activation alone is alive, got {name}, in which {', '.join(fewest[:4])} are alive at once; "
        "gradients would cross every cut"
    )


_FUNCTIONS = (F.linear, F.conv1d, F.conv2d, F.conv3d, torch.ops.aten.linear.default, torch.ops.aten.conv2d.default)
