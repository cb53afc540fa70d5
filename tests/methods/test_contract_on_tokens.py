"""Every method on networks that hand on plain tokens: a vision transformer, with and without a mask beside them, and a mixer."""

from typing import Any

import pytest
import torch

from methods.sides import with_side
from methods.table import METHODS, traits
from nas.testing import MethodCase, MethodContract, toy_batch
from spaces.activation import Tokens, WithFeatures, values_of
from spaces.layers.token_grid import TokenGrid
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

SHAPE, NUM_CLASSES = (3, 8, 8), 4
NETWORKS = {
    name: SearchSpace(f"tests.token_networks.{name}", ["linear"], input_shape=SHAPE, num_classes=NUM_CLASSES)
    for name in ("tiny_vit(depth=3)", "tiny_vit(depth=3,masked=True)", "tiny_mixer(depth=3)")
}
VIT, MASKED, MIXER = NETWORKS
RECIPE = {"iterations": 150, "lr": 0.003, "optimizer": "adam"}
CASES = [
    *(MethodCase(name, NETWORKS[VIT], recipe=RECIPE) for name in ("dgl", "infopro", "contsup", "man(base=predsim)", "al")),
    *(MethodCase(name, NETWORKS[MASKED], recipe=RECIPE) for name in ("auglocal", "contsup(context=R2)", "cooperative")),
    MethodCase("dgl", NETWORKS[VIT], side="conv", recipe=RECIPE),
]


class TestOnTokens(MethodContract):
    """One case a family; networks and methods are crossed below."""

    @pytest.fixture(params=CASES, ids=lambda case: f"{case.spec}-{case.space.backbone}-{case.side}")
    def case(self, request: pytest.FixtureRequest) -> MethodCase:
        return request.param

    @pytest.fixture(params=[CASES[0], CASES[5]], ids=["dgl", "masked"])
    def uncut_case(self, request: pytest.FixtureRequest) -> MethodCase:
        return request.param


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", [*sorted(METHODS), "contsup(context=R2,loss=contrast)", "man(start=random,scale=True)"])
def test_every_method_trains_all_that_it_has(name: str, network: str) -> None:
    method = MethodCase(name, NETWORKS[network]).build()
    for loss in method.losses(*toy_batch(method)):
        assert loss.isfinite()
        loss.backward()
    assert [n for n, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())] == []


def test_a_contexts_grid_adds_nothing_to_a_class_token() -> None:
    method = MethodCase("contsup(context=E)", NETWORKS[VIT]).build()
    x, _ = toy_batch(method)
    added = method.contexts["1"](x, ())  # type: ignore[operator]
    assert added.shape[1:] == method.net.shapes[1]
    assert not added[:, 0].any() and added[:, 1:].any()


@pytest.mark.parametrize("network", [VIT, MASKED, MIXER])
def test_features_join_each_token_and_disturb_nothing_at_first(network: str) -> None:
    space = NETWORKS[network]

    def build(side: str | None, num_features: int) -> Any:
        torch.manual_seed(0)
        return with_side(
            METHODS.build("dgl", space.build(read_decoupling("even(3)", space, "linear"))), side, num_features
        ).eval()

    plain, joined, x = build(None, 0), build("features(block=1)", 2), torch.randn(4, *SHAPE)
    given = WithFeatures(x, torch.randn(4, 2))
    torch.testing.assert_close(joined(given), plain(x))
    torch.nn.init.normal_(joined.side.parts[1].weight)
    h = plain.net.blocks[0](x)
    moved = values_of(joined.side.join(1, h, given)) - values_of(joined.side.join(1, h, WithFeatures(x, torch.zeros(4, 2))))
    assert moved.any(dim=2).all(), "every token of every sample"


@pytest.mark.parametrize(
    ("num_tokens", "image", "grid"),
    [
        (196, (3, 224, 224), (0, 14, 14)),
        (197, (3, 224, 224), (1, 14, 14)),
        (198, (3, 224, 224), (2, 14, 14)),
        (9, (1, 4, 16), (0, None, None)),
        (17, (1, 4, 16), (1, 2, 8)),
        (1, (3, 8, 8), (0, 1, 1)),
    ],
)
def test_tokens_are_patches_where_they_have_the_images_proportions(
    num_tokens: int, image: tuple[int, ...], grid: tuple[int, Any, Any]
) -> None:
    if grid[1] is None:
        with pytest.raises(UserError, match=f"patches of the image, got {num_tokens} tokens of inputs of the shape"):
            TokenGrid.of("the decoder", num_tokens, image)
        return
    found = TokenGrid.of("the decoder", num_tokens, image)
    assert (found.in_front, found.rows, found.columns) == grid
    tokens = torch.randn(2, num_tokens, 5)
    maps = found.to_map(tokens)
    assert torch.equal(maps[:, :, -1, 0], tokens[:, grid[0] + (grid[1] - 1) * grid[2]])
    assert torch.equal(found.to_tokens(maps)[:, grid[0] :], tokens[:, grid[0] :])


def test_what_tokens_cannot_give_is_refused_by_name() -> None:
    point = traits("al").adapt(read_decoupling("even(3)", NETWORKS[VIT], "none"))
    with pytest.raises(UserError, match="pooling=grid2 came where a block hands on tokens"):
        METHODS.build("al(pooling=grid2)", NETWORKS[VIT].build(point))
    assert not any(isinstance(h, Tokens) for h in NETWORKS[VIT].build(point).examples())
