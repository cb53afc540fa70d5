"""Which local losses and which heads a step is differentiated with: unbiased estimates of the second derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import torch

Tensor = torch.Tensor


@dataclass(frozen=True)
class Sample:
    """The heads of each gap that are computed, `heads`, none of a gap that is left out, and what makes up for the others.

    of_gap   N / n, where n of N gaps are drawn
    of_head  H / n, where n of H heads are drawn; of_pair, H (H - 1) / (n (n - 1)), makes up for pairs of them
    """

    heads: tuple[tuple[int, ...], ...]
    of_gap: float = 1.0
    of_head: float = 1.0
    of_pair: float = 1.0

    @property
    def gaps(self) -> list[int]:
        """Those whose losses are computed."""
        return [j for j, heads in enumerate(self.heads) if heads]

    @property
    def all_heads(self) -> bool:
        """Whether no head is left out where a gap is not."""
        return self.of_head == 1


@dataclass(frozen=True)
class Sampling:
    """Draws `gaps` of the gaps and of each `heads` of its heads, None for all, each set of so many as likely as any other."""

    num_gaps: int
    num_heads: int
    gaps: int | None
    heads: int | None
    generator: torch.Generator | None = None

    def draw(self) -> Sample:
        """The next sample."""
        drawn = self._some(self.num_gaps, self.gaps)
        return self._sample({j: self._some(self.num_heads, self.heads) for j in drawn})

    def every(self) -> list[Sample]:
        """All that may be drawn, each as likely as any other."""
        some_heads = list(combinations(range(self.num_heads), self.heads or self.num_heads))
        return [
            self._sample(dict(zip(gaps, heads, strict=True)))
            for gaps in combinations(range(self.num_gaps), self.gaps or self.num_gaps)
            for heads in product(some_heads, repeat=len(gaps))
        ]

    def _some(self, of: int, count: int | None) -> tuple[int, ...]:
        if count is None or count >= of:
            return tuple(range(of))
        return tuple(sorted(torch.randperm(of, generator=self.generator)[:count].tolist()))

    def _sample(self, heads: dict[int, tuple[int, ...]]) -> Sample:
        n, all_heads = len(next(iter(heads.values()))), self.num_heads
        of_pair = all_heads * (all_heads - 1) / (n * (n - 1)) if n > 1 else 1.0
        chosen: Any = tuple(heads.get(j, ()) for j in range(self.num_gaps))
        return Sample(chosen, self.num_gaps / len(heads), all_heads / n, of_pair)


def curved(gradient: Tensor, chances: Tensor, terms: Tensor, sample: Sample) -> Tensor:
    """A scalar with the expected first and second derivatives of a cross-entropy of the sum of all heads' terms.

    terms (N, classes, n), those of the heads drawn; at the logits that all of them sum to, `gradient` (N, classes) is the
    loss's and `chances` the softmax (N, classes). To second order the loss is <gradient, sum of terms> + half the Hessian's
    form of what the sum moves by, (diag(p) - p p^T) / N. The first part is a sum over heads, the second over pairs of them,
    and each is made up for by how likely it is drawn.
    """
    moved = terms - terms.detach()

    def form(of: Tensor) -> Tensor:
        return ((chances.unsqueeze(2) * of.square()).sum() - (chances.unsqueeze(2) * of).sum(1).square().sum()) / len(of)

    linear = (gradient * terms.sum(2)).sum()
    pairs = sample.of_pair * form(moved.sum(2, keepdim=True)) + (sample.of_head - sample.of_pair) * form(moved)
    return sample.of_head * linear + pairs / 2
