"""The first units of another backbone as a network of its own."""

import pytest
import torch

from spaces.activation import TextShape
from spaces.backbones import BACKBONES
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.named import read_space
from spaces.notation.errors import UserError

IMAGES, TEXTS = (3, 32, 32), TextShape(9, 50)


def drawn(spec: str, input_shape: tuple[int, ...]):
    torch.manual_seed(3)
    return BACKBONES.build(spec, input_shape, 7)


@pytest.mark.parametrize(("of", "input_shape"), [("vgg11(width=0.25)", IMAGES), ("transformer(depth=3,embedding=20)", TEXTS)])
def test_it_has_the_units_of_the_whole_and_the_head_of_a_cut_there(of, input_shape):
    """So the network of a depth is that which a decoupled network of the same seed has up to an exit there."""
    whole = drawn(of, input_shape)
    part = drawn(f"prefix(of='{of}',units=2)", input_shape)
    assert len(part.units) == 2 and part.width == whole.width and part.shapes == whole.shapes[:3]
    for own, others in zip(part.units.parameters(), whole.units[:2].parameters(), strict=True):
        assert torch.equal(own, others)
    torch.manual_seed(3)
    cut = read_space(of, input_shape, 7).build(Decoupling((2,), ("linear",)))
    assert all(map(torch.equal, part.classifier.parameters(), cut.heads[0].parameters()))


def test_the_whole_is_a_prefix_of_itself_and_more_is_refused():
    assert len(drawn("prefix(of=vgg11,units=8)", IMAGES).units) == 8
    for units in (0, 9):
        with pytest.raises(UserError, match=rf"prefix takes 1..8 units of vgg11.*, got units={units}"):
            drawn(f"prefix(of=vgg11,units={units})", IMAGES)


def test_what_it_is_of_and_its_head_are_written_with_all_their_settings():
    settings = dict(read_space("prefix(of='vgg11(width=0.5)',units=4,head=conv)", IMAGES, 7).backbone.settings)
    assert settings == {"of": str(BACKBONES.resolve("vgg11(width=0.5)")), "units": 4, "head": str(HEADS.resolve("conv"))}
    with pytest.raises(UserError, match="unknown backbone 'vgg12'"):
        read_space("prefix(of=vgg12,units=4)", IMAGES, 7)
