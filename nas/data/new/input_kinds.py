"""The kinds of input by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from methods.training.saved_fields import Field
from nas.data.new.image_kind import ImageKind
from nas.data.new.input_kind import InputKind
from nas.data.new.tensor_kind import TensorKind
from nas.data.new.text_kind import TextKind
from spaces.notation.own_modules import names_of_a_file
from spaces.notation.table import Table

INPUT_KINDS: Table[InputKind] = Table(
    "kind of input", {"images": ImageKind, "texts": TextKind, "tensors": TensorKind}, makes=InputKind
)

NAMED = Field(
    f"{', '.join(INPUT_KINDS)} or the dotted path of another",
    lambda held: isinstance(held, str) and (held in INPUT_KINDS or "." in held),
)


def input_kind(inputs: Mapping[str, Any]) -> InputKind:
    """That of a saved run's `inputs`; one that is only importable has to be allowed (`spaces.notation.own_modules`)."""
    with names_of_a_file():
        return INPUT_KINDS.build(inputs["kind"])
