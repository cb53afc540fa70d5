"""Texts, as a saved run knows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from methods.training.saved_fields import TEXT, Field, whole
from nas.data.new.input_kind import InputKind, NewInputs
from nas.data.new.new_texts import NewTexts
from spaces.activation import TextShape

_CSV = (".csv", ".tsv", ".tab", ".txt")  # as spreadsheets call CSV whose cells are parted by tabs
_OTHER_IDS = 2  # padding and the unknown word, which are no words of the vocabulary


class TextKind(InputKind):
    """Texts: how many tokens of one are kept, and the words."""

    wanted = "a CSV file of texts"
    fields: ClassVar[Mapping[str, Field]] = {"length": whole(1, 100_000), "words": TEXT.listed("words")}

    def shape(self, inputs: Mapping[str, Any]) -> TextShape:
        """The longest text, and as many ids as words, padding and the unknown word."""
        return TextShape(inputs["length"], len(inputs["words"]) + _OTHER_IDS)

    def takes(self, path: Path) -> bool:
        """Words for a message: what can be answered."""
        return is_csv(path)

    def read(self, path: Path, inputs: Mapping[str, Any]) -> NewInputs:
        """The column `text` and those of the features."""
        return NewTexts.read(path, inputs)


def is_csv(path: Path) -> bool:
    """Whether the path is called like a CSV file, gzipped or not."""
    return path.name.lower().removesuffix(".gz").endswith(_CSV)
