"""Runs that are trained together are those that are trained alone, to the bit, and what begins alike is trained once."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from methods.dgl import DGL
from methods.method import Carry, Method
from methods.table import METHODS, traits
from methods.training import prefix_tree
from methods.training.diverged import Diverged
from methods.training.epoch import Epoch
from methods.training.loop import FurtherCheckpoint, Progress, Trained, train
from methods.training.prefix_tree import train_together, why_apart
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.named import read_space
from spaces.notation.errors import UserError
from tests.methods.training.test_loop import Interrupted, Toy, save_always

CPU = torch.device("cpu")
SPACE = read_space("small(width=0.25,num_blocks=[1,6])", (2, 8, 8), 3)
CUTS = ((2,), (2, 4), (2, 5), (3,), (2, 4, 5), ())
ITERATIONS = 7  # of 3 an epoch: validated after 3, 6 and 7
APART = {"man": "its stage 0 reads the weights of stage 1"}


def build(cuts: Sequence[int], spec: str = "dgl", head: str | None = None) -> Method:
    torch.manual_seed(0)
    kind = traits(spec)
    head = head or kind.default_head or NO_HEAD
    point = kind.adapt(Decoupling(tuple(cuts), (head,) * len(cuts)))
    return METHODS.build(spec, SPACE.build(point, head_lookahead=kind.head_lookahead))


def settings(**others: Any) -> TrainingSettings:
    return TrainingSettings(**{"iterations": ITERATIONS, "batch_size": 16, "lr": 0.1} | others)


def alone(method: Method, how: TrainingSettings, path: Path | None = None, **others: Any) -> Trained:
    data = Toy()
    return train(method, data, data.validation, how, seed=0, device=CPU, checkpoint=path, **others)


def together(
    methods: Sequence[Method],
    how: TrainingSettings,
    paths: Sequence[Path | None] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    **others: Any,
) -> list[Trained | Diverged]:
    data = Toy()
    places = paths or [None] * len(methods)
    return train_together(methods, data, data.validation, how, seed=0, device=CPU, checkpoints=places, report=report, **others)


def outcome(trained: Trained | Diverged) -> tuple[float, ...]:
    assert isinstance(trained, Trained)
    return trained.validation_error, trained.validation_loss, trained.best_iteration, trained.train_loss


def same_weights(one: Trained | Diverged, other: Trained) -> bool:
    assert isinstance(one, Trained)
    own, others = one.method.state_dict(), other.method.state_dict()
    return own.keys() == others.keys() and all(torch.equal(own[name], others[name]) for name in own)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The stages of which a step was done, in order."""
    done: list[int] = []
    step = Trainer.stage_step

    def counted(self: Trainer, k: int, *rest: Any) -> Any:
        done.append(k)
        return step(self, k, *rest)

    monkeypatch.setattr(Trainer, "stage_step", counted)
    return done


@pytest.mark.parametrize("spec", sorted(set(METHODS) - APART.keys()))
def test_every_method_learns_together_what_it_learns_alone(spec: str) -> None:
    how, scored = settings(iterations=4), {"exit_errors": traits(spec).has_exit_logits}
    told: list[list[Epoch]] = [[] for _ in CUTS]
    answers = together([build(cuts, spec) for cuts in CUTS], how, records=[epochs.append for epochs in told], **scored)
    for cuts, answer, epochs in zip(CUTS, answers, told, strict=True):
        alone_epochs: list[Epoch] = []
        expected = alone(build(cuts, spec), how, record=alone_epochs.append, **scored)
        assert outcome(answer) == outcome(expected)
        assert same_weights(answer, expected)
        assert [replace(epoch, seconds=0) for epoch in epochs] == [replace(epoch, seconds=0) for epoch in alone_epochs]


@pytest.mark.parametrize("others", [{"precision": "bf16"}, {"optimizer": "adam"}, {"schedule": "cosine(warmup=0.5)"}], ids=str)
def test_so_with_other_settings(others: dict[str, Any]) -> None:
    how = settings(**others)
    answers = together([build(cuts) for cuts in CUTS[:3]], how)
    for cuts, answer in zip(CUTS, answers, strict=False):
        expected = alone(build(cuts), how)
        assert outcome(answer) == outcome(expected)
        assert same_weights(answer, expected)


