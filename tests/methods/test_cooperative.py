"""Cooperative Learning: which parameters each term reaches and which it leaves alone, and its values against numpy."""

from typing import Any

import numpy as np
import pytest
import torch

from methods.cooperative import Cooperative
from methods.dgl import Backprop
from methods.losses import distillation
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost
from spaces.activation import TextShape
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)
POINT = Decoupling((2, 4), ("linear", "linear"))
OFF = {"sub_weight": 0.0, "mutual_weight": 0.0, "leader_weight": 0.0}


def build(point: Decoupling = POINT, space: SearchSpace = SPACE, **settings: Any) -> Cooperative:
    torch.manual_seed(0)
    return Cooperative(space.build(point), **settings)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(7)), torch.arange(8) % 4


def answers(method: Cooperative, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    return method.run_exits(method.start(x))[1], method.teammate.run_exits(method.start(x))[1], method.leader(x)


def kl(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """tau^2 KL, sample by sample and class by class."""
    p, q = (
        np.exp(z / temperature) / np.exp(z / temperature).sum(1, keepdims=True)
        for z in (teacher.detach().double().numpy(), student.detach().double().numpy())
    )
    return float(temperature**2 * np.mean((p * np.log(p / q)).sum(1)))


def parts(method: Cooperative) -> dict[str, list[torch.nn.Parameter]]:
    """The parameters of each piece of the three networks."""
    found = {"leader": [*method.leader.parameters()]}
    for name, net in (("first", method.net), ("second", method.teammate.net)):
        for k in range(3):
            found |= {f"{name} block {k}": [*net.blocks[k].parameters()], f"{name} head {k}": [*net.heads[k].parameters()]}
    return found


def reached(method: Cooperative, loss: torch.Tensor) -> set[str]:
    """The pieces that the loss moves."""
    method.zero_grad(set_to_none=True)
    loss.backward()
    return {name for name, parameters in parts(method).items() if any(p.grad is not None and p.grad.any() for p in parameters)}


# ---- the terms


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_hintons_and_moves_the_student_alone(temperature: float) -> None:
    student, teacher = torch.randn(2, 6, 5, dtype=torch.float64).mul(3).requires_grad_()
    loss = distillation(student, teacher, temperature)
    assert loss.item() == pytest.approx(kl(student, teacher, temperature), rel=1e-5)
    assert distillation(student, student, temperature).item() == pytest.approx(0, abs=1e-6)
    (own,) = torch.autograd.grad(loss, student, retain_graph=True)
    share = [(z / temperature).softmax(1) for z in (student, teacher)]
    torch.testing.assert_close(own, (temperature * (share[0] - share[1]) / 6).detach(), rtol=1e-4, atol=1e-7)
    assert torch.autograd.grad(loss, teacher, allow_unused=True) == (None,)


@pytest.mark.parametrize(
    ("term", "moved"),
    [
        ("sub", {f"{name} {part}" for name in ("first", "second") for part in ("block 0", "block 1", "head 0", "head 1")}),
        ("mutual", {f"{name} {part}" for name in ("first", "second") for part in ("block 0", "block 1", "block 2", "head 2")}),
        ("leader", {f"{name} {part}" for name in ("first", "second") for part in ("block 0", "block 1", "block 2", "head 2")}),
    ],
)
def test_a_term_moves_its_students_and_no_teacher(term: str, moved: set[str]) -> None:
    """A sub-network's teacher is its own whole teammate: block 2 and the classifier get nothing; the leader never does."""
    method = build(**OFF | {f"{term}_weight": 1.0})
    assert reached(method, method.distillation_loss(*answers(method, batch()[0]))) == moved


def test_a_teammate_that_teaches_is_not_moved_by_it() -> None:
    """In the mutual term each is both: its gradient is that of a student alone, tau (softmax(own) - softmax(other)) / N."""
    method = build(**OFF | {"mutual_weight": 1.0, "mutual_temperature": 2.0})
    first, second, leader = torch.randn(3, 6, 4).unbind()
    both = [logits.requires_grad_() for logits in (first, second)]
    gradients = torch.autograd.grad(method.distillation_loss([first], [second], leader), both)
    shares = [(logits.detach() / 2).softmax(1) for logits in both]
    torch.testing.assert_close(gradients[0], 2 * (shares[0] - shares[1]) / 6)
    torch.testing.assert_close(gradients[1], 2 * (shares[1] - shares[0]) / 6)


def test_each_terms_value_is_that_of_its_pairs() -> None:
    method = build()
    first, second, leader = answers(method, batch()[0])
    expected = {
        "sub": sum(kl(exits[k], exits[2], 2.5) for exits in (first, second) for k in (0, 1)),
        "mutual": kl(first[2], second[2], 2.5) + kl(second[2], first[2], 2.5),
        "leader": kl(first[2], leader, 2.5) + kl(second[2], leader, 2.5),
    }
    for term, value in expected.items():
        weighted = build(**OFF | {f"{term}_weight": 3.0, f"{term}_temperature": 2.5})
        assert weighted.distillation_loss(first, second, leader).item() == pytest.approx(3 * value, rel=1e-4)
        swapped = weighted.distillation_loss(second, first, leader).item()
        assert swapped == pytest.approx(3 * value, rel=1e-4), "teammates have equal parts"
    method = build(
        sub_weight=1.0, mutual_weight=2.0, leader_weight=3.0, sub_temperature=2.5, mutual_temperature=2.5, leader_temperature=2.5
    )
    total = expected["sub"] + 2 * expected["mutual"] + 3 * expected["leader"]
    assert method.distillation_loss(first, second, leader).item() == pytest.approx(total, rel=1e-4)


def test_without_distillation_three_networks_learn_apart() -> None:
    """The first teammate as early_exit does and, uncut, as backprop, to the bit; the leader as backprop with other weights."""
    x, y = batch()
    for point, alone in ((POINT, "early_exit"), (Decoupling(), "backprop")):
        method = build(point, **OFF)
        torch.manual_seed(0)
        other = METHODS.build(alone, SPACE.build(point))
        for learner in (method, other):
            (loss,) = learner.losses(x, y)
            loss.backward()
        for own, plain in zip(method.net.parameters(), other.net.parameters(), strict=True):
            assert own.grad is not None and plain.grad is not None and torch.equal(own.grad, plain.grad)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.leader.blocks.parameters())


# ---- the three networks


@pytest.mark.parametrize("space", [SPACE, read_space("lstm(depth=3,embedding=6,hidden=5)", TextShape(8, 14), 4)])
def test_the_networks_start_apart_and_equal_seeds_give_equal_bits(space: SearchSpace) -> None:
    point = Decoupling((1, 3), ("linear", "linear"))
    method, again = build(point, space), build(point, space)
    assert all(map(torch.equal, method.state_dict().values(), again.state_dict().values()))
    torch.manual_seed(0)
    plain = space.build(point)
    assert all(map(torch.equal, method.net.state_dict().values(), plain.state_dict().values()))
    drawn = [(name, one) for name, one in method.net.named_parameters() if one.std() > 0]  # biases and BatchNorm begin alike
    second, leader = (dict(net.named_parameters()) for net in (method.teammate.net, method.leader))
    for name, one in drawn:
        others = [second[name], *([leader[name]] if name.startswith("blocks") else [])]
        for other in others:
            assert not torch.equal(one, other) and other.std().item() == pytest.approx(one.std().item(), rel=0.6), name
    assert len(method.leader.heads) == 1


def test_word_vectors_are_in_all_three_networks() -> None:
    vectors = torch.randn(14, 6)
    space = read_space("lstm(depth=3,embedding=6,hidden=5)", TextShape(8, 14), 4, vectors)
    method = build(Decoupling((1,), ("linear",)), space)
    for net in (method.net, method.teammate.net, method.leader):
        assert torch.equal(net.blocks[0][0].words.weight[1:], vectors[1:])  # type: ignore[index]


def test_equal_seeds_train_to_equal_bits_and_all_networks_learn() -> None:
    states = []
    for _ in range(2):
        method = build()
        before = {name: tensor.clone() for name, tensor in method.named_parameters()}
        trainer = Trainer(method, TrainingSettings(iterations=3, batch_size=8), seed=0, device=torch.device("cpu"))
        for step in range(3):
            trainer.step(*batch(), step)
        assert all((tensor != before[name]).any() for name, tensor in method.named_parameters())
        states.append(method.state_dict())
    assert all(map(torch.equal, states[0].values(), states[1].values()))


def test_inference_is_the_first_teammate_and_training_pays_for_three() -> None:
    """Inference costs what backprop's does. Training: two more networks, and the heads of both teammates."""
    method = build().eval()
    x, _ = batch()
    assert torch.equal(method(x), method.net(x)) and all(map(torch.equal, method.exits(x), method.run_exits(method.start(x))[1]))
    ours, plain = (
        cost(lambda kind=kind, point=point: kind(SPACE.build(point)), (3, 8, 8), 4, 64)  # type: ignore[misc]
        for kind, point in ((Cooperative, POINT), (Backprop, Decoupling()))
    )
    heads = sum(parameter.numel() for head in method.net.heads[:2] for parameter in head.parameters())
    assert (ours.params, ours.macs) == (plain.params, plain.macs)
    assert ours.head_params == 2 * plain.params + 2 * heads
    assert 2.5 * plain.peak_activation_bytes < ours.peak_activation_bytes < 3.5 * plain.peak_activation_bytes


# ---- settings


def test_depths_take_the_place_of_cuts() -> None:
    adapt = traits("cooperative(depths=(1,3,5))").adapt
    assert adapt(Decoupling((2,), ("linear",))) == Decoupling((1, 3, 5), ("linear",) * 3)
    assert [head.partition("(")[0] for head in adapt(Decoupling()).heads] == ["mlp_sr"] * 3
    assert traits("cooperative").adapt(POINT) == POINT
    net = SPACE.build(adapt(POINT))
    assert METHODS.build("cooperative(depths=[1,3,5])", net).net.num_blocks == 4
    with pytest.raises(UserError, match="cut 6 is past the last gap"):
        SPACE.build(traits("cooperative(depths=[2,6])").adapt(POINT))


@pytest.mark.parametrize("setting", ["sub_weight=-1", "mutual_weight=1e999", "leader_temperature=0", "sub_temperature=-2.0"])
def test_wrong_weights_and_temperatures_are_told(setting: str) -> None:
    with pytest.raises(UserError, match=f"{setting.partition('_')[0]}_weight is a number from 0 on"):
        METHODS.build(f"cooperative({setting})", SPACE.build(POINT))
