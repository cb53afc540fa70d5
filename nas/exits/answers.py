"""Every exit of a trained network: its answers, and what it costs to stop there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from methods.losses import smoothed_cross_entropy
from methods.method import Method
from methods.training.batches import Batch
from methods.training.scoring import autocast
from methods.training.settings import Precision
from nas.cost import count, macs_of
from nas.exits.adaptive import checked_logits
from nas.exits.calibration import fit_temperature
from nas.exits.confidence import ConfidenceRule, confidence
from spaces.activation import example_input


@dataclass(frozen=True)
class ExitCost:
    """The network that ends at an exit: `units` of the backbone, parameters, and multiply-accumulates of one sample;
    `path_macs` has the answers of all exits before it too, as adaptive inference asks for them."""

    units: int
    params: int
    macs: int
    path_macs: int


def exit_costs(build: Callable[[], Method], input_shape: tuple[int, ...]) -> list[ExitCost]:
    """What each exit of the method that `build` makes costs, from shapes alone. Texts have full length."""
    with torch.device("meta"):  # also while it runs, for what modules make then
        return _exit_costs(build(), example_input(input_shape, 2, "meta"))


def _exit_costs(method: Method, x: torch.Tensor) -> list[ExitCost]:
    costs, units, params, macs, answers = [], 0, 0, 0, 0
    carry = method.eval().start(x)
    for k, block in enumerate(method.net.blocks):
        block_macs, carry = macs_of(2, method.run_block, k, carry)
        answer_macs, _ = macs_of(2, method.exit_logits, k, carry)
        units, params, macs = units + len(list(block.children())), params + count(method.inference_modules(k)), macs + block_macs
        answers += answer_macs
        head_params = count([method.lookaheads[k], method.net.heads[k]])
        costs.append(ExitCost(units, params + head_params, macs + answer_macs, macs + answers))
    return costs


@dataclass(frozen=True, eq=False)
class ExitAnswers:
    """What every exit answers to the same samples: logits (K, N, C), float32 on the CPU; labels y (N,); and where the method's
    outputs are bounded, these outputs, which stay when temperatures divide the logits."""

    logits: torch.Tensor
    y: torch.Tensor
    bounded: torch.Tensor | None = None

    def errors(self) -> list[float]:
        """The share of wrong answers of each exit."""
        return (self.logits.argmax(2) != self.y).double().mean(1).tolist()

    def losses(self) -> list[float]:
        """The mean cross-entropy (no smoothing) of each exit."""
        return [float(smoothed_cross_entropy(logits.double(), self.y, 0.0)) for logits in self.logits]

    def divided(self, temperatures: Sequence[float]) -> ExitAnswers:
        """With the logits of exit k divided by `temperatures[k]`."""
        return replace(self, logits=self.logits / torch.tensor(temperatures)[:, None, None])

    def temperatures(self) -> list[float]:
        """Of each exit the temperature that fits these labels best."""
        return [fit_temperature(logits, self.y) for logits in self.logits]

    def confidences(self, rule: ConfidenceRule) -> torch.Tensor:
        """(K, N): how sure each exit is of each sample."""
        bounded = [None] * len(self.logits) if self.bounded is None else self.bounded
        return torch.stack(
            [
                confidence(rule, logits, self.logits[k - 1] if k else None, own)
                for k, (logits, own) in enumerate(zip(self.logits, bounded, strict=True))
            ]
        )


@torch.no_grad()
def exit_answers(method: Method, batches: Iterator[Batch], precision: Precision) -> ExitAnswers:
    """The answers to all batches, in evaluation mode."""
    training, logits, labels = method.training, [], []
    method.eval()
    for x, y in batches:
        with autocast(x.device, precision):
            exits = list(method.exits(x))
        logits.append(torch.stack([checked_logits(method, k, own) for k, own in enumerate(exits)]).cpu())
        labels.append(y.cpu())
    method.train(training)
    every = torch.cat(logits, dim=1)
    return ExitAnswers(every, torch.cat(labels), None if method.logit_range is None else every)