def test_what_begins_alike_is_trained_once(steps: list[int]) -> None:
    points = list(itertools.chain.from_iterable(itertools.combinations(range(1, 6), cuts) for cuts in range(4)))
    together([build(cuts) for cuts in points], settings(iterations=3))
    stages = {(*cuts, 6)[: k + 1] for cuts in points for k in range(len(cuts) + 1)}  # each is where its blocks end
    each_alone = sum(len(cuts) + 1 for cuts in points)
    assert len(steps) == each_alone + 2 * len(stages)  # in the first step each run is by itself


def test_other_heads_and_all_behind_them_are_not_shared(steps: list[int]) -> None:
    together([build((2, 4)), build((2, 4), head="linear")], settings(iterations=2))
    assert steps == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]


def test_seconds_are_of_all_its_stages() -> None:
    one, other = together([build((2, 4)), build((2, 5))], settings())
    assert isinstance(one, Trained) and isinstance(other, Trained)
    assert 0 < one.step_seconds < math.inf and 0 < other.step_seconds < math.inf


@pytest.mark.parametrize("at", [1, 2, 4, 6])
@pytest.mark.usefixtures(save_always.__name__)
def test_goes_on_to_the_bit_after_an_interruption(tmp_path: Path, at: int) -> None:
    paths = [tmp_path / f"{number}.pt" for number in range(len(CUTS))]

    def stop(progress: Progress) -> None:
        if progress.iteration == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        together([build(cuts) for cuts in CUTS], settings(), paths, stop)
    assert all(path.exists() for path in paths) == (at > 1)
    answers = together([build(cuts) for cuts in CUTS], settings(), paths)
    for cuts, answer in zip(CUTS, answers, strict=True):
        expected = alone(build(cuts), settings())
        assert outcome(answer) == outcome(expected)
        assert same_weights(answer, expected)


@pytest.mark.usefixtures(save_always.__name__)
def test_what_was_begun_alone_is_joined_and_what_was_begun_together_ends_alone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.pt" for number in range(3)]

    def stop_at(at: int) -> Callable[[Progress], None]:
        def stop(progress: Progress) -> None:
            if progress.iteration == at:
                raise Interrupted

        return stop

    data, expected = Toy(), [alone(build(cuts), settings()) for cuts in CUTS[:3]]
    with pytest.raises(Interrupted):
        train(build(CUTS[1]), data, data.validation, settings(), seed=0, device=CPU, checkpoint=paths[1], report=stop_at(5))
    with pytest.raises(Interrupted):
        together([build(cuts) for cuts in CUTS[:3]], settings(), paths, stop_at(6))
    ended = alone(build(CUTS[0]), settings(), paths[0])
    assert outcome(ended) == outcome(expected[0])
    answers = together([build(cuts) for cuts in CUTS[1:3]], settings(), paths[1:])
    assert [outcome(answer) for answer in answers] == [outcome(one) for one in expected[1:]]
    assert all(same_weights(answer, one) for answer, one in zip(answers, expected[1:], strict=True))


@pytest.mark.parametrize("until", [1, 3, 4])
def test_stops_as_each_alone_and_goes_on_to_the_bit(tmp_path: Path, until: int) -> None:
    paths = [tmp_path / f"{number}.pt" for number in range(len(CUTS))]
    further = alone(build(CUTS[0]), settings(), paths[0], until=5)
    answers = together([build(cuts) for cuts in CUTS], settings(), paths, until=until)
    assert isinstance(answers[0], FurtherCheckpoint)
    for number, (cuts, answer) in enumerate(zip(CUTS[1:], answers[1:], strict=True)):
        expected = alone(build(cuts), settings(), tmp_path / f"alone{number}.pt", until=until)
        assert outcome(answer) == outcome(expected)
        assert same_weights(answer, expected)
    answers = together([build(cuts) for cuts in CUTS], settings(), paths, until=5)
    assert outcome(answers[0]) == outcome(further)
    answers = together([build(cuts) for cuts in CUTS], settings(), paths)
    for cuts, answer in zip(CUTS, answers, strict=True):
        expected = alone(build(cuts), settings())
        assert outcome(answer) == outcome(expected)
        assert same_weights(answer, expected)


