"""Searches that train networks of their own on the table's images, and the trainings of what they recommend."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.regret_parts.simulated import trained_in_order
from benchmarks.regret_parts.trainings import Answer
from benchmarks.regret_parts.truth import Truth
from benchmarks.sedona_truth import COMMON, searched
from nas.problem import Problem, silent
from nas.records.results import Results
from nas.strategies.sedona.decisions import discretise
from nas.strategies.sedona.expected_cost import log_probability
from nas.strategies.sedona.settings import Settings
from nas.strategies.supernet.strategy import Supernet

SEDONA = {
    "sedona adjoint": COMMON,
    "sedona identity": replace(COMMON, engine="identity"),
    "sedona identity, batch x 4": replace(COMMON, engine="identity", inner_batch=256),
    "sedona released objective": replace(COMMON, objective="train"),
}
SUPERNETS = {
    "supernet(tune=5)": Supernet(snapshots=1, tune=5, candidates=30),
    "supernet(tune=20)": Supernet(snapshots=1, tune=20, candidates=30),
}


def supernet(truth: Truth, strategy: Supernet, runs: Path, problem: Problem) -> list[Answer]:
    """The ranking, then its best trained one after the other."""
    problem = replace(problem, runs=runs, results=Results(runs))
    shutil.rmtree(strategy.training(problem, silent).folder, ignore_errors=True)  # of a run that was stopped
    began = time.process_time()
    ranked = strategy.ranked(problem, silent)
    seconds = time.process_time() - began
    shutil.rmtree(strategy.training(problem, silent).folder, ignore_errors=True)
    return trained_in_order(truth, problem, list(ranked)[: strategy.trials], seconds, truth.within(ranked))


def sedona(truth: Truth, settings: Settings, budget: float, runs: Path, problem: Problem) -> list[Answer]:
    """Its answer for each number of blocks, trained one after the other."""
    problem = replace(problem, runs=runs, results=Results(runs))
    architecture, _, seconds = searched(settings, problem, budget)
    rho = truth.within({point: -float(log_probability(architecture, problem.space, point)) for point in truth.points})
    points = [discretise(architecture, problem.space, num_blocks) for num_blocks in problem.space.block_counts]
    return trained_in_order(truth, problem, points, seconds, rho)
