"""A part of a traced network: the network's own modules, and the code between them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from spaces.activation import Accompanied
from spaces.notation.errors import UserError
from spaces.traced.attach import attach
from spaces.traced.cut_points import CutPoint, Traced, has_tensors, is_check
from spaces.traced.layout import Layout
from spaces.traced.tracer import VALUE, attribute
from spaces.traced.unit_code import UnitCode


@dataclass(frozen=True)
class UnitPlan:
    """What a unit is made of, whatever instance of the network its modules are taken from.

    run        the code in training, and at inference
    names      of the modules, parameters and buffers that it uses, as the network names them
    constants  tensors that the network's code made without an input
    sizes      the shape, without the batch, that it has to be given, where sizes of the traced input stand in its code
    """

    run: Mapping[bool, UnitCode]
    names: tuple[str, ...]
    constants: Mapping[str, torch.Tensor] = field(default_factory=dict)
    sizes: tuple[int, ...] | None = None


class TracedUnit(nn.Module):
    """Runs a part of a network with the network's own modules, which keep their names: `layer1.0.conv1.weight`."""

    def __init__(self, model: nn.Module, plan: UnitPlan) -> None:
        super().__init__()
        self._plan = plan
        for name in plan.names:
            attach(self, name, attribute(model, name))
        for name, constant in plan.constants.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, h: Any) -> Any:
        """An activation in its form between units -> another, or the network's output."""
        if self._plan.sizes is not None:
            values = h.values if isinstance(h, Accompanied) else h
            if tuple(values.shape[1:]) != self._plan.sizes:
                raise UserError(
                    f"this network was cut for activations of {self._plan.sizes}, got {tuple(values.shape[1:])}, and its code "
                    "holds sizes; cut it with an example of this size"
                )
        return self._plan.run[self.training](self, h)

    def __deepcopy__(self, memo: dict[int, Any]) -> TracedUnit:
        copied = TracedUnit.__new__(TracedUnit)
        memo[id(self)] = copied
        nn.Module.__init__(copied)
        copied._plan = self._plan  # plain code
        for name, held in vars(self).items():
            if name != "_plan":
                vars(copied)[name] = copy.deepcopy(held, memo)
        return copied


@dataclass(frozen=True)
class Border:
    """Where a unit begins or ends: a cut point, and how its activation is laid out in the network's own code."""

    place: int
    point: CutPoint
    layout: Layout


def unit_graph(way: Traced, begin: Border | None, end: Border | None) -> tuple[fx.Graph, bool]:
    """The graph of the nodes behind `begin` up to `end`, as a function of what the unit is given; and whether sizes of the traced
    input stand in it. None: the network's input, and its output."""
    graph = fx.Graph()
    given = graph.placeholder("h")
    known: dict[fx.Node, Any] = {}
    frozen = False
    place = -1
    raw = given
    if begin is not None:
        place = begin.place
        point = begin.point
        raw = graph.call_function(getattr, (given, "values")) if point.is_accompanied else given
        if point.mask:
            known[_node(way, point.mask)] = graph.call_function(getattr, (given, "mask"))
        for number, name in enumerate(point.constants):
            held = graph.call_function(getattr, (given, "constants"))
            known[_node(way, name)] = graph.call_function(_item, (held, number))
        if begin.layout.back:
            raw = graph.call_method("permute", (raw, begin.layout.back))
        known[_node(way, point.value)] = raw

    def use(node: fx.Node) -> Any:
        nonlocal frozen
        if node in known:
            return known[node]
        at = way.place[node.name]
        if not has_tensors(node) and begin is not None:
            number = begin.point.numbers.get(node.name)
            if number is not None:
                frozen = frozen or number.is_frozen
                known[node] = number.written(graph, raw)
                return known[node]
        assert way.is_made_again(node) or at > place, f"{node.name} is not alive behind {place}"
        known[node] = graph.node_copy(node, use)
        return known[node]

    stop = len(way.nodes) if end is None else end.place + 1
    for node in way.nodes[place + 1 : stop]:
        if node.op == "placeholder":
            name = str(node.target)
            known[node] = given if name == "x" else graph.call_function(_item, (given, _key(name)))
        elif is_check(node):
            if all(used in known for used in node.all_input_nodes):
                graph.node_copy(node, use)
        elif not way.is_made_again(node) and (has_tensors(node) or all(used in known for used in node.all_input_nodes)):
            use(node)
    if end is None:
        graph.output(use(way.output))
        return graph, frozen
    made = use(_node(way, end.point.value))
    if end.layout.order:
        made = graph.call_method("permute", (made, end.layout.order))
    if end.point.is_accompanied:
        constants = tuple(use(_node(way, name)) for name in end.point.constants)
        mask = use(_node(way, end.point.mask)) if end.point.mask else None
        made = graph.call_function(Accompanied, (made, constants, mask))
    graph.output(made)
    graph.eliminate_dead_code(_has_effects)
    return graph, frozen


def _node(way: Traced, name: str) -> fx.Node:
    return way.nodes[way.place[name]]


def _has_effects(node: fx.Node) -> bool:
    """Whether a node may not be left out although nothing uses it: modules count batches, code may write into tensors."""
    if node.op in ("placeholder", "output", "call_module") or is_check(node):
        return True
    return node.op != "get_attr" and VALUE in node.meta and has_tensors(node)


def _key(name: str) -> Any:
    """The key or place in an example whose placeholder has this name."""
    key = name.removeprefix("x_")
    return int(key) if key.isdecimal() else key


def _item(parts: Any, key: Any) -> Any:
    return parts[key]
