"""A function as a graph of torch's operators, which `torch.export` makes: what ONNX files and exported programs begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from nas.exports.functions import Probe
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS


@torch.no_grad()
def graph_of(function: nn.Module, probe: Probe, names: Mapping[int, str], *, any_length: bool) -> tuple[ExportedProgram, Probe]:
    """The function's graph for batches of any size and, with `any_length`, texts of any length up to the probe's, and the probe
    with the sizes that vary in it: texts are of the probe's length where the network cannot be traced otherwise.

    Parameters and buffers are called what `names` has for them by `id`. A network that cannot be traced is a UserError that
    says what stops it.
    """
    error: Exception | None = None
    for varying in (("batch", "length"), ("batch",)) if any_length else (("batch",),):
        sizes = tuple({axis: name for axis, name in one.items() if name in varying} for one in probe.sizes)
        dynamic = tuple(dict.fromkeys(one, Dim.DYNAMIC) for one in sizes)
        try:
            graph = torch.export.export(function, probe.tensors, dynamic_shapes=(dynamic,), strict=False)
        except (*OWN_ERRORS, torch._dynamo.exc.TorchDynamoException) as found:
            error = found
            continue
        _rename(graph, function, names)
        for node in graph.graph.nodes:
            for told in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
                node.meta.pop(told, None)  # the code behind it, with the folders of this machine
        return graph, Probe(probe.given, probe.tensors, sizes)
    assert error is not None
    if "specialized it to be a constant" in str(error):
        raise UserError(
            "an exported graph takes batches of any size, got a network whose code makes a constant of the size, as len(x) and "
            "int(x.shape[0]) do; write x.shape[0], or take --to torch"
        )
    raise UserError(f"a graph is traced by torch.export, got a network that it cannot trace ({cause(error)}); take --to torch")


def cause(error: BaseException) -> str:
    """The first line of the exception that all others came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(filter(None, str(error).splitlines()), type(error).__name__)[:200]


def _rename(graph: ExportedProgram, function: nn.Module, names: Mapping[int, str]) -> None:
    """Give parameters and buffers other names, in the signature and where their values lie; what has none keeps its own."""
    tensors: dict[str, Any] = dict(function.state_dict(keep_vars=True))
    renamed = {old: names[id(tensor)] for old, tensor in tensors.items() if id(tensor) in names}
    for spec in graph.graph_signature.input_specs:
        if spec.target in renamed:
            spec.target = renamed[spec.target]
    for values in (graph._state_dict, graph._constants):
        held = {renamed.get(name, name): value for name, value in values.items()}
        values.clear()
        values.update(held)
