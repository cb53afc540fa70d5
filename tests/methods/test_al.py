"""Associated Learning: which loss trains what, the whole update written out by hand, and what runs at inference."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.al import AL, AssociatedCarry
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling

CPU = torch.device("cpu")
SPACE = read_space("small(width=0.25)", (3, 8, 8), 4)
RELEASED = "code_error=mean,bridge_gain=1"  # as in all released codes
FAITHFUL = (
    f"al({RELEASED},label_dim=500,bridge_depth=2,pooling=flatten,activation=sigmoid,bounded_decoders=True,first_decoder=bounded)"
)


def build(spec: str = "al", cuts: tuple[int, ...] = (2, 4)) -> AL:
    torch.manual_seed(0)
    method = METHODS.build(spec, SPACE.build(Decoupling(cuts, ("none",) * len(cuts))))
    assert isinstance(method, AL)
    return method


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, generator=generator), torch.arange(8) % 4


def functions(method: AL, k: int) -> dict[str, nn.Module]:
    return {"f": method.net.blocks[k], "b": method.net.heads[k], "g": method.encoders[k], "h": method.decoders[k]}


@pytest.mark.parametrize(("spec", "trained"), [("al", "fb"), ("al(detach_target=False)", "fbg")])
def test_each_loss_trains_its_own_functions_of_its_own_stage(spec: str, trained: str) -> None:
    method = build(spec)
    x, y = batch()
    carry = method.start(x, y)
    for k in range(3):
        s, code = method.net.blocks[k](carry.h), method.encoders[k](carry.code)
        losses = method.associated_loss(k, s, code), method.autoencoder_loss(k, code, carry.code, y)
        reached = []
        for loss in losses:
            method.zero_grad(set_to_none=True)
            loss.backward(retain_graph=True)
            reached.append(
                {
                    (name, j)
                    for j in range(3)
                    for name, part in functions(method, j).items()
                    if any(p.grad is not None and p.grad.any() for p in part.parameters())
                }
            )
        assert reached[0] == {(name, k) for name in trained} and reached[1] == {(name, k) for name in "gh"}
        method.zero_grad(set_to_none=True)
        carry = AssociatedCarry(s.detach(), code.detach())


@pytest.mark.parametrize(
    ("settings", "weight", "detach"),
    [(RELEASED, 1.0, True), (f"{RELEASED},detach_target=False", 1.0, False), ("code_error=half_norm", 64.0, True)],
)
def test_two_blocks_learn_as_the_update_written_by_hand_to_the_bit(settings: str, weight: float, detach: bool) -> None:
    """Each loss with an Adam of its own, as released; without `detach` one Adam, since both losses then train g. Half a squared
    norm is `weight` times the mean of 128 squares."""
    method, hand = (build(f"al({settings})", (3,)) for _ in range(2))
    trainer = Trainer(
        method,
        TrainingSettings(
            iterations=4, batch_size=8, lr=0.01, optimizer="adam", weight_decay=0.0, schedule="multistep(milestones=[])"
        ),
        seed=0,
        device=CPU,
    )
    hand.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    (f1, b1, g1, h1), (f2, b2, g2, h2) = (functions(hand, k).values() for k in range(2))
    groups = [[f1, b1], [g1, h1], [f2, b2], [g2, h2]] if detach else [[f1, b1, g1, h1], [f2, b2, g2, h2]]
    optimizers = [torch.optim.Adam(nn.ModuleList(group).parameters(), 0.01, fused=True) for group in groups]
    for step in range(4):
        x, y = batch(step)
        trainer.step(x, y, step)
        t0 = torch.eye(4)[y]
        s1, t1 = f1(x), g1(t0)
        s2, t2 = f2(s1.detach()), g2(t1.detach())
        targets = (t1.detach(), t2.detach()) if detach else (t1, t2)
        losses = [
            weight * (b1(s1) - targets[0]).square().mean(),
            F.cross_entropy(h1(t1), y),
            weight * (b2(s2) - targets[1]).square().mean(),
            weight * (h2(t2) - t1.detach()).square().mean(),
        ]
        for optimizer in optimizers:
            optimizer.zero_grad()
        for loss in losses if detach else (losses[0] + losses[1], losses[2] + losses[3]):
            loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    for (name, own), other in zip(method.state_dict().items(), hand.state_dict().values(), strict=True):
        assert torch.equal(own, other), name
    assert not torch.equal(method.encoders[0][0].weight, build(cuts=(3,)).encoders[0][0].weight)  # type: ignore[index]


def test_a_bridge_begins_with_outputs_that_are_small_beside_the_codes() -> None:
    """Its last layer is the drawn one times bridge_gain, and no other weight differs: as drawn, it tells samples apart by more
    than codes tell classes."""
    drawn, small = build("al(bridge_gain=1)"), build()
    for (name, one), other in zip(drawn.state_dict().items(), small.state_dict().values(), strict=True):
        is_last = name.startswith("net.heads.") and name.endswith(".3.weight")
        torch.testing.assert_close(other, 0.01 * one if is_last else one, rtol=0, atol=0)
    x, _ = batch()
    codes = drawn.encoders[0](torch.eye(4))
    given = [method.net.heads[0](method.net.blocks[0](x)) for method in (drawn, small)]
    spread, as_drawn, begun = (values.std(0).mean() for values in (codes, *given))
    assert begun < spread / 10 < as_drawn


def test_without_gain_a_bridge_begins_at_nothing() -> None:
    method = build("al(bridge_gain=0)")
    assert not method.net.heads[1](method.net.blocks[1](method.net.blocks[0](batch()[0]))).any()


def test_stages_beside_each_other_find_what_they_find_one_after_the_other() -> None:
    """At time t stage k trains on batch t - k, the last stage first, on what stage k - 1 handed on before its update."""
    settings = TrainingSettings(iterations=5, batch_size=8, lr=0.01, optimizer="adam")
    one, other = (Trainer(build(), settings, seed=0, device=CPU) for _ in range(2))
    for step in range(5):
        one.step(*batch(step), step)
    handed_on: dict[int, Any] = {}
    for time in range(5 + 2):
        for k in reversed(range(3)):
            if 0 <= time - k < 5:
                x, y = batch(time - k)
                carry = handed_on[k - 1] if k else other.method.start(x, y)
                handed_on[k], _ = other.stage_step(k, carry, y, time - k)
    assert all(map(torch.equal, one.method.state_dict().values(), other.method.state_dict().values()))
    assert not any(one.method.reads(k) for k in range(3))


def test_inference_runs_only_what_its_path_needs() -> None:
    method, calls = build(), Counter[str]()
    for k in range(3):
        for name, part in functions(method, k).items():
            part.register_forward_hook(lambda *_, called=f"{name}{k + 1}": calls.update([called]))
    method(batch()[0])
    assert calls == Counter(["f1", "f2", "f3", "b3", "h3", "h2", "h1"])
    calls.clear()
    exits = method.exits(batch()[0])
    assert not calls
    next(exits)
    assert calls == Counter(["f1", "b1", "h1"])
    next(exits)
    assert calls == Counter(["f1", "b1", "h1"]) + Counter(["f2", "b2", "h2", "h1"])


def test_an_exit_decodes_from_its_own_depth_down() -> None:
    method = build().eval()
    x, _ = batch()
    s1 = method.net.blocks[0](x)
    s2 = method.net.blocks[1](s1)
    one, two, _ = method.exits(x)
    (b1, h1), (b2, h2) = ((method.net.heads[k], method.decoders[k]) for k in range(2))
    assert torch.equal(one, h1(b1(s1))) and torch.equal(two, h1(h2(b2(s2))))


@pytest.mark.parametrize(("activation", "spread"), [("tanh", 2.0), ("sigmoid", 1.0)])
def test_cross_entropy_of_bounded_outputs_has_a_floor_and_of_logits_none(activation: str, spread: float) -> None:
    """log(1 + (C - 1) exp(-spread)), computed for 4 classes, the released codes' bug."""
    floor, lowest = math.log(1 + 3 * math.exp(-spread)), {}
    y = torch.arange(4)
    for first in ("logits", "bounded"):
        method = build(f"al(activation={activation},first_decoder={first})")
        optimizer = torch.optim.Adam([*method.encoders[0].parameters(), *method.decoders[0].parameters()], 0.05)
        for _ in range(300):
            loss = method.autoencoder_loss(0, method.encoders[0](torch.eye(4)), torch.eye(4), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        lowest[first] = loss.item()
    assert floor < lowest["bounded"] < floor + 0.05 and lowest["logits"] < 0.01


@pytest.mark.parametrize(("share", "come_back"), [(1.0, True), (0.002, False)])
def test_labels_come_back_from_every_depth_when_blocks_are_added_one_after_the_other(share: float, come_back: bool) -> None:
    """h_1 .. h_k t_k is the label for 6 blocks, each trained for a window of its own. Where a stage's learning rate had decayed
    before its turn it is not, and exits answer below chance, as the thesis's on IMDB did."""
    method, kept = build(cuts=(1, 2, 3, 4, 5)), []
    generator = torch.Generator().manual_seed(0)
    for k in range(6):
        lr = 0.005 * (share if k else 1)
        trainer = Trainer(method, TrainingSettings(iterations=40, lr=lr, optimizer="adam", weight_decay=0.0), seed=0, device=CPU)
        for step in range(40):
            y = torch.randint(4, (8,), generator=generator)
            code = nn.Sequential(*method.encoders[:k])(F.one_hot(y, 4).float())
            trainer.stage_step(k, AssociatedCarry(torch.zeros(8, *method.net.shapes[k]), code), y, step)
        chain = nn.Sequential(*method.encoders[: k + 1], *reversed(method.decoders[: k + 1]))
        kept.append(torch.equal(chain(torch.eye(4)).argmax(1), torch.arange(4)))
    assert kept[0] and all(kept) == come_back


COUNTS = [("al_cnn", 160_283_430, 157_920), ("al_vgg", 284_676_294, 6_790_784), ("al_resnet18", 324_894_342, 11_168_832)]


@pytest.mark.parametrize(("name", "total", "network"), COUNTS)
def test_parameters_are_those_of_the_released_networks(name: str, total: int, network: int) -> None:
    """In all, in the network's own layers, and the share of what only training needs."""
    space = read_space(name, (3, 32, 32), 10)
    with torch.device("meta"):
        method = METHODS.build(FAITHFUL, space.build(read_decoupling("published(4)", space, "none")))
    assert sum(p.numel() for p in method.parameters()) == total
    assert sum(p.numel() for p in method.net.blocks.parameters()) == network
    channels, side, _ = space.template.shapes[-1]
    last_bridge = (channels * side * side + 1) * 2500 + 2501 * 500
    decoders = 501 * 10 + 3 * 501 * 500
    costs = cost(lambda: METHODS.build(FAITHFUL, space.build(read_decoupling("published(4)", space, "none"))), (3, 32, 32), 10, 2)
    assert costs.params == network + last_bridge + decoders
    assert costs.params + costs.head_params == total
    assert costs.training_only == pytest.approx((total - network - last_bridge - decoders) / total)


def test_inference_costs_the_blocks_the_last_bridge_and_the_decoders() -> None:
    costs = cost(lambda: build("al(label_dim=10,bridge_depth=1)"), (3, 8, 8), 4, 5)
    assert costs.macs == sum(block.macs for block in costs.blocks) + 4 * 16 * 10 + 2 * 10 * 10 + 10 * 4
    encoders, early_bridges = 4 * 10 + 2 * 10 * 10, 4 * (4 * 10 + 8 * 10)
    assert costs.head_macs == encoders + early_bridges
    assert costs.head_params == encoders + early_bridges + 5 * 10  # biases


@pytest.mark.parametrize(
    "setting",
    [
        "label_dim=64",
        "bridge_depth=1",
        "pooling=mean",
        "pooling=flatten",
        "code_error=mean",
        "bridge_gain=1",
        "activation=sigmoid",
        "bounded_decoders=True",
        "first_decoder=bounded",
        "label_smoothing=0.1",
    ],
)
def test_every_setting_changes_the_losses(setting: str) -> None:
    plain, changed = (torch.stack(list(build(spec).losses(*batch()))) for spec in ("al", f"al({setting})"))
    assert not torch.equal(plain, changed)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("label_dim=0", "from 1 on, got 0"),
        ("bridge_depth=3", "bridge_depth"),
        ("code_error=sum", "half_norm, mean"),
        ("bridge_gain=-1", "from 0 on, got -1"),
        ("activation=relu", "tanh"),
        ("pooling=max", "got 'max'"),
        ("pooling=grid0", "got 'grid0'"),
        ("pooling=state", "came where a block hands on maps"),
    ],
)
def test_settings_that_do_not_hold(settings: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(f"al({settings})")


def test_man_does_not_go_around_a_method_without_heads() -> None:
    with pytest.raises(UserError, match="a method with such heads"):
        METHODS.build("man(base=al)", SPACE.build(Decoupling()))


def test_the_thesiss_text_form_is_its_equations() -> None:
    """Codes in tanh, h_1 = sigmoid(linear), h_k linear; both losses and the exits written out."""
    method = build(f"al(first_decoder=sigmoid,pooling=mean,bridge_depth=1,{RELEASED})")
    x, y = batch()
    s, t, expected = x, F.one_hot(y, 4).float(), []
    f, g, b, h = ([functions(method, k)[name] for k in range(3)] for name in "fgbh")
    for k in range(3):
        s, given = f[k](s.detach()), t.detach()
        t = torch.tanh(F.linear(given, g[k][0].weight, g[k][0].bias))
        code = torch.tanh(F.linear(s.mean((2, 3)), b[k][1].weight, b[k][1].bias))
        decoded = F.linear(t, h[k][0].weight, h[k][0].bias)
        own = F.cross_entropy(torch.sigmoid(decoded), y) if k == 0 else F.mse_loss(decoded, given)
        expected.append(F.mse_loss(code, t.detach()) + own)
    torch.testing.assert_close(torch.stack(list(method.losses(x, y))), torch.stack(expected))
    with torch.no_grad():
        s = f[1](f[0](x))
        code = torch.tanh(F.linear(s.mean((2, 3)), b[1][1].weight, b[1][1].bias))
        answer = torch.sigmoid(F.linear(F.linear(code, h[1][0].weight, h[1][0].bias), h[0][0].weight, h[0][0].bias))
        torch.testing.assert_close(list(method.exits(x))[1], answer)
    with pytest.raises(UserError, match="first_decoder=sigmoid goes with activation=tanh"):
        build("al(activation=sigmoid,first_decoder=sigmoid)")


@cache
def error_after_sgd(spec: str) -> float:
    """The last exit's share of wrong answers on noisy patterns of four classes, after 60 steps of SGD; chance is 0.75."""
    method, generator = build(spec), torch.Generator().manual_seed(1)
    settings = TrainingSettings(iterations=60, batch_size=32, lr=0.05, weight_decay=5e-4)
    trainer, patterns = Trainer(method, settings, seed=0, device=CPU), torch.randn(4, 3, 8, 8, generator=generator)

    def noisy(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.randint(4, (samples,), generator=generator)
        return patterns[y] + 3 * torch.randn(samples, 3, 8, 8, generator=generator), y

    for step in range(60):
        trainer.step(*noisy(32), step)
    x, y = noisy(320)
    with torch.no_grad():
        return (method.eval()(x).argmax(1) != y).float().mean().item()


@pytest.mark.parametrize("released", ["code_error=mean", "bridge_gain=1"])
def test_under_sgd_the_default_learns_where_the_released_form_does_not(released: str) -> None:
    assert error_after_sgd("al") < 0.6 < 0.65 < error_after_sgd(f"al({released})")
