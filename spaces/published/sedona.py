"""The decouplings that the SEDONA authors published, as the alpha and beta that their search ended with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

from spaces.notation.errors import UserError, unknown

FILE = Path(__file__).with_name("sedona.json")


def sedona_networks() -> tuple[str, ...]:
    """The backbones with published decouplings."""
    return tuple(_networks())


def published_cuts(backbone_name: str, num_blocks: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """SEDONA's cuts (units before each, rising) and the depth 1..4 of the `conv` head at each, for K = num_blocks.

    The K - 1 gaps with the largest softmax(alpha)[:, 0], in float32 as released; the head is arg max beta. The raw beta
    decides, as in the released code: float32 softmax rounds the late heads of ResNet-101 and ResNet-152 to ties.
    A UserError: an unpublished backbone, K outside 1..L, and K at a tie of the float32 ranking (ResNet-101 K=9,
    ResNet-152 K=10 and K=12..29), which the published numbers do not decide.
    """
    networks = _networks()
    if backbone_name not in networks:
        raise unknown("backbone with a published decoupling:", backbone_name, networks)
    scores = torch.softmax(torch.tensor(networks[backbone_name]["alpha"], dtype=torch.float32), dim=1)[:, 0].tolist()
    num_units, num_cuts = len(scores) + 1, num_blocks - 1
    if not 0 <= num_cuts < num_units:
        raise UserError(f"{backbone_name} has {num_units} units, so 1..{num_units} blocks, got {num_blocks}")
    order = sorted(range(len(scores)), key=lambda gap: -scores[gap])
    chosen, rest = order[:num_cuts], order[num_cuts:]
    if chosen and rest and scores[chosen[-1]] == scores[rest[0]]:
        raise UserError(
            f"the published numbers do not decide which {num_cuts} cuts {backbone_name} has with {num_blocks} blocks: "
            f"gaps {chosen[-1] + 1} and {rest[0] + 1} are tied in float32; take another number of blocks"
        )
    beta = networks[backbone_name]["beta"]
    units = sorted(chosen)
    return tuple(unit + 1 for unit in units), tuple(beta[unit].index(max(beta[unit])) + 1 for unit in units)


@cache
def _networks() -> dict[str, dict[str, Any]]:
    return json.loads(FILE.read_text(encoding="utf-8"))["networks"]
