"""The points of a traced network at which one activation alone is alive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from spaces.traced.numbers import Number, number
from spaces.traced.tracer import CONSTANT, VALUE, attribute

MASK = "attention_mask"  # Hugging Face's name of what tells tokens from padding


@dataclass(frozen=True)
class CutPoint:
    """After a node: what the network's rest needs of what came before it.

    value      the node that gives the activation, through which gradients would flow
    constants  the nodes of tensors that follow from the inputs alone, no parameter in between, such as an attention mask
    numbers    how all else that is needed follows from the activation
    mask       the node of the input `attention_mask` (N, T), where the activation is tokens (N, T, D)
    """

    value: str
    constants: tuple[str, ...]
    numbers: dict[str, Number]
    mask: str | None = None

    @property
    def is_accompanied(self) -> bool:
        """Whether more than the activation is handed on."""
        return bool(self.constants or self.mask)


class Traced:
    """One way through a network, in training or at inference: the same graph for inputs of several sizes."""

    def __init__(self, model: nn.Module, graphs: Sequence[fx.Graph]) -> None:
        self.model = model
        self.graph = graphs[0]
        self.nodes = [node for node in self.graph.nodes if node.op != "output"]
        self.place = {node.name: place for place, node in enumerate(self.nodes)}
        self.values: dict[str, tuple[Any, ...]] = {}
        others = [{node.name: node.meta.get(VALUE) for node in graph.nodes} for graph in graphs]
        for node in self.nodes:
            self.values[node.name] = tuple(other[node.name] for other in others)
        (self.output,) = (node.args[0] for node in self.graph.nodes if node.op == "output")

    @cached_property
    def of_parameters(self) -> set[fx.Node]:
        """The nodes from which gradients flow to parameters."""
        return {node for node in self.nodes if any(leaf.requires_grad for leaf in tensors_in(node.meta[VALUE]))}

    @cached_property
    def of_inputs(self) -> set[fx.Node]:
        """The nodes whose tensors follow from the values of inputs, and not only from their sizes."""
        found: set[fx.Node] = set()
        for node in self.nodes:
            if has_tensors(node) and (node.op == "placeholder" or any(used in found for used in node.all_input_nodes)):
                found.add(node)
        return found

    def parameters(self, node: fx.Node) -> list[nn.Parameter]:
        """Those that a node itself uses."""
        if node.op == "call_module":
            return list(self.model.get_submodule(str(node.target)).parameters())
        if node.op == "get_attr":
            held = attribute(self.model, str(node.target)) if not is_constant(node) else None
            return [held] if isinstance(held, nn.Parameter) else []
        return []

    def is_made_again(self, node: fx.Node) -> bool:
        """Whether a unit that needs the node makes it for itself: a parameter or buffer, or a tensor of sizes alone; nothing that
        writes into one."""
        return node.op == "get_attr" or (
            not _writes(node) and has_tensors(node) and node not in self.of_parameters and node not in self.of_inputs
        )

    def needed(self, place: int) -> tuple[list[fx.Node], list[fx.Node]]:
        """The nodes up to `place` that those behind it need: tensors, and numbers."""
        tensors: dict[fx.Node, None] = {}
        numbers: dict[fx.Node, None] = {}

        def need(node: fx.Node) -> None:
            if self.is_made_again(node):
                for used in node.all_input_nodes:
                    need(used)
            elif self.place[node.name] <= place:
                (tensors if has_tensors(node) else numbers)[node] = None

        for node in self.nodes[place + 1 :]:
            if self.is_made_again(node):
                continue  # where it is used
            if not has_tensors(node):  # a number behind the cut, of what is before it, is a number of what is given
                if is_check(node):
                    continue
                before = [used for used in node.all_input_nodes if self.place[used.name] <= place]
                if before:
                    numbers[node] = None
                continue
            for used in node.all_input_nodes:
                need(used)
        if isinstance(self.output, fx.Node):
            need(self.output)
        return list(tensors), list(numbers)

    def cut_point(self, place: int) -> CutPoint | None:
        """The cut after a node; None where more than one activation is alive, or something that follows from none."""
        tensors, numbers = self.needed(place)
        values = [node for node in tensors if node in self.of_parameters]
        constants = [node for node in tensors if node not in self.of_parameters]
        if (
            len(values) != 1
            or not self.is_of_samples(values[0])
            or not all(self.is_of_samples(n, shared=True) for n in constants)
        ):
            return None
        value = values[0]
        if not value.meta[VALUE].is_floating_point() or value.meta[VALUE].dim() < 2:
            return None
        given = self.values[value.name]
        found = {node.name: number(self.values[node.name], given) for node in numbers}
        if any(each is None for each in found.values()):
            return None
        known = {name: each for name, each in found.items() if each is not None}
        return CutPoint(value.name, tuple(node.name for node in constants), known, self._mask_of(given))

    def _mask_of(self, given: tuple[Any, ...]) -> str | None:
        """The input that says which of these tokens are padding, by the name that it has in text networks."""
        for node in self.nodes:
            if node.op == "placeholder" and str(node.target) == f"x_{MASK}":
                masks = self.values[node.name]
                if all(h.dim() == 3 and h.shape[:2] == mask.shape for h, mask in zip(given, masks, strict=True)):
                    return node.name
        return None

    def is_of_samples(self, node: fx.Node, *, shared: bool = False) -> bool:
        """Whether a node is one tensor with the samples in front; with `shared`, or several, or such as all samples share."""
        inputs = next(self.values[placed.name] for placed in self.nodes if placed.op == "placeholder")
        for value, given in zip(self.values[node.name], inputs, strict=True):
            if not (shared or isinstance(value, torch.Tensor)):
                return False
            first = {leaf.shape[:1] for leaf in tensors_in(value)}
            if not first <= {given.shape[:1], *([(1,)] if shared else [])}:
                return False
        return True

    def alive(self, place: int) -> list[str]:
        """The activations that are alive after a node, for messages."""
        names: list[str] = []
        for node in self.needed(place)[0]:
            if node in self.of_parameters:
                count = len(tensors_in(node.meta[VALUE]))
                names += [node.name] if count == 1 else [f"{node.name}[{number}]" for number in range(count)]
        return names

    def tensor_nodes(self) -> Iterator[tuple[int, fx.Node]]:
        """The nodes that parameters have a part in, with their places."""
        return ((place, node) for place, node in enumerate(self.nodes) if node in self.of_parameters)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors in what a node gives."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def has_tensors(node: fx.Node) -> bool:
    """Whether a node gives tensors, and not only numbers."""
    return bool(tensors_in(node.meta[VALUE]))


def is_check(node: fx.Node) -> bool:
    """Whether a node only raises where sizes are wrong."""
    return node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")


def is_constant(node: fx.Node) -> bool:
    """Whether a node is a tensor that the network's code made without an input, and that its trace keeps."""
    return node.op == "get_attr" and str(node.target).startswith(CONSTANT)


def _writes(node: fx.Node) -> bool:
    """Whether an operation works in place."""
    name = getattr(node.target, "__name__", str(node.target)).partition(".")[0]
    return node.op in ("call_function", "call_method") and name.endswith("_") and not name.endswith("__")
