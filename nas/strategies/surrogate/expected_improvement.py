"""How much lower than the best so far a value is expected to be."""

from __future__ import annotations

import numpy as np


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """E[max(0, best - f)] for f normal with these means and standard deviations (M,): Jones et al. 1998, for a minimum."""
    from scipy.special import ndtr

    ahead = best - mean
    z = np.divide(ahead, std, out=np.zeros_like(ahead), where=std > 0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.where(std > 0, ahead * ndtr(z) + std * density, np.maximum(ahead, 0.0))
