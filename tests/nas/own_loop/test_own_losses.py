"""Other targets than class labels: several labels a sample, numbers, a label a pixel; beside the losses written out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nas
from methods.table import METHODS
from spaces.notation.errors import UserError
from tests.nas.own_loop.models import CLASSES, batch, conv_net


def adam(parameters: list[nn.Parameter]) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=0.003)


def segmenter() -> nn.Sequential:
    """Halves the map and gives outputs of the input's size, three a pixel."""
    torch.manual_seed(0)
    layers = [
        nn.Sequential(nn.Conv2d(3 if k == 0 else 8, 8, 3, padding=1, stride=1 + k % 2), nn.GroupNorm(2, 8), nn.ReLU())
        for k in range(4)
    ]
    return nn.Sequential(*layers, nn.Sequential(nn.Conv2d(8, 3, 1), nn.Upsample(scale_factor=4, mode="bilinear"))).double()


WEIGHT = torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
TARGETS = {
    "multi-label": (
        lambda: conv_net(),
        nn.BCEWithLogitsLoss(pos_weight=WEIGHT),
        lambda x: (x.mean((2, 3)) > 0)[:, [0, 1, 2, 0]].double(),
    ),
    "regression": (lambda: conv_net(2), nn.MSELoss(), lambda x: x.mean((2, 3))[:, :2]),
    "segmentation": (segmenter, F.cross_entropy, lambda x: x.argmax(1)),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_every_block_learns_from_the_users_own_loss(kind: str) -> None:
    build, loss, targets = TARGETS[kind]
    x, _ = batch(8)
    net = nas.decouple(build(), "even(3)", example=x, loss=loss, optimizer=adam)
    y = targets(x)
    expected = [loss(outputs, y).detach() for outputs in net.exits(x)]
    first = net.step(x, y)
    torch.testing.assert_close(first, expected)
    for _ in range(20):
        last = net.step(x, y)
    assert len(first) == 3 and all(after < before for after, before in zip(last, first, strict=True))
    assert all(outputs.shape == net(x).shape for outputs in net.exits(x))


def test_outputs_at_every_pixel_have_dense_heads_and_other_sizes_of_images() -> None:
    net = nas.decouple(segmenter(), "even(3)", example=batch()[0], loss=F.cross_entropy, optimizer=adam)
    assert net.decoupling.heads == ("dense", "dense")
    x = torch.randn(2, 3, 16, 12).double()
    assert [outputs.shape for outputs in net.exits(x)] == [(2, 3, 16, 12)] * 3
    assert len(net.step(x, x.argmax(1))) == 3


def test_a_losss_buffers_follow_the_network() -> None:
    net = nas.decouple(conv_net(), "even(2)", example=batch()[0], loss=nn.BCEWithLogitsLoss(pos_weight=WEIGHT))
    assert net.float().method.net.loss.pos_weight.dtype == torch.float32  # type: ignore[union-attr]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"loss": 3}, "loss is a function (outputs, y) -> scalar, got a int"),
    (
        {"loss": F.mse_loss, "method": "dgl(label_smoothing=0.2)"},
        "got loss beside dgl(label_smoothing=0.2); leave one of them out",
    ),
    ({"loss": F.mse_loss, "method": "man(base=dgl(label_smoothing=0.2))"}, "label_smoothing is of the method's own"),
    ({"loss": nn.Linear(2, 2)}, "a loss has no parameters, since no block trains them, got weight"),
    ({"loss": F.mse_loss, "method": "predsim"}, "needs class labels, since it compares activations with one-hot labels"),
    ({"loss": F.mse_loss, "method": "cooperative"}, "needs class labels, since its networks teach each other"),
    ({"loss": F.mse_loss, "method": "infopro(loss=contrast)"}, "needs class labels, since its contrastive loss"),
]


@pytest.mark.parametrize(("settings", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_learnt_from_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        nas.decouple(conv_net(), "even(3)", example=batch()[0], **settings)
    assert said in str(error.value)


def test_outputs_at_every_pixel_need_a_loss_and_heads_that_give_such() -> None:
    x, _ = batch()
    with pytest.raises(UserError, match=r"got outputs \('N', 3, 8, 8\) and no loss; give loss="):
        nas.decouple(segmenter(), "even(3)", example=x)
    with pytest.raises(UserError, match=r"heads give what the model gives, .*from linear; take the head dense"):
        nas.decouple(segmenter(), "even(3)", example=x, head="linear", loss=F.cross_entropy)
    with pytest.raises(UserError, match="head dense gives outputs at every pixel or token as the network does"):
        nas.decouple(conv_net(), "even(3)", example=x, head="dense")


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("predsim", "cooperative", "al", "contsup")])
def test_methods_of_any_loss_take_it(method: str) -> None:
    x, _ = batch()
    net = nas.decouple(conv_net(), "even(2)", example=x, method=method, loss=nn.MSELoss(), optimizer=adam)
    assert all(loss.isfinite() for loss in net.step(x, x.mean((2, 3)).repeat(1, 2)[:, :CLASSES]))


def test_a_label_a_token_is_learnt_too() -> None:
    torch.manual_seed(0)
    layers = [nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True) for _ in range(3)]
    tagger = nn.Sequential(nn.Embedding(11, 8), *layers, nn.Linear(8, 5))
    x = torch.randint(11, (4, 6))
    net = nas.decouple(tagger, "even(2)", example=x, loss=lambda outputs, y: F.cross_entropy(outputs.mT, y), optimizer=adam)
    assert net.decoupling.heads == ("dense",) and [outputs.shape for outputs in net.exits(x)] == [(4, 6, 5)] * 2
    first = net.step(x, x % 5)
    for _ in range(20):
        last = net.step(x, x % 5)
    assert all(after < before for after, before in zip(last, first, strict=True))
