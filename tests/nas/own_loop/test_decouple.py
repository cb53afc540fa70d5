"""What nas.decouple takes, and what it refuses in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import nas
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from tests.nas.own_loop.models import CLASSES, batch, conv_net


def decouple(decoupling: Any = "even(3)", **settings: Any) -> nas.Decoupled:
    return nas.decouple(conv_net(), decoupling, **{"example": batch()[0], **settings})


@pytest.mark.parametrize(
    ("asked", "settings", "found"),
    [
        ("2:linear", {}, "2:linear"),
        (Decoupling.parse("2:linear"), {}, "2:linear"),
        ("even(2)", {}, "2:mlp_sr"),
        ("even(2)", {"head": "conv(depth=2)"}, "2:conv(depth=2,reduction=4)"),
        ("even(2)", {"method": "greedy"}, "2:linear"),
        ("even(2)", {"method": "infopro"}, "2:1c2f(width=1.0,feature_dim=128,embedding=False)"),
        ("layerwise(last=2)", {"head": "linear"}, "1:linear 2:linear"),
        ("uncut", {"method": "backprop"}, "uncut"),
        ("uncut", {}, "uncut"),
        ("even(1)", {"head": "linear"}, "uncut"),
    ],
)
def test_cuts_and_heads_are_those_asked_for(asked: Any, settings: dict[str, Any], found: str) -> None:
    assert str(decouple(asked, **settings).decoupling) == found


def test_only_what_units_are_given_is_kept_where_asked_for() -> None:
    net, plain = decouple("even(2)", checkpoint_units=True, head="linear"), decouple("even(2)", head="linear")
    assert all(block.checkpoint_units for block in net.method.net.blocks)
    net.load_state_dict(plain.state_dict())
    torch.testing.assert_close(list(net.losses(*batch())), list(plain.losses(*batch())))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method": "dlg"}, "unknown method 'dlg'; did you mean dgl?"),
    ({"head": "nothing"}, "unknown head 'nothing'"),
    ({"decoupling": "balancd(4)"}, "unknown rule 'balancd'; did you mean balanced?"),
    ({"decoupling": "9:linear"}, "cut 9 is past the last gap"),
    ({"num_classes": 7}, f"num_classes is how many outputs the model has, {CLASSES}, got 7"),
    ({"decoupling": "2:linear", "head": "mlp"}, "got head=mlp where linear are named; leave it out"),
    ({"method": "greedy", "head": "mlp"}, "head is for cuts where decoupling and method name none"),
    ({"method": "al"}, "which adds to what answers; take dgl"),
    ({"method": "contsup"}, "which adds to what answers; take dgl, or context=R0 of contsup"),
    (
        {"optimizer": torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)},
        "optimizer is a function that is given a block's parameters",
    ),
]


@pytest.mark.parametrize(("settings", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_does_not_hold_or_has_no_effect_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        decouple(**settings)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UserError, match="a network is a torch.nn.Module, got a type; give the module itself"):
        nas.decouple(nn.Sequential, "even(2)", example=batch()[0])  # type: ignore[arg-type]


def test_blocks_that_share_a_weight_are_one() -> None:
    model = conv_net()
    model[3][0].weight = model[1][0].weight
    net = nas.decouple(model, "1:linear", example=batch()[0])
    assert any(parameter is model[1][0].weight for parameter in net.block_parameters(1))
    with pytest.raises(UserError, match="cut 2 is past the last gap"):
        nas.decouple(model, "2:linear", example=batch()[0])


def test_outputs_without_features_are_refused() -> None:
    model = conv_net(1)
    model[4].append(nn.Flatten(0))
    with pytest.raises(UserError, match=r"of one number a sample give \(N, 1\)"):
        nas.decouple(model, "even(2)", example=batch()[0])


def test_a_block_of_which_nothing_trains_has_no_optimizer() -> None:
    model = conv_net()
    model[3].requires_grad_(False), model[4].requires_grad_(False)
    net = nas.decouple(model, "3:linear", example=batch()[0])
    with pytest.raises(UserError, match="got none that requires gradients in block 1 and its head"):
        net.optimizers(torch.optim.SGD)
