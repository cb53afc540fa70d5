"""Texts in a table, as rows that the pipeline of texts takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from nas.data.hugging_face.columns import Labels, cells, label_numbers
from nas.data.hugging_face.tables import Tables
from nas.data.texts.text_csv import TextRows
from spaces.notation.errors import UserError


class TableRows(TextRows):
    """The rows of a table; `lines` are their numbers, from 0 on, and `path` says which table."""

    def error(self, row: int, what: str) -> UserError:
        """That something does not hold in this row."""
        return UserError(f"row {self.lines[row]} of {self.path}: {what}; correct or remove the row")


@dataclass(frozen=True, eq=False)
class TableTexts:
    """Rows and the numbers of their classes, int64 (N,)."""

    rows: TableRows
    labels: torch.Tensor

    @classmethod
    def of(cls, tables: Tables, split: str, part: str, column: str, labels: Labels, features: Sequence[str]) -> Self:
        """All rows of a split: its texts, its labels by name, and the numbers of the columns `features`."""
        table, numbers = tables.table(split, part), label_numbers(tables, split, part, labels)
        columns = [cells(table, name) for name in features]
        rows = TableRows(
            Path(f"the split {split} of {tables.name}"),
            [text or "" for text in cells(table, column)],
            [labels.classes[number] for number in numbers],
            list(range(len(numbers))),
            [*zip(*columns, strict=True)] if columns else [()] * len(numbers),
        )
        for row, values in enumerate(rows.features):
            if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
                raise rows.error(row, f"features are finite numbers, got {values} in {', '.join(features)}")
        return cls(rows, numbers)

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, index: torch.Tensor) -> Self:
        """The rows at these places, in this order."""
        return type(self)(self.rows.at(index.tolist()), self.labels[index])  # type: ignore[arg-type]