def test_a_stage_that_diverges_ends_all_that_share_it_and_none_else(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.stage_step

    def diverges(self: Trainer, k: int, carry: Any, y: torch.Tensor, iteration: int) -> Any:
        carry, loss = step(self, k, carry, y, iteration)
        of_two_units = k == 0 and len(self.method.net.blocks[0]) == 2  # type: ignore[arg-type]
        return carry, loss * math.nan if of_two_units and iteration == 4 else loss

    monkeypatch.setattr(Trainer, "stage_step", diverges)
    answers = together([build(cuts) for cuts in CUTS], settings())
    for cuts, answer in zip(CUTS, answers, strict=True):
        try:
            expected = alone(build(cuts), settings())
        except Diverged as diverged:
            assert isinstance(answer, Diverged) and str(answer) == str(diverged)
            assert cuts[0] == 2
        else:
            assert cuts[:1] != (2,)
            assert outcome(answer) == outcome(expected)


@pytest.mark.parametrize("spec", sorted(APART))
def test_methods_whose_stages_read_others_are_refused(spec: str) -> None:
    method = build((2, 4), spec)
    assert why_apart(method) == APART[spec]
    with pytest.raises(UserError, match="train it alone"):
        together([method, build((2, 4), spec)], settings())


def test_growing_is_refused() -> None:
    with pytest.raises(UserError, match="do not grow"):
        together([build((2, 4))], settings(grow="frozen"))


def test_what_is_alike_is_read_off_the_state() -> None:
    one, other = (prefix_tree._Run(0, build((2, 4)), settings(), 0, CPU, None) for _ in range(2))
    assert prefix_tree._state_digest(one, 0) == prefix_tree._state_digest(other, 0)
    with torch.no_grad():
        next(iter(other.method.net.blocks[0].parameters()))[0] += 1e-7
    assert prefix_tree._state_digest(one, 0) != prefix_tree._state_digest(other, 0)


def test_stages_at_other_loss_scales_are_not_alike() -> None:
    one, other = (prefix_tree._Run(0, build((2, 4)), settings(precision="fp16"), 0, CPU, None) for _ in range(2))
    assert prefix_tree._state_digest(one, 0) == prefix_tree._state_digest(other, 0)
    other.trainer.scalers[0].load_state_dict(other.trainer.scalers[0].state_dict() | {"scale": 2.0})
    assert prefix_tree._state_digest(one, 0) != prefix_tree._state_digest(other, 0)


def test_losses_of_which_a_first_step_at_lr_0_leaves_no_trace_are_not_shared() -> None:
    class OfHowMany(DGL):
        def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
            carry, loss = super().stage(k, carry, y)
            return carry, loss * self.num_stages

    how, points = settings(optimizer="sgd(momentum=0)", schedule="warmed_cosine(warmup=0.5,steps=7)"), ((2, 4), (2, 4, 5))
    for cuts, answer in zip(points, together([OfHowMany(build(cuts).net) for cuts in points], how), strict=True):
        expected = alone(OfHowMany(build(cuts).net), how)
        assert outcome(answer) == outcome(expected)
        assert same_weights(answer, expected)


@pytest.mark.usefixtures(save_always.__name__)
def test_joins_others_whose_losses_nobody_has_looked_at_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OfGpu(prefix_tree._Forest):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.interval = 50

        @property
        def due(self) -> bool:
            return False

    monkeypatch.setattr(prefix_tree, "_Forest", OfGpu)
    paths = [tmp_path / f"{number}.pt" for number in range(3)]
    alone(build(CUTS[1]), settings(), paths[1], until=5)
    told: list[list[Epoch]] = [[] for _ in paths]
    answers = together([build(cuts) for cuts in CUTS[:3]], settings(), paths, records=[epochs.append for epochs in told])
    for cuts, answer, epochs in zip(CUTS, answers, told, strict=False):
        alone_epochs: list[Epoch] = []
        assert outcome(answer) == outcome(alone(build(cuts), settings(), record=alone_epochs.append))
        of_both = alone_epochs[-len(epochs) :]
        assert [replace(epoch, seconds=0) for epoch in epochs] == [replace(epoch, seconds=0) for epoch in of_both]


def test_what_is_killed_before_its_rows_are_written_is_not_trained_again(tmp_path: Path, steps: list[int]) -> None:
    paths = [tmp_path / f"{number}.pt" for number in range(3)]
    first = together([build(cuts) for cuts in CUTS[:3]], settings(), paths)
    steps.clear()
    second = together([build(cuts) for cuts in CUTS[:3]], settings(), paths)
    assert [outcome(one) for one in second] == [outcome(one) for one in first] and not steps
    assert all(isinstance(one, Trained) and one.step_seconds > 0 for one in second)
