"""What is timed, on a clock that counts the units of work of a network whose blocks cost 100, 10 and 1 and answers 1000."""

from typing import Any

import pytest
import torch
from torch import nn

from methods.method import Carry, Method
from nas.data.images.samples import Split
from nas.data.trial_parts import random_share
from nas.exits import timing as exit_timing
from nas.exits.timing import exit_seconds
from spaces.network import Block, DecoupledNet


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self, device: torch.device) -> float:
        return self.time


class Costly(Method):
    """Exit k of sample x, a number, is sure from x = 2 - k on; the clock goes on by samples times what they cost."""

    def __init__(self, clock: Clock, unit: float) -> None:
        blocks = [Block([nn.Identity()]) for _ in range(3)]
        super().__init__(DecoupledNet(blocks, [nn.Identity()] * 3, shapes=[(1,)] * 4, num_classes=2))
        self.clock, self.unit = clock, unit

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        raise NotImplementedError

    def run_block(self, k: int, carry: Carry) -> Carry:
        self.clock.time += self.unit * len(carry.h) * (100, 10, 1)[k]
        return carry

    def exit_logits(self, k: int, carry: Carry) -> torch.Tensor:
        self.clock.time += self.unit * len(carry.h) * 1000
        return 100 * torch.cat([carry.h - 1.5 + k, carry.h * 0], 1).abs() * torch.tensor([1.0, 0.0]) * (carry.h > 1.5 - k)


class Data:
    def eval_batches(self, part: Split, batch_size: int) -> Any:
        return zip(part.images.split(batch_size), part.labels.split(batch_size), strict=True)


@pytest.mark.parametrize(("unit", "num_samples"), [(1e-9, 1024), (1.0, 128)])
def test_an_exit_costs_its_blocks_and_its_answer_and_leaving_what_was_run(
    monkeypatch: pytest.MonkeyPatch, unit: float, num_samples: int
) -> None:
    """As many samples as time allows."""
    clock = Clock()
    monkeypatch.setattr(exit_timing, "_now", clock)
    monkeypatch.setattr(exit_timing, "BUDGET", 5.0)
    x = (torch.arange(4000) % 4).float()[:, None]
    part = Split(x, torch.zeros(4000, dtype=torch.long))
    seconds = exit_seconds(Costly(clock, unit).eval(), Data(), part, 100, [("max_softmax", 0.9)], None, "fp32")  # type: ignore
    assert seconds.num_samples == num_samples
    assert [value / unit for value in seconds.exits] == pytest.approx([1100, 1110, 1111])
    values = random_share(part, num_samples / 4000).images[:, 0]
    shares = [(values >= 2).double().mean(), (values == 1).double().mean(), (values == 0).double().mean()]
    expected = sum(float(share) * cost for share, cost in zip(shares, (1100, 2110, 3111), strict=True))
    assert seconds.points[0] / unit == pytest.approx(expected)
