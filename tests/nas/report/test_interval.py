"""How sure an error on so many samples is."""

from __future__ import annotations

import pytest

from nas.report.interval import share_interval


def test_wilsons_interval() -> None:
    """Of 0 and of 5 of 10: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), z = 1.96."""
    assert share_interval(0.0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert share_interval(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)


def test_it_narrows_with_more_samples() -> None:
    (low, high), (lower, higher) = share_interval(0.2, 1000), share_interval(0.2, 100)
    assert lower < low < 0.2 < high < higher
