"""The kinds of side input by name."""

from __future__ import annotations

import re

from methods.method import Method
from methods.sides.conv import ConvSide
from methods.sides.features import FeaturesSide
from methods.sides.side import SideInput, SideInputs, SideSite
from methods.sides.text import TextSide
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.table import Table

SIDES: Table[SideInput] = Table("side input", {"text": TextSide, "conv": ConvSide, "features": FeaturesSide}, makes=SideInput)


def with_side(base: Method, spec: str | None, num_features: int = 0) -> Method:
    """The base method, whose blocks are given the side input that `spec` names, None for none; `num_features` numbers stand
    beside each input. Numbers that no block is given are a UserError."""
    side = None if spec is None else SIDES.build(spec, SideSite(base.net, num_features))
    if num_features and not (side and side.takes_features):
        raise UserError(
            f"the task has {num_features} features beside each input, which a side input gives to a block, got "
            f"{spec or 'none'}; take evaluate --side 'features(block=1)', or leave them out of the task"
        )
    return base if side is None else SideInputs(base, side)


def read_side(spec: str | None, dim: str | None) -> str | None:
    """The side input with all its settings, of `--side` or of the short form `--side-dim`, `100-100-50`; None for none."""
    if dim is not None:
        if spec is not None:
            raise UserError(f"--side-dim {dim} is short for --side text(dim=...), got --side {spec} too; give one of them")
        parts = dim.split("-")
        if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
            raise UserError(f"--side-dim is how many tokens each block is given, such as 100-100-50, got {dim}")
        spec = str(Component("text", (("dim", tuple(map(int, parts))),)))
    return None if spec is None else str(SIDES.resolve(spec))
