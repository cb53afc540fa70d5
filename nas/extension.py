"""Extending: a network whose first blocks are those of a trained run, learn no more, and answer as they did."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from methods.method import Method
from nas.trained_run import TrainedRun
from spaces.errors import UserError
from spaces.tokens import UNKNOWN, TextShape


def begin_with(run: TrainedRun, method: Method, inputs: Mapping[str, Any]) -> None:
    """Give the first blocks of `method` the weights of `run`, those of their heads and of all else that learnt with them.

    The run's last head, a backbone's classifier or a bridge, becomes that of the cut at the run's end. The exits up to there
    then answer as the run's do, to the bit. What a stage has only now that it is no longer the last (a decoder of InfoPro)
    is left as it was drawn, since it will not learn. Inputs, blocks or weights that are not the run's are UserErrors. On
    the meta device, where nothing answers, only shapes are looked at.
    """
    _check_inputs(run, inputs)
    with torch.device("cpu"):
        old = run.build()
    _check_blocks(run, old, method)
    for k in range(old.num_stages):
        for own, given in zip(method.stage_modules(k), old.stage_modules(k), strict=False):
            _take_over(own, given, _no_fit(run, f"block {k + 1} and its head"))
    if not any(parameter.is_meta for parameter in method.parameters()):
        _check_exits(run, old, method)


def _check_inputs(run: TrainedRun, inputs: Mapping[str, Any]) -> None:
    """The task makes the inputs that the run's weights know."""
    for name in sorted({*run.inputs, *inputs}):
        known, came = run.inputs.get(name), inputs.get(name)
        if known == came:
            continue
        if name == "words":
            raise UserError(f"an extension reads texts with the vocabulary of its run, but the task's own came, of "
                            f"{len(came or ())} words; give the task vocabulary=PATH, the run's file {run.key['vocabulary']}")
        raise UserError(f"an extension is given inputs like those of its run, whose {name} is {known}, but {came} came; give "
                        f"the run's task, {run.key['task']}")


def _check_blocks(run: TrainedRun, old: Method, method: Method) -> None:
    """The network goes on where the run's ended, and what goes on trains apart."""
    sizes, came = ([len(list(block.children())) for block in part.net.blocks] for part in (old, method))
    if came[:len(sizes)] != sizes or came == sizes:
        cuts = list(accumulate(sizes))
        raise UserError(f"an extension is cut where its run, '{run.decoupling}', was cut and where that ended, with blocks "
                        f"behind, but blocks of {came} units came; cut after {', '.join(map(str, cuts))} units")
    for part in (old, method):
        if part.num_stages < part.net.num_blocks:
            raise UserError(f"the blocks of a run stay as they are while those behind them train, but {type(part).__name__} "
                            "trains all blocks as one; take a method that trains them apart, such as dgl")


@torch.no_grad()
def _take_over(own: nn.Module, given: nn.Module, no_fit: UserError) -> None:
    """The tensors in order, whatever they are called: a classifier's names are not those of a head."""
    tensors, sources = (list(module.state_dict().values()) for module in (own, given))
    if [tensor.shape for tensor in tensors] != [source.shape for source in sources]:
        raise no_fit
    for tensor, source in zip(tensors, sources, strict=True):
        tensor.copy_(source)


@torch.no_grad()
def _check_exits(run: TrainedRun, old: Method, method: Method) -> None:
    """Equal shapes may hide another backbone or another head, so noise decides."""
    shape, generator = method.net.shapes[0], torch.Generator().manual_seed(0)
    x = torch.randn(2, *shape, generator=generator)
    if isinstance(shape, TextShape):
        x = torch.randint(UNKNOWN, shape.num_words, (2, shape.length), generator=generator)
    training = method.training
    method.eval()
    for depth, pair in enumerate(zip(old.exits(x), method.exits(x), strict=False), start=1):
        if not torch.equal(*pair):
            raise _no_fit(run, f"exit {depth}")
    method.train(training)


def _no_fit(run: TrainedRun, what: str) -> UserError:
    key = run.key
    return UserError(f"{what} cannot be those of the run {run.name}, of {key['method']} on {key['backbone']} with "
                     f"'{run.decoupling}'; give its method, its backbone with more units, its heads, and where it ended a head "
                     "like its last, such as linear for a pooled classifier, or that of prefix")
