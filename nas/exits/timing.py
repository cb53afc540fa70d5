"""Seconds of stopping at each exit, and of adaptive inference, measured side by side on the same samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from methods.method import Method
from methods.training.batches import Batch
from methods.training.scoring import autocast
from methods.training.settings import Precision
from nas.cost import wait_for
from nas.data.task_data import Part, TaskData
from nas.data.trial_parts import random_share
from nas.exits.adaptive import adaptive
from nas.exits.confidence import CONFIDENCES

BUDGET = 5.0  # seconds that the timing of a run should not take longer than
FEWEST_SAMPLES, MOST_SAMPLES = 128, 1024
FEWEST_ROUNDS, MOST_ROUNDS = 3, 25


@dataclass(frozen=True)
class ExitSeconds:
    """Seconds a sample of stopping at each exit, which are blocks 0..k and answer k, and of adaptive inference at each point,
    medians over the rounds; how many samples ran."""

    exits: list[float]
    points: list[float]
    num_samples: int


def exit_seconds(
    method: Method,
    data: TaskData,
    part: Part,
    batch_size: int,
    points: Sequence[tuple[str, float]],
    temperatures: Sequence[float] | None,
    precision: Precision,
) -> ExitSeconds:
    """Measured on random samples of the part, in evaluation mode; a point is a confidence rule and a threshold.

    In each round everything takes its turn. There are as many samples, and then as many rounds, as a few seconds allow.
    """
    few = _batches(data, part, batch_size, FEWEST_SAMPLES)
    with torch.no_grad(), autocast(few[0][0].device, precision):
        _static(method, few)  # to warm up
        full_path = _static(method, few)[-1] / _count(few)
        samples = BUDGET / (full_path * (1 + len(points)))  # that all points could run in a single round
        batches = _batches(data, part, batch_size, _within(FEWEST_SAMPLES, samples / FEWEST_ROUNDS, MOST_SAMPLES))
        rounds = _within(FEWEST_ROUNDS, samples / _count(batches), MOST_ROUNDS)
        static, left = [], []
        for _ in range(1 + rounds):
            static.append(_static(method, batches))
            left.append([_adaptive(method, batches, *point, temperatures) for point in points])
    exits, of_points = ([median(own) / _count(batches) for own in zip(*turns[1:], strict=True)] for turns in (static, left))
    return ExitSeconds(exits, of_points, _count(batches))


def _within(least: int, value: float, most: int) -> int:
    return int(max(least, min(value, most)))


def _batches(data: TaskData, part: Part, batch_size: int, num_samples: int) -> list[Batch]:
    return list(data.eval_batches(random_share(part, min(1, num_samples / len(part))), batch_size))


def _count(batches: Sequence[Batch]) -> int:
    return sum(len(y) for _, y in batches)


def _static(method: Method, batches: Sequence[Batch]) -> list[float]:
    """Seconds of stopping at each exit, for all samples."""
    seconds = [0.0] * method.net.num_blocks
    for x, _ in batches:
        of_blocks, started, carry = 0.0, _now(x.device), method.start(x)
        for k in range(method.net.num_blocks):
            carry = method.run_block(k, carry)
            arrived = _now(x.device)
            of_blocks += arrived - started
            method.exit_logits(k, carry)
            started = _now(x.device)
            seconds[k] += of_blocks + started - arrived
    return seconds


def _adaptive(
    method: Method, batches: Sequence[Batch], rule: str, threshold: float, temperatures: Sequence[float] | None
) -> float:
    """Seconds in which adaptive inference answers all samples."""
    started = _now(batches[0][0].device)
    for x, _ in batches:
        adaptive(method, x, CONFIDENCES[rule], threshold, temperatures=temperatures)
    return _now(batches[0][0].device) - started


def _now(device: torch.device) -> float:
    """Seconds, once the device has done all that was asked of it: the process's own on a CPU where it has one thread, which
    other programs disturb less, the wall clock's elsewhere."""
    wait_for(device)
    return time.process_time() if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter()
