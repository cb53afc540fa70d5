"""Every exit of a trained network: its error, and what it costs to stop there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from methods.losses import smoothed_cross_entropy
from methods.method import Method
from methods.settings import Precision
from methods.training import Batch, autocast
from nas.profile import count, macs_of
from spaces.tokens import example_input


@dataclass(frozen=True)
class ExitCost:
    """The network that ends at an exit: `units` of the backbone, parameters, and multiply-accumulates of one sample;
    `path_macs` has the answers of all exits before it too, as adaptive inference asks for them."""

    units: int
    params: int
    macs: int
    path_macs: int


@torch.no_grad()
def exit_scores(method: Method, batches: Iterator[Batch], precision: Precision) -> list[tuple[float, float]]:
    """The share of wrong answers and the mean cross-entropy (no smoothing) of each exit, in evaluation mode."""
    training, samples = method.training, 0
    method.eval()
    sums = torch.zeros(method.net.num_blocks, 2, dtype=torch.float64)
    for x, y in batches:
        with autocast(x.device, precision):
            exits = list(method.exits(x))
        for k, logits in enumerate(exits):
            wrong, loss = (logits.argmax(1) != y).sum(), smoothed_cross_entropy(logits.float(), y, 0.0) * len(y)
            sums[k] += torch.stack([wrong.double(), loss.double()]).cpu()
        samples += len(y)
    method.train(training)
    return [(error, loss) for error, loss in (sums / samples).tolist()]


def exit_costs(build: Callable[[], Method], input_shape: tuple[int, ...]) -> list[ExitCost]:
    """What each exit of the method that `build` makes costs, from shapes alone. Texts have full length."""
    with torch.device("meta"):
        method = build()
    costs, units, params, macs, answers = [], 0, 0, 0, 0
    carry = method.eval().start(example_input(input_shape, 2, "meta"))
    for k, block in enumerate(method.net.blocks):
        block_macs, carry = macs_of(2, method.run_block, k, carry)
        answer_macs, _ = macs_of(2, method.answer, k, carry)
        units, params, macs = units + len(list(block.children())), params + count(method.inference_modules(k)), macs + block_macs
        answers += answer_macs
        head_params = count([method.lookaheads[k], method.net.heads[k]])
        costs.append(ExitCost(units, params + head_params, macs + answer_macs, macs + answers))
    return costs
