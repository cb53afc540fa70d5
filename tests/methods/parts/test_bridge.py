"""What a bridge is given: against brute force, and texts against what their tokens say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from methods.al import AL
from methods.parts.bridge import Pool, bridge, num_features
from spaces.activation import UNKNOWN, TextShape, Tokens
from spaces.network import Block, DecoupledNet
from spaces.notation.errors import UserError


class Embedding(nn.Module):
    """Token ids to tokens of 6 features."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 6, padding_idx=0)

    def forward(self, ids: torch.Tensor) -> Tokens:
        return Tokens(self.table(ids), ids != 0)


class Recurrent(nn.Module):
    """Tokens with states of 3 features a direction, made of the means."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, h: Tokens) -> Tokens:
        states = torch.stack(self.linear(h.mean()).chunk(2, dim=1))
        return Tokens(self.linear(h.values), h.mask, (states, states.square()))


def text_net() -> DecoupledNet:
    torch.manual_seed(0)
    return DecoupledNet(
        [Block([Embedding()]), Block([Recurrent()])],
        [nn.Identity(), nn.Identity()],
        shapes=[TextShape(5, 9), (5, 6), (5, 6)],
        num_classes=3,
    )


def test_a_grid_is_the_means_of_the_parts() -> None:
    h = torch.randn(2, 3, 4, 6).to(memory_format=torch.channels_last)
    parts = [h[:, c, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].mean((1, 2)) for c in range(3) for i in range(2) for j in range(2)]
    torch.testing.assert_close(Pool("grid2")(h), torch.stack(parts, 1))
    torch.testing.assert_close(Pool("grid1")(h), h.mean((2, 3)))
    torch.testing.assert_close(Pool("mean")(h), h.mean((2, 3)))
    assert torch.equal(Pool("quarters")(h), Pool("grid2")(h))
    assert torch.equal(Pool("flatten")(h), torch.stack([image.contiguous().view(-1) for image in h]))


def test_padding_is_no_part_of_a_text() -> None:
    values, mask = torch.randn(2, 4, 6), torch.tensor([[True] * 4, [True, True, False, False]])
    means = Pool("mean")(Tokens(values, mask))
    torch.testing.assert_close(means, torch.stack([values[0].mean(0), values[1, :2].mean(0)]))
    assert torch.equal(Pool("quarters")(Tokens(values, mask)), means)
    states = torch.randn(2, 2, 3)
    assert torch.equal(Pool("state")(Tokens(values, mask, (states, states + 1))), states[0] + states[1])
    assert torch.equal(Pool("state")(Tokens(values, mask)), means)


@pytest.mark.parametrize(("pooling", "features"), [("mean", [6, 6]), ("state", [6, 3])])
def test_bridges_are_as_wide_as_what_the_blocks_hand_on(pooling: str, features: list[int]) -> None:
    net = text_net()
    before = [parameter.clone() for parameter in net.parameters()]
    assert num_features(net, Pool(pooling)) == features
    assert all(map(torch.equal, net.parameters(), before))
    method = AL(net, pooling=pooling, label_dim=7)
    for k, loss in enumerate(method.losses(torch.tensor([[3, UNKNOWN, 0], [2, 4, 5]]), torch.tensor([0, 2]))):
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in method.stage_parameters(k)), "the embedding learns too"


def test_padding_further_changes_nothing() -> None:
    method = AL(text_net()).eval()
    short = torch.tensor([[3, UNKNOWN, 0], [2, 4, 5]])
    further = torch.cat([short, torch.zeros(2, 4, dtype=torch.long)], 1)
    for one, other in zip(method.exits(short), method.exits(further), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("pooling", ["flatten", "grid2"])
def test_a_text_has_no_grid_and_no_fixed_length(pooling: str) -> None:
    with pytest.raises(UserError, match=f"pooling={pooling} came where a block hands on tokens"):
        AL(text_net(), pooling=pooling)


def test_states_that_no_block_has_are_refused() -> None:
    net = text_net()
    net.blocks = net.blocks[:1]
    with pytest.raises(UserError, match="no block hands on any"):
        num_features(net, Pool("state"))


def test_a_bridge_has_one_linear_layer_or_a_hidden_one_of_five_times_the_code() -> None:
    shapes = [[tuple(p.shape) for p in bridge(11, 4, depth, "tanh").parameters()] for depth in (1, 2)]
    assert shapes == [[(4, 11), (4,)], [(20, 11), (20,), (4, 20), (4,)]]
    assert bridge(11, 4, 2, "sigmoid")(torch.randn(3, 11) * 100).abs().max() <= 1
