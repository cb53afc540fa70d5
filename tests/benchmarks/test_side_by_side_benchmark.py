"""What the comparison of engines works out from what it measured."""

from __future__ import annotations

import pytest

from benchmarks.side_by_side import Peers, bound_of
from benchmarks.slow_links import over_links


def test_bounds_of_engines() -> None:
    assert bound_of("backprop, one process", 1.6) is None
    assert bound_of("stages", 1.6) == 1.6 and bound_of("DDP", 1.6) == 2
    assert bound_of("GPipe 4", 1.6) == pytest.approx(1.6 * 4 / 5) and bound_of("1F1B 2", 1.6) == pytest.approx(1.6 * 2 / 3)
    assert all(bound_of(name, 1.6) for name in Peers.names)


def test_a_slow_link_turns_the_order_round() -> None:
    rows = [
        {"engine": "stages", "milliseconds": "90.0", "sent_bytes": "2000000"},
        {"engine": "DDP", "milliseconds": "80.0", "sent_bytes": "10000000"},
    ]
    found = {(row["megabits"], row["engine"]): row for row in over_links(rows)}
    assert found[10000, "DDP"]["fastest"] == "DDP" and found[10000, "DDP"]["milliseconds"] == 80
    assert found[300, "DDP"]["fastest"] == "stages" and found[300, "DDP"]["milliseconds"] == pytest.approx(1e7 * 8 / 3e8 * 1000)
    assert found[10, "stages"]["milliseconds"] == pytest.approx(1600)
