"""The graphs of a cascade as one, in which an `If` behind each exit runs the next stage only where inputs stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Proto = Any  # of onnx, which is imported where it is needed


def cascade(models: Sequence[Proto], depths: Sequence[int]) -> Proto:
    """The models of `DecidingStage`s, in order, as one model with the inputs of the first and the outputs logits (N, classes)
    and depth int64 (1,). A batch leaves as a whole, where all of it is as sure as the threshold.

    Each stage but the first lies in the else branch behind the one before, and reads its values from there. All weights lie in
    the outermost graph, under their own names.
    """
    import onnx

    weights: dict[str, Proto] = {}
    whole = onnx.ModelProto()
    whole.CopyFrom(models[0])
    stages = [_with_own_names(model.graph, f"stage{number}/", weights) for number, model in enumerate(models, start=1)]
    for part in (whole.graph.node, whole.graph.output, whole.graph.initializer, whole.graph.value_info):
        del part[:]
    whole.graph.node.extend(_nodes(stages, depths, ("logits", "depth"), [value.name for value in whole.graph.input]))
    whole.graph.output.extend(_outputs("logits", "depth"))
    whole.graph.initializer.extend(weights.values())
    onnx.checker.check_model(whole)
    return whole


def _nodes(stages: Sequence[Proto], depths: Sequence[int], ends: Sequence[str], given: Sequence[str]) -> list[Proto]:
    """What computes the values called `ends`, logits and depth, of the values called `given`: the first stage and, in the else
    branch of an `If`, those behind it."""
    from onnx import helper

    stage, logits = stages[0], stages[0].output[0].name
    nodes = [helper.make_node("Identity", [name], [value.name]) for name, value in zip(given, stage.input, strict=True)]
    nodes += stage.node
    if len(stages) == 1:
        return [*nodes, *_answer(logits, depths[0], ends)]
    leaves, *carry = (value.name for value in stage.output[1:])
    here, behind = (tuple(f"{logits}/{which}/{end}" for end in ("logits", "depth")) for which in ("left", "stayed"))
    leaving = helper.make_graph(_answer(logits, depths[0], here), "leave", [], _outputs(*here))
    staying = helper.make_graph(_nodes(stages[1:], depths[1:], behind, [*carry, logits]), "stay", [], _outputs(*behind))
    return [*nodes, helper.make_node("If", [leaves], list(ends), then_branch=leaving, else_branch=staying)]


def _answer(logits: str, depth: int, ends: Sequence[str]) -> list[Proto]:
    from onnx import helper

    return [helper.make_node("Identity", [logits], [ends[0]]), helper.make_node("Constant", [], [ends[1]], value_ints=[depth])]


def _outputs(logits: str, depth: str) -> list[Proto]:
    from onnx import TensorProto, helper

    return [
        helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["batch", None]),
        helper.make_tensor_value_info(depth, TensorProto.INT64, [1]),
    ]


def _with_own_names(graph: Proto, prefix: str, weights: dict[str, Proto]) -> Proto:
    """The graph with the prefix before all names but those of its weights, which go to `weights`; a constant for which another
    stage has a name already gets the prefix, too."""
    names: dict[str, str] = {}
    for tensor in graph.initializer:
        known = weights.setdefault(tensor.name, tensor)
        if known is not tensor and known.SerializeToString() != tensor.SerializeToString():
            names[tensor.name] = prefix + tensor.name
            tensor.name = prefix + tensor.name
            weights[tensor.name] = tensor
        else:
            names[tensor.name] = tensor.name
    _rename(graph, prefix, names)
    return graph


def _rename(graph: Proto, prefix: str, names: Mapping[str, str]) -> None:
    """In the graph, and in the graphs that its nodes hold."""
    for node in graph.node:
        node.name = prefix + node.name
        for called in (node.input, node.output):
            called[:] = [names.get(name, prefix + name) if name else "" for name in called]
        for attribute in node.attribute:
            for inside in (attribute.g, *attribute.graphs):
                _rename(inside, prefix, names)
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, prefix + value.name)
