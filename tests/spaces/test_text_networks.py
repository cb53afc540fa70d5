"""Text backbones and heads: padding counts for nothing, words keep their rows, and parameters are the reference's."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from spaces.activation import PADDING, Activation, TextShape, Tokens, combined, numbers, pooled
from spaces.backbones import BACKBONES
from spaces.backbones.text_transformer import sinusoids
from spaces.heads import HEADS
from spaces.memory.attention import FUSED_ON_CPU, fused_attention
from spaces.named import read_space
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

SHAPE = TextShape(12, 40)
SMALL = {
    "linear": "linear(depth=2,embedding=7,hidden=5)",
    "lstm": "lstm(depth=2,embedding=7,hidden=3)",
    "transformer": "transformer(depth=2,embedding=6,ffn=5,dropout=0,positions=True)",
    "deep units": "transformer(depth=1,embedding=6,attention_heads=3,ffn=5,encoders=2,dropout=0)",
}
TEXT_HEADS = ("linear", "mlp(depth=2,width=9)", "mlp_sr", "predsim", "auglocal(depth=1)", "auglocal(depth=3)", "0c1f")
LENGTHS = (4, 1, 6, 3)


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def space_of(name: str, **settings: Any) -> SearchSpace:
    return SearchSpace(SMALL[name], ["linear"], input_shape=SHAPE, num_classes=3, **settings)


def texts(lengths: tuple[int, ...] = LENGTHS, length: int | None = None, seed: int = 0) -> torch.Tensor:
    """Random words, padded to the longest or to `length`."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, SHAPE.num_words, (len(lengths), SHAPE.length), generator=generator)
    ids[torch.arange(SHAPE.length) >= torch.tensor(lengths)[:, None]] = PADDING
    return ids[:, : length or max(lengths)]


