"""The texts of one part of a task, and how a batch is made of some of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from nas.data.digest import digest
from nas.data.features import beside
from nas.data.task_data import Batch
from spaces.activation import PADDING


@dataclass(frozen=True, eq=False)
class TextSplit:
    """Texts in memory, one behind the other; what a batch's shape depends on is on the CPU, so nothing waits for the device.

    tokens   int32 (number of tokens + longest,): the ids of all texts, then PADDING
    starts   int64 (N,): the place of each text's first token
    labels   int64 (N,)
    lengths  int64 (N,), on the CPU: how many tokens each text has, 1 at least
    features float32 (N, F), standardised: the numbers beside each text; None without any
    """

    tokens: torch.Tensor
    starts: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor
    features: torch.Tensor | None = None

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]], labels: Sequence[int], features: torch.Tensor | None = None) -> TextSplit:
        """The texts, as ids, their classes, and the numbers beside them."""
        tokens, lengths = array("i"), array("q")
        for ids in texts:
            tokens.extend(ids)
            lengths.append(len(ids))
        tokens.extend([PADDING] * max(lengths, default=0))
        counts = torch.tensor(lengths)
        return cls(torch.tensor(tokens, dtype=torch.int32), counts.cumsum(0) - counts, torch.tensor(labels), counts, features)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.tokens.device

    @cached_property
    def digest(self) -> str:
        """Of the tokens' ids, labels and features."""
        return digest(self.tokens, self.starts, self.lengths, self.labels, self.features)

    def to(self, device: torch.device) -> TextSplit:
        features = None if self.features is None else self.features.to(device)
        return TextSplit(self.tokens.to(device), self.starts.to(device), self.labels.to(device), self.lengths, features)

    def at(self, index: torch.Tensor) -> TextSplit:
        """The part at these places, in this order."""
        here = index.to(self.device)
        features = None if self.features is None else self.features[here]
        return TextSplit(self.tokens, self.starts[here], self.labels[here], self.lengths[index], features)

    def batch(self, index: torch.Tensor) -> Batch:
        """x int64 (N, T), T the length of the longest, PADDING behind the others, with the features beside them if there are
        any, and y int64 (N,); `index` is on the CPU."""
        lengths = self.lengths[index]
        longest = int(lengths.max())
        index, lengths = torch.stack([index, lengths]).to(self.device, non_blocking=True)
        # Every window of the tokens is a view, and one lookup copies those that begin with a text; then its end is marked.
        x = self.tokens.unfold(0, longest, 1).index_select(0, self.starts[index])
        place = torch.arange(longest, dtype=torch.int32, device=self.device)
        x = x.masked_fill_(place >= lengths.int()[:, None], PADDING).long()
        return beside(x, self.features, index), self.labels[index]
