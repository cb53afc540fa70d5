"""--dry-run says what would run, and what it takes, and writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli.main import main
from nas.commands.evaluate import EvaluateOptions, Evaluation
from nas.data.downloads import check_download, no_downloads
from nas.plans.plan import side_by_side
from nas.plans.run_costs import Estimate, RunCosts
from nas.problem import silent
from nas.records.run_lock import RunLock
from spaces.notation.errors import UserError

TINY = ["--space", "small(width=0.25)", "--iterations", "2", "--batch-size", "32"]
EVALUATE = ["evaluate", *TINY, "--decoupling", "even(2)", "even(3)", "--methods", "dgl", "backprop", "--seeds", "2"]
SEARCH = ["search", *TINY, "--strategy", "random(trials=3)"]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Facts:
    """What a command prints with --json, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.plans.run_costs.MOST_SECONDS", 0.0)
    capsys.readouterr()

    def printed(*argv: str) -> dict[str, Any]:
        assert main([*argv, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    return printed


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def test_runs_that_are_there_or_claimed_are_told_from_those_to_do(facts: Facts, tmp_path: Path) -> None:
    plan = facts(*EVALUATE, "--dry-run")
    assert [run["state"] for run in plan["runs"]] == ["to train"] * 6  # backprop's two decouplings are one
    assert list(tmp_path.iterdir()) == []
    assert main([*EVALUATE[:-1], "1"]) == 0
    options = EvaluateOptions(
        space="small(width=0.25)",
        iterations=2,
        batch_size=32,
        decoupling=("even(2)", "even(3)"),
        methods=("dgl", "backprop"),
        seeds=2,
    )
    runs = [run for run, _ in Evaluation(options, silent, "").comparison.wanted()]
    claimed = next(run for run in runs if run.evaluator.problem.seed == 1)
    with RunLock(claimed.evaluator.run_folder(claimed.decoupling)):
        before = everything(tmp_path)
        plan = facts(*EVALUATE, "--dry-run")
        assert everything(tmp_path) == before
    assert sorted(run["state"] for run in plan["runs"]) == ["claimed", *["there"] * 3, *["to train"] * 2]
    assert all(f"process {os.getpid()}" in run["holder"] for run in plan["runs"] if run["state"] == "claimed")
    whole = plan["time"]
    assert 0 < whole["low"] < whole["seconds"] < whole["high"] and plan["bytes_each"] > 10_000
    assert "timed steps of 2 networks" in plan["how"]


def test_the_text_is_for_people(facts: Facts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*EVALUATE, "--dry-run", "--workers", "2"]) == 0
    told = capsys.readouterr().out
    assert "runs        6: 6 to train" in told and "by 2 processes, from" in told and "a process at most" in told
    assert "nothing was trained or written" in told and max(map(len, told.splitlines())) <= 80


def test_tries_and_what_shares_blocks_are_told(facts: Facts) -> None:
    plan = facts(*EVALUATE, "--lr", "0.1", "0.01", "--dry-run")
    assert sum(run["tries"] for run in plan["runs"]) == 4 and len(plan["runs"]) == 10
    together = facts(*EVALUATE, "--train-together", "--dry-run")
    assert any("shares its first blocks" in note for note in together["notes"])


def test_a_search_says_what_it_asks_for(facts: Facts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = facts(*SEARCH, "--seeds", "2", "--dry-run")
    assert (plan["searches"], plan["trainings"], plan["told"], plan["rows"]) == (2, 3, 0, 0) and list(tmp_path.iterdir()) == []
    assert plan["smallest"]["macs"] < plan["largest"]["macs"] and plan["time"]["seconds"] > 0
    assert main(SEARCH) == 0
    before = everything(tmp_path)
    plan = facts(*SEARCH, "--dry-run")
    assert (plan["told"], plan["rows"]) == (3, 3) and plan["time"]["seconds"] == 0 and everything(tmp_path) == before
    capsys.readouterr()
    assert main([*SEARCH, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "3 at most, of " in said and "none, all is there" in said
    looked_up = [*SEARCH, "--evaluator", "tabular(path=results/search.csv)", "--dry-run"]
    assert main(looked_up) == 2 and "leave one of them out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "strategy",
    ["sedona(pretrain=2,meta_steps=1)", "hyperband(trials=2)", "screening(trials=2)", "supernet(trials=2)", "optuna(trials=2)"],
)
def test_every_strategy_says_how_many_trainings_it_asks_for(facts: Facts, strategy: str) -> None:
    plan = facts("search", *TINY, "--strategy", strategy, "--dry-run")
    assert plan["trainings"] >= 1
    assert bool(plan["notes"]) == strategy.startswith(("sedona", "supernet"))


def test_partial_trainings_that_are_there_take_no_time_again(facts: Facts) -> None:
    search = ("search", *TINY, "--iterations", "9", "--strategy", "hyperband(trials=3)")
    before = facts(*search, "--dry-run")
    facts(*search)
    after = facts(*search, "--dry-run")
    each = (after["smallest"]["time"]["seconds"] + after["largest"]["time"]["seconds"]) / 2
    assert before["told"] == 0 and after["told"] >= 1
    assert after["time"]["seconds"] < each * (3 - after["told"]), "partial trainings are paid already"


def test_trainings_with_schedules_of_their_own_may_be_more_than_the_space_has_and_take_no_time_again(facts: Facts) -> None:
    """All 5 for half of the iterations, and 4 of them wholly."""
    space = ["--space", "small(width=0.25,heads=[linear],num_blocks=2)"]
    search = ("search", *TINY, *space, "--iterations", "2", "--strategy", "screening(trials=4,fidelity=0.5)")
    before = facts(*search, "--dry-run")
    assert before["decouplings"] == 5 and before["trainings"] == 7, "4 + 5 / 2"
    facts(*search)
    after = facts(*search, "--dry-run")
    assert (after["told"], after["trainings"], after["time"]["seconds"]) == (4, 7, 0)


def test_data_that_is_not_there_is_not_downloaded(facts: Facts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--space", "vgg11", "--task", "cifar10", "--data-dir", str(tmp_path / "data"), "--dry-run"]
    assert main(command) == 2 and "downloads nothing" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
    check_download("this")
    with no_downloads(), pytest.raises(UserError, match="this"):
        check_download("this")


def test_workers_share_the_time_and_no_run_is_shorter_than_alone() -> None:
    def seconds(times: list[float], processes: int, cores: int) -> float:
        return side_by_side([Estimate(one, one, one) for one in times], processes, 1, cores).seconds

    assert seconds([10, 10, 10, 10], 2, 4) == 20 and seconds([10], 4, 4) == 10 and seconds([], 2, 2) == 0
    assert seconds([30, 1, 1], 3, 4) == 30 and seconds([10, 10], 2, 1) == 20


def test_larger_networks_are_estimated_by_their_macs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.plans.run_costs.MOST_SECONDS", 0.0)
    monkeypatch.setattr("nas.plans.run_costs.MOST_TIMED", 1)
    options = EvaluateOptions(
        space="small(width=0.25)", iterations=2, decoupling=("even(2)", "even(6)"), methods=("dgl",), seeds=1
    )
    comparison = Evaluation(options, silent, "").comparison
    costs = RunCosts()
    (one, _), (other, _) = comparison.wanted()
    found = [costs.run(run.evaluator.problem, run.decoupling, tests=True).seconds for run in (one, other)]
    macs = [costs.macs(run.evaluator.problem, run.decoupling) for run in (one, other)]
    beside = [costs._beside(run.evaluator.problem, run.decoupling).seconds for run in (one, other)]
    steps = [whole - more for whole, more in zip(found, beside, strict=True)]
    assert costs.networks == 1 and steps[1] / steps[0] == pytest.approx(macs[1] / macs[0]) and min(beside) > 0
