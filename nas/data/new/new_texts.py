"""New texts: a CSV file of them, and of the features beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nas.data.features import FeatureScale
from nas.data.texts.known_words import few_known
from nas.data.texts.samples import TextSplit
from nas.data.texts.text_csv import read_csv
from nas.data.texts.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class NewTexts:
    """Texts of a CSV file, with their features where the run has any."""

    names: list[str]
    texts: TextSplit
    notes: tuple[str, ...] = ()
    fault = None

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> NewTexts:
        """The column `text` and those of the features, read as for training; a text without a token, and a feature that is no
        finite number, are UserErrors that name their line."""
        vocabulary = Vocabulary(tuple(inputs["words"]))
        scale = FeatureScale.read(inputs["features"]) if inputs.get("features") else None
        rows = read_csv(path, scale.columns if scale else (), labelled=False)
        ids = map(vocabulary.encoded, rows.tokens(inputs["length"]))
        features = scale(torch.tensor(rows.features, dtype=torch.float64)) if scale and rows.texts else None
        texts = TextSplit.of(ids, [0] * len(rows.texts), features)
        return cls([str(row) for row in range(len(texts))], texts, few_known({path.name: texts}) if rows.texts else ())

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, Any]]:
        """The longest texts first, so that batches have little padding."""
        for index in self.texts.lengths.argsort(descending=True, stable=True).split(size):
            yield index, self.texts.batch(index)[0]
