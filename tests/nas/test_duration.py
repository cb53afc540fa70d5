"""Lengths of time as people read them."""

import pytest

from nas.duration import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (125, "2 min 5 s"), (3599.9, "1 h"),
     (7815, "2 h 10 min"), (86399, "1 d"), (100000, "1 d 4 h")],
)  # fmt: skip
def test_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