def outputs(name: str, head: str, ids: torch.Tensor, *, training: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What heads at all gaps and the classifier say of the texts, and the gradients of all parameters."""
    torch.manual_seed(0)
    space = space_of(name)
    backbone = space.build_backbone()
    heads = [HEADS.build(head, space.site(gap, backbone)) for gap in space.gaps]
    backbone.train(training)
    h, said = ids, []
    for unit, own in zip(backbone.units, [*heads, backbone.classifier], strict=True):
        h = unit(h)
        own.train(training)
        said.append(own(h))
        if hasattr(own, "similarity"):
            said.append(pooled(own.similarity(h)))
    torch.manual_seed(1)
    sum((logits * torch.randn(len(LENGTHS), logits.shape[1])[: len(ids)]).sum() for logits in said).backward()
    return said, [p.grad for part in (backbone, *heads) for p in part.parameters() if p.grad is not None]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("head", TEXT_HEADS)
@pytest.mark.parametrize("name", SMALL)
def test_more_padding_changes_neither_values_nor_gradients(name, head, training):
    torch.testing.assert_close(
        outputs(name, head, texts(length=11), training=training),
        outputs(name, head, texts(), training=training),
        rtol=1e-9,
        atol=1e-10,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("head", TEXT_HEADS)
@pytest.mark.parametrize("name", SMALL)
def test_a_text_alone_is_what_it_is_in_a_batch(name, head, training):
    if training and head in ("mlp_sr", "auglocal(depth=1)"):
        pytest.skip("BatchNorm mixes the texts of a batch")
    together, _ = outputs(name, head, texts(), training=training)
    for i, length in enumerate(LENGTHS):
        alone, _ = outputs(name, head, texts()[i : i + 1, :length], training=training)
        torch.testing.assert_close(alone, [logits[i : i + 1] for logits in together], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_what_lies_at_padding_is_not_read(name):
    torch.manual_seed(0)
    space = space_of(name)
    backbone = space.build_backbone().eval()

    def disturbed(h: Activation) -> Activation:
        return h._replace(values=h.values.masked_fill(~h.mask[..., None], 1e3)) if isinstance(h, Tokens) else h

    h = backbone.units[0](texts())
    for gap, unit in enumerate(backbone.units[1:], start=1):
        for spec in TEXT_HEADS:
            head = HEADS.build(spec, space.site(gap, backbone)).eval()
            torch.testing.assert_close(head(disturbed(h)), head(h))
        for clean, other in zip(numbers(unit(h)), numbers(unit(disturbed(h))), strict=True):
            at_tokens = h.mask if isinstance(h, Tokens) and clean.dim() == 3 and len(clean) == len(LENGTHS) else ...
            torch.testing.assert_close(other[at_tokens], clean[at_tokens])
        h = unit(h)


def test_lstm_units_are_torchs_own_on_each_text_alone():
    torch.manual_seed(0)
    first, second = space_of("lstm").build_backbone().units[1:]
    values = torch.randn(len(LENGTHS), 6, 7)
    mask = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    found = second(first(Tokens(values, mask)))
    for i, length in enumerate(LENGTHS):
        between, state = first.lstm(values[i : i + 1, :length])
        expected, (hidden, cell) = second.lstm(between, state)
        torch.testing.assert_close(found.values[i, :length], expected[0])
        torch.testing.assert_close([part[:, i : i + 1] for part in found.state], [hidden, cell])
        # the forward direction ends at the last token, the backward one at the first
        torch.testing.assert_close(hidden[:, 0].flatten(), torch.cat([expected[0, -1, :3], expected[0, 0, 3:]]))


def test_without_positions_the_order_of_words_does_not_matter_and_with_them_it_does():
    ids = texts((6, 6))
    for positions in (False, True):
        torch.manual_seed(0)
        backbone = BACKBONES.build(f"transformer(depth=2,embedding=6,ffn=5,positions={positions})", SHAPE, 3).eval()
        assert torch.allclose(backbone(ids), backbone(ids.flip(1))) is not positions
    lstm = space_of("lstm").build_backbone()
    assert not torch.allclose(lstm(ids), lstm(ids.flip(1)))


def test_positions_turn_at_the_papers_rates():
    """The distance of two positions is that of their difference, whatever the first is; rates fall from 1 to 1e-4."""
    table = sinusoids(50, 10, like=torch.zeros(()))
    torch.testing.assert_close(table[7] @ table[9], table[40] @ table[42], rtol=0, atol=1e-4)
    angles = torch.tensor([3 / 10_000 ** (2 * i / 10) for i in range(5)])
    torch.testing.assert_close(table[3], torch.stack([angles.sin(), angles.cos()], dim=1).flatten(), rtol=0, atol=1e-6)
    assert sinusoids(4, 5, like=torch.zeros(())).shape == (4, 5)


@cache
def on_meta(spec: str, num_classes: int = 4) -> nn.Module:
    with torch.device("meta"):
        return BACKBONES.build(spec, TextShape(177, 30_000), num_classes)


def num_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("spec", "first", "following"),
    [
        ("lstm", 1_444_800, 2_164_800),
        ("linear", 90_300, 90_300),
        ("transformer(encoders=2)", 1_086_600, 1_086_600),
        (
            "transformer(encoders=2,ffn=128)",
            879_856,
            879_856,
        ),  # 10,941,986 in all, less embedding, bridges and autoencoders, halved
    ],
)
def test_units_have_the_references_parameters(spec, first, following):
    """The thesis's: 30,000 words of 300 features."""
    backbone = on_meta(spec)
    assert [num_params(unit) for unit in backbone.units] == [9_000_000, first, *[following] * 3]
    assert num_params(backbone.classifier) == 4 * (backbone.shapes[-1][-1] + 1)


def test_heads_that_do_not_divide_the_features_are_rounded_up():
    unit = on_meta("transformer(embedding=50,ffn=20)").units[1]
    attention = (50 + 1) * 3 * 52 + (52 + 1) * 50  # 4 heads of 13
    assert num_params(unit) == attention + (50 + 1) * 20 + (20 + 1) * 50 + 3 * 100


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_is_fused_in_training_and_costs_are_of_the_fused_kernel(device, operator_calls):
    with torch.device(device), fused_attention(), operator_calls() as calls:
        backbone = BACKBONES.build("transformer(depth=3,embedding=6,ffn=5)", SHAPE, 3)
        backbone(torch.ones(2, 5, dtype=torch.long)).sum().backward()
    assert calls.of[FUSED_ON_CPU] == 3
    assert calls.of[torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward] == 3


def test_word_vectors_land_in_their_own_rows_and_change_nothing_else():
    vectors = torch.randn(SHAPE.num_words, 7)
    for name in ("linear", "lstm"):
        backbones = []
        for given in (None, vectors):
            torch.manual_seed(0)
            backbones.append(space_of(name, vectors=given).tightened().build_backbone())
        plain, ours = backbones
        rows = ours.units[0].words.weight
        assert torch.equal(rows[1:], vectors[1:]) and not rows[PADDING].any()
        assert torch.equal(ours.units[0](torch.tensor([[5, 1, 0]])).values[0, :2], vectors[[5, 1]])
        for name_, tensor in plain.state_dict().items():
            assert torch.equal(tensor, ours.state_dict()[name_]) is ("words" not in name_)


@pytest.mark.parametrize("backbone", ["linear", "lstm", "transformer"])
def test_a_space_by_name_takes_vectors(backbone):
    vectors = torch.randn(SHAPE.num_words, 8)
    for text in (f"{backbone}(embedding=8)", f"space(backbone='{backbone}(embedding=8)',heads=[linear])"):
        rows = read_space(text, SHAPE, 3, vectors).build_backbone().units[0].words.weight
        assert torch.equal(rows[1:], vectors[1:].to(rows.dtype))
    with pytest.raises(UserError, match=r"8 numbers for each of 40 words, but .* 300 for each of 40; set its embedding=8"):
        read_space(backbone, SHAPE, 3, vectors)
    with pytest.raises(UserError, match="resnet18.* begins with a Sequential; leave the task's embeddings out"):
        read_space("resnet18", (3, 8, 8), 3, vectors)


def test_the_vector_of_padding_never_learns():
    torch.manual_seed(0)
    backbone = space_of("lstm").build_backbone()
    optimizer = torch.optim.SGD(backbone.parameters(), 0.5, momentum=0.9, weight_decay=0.1)
    before = backbone.units[0].words.weight.detach().clone()
    for _ in range(2):
        backbone(texts()).square().sum().backward()
        optimizer.step()
    after = backbone.units[0].words.weight
    assert not after[PADDING].any()
    assert (after[texts().unique()[1:]] != before[texts().unique()[1:]]).any(dim=1).all()


@pytest.mark.parametrize(
    ("spec", "shape", "says"),
    [
        ("linear", (3, 32, 32), r"backbone linear is for texts, got inputs of the shape \(3, 32, 32\); .* ag_news"),
        ("lstm", (3, 32, 32), "backbone lstm is for texts"),
        ("transformer", (64,), "backbone transformer is for texts"),
        ("resnet18", SHAPE, "backbone resnet18 takes images .* got texts of up to 12 tokens; .* linear, lstm or transformer"),
        ("lstm(depth=0)", SHAPE, "backbone lstm, setting depth is a number from 1 on, got 0"),
        ("transformer(attention_heads=0)", SHAPE, "setting attention_heads is a number from 1 on"),
        ("linear(dropout=1)", SHAPE, r"setting dropout is a share in \[0, 1\), got 1.0"),
    ],
)
def test_what_does_not_fit_is_told(spec, shape, says):
    with pytest.raises(UserError, match=says):
        BACKBONES.build(spec, shape, 3)


@pytest.mark.parametrize("name", SMALL)
def test_recorded_shapes_are_those_of_the_activations(name):
    backbone = space_of(name).build_backbone()
    h = texts(length=SHAPE.length)
    for unit, (_, shape) in zip(backbone.units, pairwise(backbone.shapes), strict=True):
        h = unit(h)
        assert numbers(h)[0].shape[1:] == shape
    assert isinstance(backbone.shapes[0], TextShape)


def test_combined_meets_states_and_leaves_masks():
    one = Tokens(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), (torch.ones(2, 2, 2), torch.ones(2, 2, 2)))
    two = combined(torch.add, one, combined(lambda h: 2 * h, one))
    assert all(bool((part == 3).all()) for part in numbers(two)) and len(numbers(two)) == 3
    assert torch.equal(two.mask, one.mask)
    stateless = one._replace(state=None)
    assert combined(torch.add, stateless, stateless).state is None


def test_dropout_of_the_settings_reaches_every_unit():
    for spec in ("linear(dropout=0.5)", "lstm(dropout=0.5)", "transformer(dropout=0.5)"):
        name = Component.parse(spec).name
        torch.manual_seed(0)
        backbone = BACKBONES.build(f"{name}(depth=2,dropout=0.5)", SHAPE, 3)
        h = backbone.units[0](texts())
        for unit in backbone.units[1:]:
            first, again = pooled(unit(h)), pooled(unit(h))
            assert not torch.equal(first, again)
            assert torch.equal(pooled(unit.eval()(h)), pooled(unit(h)))
            h = unit(h)
