"""How far an exit's probabilities are those of being right, and the temperature that brings them nearer (Guo et al. 2017)."""

from __future__ import annotations

import math

import torch

COLDEST, HOTTEST = 0.01, 100.0  # the best temperature would be 0 where every answer is right, infinite where none is known
HALVINGS = 50


def fit_temperature(logits: torch.Tensor, y: torch.Tensor) -> float:
    """The T in [0.01, 100] with the smallest mean cross-entropy of logits (N, C) / T for labels y (N,) (section 4.2).

    Its derivative in b = 1 / T, mean(E_softmax(b z)[z] - z_y), only ever grows, so halving an interval of log b finds its root.
    """
    z = logits.double()
    of_label = z.gather(1, y[:, None]).mean()
    low, high = -math.log(HOTTEST), -math.log(COLDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((z * math.exp(middle)).softmax(1) * z).sum(1).mean()
        low, high = (low, middle) if expected > of_label else (middle, high)
    return math.exp(-(low + high) / 2)


def expected_calibration_error(logits: torch.Tensor, y: torch.Tensor, num_bins: int = 15) -> float:
    """Of logits (N, C) for labels y (N,): the mean over samples of |accuracy - confidence| of their bin (eq. 3), in 0..1.

    Confidence is the largest probability; the bins ((m - 1) / M, m / M] have equal width.
    """
    sure, answer = logits.double().softmax(1).max(1)
    place = (sure * num_bins).ceil().long().clamp(1, num_bins) - 1
    surplus = (answer == y).double() - sure
    return float(torch.zeros(num_bins, dtype=torch.float64).index_add_(0, place, surplus).abs().sum()) / len(y)
