"""The cuts of Associated Learning's image networks, as in the code of two theses."""

from __future__ import annotations

from spaces.notation.errors import UserError, unknown

Cuts = tuple[int, ...]

CUTS: dict[str, dict[int, Cuts]] = {
    "al_cnn": {4: (2, 4, 6)},
    "al_vgg": {4: (2, 4, 5)},
    "al_resnet18": {4: (3, 5, 7), 5: (1, 3, 5, 7)},
}
"""By network, then K: four blocks in Peng's thesis code (2023), where the ResNet's stem is in the first; five in the
pipelined one (2023), where it is a block."""


def al_networks() -> tuple[str, ...]:
    """The backbones with published cuts."""
    return tuple(CUTS)


def al_cuts(backbone_name: str, num_blocks: int) -> Cuts:
    """The cuts (units before each, rising). A UserError: a backbone or a number of blocks that was not published."""
    if backbone_name not in CUTS:
        raise unknown("backbone with Associated Learning's cuts:", backbone_name, CUTS)
    published = {1: (), **CUTS[backbone_name]}
    if num_blocks not in published:
        raise UserError(
            f"Associated Learning publishes cuts of {backbone_name} for {', '.join(map(str, published))} blocks, got "
            f"{num_blocks}; even(K) and balanced(K) make any"
        )
    return published[num_blocks]
