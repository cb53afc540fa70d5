"""Extending: a network that begins with the weights of a trained run, and learns from the first block with a new input on.

Blocks may come behind those of the run, and a side input may come to blocks of it. The blocks before the first that is given
more than in the run are trained already: they stay, and answer as they did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from methods.method import Method
from methods.sides.side import SideInputs
from nas.runs.trained_run import TrainedRun
from spaces.activation import activation_shape, example_input, input_shape
from spaces.notation.errors import UserError


def extended(run: TrainedRun, base: Method, with_side: Callable[[Method], Method], inputs: Mapping[str, Any]) -> Method:
    """`with_side(base)`, whose first blocks have the weights of `run`, those of their heads and of all else that learnt with
    them; the side input is made of a base that has them already.

    The run's last head, a backbone's classifier or a bridge, becomes that of the cut at the run's end. The exits of the
    blocks that are trained already then answer as the run's do, to the bit. What a stage has only now that it is no longer
    the last (a decoder of InfoPro) is left as it was drawn. Inputs, blocks or weights that are not the run's, and a
    network with nothing left to learn, are UserErrors. On the meta device, where nothing answers, only shapes are looked at.
    """
    _check_inputs(run, inputs)
    old = _built(run)
    _check_blocks(run, old, base)
    for k in range(old.num_stages):
        source = old.base if isinstance(old, SideInputs) else old
        for own, given in zip(base.stage_modules(k), source.stage_modules(k), strict=False):
            _take_over(own, given, _no_fit(run, f"block {k + 1} and its head"))
    method = with_side(base)
    trained = _num_trained(old, method)
    _check_given(run, old, method, trained)
    if isinstance(old, SideInputs) and isinstance(method, SideInputs):
        for k in filter(old.side.given, range(1, old.num_stages)):
            _take_over(method.side.parts[k], old.side.parts[k], _no_fit(run, f"the side input of block {k + 1}"))
    if not any(parameter.is_meta for parameter in method.parameters()):
        _check_exits(run, old, method, trained)
    return method


def trained_stages(run: TrainedRun, method: Method) -> int:
    """How many stages of the method that extends `run` are trained already: those before the first with a new input."""
    return _num_trained(_built(run), method)


def _num_trained(old: Method, method: Method) -> int:
    """Up to the first block that is not given what it was, or to the run's end."""
    return next((k for k in range(1, old.num_stages) if _given(method, k) != _given(old, k)), old.num_stages)


def _given(method: Method, k: int) -> object:
    return method.side.given(k) if isinstance(method, SideInputs) else None


def _built(run: TrainedRun) -> Method:
    with torch.device("cpu"):
        return run.build()


def _check_inputs(run: TrainedRun, inputs: Mapping[str, Any]) -> None:
    """The task makes the inputs that the run's weights know, of texts of any length, and may have features that it had not."""
    for name in sorted({*run.inputs, *inputs} - {"length"}):
        known, came = run.inputs.get(name), inputs.get(name)
        if known == came or not known:
            continue
        if name == "words":
            raise UserError(
                f"an extension reads texts with the vocabulary of its run, got the task's own of "
                f"{len(came or ())} words; give the task vocabulary=PATH, the run's file {run.key['vocabulary']}"
            )
        raise UserError(
            f"an extension is given inputs like those of its run, whose {name} is {known}, got {came}; give "
            f"the run's task, {run.key['task']}"
        )


def _check_blocks(run: TrainedRun, old: Method, base: Method) -> None:
    """The blocks of the run are there, and train apart from each other."""
    sizes, came = map(_sizes, (old, base))
    if came[: len(sizes)] != sizes:
        raise UserError(
            f"an extension is cut where its run, '{run.decoupling}', was cut and where that ended, got blocks of "
            f"{came} units; cut after {_cuts(sizes)} units"
        )
    for part in (old, base):
        if part.num_stages < part.net.num_blocks:
            raise UserError(
                f"the blocks of a run stay as they are while those behind them train, but {type(part).__name__} "
                "trains all blocks as one; take a method that trains them apart, such as dgl"
            )


def _check_given(run: TrainedRun, old: Method, method: Method, trained: int) -> None:
    """What the run's blocks are given they are still given, the first one nothing else, and some block is left to learn."""
    if trained == method.num_stages:
        raise UserError(
            "an extension learns in blocks behind those of its run, or in blocks with a new --side, but there are "
            f"none; cut a longer backbone after {_cuts(_sizes(old))} units, or add a side input"
        )
    known, first = map(_first_given, (old, method))
    if known != first:
        raise UserError(
            f"the first block of an extension is given what it was in its run, {known[0]} tokens, got {first[0]}; "
            f"give the task length={known[0]}, or --side-dim {known[0]}-..., what else the blocks are given"
        )
    for k in range(1, old.num_stages):
        if _given(old, k) not in (None, _given(method, k)):
            raise UserError(
                f"an extension gives a block what its run gave it, which is {_given(old, k)} for block {k}, got "
                f"{_given(method, k) or 'nothing'}; begin with the run's --side, {run.key['side']}"
            )


def _first_given(method: Method) -> tuple[int, ...]:
    """The shape of what block 0 is given."""
    return activation_shape(method.start(example_input(method.net.shapes[0], 1, "cpu")).h)


@torch.no_grad()
def _take_over(own: nn.Module, given: nn.Module, no_fit: UserError) -> None:
    """The tensors in order, whatever they are called: a classifier's names are not those of a head."""
    tensors, sources = (list(module.state_dict().values()) for module in (own, given))
    if [tensor.shape for tensor in tensors] != [source.shape for source in sources]:
        raise no_fit
    for tensor, source in zip(tensors, sources, strict=True):
        tensor.copy_(source)


@torch.no_grad()
def _check_exits(run: TrainedRun, old: Method, method: Method, trained: int) -> None:
    """Equal shapes may hide another backbone or another head, so noise decides; the run sees no more of a text than it did."""
    x = input_shape(method.net.shapes[0]).noise(2, torch.Generator().manual_seed(0))
    given = input_shape(old.net.shapes[0]).cut(x)
    training = method.training
    method.eval()
    for depth, *pair in zip(range(1, trained + 1), old.exits(given), method.exits(x), strict=False):
        if not torch.equal(*pair):
            raise _no_fit(run, f"exit {depth}")
    method.train(training)


def _sizes(method: Method) -> list[int]:
    """How many units each block has."""
    return [len(list(block.children())) for block in method.net.blocks]


def _cuts(sizes: list[int]) -> str:
    return ", ".join(map(str, accumulate(sizes)))


def _no_fit(run: TrainedRun, what: str) -> UserError:
    key = run.key
    return UserError(
        f"{what} cannot be those of the run {run.name}, of {key['method']} on {key['backbone']} with "
        f"'{run.decoupling}'; give its method, its backbone with more units, its heads, and where it ended a head "
        "like its last, such as linear for a pooled classifier, or that of prefix"
    )
