"""New texts: a CSV file of them, and of the features beside them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nas.features import FeatureScale
from nas.text_split import TextSplit
from nas.vocabulary import Vocabulary, tokenised
from spaces.errors import UserError

_ERRORS = (OSError, ValueError, EOFError, zlib.error)  # pandas' own are ValueErrors


@dataclass(frozen=True, eq=False)
class NewTexts:
    """Texts of a CSV file, with their features where the run has any."""

    names: list[str]
    texts: TextSplit
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> NewTexts:
        """The column `text` and those of the features; a text without a token, and a feature that is no finite number, are
        UserErrors that name their row."""
        vocabulary = Vocabulary(tuple(inputs["words"]))
        scale = FeatureScale.read(inputs["features"]) if inputs.get("features") else None
        names = ["text", *(scale.columns if scale else ())]
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=names)
        except _ERRORS as error:
            raise UserError(f"{path} is read as UTF-8 CSV with a column {' and a column '.join(names)}, but: "
                            f"{' '.join(str(error).split())}") from None
        ids = [vocabulary.encoded(tokenised(text, inputs["length"])) for text in table["text"]]
        if not all(ids):
            raise UserError(f"a text has one token at least, but row {ids.index([])} of {path} (from 0 on) has none; remove it")
        features = scale(_numbers(table[list(scale.columns)], path)) if scale else None
        return cls([str(row) for row in range(len(ids))], TextSplit.of(ids, [0] * len(ids), features))

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, Any]]:
        """The longest texts first, so that batches have little padding."""
        for index in self.texts.lengths.argsort(descending=True, stable=True).split(size):
            yield index, self.texts.batch(index)[0]


def _numbers(cells: pd.DataFrame, path: Path) -> torch.Tensor:
    """float64 (N, F)."""
    numbers = cells.apply(pd.to_numeric, errors="coerce").astype(float).where(lambda values: values.abs() < math.inf)
    if bad := [(row, column) for column in cells for row in numbers.index[numbers[column].isna()]]:
        row, column = min(bad)
        raise UserError(f"features are finite numbers, but {cells[column][row]!r} came in the column {column}, row {row} of "
                        f"{path} (from 0 on); correct or remove the row")
    return torch.tensor(numbers.to_numpy(), dtype=torch.float64)
