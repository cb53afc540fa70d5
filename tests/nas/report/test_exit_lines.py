"""Which rows make a line of the plot of exits, and where its points lie."""

import math

import pytest
from scipy.stats import t as student_t

from nas.report.exit_lines import exit_lines

TASK = "toy(seed=0)"


def row(
    method: str = "dgl",
    backbone: str = "lstm(depth=2)",
    decoupling: str = "1:linear",
    seed: int = 0,
    depth: int = 1,
    num_blocks: int = 2,
    **others: object,
) -> dict[str, str]:
    cells = {
        "method": method,
        "backbone": backbone,
        "decoupling": decoupling,
        "task": TASK,
        "seed": seed,
        "lr": 0.1,
        "schedule": "cosine",
        "epochs": 3,
        "depth": depth,
        "num_blocks": num_blocks,
        "macs": 1000 * depth,
        "seconds": 1e-3 * depth,
        "test_error": 0.4 / depth + 0.01 * seed,
        "validation_error": 0.5,
        "commit": "abc",
        "time": f"{seed}{depth}",
    }
    return {name: str(cell) for name, cell in (cells | others).items()}


def point(seed: int, macs: float, error: float, **others: object) -> dict[str, str]:
    cells = {"rule": "max_softmax", "threshold": macs, "test_macs": macs, "test_seconds": macs * 1e-6, "test_error": error}
    return row(seed=seed, **cells | others)


def test_exits_are_means_over_the_seeds_with_their_interval() -> None:
    rows = [row(seed=seed, depth=depth) for seed in (0, 1, 2) for depth in (2, 1)]
    (line,) = exit_lines(rows, [], TASK)
    assert line.label == "dgl 1:linear" and line.adaptive is None
    assert line.static.macs == (1000, 2000) and line.static.seconds == pytest.approx((1e-3, 2e-3))
    assert line.static.errors == pytest.approx((41, 21))
    assert line.static.intervals == pytest.approx([float(student_t.ppf(0.975, 2)) / 3**0.5] * 2)


def test_a_line_is_of_one_task_and_one_setting_and_lines_are_told_apart() -> None:
    rows = [
        row(),
        row(task="another"),
        row(epochs=9),
        row(backbone="linear(depth=2)"),
        row(backbone="linear(depth=2)", epochs=9),
        row(method="al", decoupling="1:none"),
    ]
    assert [line.label for line in exit_lines(rows, [], TASK)] == [
        *(f"dgl 1:linear, backbone={name}, epochs={epochs}" for name in ("lstm", "linear") for epochs in (3, 9)),
        "al 1:none",
    ]
    two = [row(backbone="lstm(depth=2)"), row(backbone="lstm(depth=4)")]
    assert [line.label for line in exit_lines(two, [], TASK)] == [f"dgl 1:linear, backbone=lstm(depth={d})" for d in (2, 4)]


def test_networks_trained_alone_are_one_line_whatever_their_learning_rate() -> None:
    alone = {"method": "backprop", "decoupling": "uncut", "num_blocks": 1}
    rows = [
        row(
            **alone,
            macs=macs,
            lr=lr,
            test_error=error,
            seed=seed,
            backbone=f"prefix(of='lstm(depth=2)',units={units},head=linear)" if units < 3 else "lstm(depth=2)",
        )
        for seed in (0, 1)
        for units, macs, lr, error in ((3, 900, 0.1, 0.1), (1, 100, 0.5, 0.3), (2, 500, 0.1, 0.2))
    ]
    (line,) = exit_lines(rows, [], TASK)
    assert line.label == "backprop, one network a depth"
    assert line.static.macs == (100, 500, 900) and line.static.errors == pytest.approx((30, 20, 10))
    assert line.static.intervals == pytest.approx((0, 0, 0))
    assert [own.label for own in exit_lines(rows[:1], [], TASK)] == ["backprop uncut"]


def test_of_networks_trained_alone_by_several_commands_the_best_on_validation_counts() -> None:
    alone = {"method": "backprop", "decoupling": "uncut", "num_blocks": 1}
    found = {(0, 0.1): (0.30, 0.4), (0, 0.5): (0.35, 0.2), (1, 0.1): (0.40, 0.1), (1, 0.5): (0.25, 0.5)}
    rows = [
        row(**alone, seed=seed, lr=lr, validation_error=validation, test_error=test)
        for (seed, lr), (validation, test) in found.items()
    ]
    for order in (rows, rows[::-1]):
        (line,) = exit_lines(order, [], TASK)
        assert line.static.errors == pytest.approx((45,))  # 0.4 and 0.5: two seeds, not four
        assert line.static.intervals == pytest.approx((float(student_t.ppf(0.975, 1)) * 5,))


def test_prefixes_with_other_heads_are_lines_of_their_own() -> None:
    alone = {"method": "backprop", "decoupling": "uncut", "num_blocks": 1}
    rows = [
        row(**alone, macs=100 * units, backbone=f"prefix(of='lstm(depth=4)',units={units},head={head})")
        for head in ("linear", "mlp_sr")
        for units in (1, 2)
    ]
    whole = row(**alone, macs=900, backbone="lstm(depth=4)")
    linear, other = exit_lines([*rows, whole], [], TASK)
    assert (linear.label, other.label) == tuple(f"backprop, one network a depth, head={head}" for head in ("linear", "mlp_sr"))
    assert (linear.static.macs, other.static.macs) == ((100, 200, 900), (100, 200, 900))


def test_a_seed_without_a_curve_leaves_no_mean_curve() -> None:
    exits, own = [row(seed=seed) for seed in (0, 1)], [[point(seed, 100, 0.4), point(seed, 200, 0.2)] for seed in (0, 1)]
    assert exit_lines(exits, own[0], TASK)[0].adaptive is None
    assert exit_lines(exits, own[0] + own[1], TASK)[0].adaptive is not None


def test_a_curve_is_the_mean_of_the_seeds_own_curves() -> None:
    """Between thresholds straight over log MACs: one seed falls from 0.4 to 0.2, the other stays at 0.3."""
    curves = [point(0, 100, 0.4), point(0, 10_000, 0.2), point(1, 100, 0.3), point(1, 1000, 0.3), point(1, 20_000, 0.3)]
    curves += [point(0, 100, 0.9, rule="margin"), point(0, 100, 0.9, task="another")]
    (line,) = exit_lines([row(seed=seed) for seed in (0, 1)], curves, TASK)
    assert line.adaptive is not None
    macs, errors = line.adaptive.macs, line.adaptive.errors
    assert (macs[0], macs[-1]) == pytest.approx((100, 10_000))
    for cost, error in zip(macs, errors, strict=True):
        assert error == pytest.approx(100 * (0.4 - 0.2 * math.log(cost / 100) / math.log(100) + 0.3) / 2)


def test_rows_of_before_seconds_were_measured_have_none() -> None:
    old = row()
    del old["seconds"]
    (line,) = exit_lines([old], [], TASK)
    assert math.isnan(line.static.seconds[0]) and line.static.errors == pytest.approx((40,))


def test_seeds_whose_curves_share_no_cost_have_no_mean_curve() -> None:
    curves = [point(0, 100, 0.4), point(0, 200, 0.2), point(1, 300, 0.3), point(1, 400, 0.1)]
    (line,) = exit_lines([row(seed=seed) for seed in (0, 1)], curves, TASK)
    assert line.adaptive is None and line.static.macs == (1000,)
