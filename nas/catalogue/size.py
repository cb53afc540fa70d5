"""How large a network is, where it can be built from its name alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.catalogue.examples import TEXT_BACKBONES
from nas.catalogue.kinds import Kind
from nas.cost import count
from spaces.activation import TextShape
from spaces.named import builtin_keys, read_space
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

IMAGES, SIDES = (3, 32, 32), {"torchvision": 224, "timm": 224}
TEXTS = TextShape(128, 30_000)
NUM_CLASSES = 10


@dataclass(frozen=True)
class Size:
    """Parameters of the network, or of the head; units and decouplings of a space. `of` says for which inputs."""

    parameters: int
    of: str
    units: int | None = None
    decouplings: int | None = None


def size_of(kind: Kind, name: str) -> Size | None:
    """Of a space, a backbone or a head; None where it is no network, or needs what is the user's."""
    try:
        if kind.name == "spaces":
            backbone = Component.parse(str(builtin_keys(Component(name))["backbone"])).name
            return _of_space(name, backbone, with_size=True)
        if kind.name == "backbones":
            return _of_space(f"space(backbone={name},heads=[linear])", name, with_size=False)
        if kind.name == "heads":
            return _of_head(name)
    except (UserError, ImportError):  # what has to be given, or a library that is not installed
        return None
    return None


def _of_space(text: str, backbone: str, *, with_size: bool) -> Size:
    is_text = backbone in TEXT_BACKBONES
    side = SIDES.get(backbone, 32)
    shape: Any = TEXTS if is_text else (3, side, side)
    space = read_space(text, shape, NUM_CLASSES)
    inputs = f"texts of {TEXTS.num_words:,} words" if is_text else f"3 x {side} x {side} images"
    return Size(count([space.template]), f"{inputs}, {NUM_CLASSES} classes", space.num_units, space.size if with_size else None)


def _of_head(name: str) -> Size:
    space = SearchSpace("vgg11", ["linear"], input_shape=IMAGES, num_classes=NUM_CLASSES)
    gap = space.num_units // 2
    return Size(
        count([space.head(name, space.site(gap))]), f"after {gap} of {space.num_units} units of vgg11, {NUM_CLASSES} classes"
    )
