"""The cuts that InfoPro's and ContSup's authors published for the CIFAR ResNets."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from spaces.notation.errors import UserError, unknown

FILE = Path(__file__).with_name("infopro.json")


def infopro_networks() -> tuple[str, ...]:
    """The backbones with published cuts."""
    return tuple(_tables()["blocks_per_stage"])


def infopro_cuts(
    backbone_name: str, num_blocks: int, *, memory_balanced: bool = False, input_shape: tuple[int, ...] = (3, 32, 32)
) -> tuple[int, ...]:
    """The cuts (units before each, rising): of equal numbers of layers, or balanced by memory for images of this shape.

    A UserError: a backbone, a number of blocks or an image size that has no published list.
    """
    tables = _tables()
    if backbone_name not in infopro_networks():
        raise unknown("backbone with InfoPro's cuts:", backbone_name, infopro_networks())
    lists, where = tables["equal_layers"], backbone_name
    if memory_balanced:
        lists, where = tables["memory_balanced"], f"{backbone_name} {'x'.join(map(str, input_shape[1:]))}"
        if where not in lists:
            raise UserError(
                f"memory-balanced cuts are published for {', '.join(lists)}, got {where}; balanced(K) computes them for any size"
            )
    published = {1: [], **{int(count): cuts for count, cuts in lists[where].items()}}
    if num_blocks not in published:
        raise UserError(
            f"InfoPro and ContSup publish {'memory-balanced ' * memory_balanced}cuts of {where} for "
            f"{', '.join(map(str, published))} blocks, got {num_blocks}; even(K) and balanced(K) make any"
        )
    depth = tables["blocks_per_stage"][backbone_name]
    return tuple(1 if stage == 0 else 2 + (stage - 1) * depth + block for stage, block in published[num_blocks])


@cache
def _tables() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))
