"""In place or not: a network whose units and heads write into what they are given trains and answers as one that does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.dgl import DGL
from methods.method import Carry, Method, PlainCarry
from methods.sides import with_side
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.exits.adaptive import adaptive
from nas.exits.confidence import max_softmax
from spaces.activation import TextShape, Tokens, pooled
from spaces.backbone import Backbone, Site
from spaces.layers.word_embedding import WordEmbedding
from spaces.memory.in_place import is_kept_apart
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

NUM_CLASSES = 3
IMAGES, TEXTS = (3, 8, 8), TextShape(6, 12)


class Writes(nn.Module):
    """`how`, in place or not; each gives another result the second time, so that nobody may see its input overwritten."""

    def __init__(self, how: str, inplace: bool) -> None:
        super().__init__()
        self.how, self.inplace = how, inplace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.inplace else x.clone()
        if self.how == "slice":
            x[:, :1] = -x[:, :1]
            return x
        return F.dropout(x, 0.2, self.training, inplace=True) if self.how == "dropout" else x.mul_(1.5).sub_(0.1)


HOW = ("mul", "slice", "dropout", "mul")


def maps(input_shape: tuple[int, ...], num_classes: int, *, inplace: bool = False) -> Backbone:
    """Four units; the identity in front of the third hands its input's memory on."""

    def unit(i: int, how: str) -> nn.Sequential:
        return nn.Sequential(nn.Identity(), Writes(how, inplace), nn.Sigmoid(), nn.Conv2d(6 if i else 3, 6, 3, padding=1))

    classifier = nn.Sequential(Writes("mul", inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, num_classes))
    return Backbone([unit(i, how) for i, how in enumerate(HOW)], classifier, input_shape=input_shape, num_classes=num_classes)


