"""Spaces by name: the built-in files, a user's own file, backbone, head and factory, and what is said of damaged ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import yaml

from spaces.backbones import BACKBONES
from spaces.decoupling import Decoupling
from spaces.named import FOLDER, KEYS, named_spaces, read_space
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

SHAPE = (3, 8, 8)
GOOD = """# mine
backbone: small(width=0.5)
heads:
  - linear
  - conv(depth=2)
num_blocks: [2, 3]
gaps: [1, 2, 4]
min_block: 1
"""
OWN_MODULE = '''
from __future__ import annotations

from torch import nn

from spaces.backbone import Backbone
from spaces.space import SearchSpace


def net(input_shape, num_classes: int, *, width: float = 1.0, depth: int = 3) -> Backbone:
    """My network."""
    channels = [input_shape[0], *[int(4 * width)] * depth]
    units = [nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in zip(channels, channels[1:])]
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * input_shape[1] * input_shape[2], num_classes))
    return Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes, width=width)


def head(site, *, hidden: int = 5) -> nn.Module:
    """My head."""
    size = site.shape[0] * site.shape[1] * site.shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.Linear(hidden, site.num_classes))


def space(input_shape, num_classes, *, blocks: int = 2) -> SearchSpace:
    """My space."""
    return SearchSpace("own_parts.net(depth=5)", ["own_parts.head"], input_shape=input_shape, num_classes=num_classes,
                       num_blocks=blocks)
'''


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_there_is_a_described_space_for_every_backbone():
    described = named_spaces()
    assert set(described) == set(BACKBONES)
    assert all(len(text) > 20 and not text.startswith("#") for text in described.values())
    for name in described:
        keys = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        assert keys["backbone"] == name and set(keys) <= set(KEYS)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("small", {"backbone": "small(width=1.0)", "block_counts": (3,), "min_block": 1}),
        ("small(width=2)", {"backbone": "small(width=2.0)", "block_counts": (3,)}),
        ("small(num_blocks=4, width=0.5)", {"backbone": "small(width=0.5)", "block_counts": (4,)}),
        ("small(num_blocks=None,min_block=2)", {"block_counts": (1, 2, 3), "min_block": 2}),
        ("small(num_blocks=[2,4],gaps=[4,1,3])", {"block_counts": (2, 3, 4), "gaps": (1, 3, 4)}),
        ("small(heads=linear)", {"heads": ("linear",)}),
        ("small(heads=[linear, conv(depth=2)])", {"heads": ("linear", "conv(depth=2,reduction=4)")}),
        ("small(backbone=resnet18)", {"backbone": "resnet18(width=1.0)", "num_units": 8}),
        ("small(backbone=resnet18(2))", {"backbone": "resnet18(width=2.0)"}),
        ("small(backbone=resnet18(width=2),num_blocks=2)", {"backbone": "resnet18(width=2.0)", "block_counts": (2,)}),
        ("space(backbone=small,heads=[linear])", {"block_counts": (1, 2, 3, 4, 5, 6), "gaps": (1, 2, 3, 4, 5)}),
    ],
)
def test_settings_replace_a_spaces_keys_and_reach_its_backbone(text, facts):
    space = read_space(text, SHAPE, 10)
    found = {name: getattr(space, name) for name in facts}
    assert found | ({"backbone": str(found["backbone"])} if "backbone" in found else {}) == facts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("smal", "unknown space 'smal'; did you mean small"),
        ("zzz", "unknown space 'zzz'; there are: al_cnn, .* vgg19"),
        ("", "written name or name"),
        ("small(widht=2)", "unknown setting of space small: 'widht'; did you mean width"),
        ("small(numblocks=2)", "'numblocks'; did you mean num_blocks"),
        ("small(2)", r"written name=value, got 'small\(2\)'"),
        ("small(width=x)", "backbone small, setting width must be a number, got x"),
        ("small(width=1,width=2)", "each once"),
        ("small(width=2,backbone=small(2))", "got width twice"),
        ("small(num_blocks=9)", r"allow 1\.\.6 blocks, got num_blocks=9"),
        ("small(num_blocks=x)", "num_blocks is .* got 'x'"),
        ("small(num_blocks=2.0)", "num_blocks is .* got 2.0"),
        ("small(num_blocks=True)", "num_blocks is .* got True"),
        ("small(num_blocks=[2])", r"a range \[lowest, highest\], got"),
        ("small(num_blocks=[1,True])", "num_blocks is .* got"),
        ("small(gaps=3)", "gaps is a list .* got 3"),
        ("small(gaps=[True])", "gaps is a list"),
        ("small(gaps=[6])", r"lie in 1\.\.5"),
        ("small(min_block=0)", "got min_block=0"),
        ("small(min_block=True)", "min_block is .* got True"),
        ("small(heads=3)", "heads is a list of head specs, got 3"),
        ("small(heads=[lineer])", "'lineer'; did you mean linear"),
        ("small(heads=[])", "name one in 'heads'"),
        ("small(backbone=vgg9)", "unknown backbone 'vgg9'; did you mean .*vgg19"),
        ("space", "needs the key 'backbone', which space lacks"),
        ("space(backbone=small)", "needs the key 'heads'"),
        ("space(backbone=small,head=linear)", "unknown key of space .*'head'; did you mean heads"),
        ("no.such.space", "space 'no.such.space' cannot be imported .* PYTHONPATH"),
        ("math.pi", "must be a function or a class"),
        ("spaces.backbones.small.small", "must make a SearchSpace, but it makes a Backbone"),
    ],
)
def test_a_wrong_name_or_setting_is_told_with_the_way_out(text, says):
    with pytest.raises(UserError, match=says):
        read_space(text, SHAPE, 10)


def test_an_own_file(tmp_path):
    space = read_space(write(tmp_path, GOOD), SHAPE, 10)
    assert str(space.spec) == (
        "space(backbone='small(width=0.5)',heads=[linear,'conv(depth=2,reduction=4)'],num_blocks=[2,3],gaps=[1,2,4],min_block=1)"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds the keys backbone, heads, .* holds nothing"),
        ("- a\n- b", "holds a list"),
        ("hello", "holds a str"),
        ("backbone: [small", "is not a YAML file: .* line 1"),
        ("\tbackbone: small", "is not a YAML file"),
        (b"\xff\xfe\x00", "is not a YAML"),
        ("backbone: 2024-13-45", "is not a YAML file"),
        ("a: \0", "is not a YAML file"),
        ("!!python/name:os.system x", "is not a YAML file"),
        ("backbone: small", "needs the key 'heads', which .*mine.yaml lacks"),
        ("3: 4", "unknown key of space .*mine.yaml: '3'"),
        (GOOD.replace("heads", "haeds"), "'haeds'; did you mean heads"),
        (GOOD.replace("[2, 3]", "two"), "num_blocks is .* in .*mine.yaml"),
        (GOOD.replace("[2, 3]", "yes"), "num_blocks is .* got True"),
        (GOOD.replace("[1, 2, 4]", "[1, b]"), "gaps is a list"),
        (GOOD.replace("min_block: 1", "min_block: one"), "min_block is .* got 'one' in .*mine.yaml"),
        (GOOD.replace("- linear", "- {linear: 1}"), "heads is a list of head specs"),
        (GOOD.replace("[1, 2, 4]", "[0]"), r"lie in 1\.\.5"),
        (GOOD.replace("small(width=0.5)", "{small: 1}"), "a component is written"),
        (GOOD.replace("0.5", "half"), "must be a number"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read_space(write(tmp_path, text), SHAPE, 10)


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    for path in (tmp_path / "missing.yaml", tmp_path / "folder.yaml", Path(write(tmp_path, GOOD)) / "below.yml"):
        with pytest.raises(UserError, match=r"the space file .* cannot be read \(.*\); `run.py list` shows") as error:
            read_space(str(path), SHAPE, 10)
        assert str(path) in str(error.value)


def test_no_damage_to_a_file_is_more_than_a_user_error(tmp_path):
    damages = [b"", b"\n", b":", b"- ", b"[", b"9", b"#", b"\x00", b"&a", b"\xc3", b"'", b" "]
    rng, read = random.Random(0), 0
    for _ in range(250):
        text = bytearray(GOOD.encode())
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text[at : at + rng.randrange(3)] = rng.choice(damages)
        try:
            read_space(write(tmp_path, bytes(text)), SHAPE, 10)
            read += 1
        except UserError:
            pass
    assert 0 < read < 250


def test_own_parts_by_dotted_path_need_no_edit_here(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    in_file = write(tmp_path, "backbone: own_parts.net(width=2)\nheads: [own_parts.head(hidden=3), linear]\nnum_blocks: 2\n")
    for text, backbone, num_units in [
        (in_file, "own_parts.net(width=2.0,depth=3)", 3),
        ("own_parts.space", "own_parts.net(width=1.0,depth=5)", 5),
        ("own_parts:space(blocks=3)", "own_parts.net(width=1.0,depth=5)", 5),
        ("small(backbone=own_parts.net,heads=own_parts.head,depth=4)", "own_parts.net(width=1.0,depth=4)", 4),
    ]:
        space = read_space(text, SHAPE, 10)
        assert isinstance(space, SearchSpace)
        assert str(space.backbone) == backbone and space.num_units == num_units
        assert space.heads[0].startswith("own_parts.head(hidden=")
        for point in space.enumerate():
            assert Decoupling.parse(str(point)) == point and space.decode(space.encode(point)) == point
            assert space.build(point)(torch.randn(2, *SHAPE)).shape == (2, 10)
        assert str(read_space(str(space.spec), SHAPE, 10).spec) == str(space.spec)
    with pytest.raises(UserError, match="unknown setting of space own_parts.space: 'block'; did you mean blocks"):
        read_space("own_parts.space(block=3)", SHAPE, 10)
    with pytest.raises(UserError, match="own_parts.nett' cannot be imported"):
        read_space("small(backbone=own_parts.nett)", SHAPE, 10)
