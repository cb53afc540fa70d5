"""Side inputs: against networks written out by hand, one text at a time, and with changes in one slice or weight alone."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.dgl import DGL
from methods.method import Method
from methods.sides import SIDES, read_side, with_side
from methods.sides.conv import ConvSide
from methods.sides.side import SideInputs, SideSite
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from spaces.activation import PADDING, TextShape, Tokens
from spaces.named import read_space
from spaces.network import Block, DecoupledNet
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling

SHAPE = TextShape(8, 30)
VECTORS = torch.randn(30, 6, generator=torch.Generator().manual_seed(5))
SPACES = (
    "linear(depth=3,embedding=6,hidden=5)",
    "linear(depth=3,embedding=6,hidden=6)",
    "lstm(depth=3,embedding=6,hidden=4)",
    "transformer(depth=3,embedding=6,attention_heads=2,ffn=8,dropout=0)",
)
SPLITS = ("2:linear 3:linear", "1:linear 2:linear")  # the words with the first layer, and by themselves
SIDE = "text(dim=[3,3,2])"


def build(space: str, method: str = "dgl", side: str | None = SIDE, split: str = SPLITS[0], shape: Any = SHAPE) -> Any:
    read = read_space(space, shape, 3, VECTORS if shape is SHAPE else None)
    point = traits(method).adapt(read_decoupling(split, read, traits(method).default_head))
    torch.manual_seed(0)
    built = METHODS.build(method, read.build(point))
    return with_side(built, side) if side else built


def texts(lengths: tuple[int, ...] = (8, 1, 3, 4, 6, 7)) -> torch.Tensor:
    ids = torch.randint(1, 30, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    return ids.masked_fill(torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None], PADDING)


@pytest.mark.parametrize("embedding", ["own", "shared"])
def test_two_blocks_by_hand(embedding: str) -> None:
    method = build(SPACES[3], side=f"text(dim=[5,3],embedding={embedding})", split="2:linear")
    net, x, y = method.net, texts(), torch.tensor([0, 1, 2, 0, 1, 2])
    first = net.blocks[0](x[:, :5])
    vectors = net.blocks[0][0].words.weight if embedding == "shared" else method.side.parts[1].embedding.words.weight
    joined = Tokens(torch.cat([first.values.detach(), vectors.detach().requires_grad_()[x[:, 5:]]], 1), x != PADDING)
    logits = [net.heads[0](first), net.heads[1](net.blocks[1](joined))]
    for own, expected in zip(method.exits(x), logits, strict=True):
        torch.testing.assert_close(own, expected)
    expected_losses = [method.base.cross_entropy(one, y) for one in logits]
    for own, other in zip(method.losses(x, y), expected_losses, strict=True):
        torch.testing.assert_close(own, other)


def test_vectors_are_joined_by_the_larger_number() -> None:
    method = build(SPACES[0], side="text(dim=[5,3])", split="2:linear")
    x = texts()
    h, part = method.net.blocks[0](x[:, :5]), method.side.parts[1]
    for n, ids in enumerate(x):
        new = [part.linear(part.embedding.words.weight[i]) for i in ids[5:] if i != PADDING]
        expected = torch.maximum(h[n], torch.stack(new).mean(0)) if new else h[n]
        torch.testing.assert_close(method.side.join(1, h, x)[n], expected)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("embedding", ["own", "shared"])
def test_a_padded_batch_is_its_texts_one_by_one(space: str, split: str, embedding: str) -> None:
    method = build(space, "al", f"text(dim=[3,3,2],embedding={embedding})", split).double().eval()
    x = texts()
    alone = [torch.stack(list(method.exits(text[text != PADDING][None]))) for text in x]
    torch.testing.assert_close(torch.stack(list(method.exits(x))), torch.cat(alone, dim=1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", ["dgl", "al"])
def test_a_slice_changes_the_exits_from_its_block_on(space: str, method: str) -> None:
    built, x = build(space, method).eval(), texts((8, 8))
    for k, place in enumerate((1, 4, 7)):
        other = x.clone()
        other[:, place] = other[:, place] % 29 + 1
        same = [torch.equal(*pair) for pair in zip(built.exits(x), built.exits(other), strict=True)]
        assert same == [depth < k for depth in range(3)]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("embedding", ["own", "shared"])
def test_a_block_may_be_given_no_tokens(space: str, embedding: str) -> None:
    built, x = build(space, side=f"text(dim=[3,0,5],embedding={embedding})").eval(), texts((8, 8))
    other = x.clone()
    other[:, 3] = other[:, 3] % 29 + 1
    assert [torch.equal(*pair) for pair in zip(built.exits(x), built.exits(other), strict=True)] == [True, True, False]
    first, second, _ = built.base.exits(x[:, :3])
    assert all(map(torch.equal, (first, second), built.exits(x)))
    assert list(map(built.side.given, range(3))) == [(0, 3), None, (3, 8)] and not list(built.side.parts[1].parameters())


def test_the_image_may_come_later_than_at_the_second_block() -> None:
    built = build("small", side="conv(first=2)", shape=(3, 8, 8), split="2:linear 4:linear").eval()
    plain = list(built.base.exits(x := torch.randn(2, 3, 8, 8)))
    assert [torch.equal(*pair) for pair in zip(plain, built.exits(x), strict=True)] == [True, True, False]
    assert list(map(built.side.given, range(3))) == [None, None, "image"]


def test_block_0_is_that_of_a_network_for_shorter_texts_whose_weights_fit() -> None:
    trained = build(SPACES[2], "al", side=None)
    for parameter in trained.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    method, x = build(SPACES[2], "al"), texts()
    method.base.load_state_dict(trained.state_dict())
    assert torch.equal(next(method.exits(x)), next(trained.exits(x[:, :3])))
    assert set(method.state_dict()) == (
        {f"base.{name}" for name in trained.state_dict()} | {f"side.{name}" for name in method.side.state_dict()}
    )


def test_own_embeddings_begin_with_the_word_vectors() -> None:
    method = build(SPACES[0])
    for part in method.side.parts[1:]:
        rows = part.embedding.words.weight
        assert torch.equal(rows[1:], VECTORS[1:]) and not rows[PADDING].any()
        assert rows is not method.net.blocks[0][0].words.weight


@pytest.mark.parametrize(
    "case", [*((space, SIDE) for space in SPACES), (SPACES[0], "text(dim=[3,3,2],embedding=shared)"), ("small", "conv")]
)
@pytest.mark.parametrize("method", ["dgl", "al", "predsim"])
def test_what_a_side_input_adds_learns_with_its_stage(case: tuple[str, str], method: str) -> None:
    space, side = case
    shape = SHAPE if side.startswith("text") else (3, 8, 8)
    built = build(space, method, side, shape=shape, split=SPLITS[0] if shape is SHAPE else "2:linear 4:linear")
    x = texts((8,) * 12) if shape is SHAPE else torch.randn(12, *shape)
    before = {name: tensor.clone() for name, tensor in built.side.state_dict().items()}
    settings = TrainingSettings(iterations=1, batch_size=12, optimizer="adam")
    Trainer(built, settings, seed=0, device=torch.device("cpu")).step(x, torch.arange(12) % 3, 0)
    changed = {name for name, tensor in built.side.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(before) and len(changed) == sum(1 for _ in built.side.parameters())
    for k, part in enumerate(built.side.parts):
        assert {*part.parameters()} <= {*built.stage_parameters(k)} and part in built.inference_modules(k)


def test_a_shared_embedding_is_trained_by_the_first_block_alone() -> None:
    method = build(SPACES[2], side="text(dim=[3,3,2],embedding=shared)")
    assert [method.reads(k) for k in range(3)] == [(), (0,), (0,)]
    rows = method.net.blocks[0][0].words.weight
    for k, loss in enumerate(method.losses(texts((8, 8, 8)), torch.arange(3))):
        method.zero_grad()
        loss.backward()
        assert (rows.grad is not None and bool(rows.grad.any())) == (k == 0)


def net_of(*shapes: tuple[int, ...]) -> DecoupledNet:
    return DecoupledNet(
        [Block([nn.Identity()]) for _ in shapes[1:]], [nn.Identity() for _ in shapes[1:]], shapes=shapes, num_classes=2
    )


@pytest.mark.parametrize(
    ("size", "stride"), [((12, 12), (1, 1)), ((6, 4), (2, 3)), ((3, 1), (4, 12)), ((5, 7), (2, 1)), ((24, 12), (1, 1))]
)
def test_a_convolution_of_the_image_is_added_at_any_size(size: tuple[int, int], stride: tuple[int, int]) -> None:
    torch.manual_seed(0)
    side = ConvSide(SideSite(net_of((3, 12, 12), (7, *size), (2,))))
    image, h = torch.randn(2, 3, 12, 12), torch.randn(2, 7, *size)
    (weight,) = side.parameters()
    expected = F.relu(F.conv2d(image, weight, stride=stride, padding=1))
    if 12 % size[0] or 12 % size[1]:
        expected = F.adaptive_avg_pool2d(expected, size)
    torch.testing.assert_close(side.join(1, h, image), h + expected)


@pytest.mark.parametrize(
    ("side", "space", "split", "says"),
    [
        ("text(dim=[4,4])", SPACES[0], SPLITS[0], "2 parts 4-4 for 3 blocks; give 3"),
        ("text(dim=[3,3,3])", SPACES[0], SPLITS[0], "8 in all, the task's length, got 3-3-3, 9 in all"),
        ("text(dim=[8,0,0])", SPACES[0], SPLITS[0], "gives tokens to blocks after the first, got 8-0-0"),
        ("text(dim=[0,4,4])", SPACES[0], SPLITS[0], "at least one for the first block"),
        ("text(dim=[6,-1,3])", SPACES[0], SPLITS[0], "tokens, at least one for the first block"),
        ("text(dim=[8])", SPACES[0], "uncut", "network that is uncut"),
        ("conv", SPACES[0], SPLITS[0], "takes images"),
        (SIDE, "small", "2:linear 4:linear", "is for texts"),
        ("conv", "small", "uncut", "the network is uncut"),
        ("conv(first=0)", "small", "2:linear 4:linear", "of 0 to 2 here, got first=0"),
        ("conv(first=3)", "small", "2:linear 4:linear", "of 0 to 2 here, got first=3"),
        ("text(dim=[3,3,2],embedding=mine)", SPACES[0], SPLITS[0], "own or shared|unknown value"),
    ],
)
def test_what_does_not_fit_is_refused(side: str, space: str, split: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(space, side=side, split=split, shape=SHAPE if space in SPACES else (3, 8, 8))


def test_a_convolution_is_not_added_to_vectors() -> None:
    with pytest.raises(UserError, match=r"a block is given the shape \(5,\)"):
        ConvSide(SideSite(net_of((3, 12, 12), (5,), (2,))))


class AllAtOnce(DGL):
    """One stage for all blocks."""

    @property
    def stages(self) -> tuple[range, ...]:
        return (range(self.net.num_blocks),)


def test_blocks_that_train_in_one_stage_are_refused() -> None:
    plain: Method = AllAtOnce(build(SPACES[0], side=None).net)
    with pytest.raises(UserError, match="AllAtOnce trains all blocks in one"):
        SideInputs(plain, SIDES.build(SIDE, SideSite(plain.net)))


def test_the_short_form_is_the_long_one() -> None:
    assert read_side(None, "3-3-2") == read_side("text(dim=(3,3,2))", None) == "text(dim=[3,3,2],embedding=own)"
    assert read_side(None, None) is None and read_side("conv", None) == "conv(first=1)"
    for spec, dim, says in [("conv", "3-3", "give one of them"), (None, "3-x", "got 3-x"), (None, "", "such as")]:
        with pytest.raises(UserError, match=says):
            read_side(spec, dim)
