"""Rankings from shared weights, against what the strategy itself ranks by."""

import sys
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from benchmarks import horizons
from benchmarks.regret import table_problem
from nas.problem import silent
from nas.records.columns import COUNTS
from nas.records.results_log import ResultsLog
from nas.strategies.supernet.strategy import Supernet


@pytest.fixture
def losses(tmp_path, monkeypatch):
    """What the strategy ranks by after two steps; in the folder a table whose test errors are in the order of these losses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(horizons, "seconds_of_a_training", lambda problem: 1.0)
    space = "small(width=0.25,num_blocks=[1,3],heads=[linear])"
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump({"space": space, "task": "digits", "iterations": 3, "batch_size": 32}))
    problem = table_problem(tmp_path / "toy.csv", None)
    found = Supernet(snapshots=1, tune=2, candidates=problem.space.size, smooth=False).ranked(problem, silent)
    cells = {"status": "ok", "validation_error": 0.5, "validation_loss": 1.0, "pipeline_speedup_bound": 1.0}
    rows = [
        {**replace(problem, seed=seed).key(point), **cells, **dict.fromkeys(COUNTS, 1000), "num_blocks": point.num_blocks}
        | {"test_error": loss / 100, "run": f"{point} {seed}", "weights_digest": "0" * 16}
        for seed in (0, 1)
        for point, loss in found.items()
    ]
    ResultsLog(tmp_path / "toy.csv").append_all(rows)
    return found


def run(monkeypatch, *argv):
    given = ["--table", "toy.csv", "--out", "out/horizons.csv", "--seeds", "1", *argv]
    monkeypatch.setattr(sys, "argv", ["benchmarks/horizons.py", *given])
    horizons.main()
    return pd.read_csv("out/horizons.csv")


def test_losses_are_those_that_the_strategy_ranks_by(losses, monkeypatch):
    frame = run(monkeypatch, "--tune", "2")
    assert frame["num_blocks"].tolist() == [2, 3] and frame["rho"].tolist() == pytest.approx([1.0, 1.0])
    assert frame["rho_last_cut"].tolist() == pytest.approx(frame["true_last_cut"].tolist())
    by_cut = [loss for _, loss in sorted((point.cuts[-1], loss) for point, loss in losses.items() if point.num_blocks == 2)]
    apart = sum((place - sum(other < loss for other in by_cut)) ** 2 for place, loss in enumerate(by_cut))
    n = len(by_cut)
    assert frame["rho_last_cut"][0] == pytest.approx(1 - 6 * apart / (n * (n * n - 1)))


def test_each_horizon_begins_with_the_same_weights_and_is_measured_once(losses, monkeypatch):
    frame = run(monkeypatch, "--tune", "4", "2")
    assert frame["tune"].tolist() == [4, 4, 2, 2] and frame["shared_iterations"].eq(3).all()
    assert frame[frame["tune"] == 2]["rho"].tolist() == pytest.approx([1.0, 1.0])
    pd.testing.assert_frame_equal(run(monkeypatch, "--tune", "4", "2"), frame)