class OnTokens(nn.Module):
    """A layer on each token."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(Writes("mul", inplace), nn.Tanh(), nn.Linear(4, 4))

    def forward(self, h: Tokens) -> Tokens:
        return h._replace(values=self.layers(h.values))


class Pooled(nn.Sequential):
    """Layers on the mean of all tokens or pixels."""

    def forward(self, h: Any) -> torch.Tensor:
        return super().forward(pooled(h))


class MutesFirst(nn.Module):
    """A head that writes into what it is given."""

    def __init__(self, features: int, num_classes: int, inplace: bool) -> None:
        super().__init__()
        self.writes, self.linear = Writes("mul", inplace), nn.Linear(features, num_classes)

    def forward(self, h: Any) -> torch.Tensor:
        h = h._replace(values=self.writes(h.values)) if isinstance(h, Tokens) else self.writes(h)
        return self.linear(pooled(h))


def words(input_shape: TextShape, num_classes: int, *, inplace: bool = False) -> Backbone:
    units = [WordEmbedding(input_shape, 4), *(OnTokens(inplace) for _ in range(3))]
    return Backbone(units, Pooled(nn.Linear(4, num_classes)), input_shape=input_shape, num_classes=num_classes)


def head(site: Site, *, inplace: bool = False) -> nn.Module:
    return MutesFirst(4 if len(site.shape) == 2 else site.shape[0], site.num_classes, inplace)


IN_FRONT = {
    "contsup": ("contsup", "contsup(context=R2)", "contsup(context=R0,decoder=True)"),
    "man": ("man", "man(base=contsup(context=R1E))", "man(base=predsim,bias=False)"),
    "infopro": ("infopro", "infopro(decoder=False)"),
}
VARIANTS = [variant for name in sorted(METHODS) for variant in IN_FRONT.get(name, (name,))]
ON_WORDS = ("dgl", "predsim", "man", "al", "early_exit", "cooperative")
CASES = [
    *VARIANTS,
    *(f"{name} with conv" for name in ("dgl", "infopro", "contsup", "man", "al")),
    *(f"{name} on words" for name in ON_WORDS),
    *(
        f"{name} on words with text(dim=[2,2,2],embedding={embedding})"
        for name in ("dgl", "al")
        for embedding in ("own", "shared")
    ),
]


def build(case: str, inplace: bool, *, checkpoint_units: bool = False) -> Method:
    (name, _, kind), side = case.partition(" with ")[0].partition(" on "), case.partition(" with ")[2]
    shape = TEXTS if kind else IMAGES
    space = SearchSpace(
        f"{__name__}.{kind or 'maps'}(inplace={inplace})", [], input_shape=shape, num_classes=NUM_CLASSES, num_blocks=1
    )
    method = traits(name)
    heads = "" if method.default_head in (None, "none") else f",head={__name__}.head(inplace={inplace})"
    point = traits(name).adapt(read_decoupling(f"even(3{heads})", space, method.default_head))
    torch.manual_seed(0)
    net = space.build(point, checkpoint_units=checkpoint_units, head_lookahead=method.head_lookahead)
    return with_side(METHODS.build(name, net), side or None)


def batch(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(12) % NUM_CLASSES
    x = torch.randint(1, 12, (12, 6), generator=generator) if " on " in case else torch.randn(12, *IMAGES, generator=generator)
    return x, y


@pytest.mark.parametrize("checkpoint_units", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_in_place_or_not_the_same_numbers(case: str, checkpoint_units: bool) -> None:
    """Losses, weights and answers of every kind, to the bit; and the batch is as it was."""
    found = []
    for inplace in (False, True):
        method, (x, y) = build(case, inplace, checkpoint_units=checkpoint_units), batch(case)
        trainer = Trainer(method, TrainingSettings(iterations=3, batch_size=12, lr=0.05), seed=0, device=torch.device("cpu"))
        given = x.clone()
        losses = [loss for step in range(2) for loss in trainer.step(x, y, step)]
        trained = [tensor.clone() for tensor in method.state_dict().values()]
        exits = list(method.exits(x))
        torch.stack([logits.float().sum() for logits in exits]).sum().backward()
        method.eval()
        with torch.no_grad():
            answers = [*exits, *method.exits(x), method(x), *(method.exit(k, x) for k in range(method.net.num_blocks))]
            left = adaptive(method, x, max_softmax, 0.4) if len(exits[0].T) == NUM_CLASSES else ()
        gradients = [torch.zeros(()) if p.grad is None else p.grad for p in method.parameters()]
        assert torch.equal(x, given)
        found.append([*losses, *trained, *answers, *left, *gradients])
    assert len(found[0]) == len(found[1]) and all(map(torch.equal, *found))


@pytest.mark.parametrize("case", ["dgl", "contsup", "early_exit", "dgl with conv"])
def test_what_a_stage_is_given_stays(case: str) -> None:
    """Whoever calls a stage may hold what it is given."""
    method, (x, y) = build(case, True), batch(case)
    carry = method.start(x, y)
    for k in range(method.num_stages):
        h = carry.h.clone()
        following, loss = method.isolated_stage(k, carry, y)
        loss.backward()
        assert torch.equal(carry.h, h)
        carry = following


class Overwrites(DGL):
    """A user's method that computes in place on what it is given."""

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        return super().stage(k, PlainCarry(carry.h.add_(1)), y)


def test_a_method_that_overwrites_its_carry_is_told() -> None:
    space = SearchSpace(f"{__name__}.maps", [], input_shape=IMAGES, num_classes=NUM_CLASSES, num_blocks=1)
    with pytest.raises(UserError, match=r"stage 0 of Overwrites wrote into it; compute out of place"):
        list(Overwrites(space.build(read_decoupling("uncut", space, None))).losses(*batch("")))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_network_that_overwrites_nothing_pays_nothing(name: str, operator_calls: Any) -> None:
    space, method = read_space("small(width=0.25)", IMAGES, NUM_CLASSES), traits(name)
    point = traits(name).adapt(read_decoupling("even(3)", space, method.default_head))
    built = METHODS.build(name, space.build(point, head_lookahead=method.head_lookahead))
    assert not any(map(is_kept_apart, built.modules()))
    with operator_calls() as calls:
        for loss in built.losses(*batch("")):
            loss.backward()
        list(built.exits(batch("")[0]))
    assert calls.of[torch.ops.aten.clone] == 0
