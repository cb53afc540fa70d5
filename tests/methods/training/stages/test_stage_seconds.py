"""What stages take, on a clock that counts their work, and when it is known well enough."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import torch
from torch import nn

from methods.method import Carry, Method
from methods.training.settings import TrainingSettings
from methods.training.stages import seconds as measuring
from methods.training.stages.seconds import stage_seconds, uncertainty_of
from spaces.network import Block, DecoupledNet

CPU = torch.device("cpu")
X, Y = torch.ones(2, 3), torch.zeros(2, dtype=torch.long)
SETTINGS = TrainingSettings(iterations=2, batch_size=2, grow="frozen")  # fewer iterations than turns, none of stage 1 at first


class Work(Method):
    """Two stages that take what `work(k)` says, on the clock `now`; their updates are counted."""

    def __init__(self, work: Any) -> None:
        blocks = [Block([nn.Linear(3, 3)]) for _ in range(2)]
        super().__init__(DecoupledNet(blocks, [nn.Linear(3, 2) for _ in range(2)], shapes=[(3,)] * 3, num_classes=2))
        self.work, self.now, self.trained = work, 0.0, [0, 0]

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        self.now += self.work(k)
        self.trained[k] += self.training
        carry = self.run_block(k, carry)
        return carry, self.output_loss(self.net.heads[k](carry.h), y)


def measured(monkeypatch: pytest.MonkeyPatch, method: Work, **limits: float) -> measuring.StageSeconds:
    threads = torch.get_num_threads()
    monkeypatch.setattr(time, "thread_time" if threads == 1 else "process_time", lambda: method.now)
    return stage_seconds(method, SETTINGS, X, Y, device=CPU, **limits)


def test_each_stages_own_work_counts_in_turns_that_train_all(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Work(lambda k: (3.0, 1.0)[k])
    found = measured(monkeypatch, method)
    assert found.seconds == pytest.approx((3, 1)) and found.uncertainty == pytest.approx(0)
    assert found.turns == 6 and method.trained == [7, 7]  # one to warm up; what is known is not measured further


def test_what_disturbs_now_and_then_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    found = measured(monkeypatch, Work(lambda k: (3.0, 1.0)[k] * (5 if rng.random() < 0.1 else 1)), most_seconds=600)
    assert found.seconds == (3, 1)


def test_noisy_seconds_are_measured_until_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    found = measured(monkeypatch, Work(lambda k: (3.0, 1.0)[k] * rng.uniform(0.8, 1.2)), wanted=0.02, most_seconds=600)
    assert found.turns > 10 and found.uncertainty <= 0.02
    assert sum(found.seconds) / max(found.seconds) == pytest.approx(4 / 3, rel=0.05)


def test_what_does_not_get_known_ends_in_time_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    method = Work(lambda k: rng.uniform(0, 1))
    found = measured(monkeypatch, method, wanted=0.01, most_seconds=20)  # turns of one second each
    assert 15 <= found.turns <= 25 and found.uncertainty > 0.05


def test_the_interval_by_hand() -> None:
    """Of six medians the 95 % interval is all that was seen; of a hundred it lies between the 40th and the 61st."""
    assert uncertainty_of([[n, 10 - n] for n in (6, 7, 7, 7, 7, 8)]) == pytest.approx(0.1 / 0.7)
    turns = [[n, 1000 - n] for n in range(601, 701)]
    assert uncertainty_of(turns) == pytest.approx((661 - 641) / 2 / 650.5, rel=0.1)


def test_on_a_gpu_seconds_lie_between_events_that_are_waited_for_once_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    method, waits = Work(lambda k: (3.0, 1.0)[k]), []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: str) -> None:
            self.at = (stream, method.now)

        def synchronize(self) -> None:
            waits.append(self.at)

        def elapsed_time(self, end: Event) -> float:
            assert waits
            return 1000 * (end.at[1] - self.at[1])

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"of {device}")
    trainer = measuring.Trainer(method, SETTINGS, seed=0, device=CPU)
    assert measuring._gpu_turn(trainer, X, Y) == pytest.approx([3, 1])
    assert waits == [("of cpu", 4.0)]
