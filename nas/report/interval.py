"""How sure a mean over seeds is, and an error on so many samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def half_interval(errors: ArrayLike) -> float | None:
    """Half the width of the 95 % confidence interval of the mean, in the unit of the errors; None for a single value.

    t(0.975, n - 1) s / sqrt(n): n is the number of values, one a seed; s their standard deviation with n - 1 below; t the
    quantile of Student's distribution with n - 1 degrees of freedom. It holds for independent seeds with errors about normal,
    and says nothing of another training set.
    """
    values = np.asarray(errors, dtype=float)
    n = len(values)
    if n < 2:
        return None
    from scipy.special import stdtrit  # the quantile alone: scipy.stats takes most of a second

    return float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / n**0.5


def share_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval (Wilson 1927) of a share of `count` independent samples, such as that of wrong answers.

    It says how much another draw of as many samples would change it, and nothing of another training.
    """
    from scipy.stats import binomtest

    found = binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
