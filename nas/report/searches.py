"""What searches found, as tables: of several seeds, and of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev

from nas.records.columns import COLUMNS
from nas.records.status import OK
from nas.report.table import table
from nas.searches import Evaluated, Searched


@dataclass(frozen=True)
class Agreement:
    """How far the answers of several searches agree; errors are shares in 0..1.

    cuts        mean over all pairs of the Jaccard similarity of their cuts: common ones over all; 1 where neither cuts
    heads       of the cuts that pairs have in common, the share with the same head; None without a common cut
    mean_error  of the answers, on the validation split, with its standard deviation `std_error` (n - 1)
    """

    cuts: float
    heads: float | None
    mean_error: float
    std_error: float


def agreement(searches: Sequence[Searched]) -> Agreement:
    """How far the answers of two or more searches agree."""
    similarities, same = [], []
    answers = [search.found.decoupling for search in searches]
    for one, other in combinations([dict(zip(d.cuts, d.heads, strict=True)) for d in answers], 2):
        common = one.keys() & other.keys()
        similarities.append(len(common) / len(one | other) if one or other else 1.0)
        same += [one[cut] == other[cut] for cut in common]
    errors = [search.score.error for search in searches]
    return Agreement(mean(similarities), mean(map(float, same)) if same else None, mean(errors), stdev(errors))


def searches_table(searches: Sequence[Searched], width: int | None = None) -> str:
    """One line a search, and how far their answers agree."""
    lines = [[str(s.seed), f"{100 * s.score.error:.2f}", str(s.found.decoupling)] for s in searches]
    agreed = agreement(searches)
    heads = "no cut in common" if agreed.heads is None else f"{100 * agreed.heads:.0f} % of common cuts have the same"
    return (
        f"{table(['seed', 'val error %', 'found'], lines, width)}\n\n"
        f"cuts        {agreed.cuts:.2f} alike (Jaccard similarity, mean of all pairs)\n"
        f"heads       {heads}\n"
        f"validation  {100 * agreed.mean_error:.2f} +- {100 * agreed.std_error:.2f} % error over {len(searches)} seeds"
    )


def pareto_table(front: Sequence[Evaluated], width: int | None = None) -> str:
    """One line a decoupling, with what it costs to train."""
    header = [
        COLUMNS["validation_error"].heading,
        COLUMNS["peak_activation_bytes"].heading,
        "pipeline bound",
        "K",
        "seed",
        "decoupling",
    ]
    lines = [
        [
            f"{100 * point.score.error:.2f}",
            f"{point.score.peak_activation_bytes / 2**20:.2f}",
            f"{point.score.pipeline_speedup_bound:.2f}",
            str(point.decoupling.num_blocks),
            str(point.seed),
            str(point.decoupling) + ("" if point.score.status == OK else f"  ({point.score.status.partition(':')[0]})"),
        ]
        for point in front
    ]
    return table(header, lines, width)
