"""What the fields of a saved file hold: one that is missing or that holds something else is told by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Field:
    """What a field holds, in words and as a test."""

    rule: str
    holds: Callable[[Any], bool]

    def listed(self, rule: str) -> Field:
        """A list, not empty, each entry of which holds."""
        return Field(rule, lambda held: isinstance(held, list | tuple) and len(held) > 0 and all(map(self.holds, held)))


def whole(lowest: int, highest: int) -> Field:
    """A whole number in this range."""
    return Field(f"a whole number in {lowest}..{highest}", lambda held: type(held) is int and lowest <= held <= highest)


def number(rule: str, holds: Callable[[float], bool]) -> Field:
    """A finite number, no larger than a tensor can take."""
    return Field(rule, lambda held: type(held) in (int, float) and abs(held) < 2**63 and holds(held))


TEXT = Field("a text", lambda held: isinstance(held, str))
MAPPING = Field("settings by name", lambda held: isinstance(held, dict) and all(isinstance(name, str) for name in held))
FINITE = number("a finite number", lambda held: True)
COUNT = whole(0, 2**63 - 1)
SHARE = number("a share in 0..1", lambda held: 0 <= held <= 1)
POSITIVE = number("a number above 0", lambda held: held > 0)
TENSORS = Field(
    "tensors by name", lambda held: MAPPING.holds(held) and all(isinstance(one, torch.Tensor) for one in held.values())
)


def check_fields(file: str, way_out: str, held: Any, fields: Mapping[str, Field], *, within: str = "") -> None:
    """A UserError for the first field of the mapping `held`, which is the field `within` of the file, that does not hold."""
    if not isinstance(held, dict):
        raise UserError(f"{file} is damaged: {within or 'it'} must hold fields by name; {way_out}")
    for name, field in fields.items():
        what = f"{within}.{name}" if within else name
        if name not in held:
            raise UserError(f"{file} is damaged: it lacks {what}; {way_out}")
        if not field.holds(held[name]):
            raise UserError(f"{file} is damaged: {what} must be {field.rule}; {way_out}")
