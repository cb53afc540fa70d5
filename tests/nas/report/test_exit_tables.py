"""The tables of exits and of adaptive inference, from rows made by hand."""

import pytest

from nas.report.exit_tables import curves_table, exits_table, summarise_curves, summarise_exits


def exit_row(seed: int, depth: int, error: float, **others: object) -> dict[str, str]:
    row = {
        "method": "dgl",
        "decoupling": "3:linear",
        "seed": seed,
        "num_blocks": 2,
        "depth": depth,
        "test_error": error,
        "params": 10 * depth,
        "macs": 1000 * depth,
        "seconds": 1e-4 * depth,
        "temperature": "",
        "test_ece": 0.05,
    }
    return {name: str(cell) for name, cell in (row | others).items()}


def curve_row(seed: int, rule: str, error: float, seconds: float, **others: object) -> dict[str, str]:
    row = {
        "method": "dgl",
        "decoupling": "3:linear",
        "seed": seed,
        "rule": rule,
        "test_error": error,
        "test_macs": 1500,
        "test_seconds": seconds,
        "test_shares": "0.7500 0.2500",
        "chosen": True,
    }
    return {name: str(cell) for name, cell in (row | others).items()}


EXITS = [exit_row(seed, depth, 0.3 / depth + 0.1 * seed) for seed in (0, 1) for depth in (1, 2)]


def test_an_exit_is_a_line_over_its_seeds() -> None:
    first, second = summarise_exits(EXITS)
    assert (first.depth, first.n, first.macs, first.temperature) == (1, 2, 1000, None)
    assert first.mean == pytest.approx(35) and first.std == pytest.approx(10 / 2**0.5)
    assert second.seconds == pytest.approx(2e-4) and second.test_ece == pytest.approx(0.05)
    line = exits_table([first, second]).splitlines()[3].split()
    assert line == ["dgl", "2", "20.00", "7.07", "2", "20", "2,000", "200", "5.00", "3:linear"]


def test_rows_of_before_seconds_were_measured_are_shown_too() -> None:
    old = [{name: cell for name, cell in row.items() if name not in ("seconds", "temperature", "test_ece")} for row in EXITS]
    (first, _) = summarise_exits(old)
    assert first.seconds is first.temperature is first.test_ece is None and "35.00" in exits_table([first])


def test_adaptive_inference_is_compared_with_the_full_path_of_its_own_run() -> None:
    slow = exit_row(2, 2, 0.2, seconds=8e-4)
    rows = [
        curve_row(0, "margin", 0.2, 1e-4),
        curve_row(2, "margin", 0.3, 1e-4),
        curve_row(0, "margin", 0.9, 1e-4, chosen=False),
        curve_row(0, "entropy", 0.4, 2e-4, test_shares="0.5000 0.5000"),
    ]
    margin, entropy = summarise_curves(rows, [*EXITS, slow])
    assert (margin.rule, margin.n, margin.shares) == ("margin", 2, (0.75, 0.25)) and margin.mean == pytest.approx(25)
    assert margin.speed == pytest.approx((2 + 8) / 2) and margin.macs_share == pytest.approx(0.75)
    assert entropy.std is None and entropy.speed == pytest.approx(1)
    line = curves_table([margin]).splitlines()[2].split()
    assert line == ["dgl", "margin", "25.00", "7.07", "2", "1,500", "75", "5.00", "75", "25", "3:linear"]
    (untimed,) = summarise_curves(rows[:1], [row | {"seconds": ""} for row in EXITS])
    assert untimed.speed is None and untimed.macs_share == pytest.approx(0.75) and "nan" not in curves_table([untimed])
    assert summarise_curves([], EXITS) == [] and summarise_exits([]) == []
