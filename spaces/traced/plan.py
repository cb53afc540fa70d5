"""A network as a backbone: traced once, then cut out of every instance of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from torch import fx, nn

from spaces.notation.errors import UserError
from spaces.traced.cut_points import Traced, is_constant
from spaces.traced.exported import exported_graphs
from spaces.traced.layout import layout_of
from spaces.traced.listed import ListedPlan, listed_plan
from spaces.traced.opened import opened_modules
from spaces.traced.traced_unit import Border, TracedUnit, UnitPlan, unit_graph
from spaces.traced.tracer import VALUE, CannotTrace, Tracer
from spaces.traced.unit_code import UnitCode
from spaces.traced.units import unit_ends


@dataclass(frozen=True)
class Plan:
    """The units of a network, the classifier last; `outputs` is the shape of what the network gives, without the batch."""

    units: tuple[UnitPlan, ...]
    outputs: tuple[int, ...]

    def units_of(self, model: nn.Module) -> list[nn.Module]:
        """The units of an instance, which share its modules; the classifier last."""
        return [TracedUnit(model, unit) for unit in self.units]


def plan_of(model: nn.Module, examples: Sequence[Any], units: str | None = None) -> Plan | ListedPlan:
    """How a network is cut, found by tracing it in training and at inference with all examples of its input.

    The examples differ in the number of samples, and in their length where inputs do; their values are not used. `units`: a
    pattern of names such as `layers.*`: units end with these modules and nowhere else, and the network need not be traced. One
    that cannot be without it, or of which several activations are alive everywhere, is a UserError.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"a network is a torch.nn.Module, got a {type(model).__name__}; give the module itself")
    named = None
    if units is not None:
        named = frozenset(name for name, _ in model.named_modules() if name and fnmatchcase(name, units))
        named = frozenset(name for name in named if name.rpartition(".")[0] not in named)
        if not named:
            raise UserError(f"units are named by a pattern of the names of modules, got {units}, which fits none")
    opened = opened_modules(model, named or frozenset())
    if named:
        opened |= {parent for name in named for parent in _parents(name)}
    try:
        ways, constants = _ways(model, examples, opened)
    except CannotTrace as error:
        if named:
            return listed_plan(model, examples[0], sorted(named))
        try:
            ways, constants = _exported_ways(model, examples, opened)
        except CannotTrace as exported:
            raise CannotTrace(f"{error}; torch.export says {exported}") from None
    try:
        ends = unit_ends([ways[True], ways[False]], named)
    except UserError as error:
        if not named:
            raise
        try:
            return listed_plan(model, examples[0], sorted(named))
        except UserError:
            raise error from None
    modules = dict(model.named_modules())
    borders = {training: [None, *(_border(way, end, modules) for end in ends), None] for training, way in ways.items()}
    found = []
    for number, (begin, end) in enumerate(zip([None, *ends], [*ends, None], strict=True)):
        of_mode = {training: unit_graph(way, *list(pairwise(borders[training]))[number]) for training, way in ways.items()}
        found.append(_unit_plan(of_mode, constants, begin, end, ways[False]))
    return Plan(tuple(found), tuple(ways[False].output.meta[VALUE].shape[1:]))


Ways = tuple[dict[bool, Traced], dict[bool, dict[str, Any]]]  # in training and at inference; and the tensors that the code made


def _ways(model: nn.Module, examples: Sequence[Any], opened: frozenset[str]) -> Ways:
    """Traced by torch.fx, whose nodes are the calls of modules."""
    ways, constants = {}, {}
    for training in (True, False):
        with mode(model, training):
            tracers = [Tracer(opened) for _ in examples]
            graphs = [tracer.graph_of(model, example) for tracer, example in zip(tracers, examples, strict=True)]
        _check_alike(graphs, type(model).__name__)
        ways[training], constants[training] = Traced(model, graphs), tracers[0].constants
    return ways, constants


def _exported_ways(model: nn.Module, examples: Sequence[Any], opened: frozenset[str]) -> Ways:
    """Traced by torch.export, whose nodes are operations."""
    ways, constants = {}, {}
    for training in (True, False):
        with mode(model, training):
            graphs, constants[training] = exported_graphs(model, examples, opened)
        ways[training] = Traced(model, graphs)
    return ways, constants


def _unit_plan(
    graphs: dict[bool, tuple[fx.Graph, bool]],
    constants: dict[bool, dict[str, Any]],
    begin: str | None,
    end: str | None,
    way: Traced,
) -> UnitPlan:
    name = end or "classifier"
    run = {training: UnitCode.of(graph, name) for training, (graph, _) in graphs.items()}
    if run[True].text == run[False].text:
        run[True] = run[False]
    used = {
        str(node.target): node
        for graph, _ in graphs.values()
        for node in graph.nodes
        if node.op in ("call_module", "get_attr") and not is_constant(node)
    }
    held = {
        str(node.target): constants[training][str(node.target)]
        for training, (graph, _) in graphs.items()
        for node in graph.nodes
        if is_constant(node)
    }
    frozen = any(is_frozen for _, is_frozen in graphs.values())
    sizes = None
    if frozen and begin is not None:
        at = way.place[begin]
        layout = layout_of(way.nodes[at], dict(way.model.named_modules()))
        sizes = layout.to_form(way.values[begin][0].shape)
    return UnitPlan(run, _outermost(used), held, sizes)


def _border(way: Traced, end: str, modules: dict[str, nn.Module]) -> Border:
    place = way.place[end]
    point = way.cut_point(place)
    assert point is not None, end
    return Border(place, point, layout_of(way.nodes[place], modules))


def _outermost(names: Any) -> tuple[str, ...]:
    """The names that lie below no other one."""
    return tuple(name for name in names if not any(parent in names for parent in _parents(name)))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _check_alike(graphs: Sequence[fx.Graph], name: str) -> None:
    """Refuse a network whose code does other things for other numbers of samples."""
    first, *others = [[(node.op, str(node.target), node.name) for node in graph.nodes] for graph in graphs]
    for other in others:
        differing = [one for one, two in zip(first, other, strict=False) if one != two]
        if differing or len(first) != len(other):
            at = differing[0][2] if differing else "its end"
            raise CannotTrace(
                f"a network does the same for every number of samples and length, got {name}, whose code differs at {at}; "
                'name the list of its blocks, units="layers.*"'
            )


@contextmanager
def mode(model: nn.Module, training: bool) -> Iterator[None]:
    """The network in training or at inference; then each module as it was."""
    was = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, flag in was.items():
            module.training = flag
