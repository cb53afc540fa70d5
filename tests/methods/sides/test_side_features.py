"""Features that one block is given: by hand, at the start, and in training."""

from typing import Any

import pytest
import torch
from torch import nn

from methods.sides import with_side
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from spaces.activation import TextShape, Tokens, WithFeatures
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

TEXTS = TextShape(6, 20)
CASES = {
    "vectors": "linear(depth=3,embedding=6,hidden=5)",
    "tokens": "transformer(depth=3,embedding=6,attention_heads=2,ffn=8)",
    "states": "lstm(depth=3,embedding=6,hidden=4)",
    "maps": "small(width=0.5)",
}


def build(case: str, side: str | None = "features(block=1)", method: str = "dgl", num_features: int = 3) -> Any:
    space = read_space(CASES[case], (3, 8, 8) if case == "maps" else TEXTS, 4)
    torch.manual_seed(0)
    heads = ("none",) * 2 if method == "al" else ("linear",) * 2
    return with_side(METHODS.build(method, space.build(Decoupling((2, 3), heads))), side, num_features)


def inputs(case: str, size: int = 5) -> WithFeatures:
    generator = torch.Generator().manual_seed(3)
    x = (
        torch.randn(size, 3, 8, 8, generator=generator)
        if case == "maps"
        else torch.randint(1, 20, (size, 6), generator=generator)
    )
    return WithFeatures(x, torch.randn(size, 3, generator=generator))


@pytest.mark.parametrize("case", ["vectors", "maps"])
def test_at_first_nothing_is_disturbed(case: str) -> None:
    with_features, plain, x = build(case).eval(), build(case, None, num_features=0).eval(), inputs(case)
    torch.testing.assert_close(with_features(x), plain(x.x))


@pytest.mark.parametrize("case", ["vectors", "maps"])
def test_an_activation_and_its_features_are_one_linear_layer(case: str) -> None:
    method, x = build(case).eval(), inputs(case)
    layer = method.side.parts[1]
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    h = method.net.blocks[0](x.x)
    of_h, of_features = layer.weight.flatten(1).split([h.shape[1], 3], dim=1)
    fixed = (x.features @ of_features.T + layer.bias).view(*h.shape[:2], *(1,) * (h.dim() - 2))
    expected = torch.einsum("oi,ni...->no...", of_h, h) + fixed
    torch.testing.assert_close(method.side.join(1, h, x), expected)


@pytest.mark.parametrize("case", ["tokens", "states"])
def test_tokens_get_one_more_in_front(case: str) -> None:
    method, x = build(case).eval(), inputs(case)
    h, layer = method.net.blocks[0](x.x), method.side.parts[1]
    own = Tokens(torch.cat([layer(x.features)[:, None], h.values], 1), torch.ones(5, 7, dtype=torch.bool), h.state)
    torch.testing.assert_close(list(method.exits(x))[1], method.net.heads[1](method.net.blocks[1](own)))


@pytest.mark.parametrize("name", ["dgl", "al"])
@pytest.mark.parametrize("case", CASES)
def test_features_learn_with_their_block_and_change_what_comes_after(case: str, name: str) -> None:
    method, x = build(case, "features(block=2)", name), inputs(case, 12)
    layer = method.side.parts[2]
    before = {key: tensor.clone() for key, tensor in layer.state_dict().items()}
    settings = TrainingSettings(iterations=2, batch_size=12, optimizer="adam")
    trainer = Trainer(method, settings, seed=0, device=torch.device("cpu"))
    for iteration in range(2):
        trainer.step(x, torch.arange(12) % 4, iteration)
    assert all(not torch.equal(tensor, before[key]) for key, tensor in layer.state_dict().items())
    assert {*layer.parameters()} <= {*method.stage_parameters(2)} - {*method.stage_parameters(1)}
    method.eval()
    other = WithFeatures(x.x, x.features + 1)
    assert [torch.equal(*pair) for pair in zip(method.exits(x), method.exits(other), strict=True)] == [True, True, False]
    averages = WithFeatures(x.x, torch.zeros_like(x.features))
    assert torch.equal(method(x.x), method(averages))


@pytest.mark.parametrize(
    ("case", "side", "num_features", "says"),
    [
        ("maps", "features", 0, "the task has none"),
        ("maps", "features(block=0)", 3, "got block=0"),
        ("maps", "features(block=3)", 3, "of 0 to 2 here"),
        ("maps", "conv", 3, "gives to a block, got conv"),
        ("tokens", "text(dim=[2,2,2])", 3, r"got text\(.*\)"),
        ("tokens", None, 3, "3 features beside each input.*got none"),
    ],
)
def test_features_and_the_side_input_come_together(case: str, side: str | None, num_features: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(case, side, num_features=num_features)
