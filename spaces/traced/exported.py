"""Where torch.fx cannot follow a forward: the graph that torch.export makes of it, one node an operation."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_map, tree_map_only

from spaces.notation.own_modules import OWN_ERRORS, said_by
from spaces.traced.outputs import called, outputs_of
from spaces.traced.tracer import CONSTANT, MODULE, VALUE, CannotTrace, attribute, leaves_of, on_meta


class _Wrapped(nn.Module):
    """The network as a function of one input, whatever it is made of, to one tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)

    def forward(self, x: Any) -> torch.Tensor:
        """The network's output."""
        return outputs_of(called(self.model, x), type(self.model).__name__)


def exported_graphs(
    model: nn.Module, examples: Sequence[Any], opened: frozenset[str]
) -> tuple[list[fx.Graph], dict[str, torch.Tensor]]:
    """The graph of a network in its mode, with the values for each example; and the tensors that its code made.

    Nodes are operations on the parameters, under their names in the network; `opened` are the modules that are looked into, and
    all operations of any other belong together. What torch.export cannot do either is a `CannotTrace`.
    """
    shapes = on_meta(model).train(model.training)
    for parameter in shapes.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    first = examples[0]
    sizes = tree_map_only(torch.Tensor, lambda part: {0: torch.export.Dim.DYNAMIC}, first)
    try:
        with torch.enable_grad(), _quiet():
            program = torch.export.export(_Wrapped(shapes), (first,), dynamic_shapes=(sizes,), strict=False)
    except (*OWN_ERRORS, torch._dynamo.exc.TorchDynamoException) as error:
        raise CannotTrace(said_by(error)) from error
    module = program.module()
    constants = _named(module, shapes, opened, [name for name, _ in leaves_of(first)])
    graphs = []
    for example in examples:
        graph = fx.Graph()
        copied: dict[fx.Node, fx.Node] = {}
        (made,) = graph.graph_copy(module.graph, copied)  # type: ignore[misc]
        graph.output(made)
        try:
            _evaluate(graph, shapes, constants, dict(leaves_of(example)))
        except OWN_ERRORS as error:
            raise CannotTrace(said_by(error)) from error
        graphs.append(graph)
    return graphs, constants


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the graph that it prints and logs beside its error."""
    was = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(was)


def _named(module: Any, shapes: nn.Module, opened: frozenset[str], inputs: Sequence[str]) -> dict[str, torch.Tensor]:
    """Give nodes the network's own names, equal ones in training and at inference; the tensors that are none of the network's."""
    constants: dict[str, torch.Tensor] = {}
    placeholders = iter(inputs)
    seen: Counter[str] = Counter()
    nodes = list(module.graph.nodes)
    given = [node for node in nodes if node.op == "placeholder"]
    with module.graph.inserting_after(given[-1]):
        device = module.graph.call_function(getattr, (given[0], "device"))
    for node in nodes:
        if node.op == "call_module" or (node.op == "call_function" and "assert" in str(node.target)):  # checks of the export
            module.graph.erase_node(node)
            continue
        if node.op == "call_function":  # tensors that it makes lie where the input does
            node.args, node.kwargs = tree_map(
                lambda held: device if isinstance(held, torch.device) else held, (node.args, node.kwargs)
            )
        if node.op == "placeholder":
            node.target = next(placeholders)
        elif node.op == "get_attr":
            name = str(node.target).removeprefix("model.")
            try:
                attribute(shapes, name)
            except AttributeError:
                held = attribute(module, str(node.target))
                name = f"{CONSTANT}{len(constants)}"
                constants[name] = held
            node.target = name
        elif node.op != "output":
            stack = [of for of, _ in node.meta.get("nn_module_stack", {}).values() if of.partition(".")[0] == "model"]
            path = [of.removeprefix("model").removeprefix(".") for of in stack]
            node.meta[MODULE] = next((name for name in path if name not in opened), None)
            base = f"{node.meta[MODULE] or 'code'}_{getattr(node.target, '__name__', node.target)}".replace(".", "_")
            node._rename(f"{base}_{seen[base]}")
            seen[base] += 1
    return constants


def _evaluate(graph: fx.Graph, shapes: nn.Module, constants: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]) -> None:
    """Note what each node is for these inputs."""
    with torch.enable_grad():
        for node in graph.nodes:
            if node.op == "placeholder":
                node.meta[VALUE] = inputs[str(node.target)]
            elif node.op == "get_attr":
                name = str(node.target)
                node.meta[VALUE] = constants[name].to("meta") if name in constants else attribute(shapes, name)
            elif node.op == "call_function":
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda used: used.meta[VALUE])
                node.meta[VALUE] = node.target(*args, **kwargs)
