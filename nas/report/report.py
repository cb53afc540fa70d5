"""What people read: tables, and pictures of decouplings, as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev
from typing import Any

import pandas as pd

from nas.cost import Cost
from nas.records.columns import DIVERGED, OK, OUT_OF_MEMORY
from nas.report.short_names import brief, short_names
from nas.search import Evaluated, Searched
from spaces.decoupling import Decoupling


@dataclass(frozen=True)
class Summary:
    """One method on one decoupling over n seeds; errors in percent, `interval` half the width of the 95 % interval.

    std and interval are None for a single seed, step_seconds where no run ended well. Runs that `diverged` or were
    `out_of_memory` count as 100 % wrong.
    """

    method: str
    decoupling: str
    num_blocks: int
    n: int
    mean: float
    std: float | None
    interval: float | None
    validation: float
    peak_activation_bytes: int
    step_seconds: float | None
    diverged: int
    out_of_memory: int = 0


def count_of(status: str, statuses: Iterable[str]) -> int:
    """How many of the runs ended so."""
    return sum(one.startswith(status) for one in statuses)


def failures(line: Any) -> str:
    """What there is to say of the failed runs of a line that has their numbers."""
    counts = {"diverged": line.diverged, "out of memory": line.out_of_memory}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def failed_note(lines: Sequence[Any], names: Sequence[str]) -> str | None:
    """Which of the means have failed runs in them; None where there are none."""
    told = [f"{failures(line)} of {line.n} ({name})" for line, name in zip(lines, names, strict=True) if failures(line)]
    return "runs that failed count as 100 % wrong in the means: " + "; ".join(told) if told else None


def summarise(rows: Iterable[Mapping[str, str]], column: str = "test_error") -> list[Summary]:
    """The rows of each method and decoupling as one line, best mean first. Runs that failed count as 100 % wrong."""
    frame = pd.DataFrame(list(rows))
    if frame.empty:
        return []
    for name in {column, "test_error", "validation_error", "step_seconds", "num_blocks", "peak_activation_bytes"}:
        frame[name] = pd.to_numeric(frame[name]) if name in frame else math.nan
    frame["error"] = 100 * frame[column].fillna(frame["test_error"]).fillna(1.0)
    frame["method"] = frame["method"].map(short_names(frame["method"].unique()))
    groups = frame.groupby(["method", "decoupling"], sort=False)
    return sorted((_summary(str(method), str(point), group) for (method, point), group in groups), key=lambda s: s.mean)


def half_interval(errors: pd.Series) -> float | None:
    """Half the width of the 95 % interval of the mean (Student's t); None for a single value."""
    n = len(errors)
    if n < 2:
        return None
    from scipy.stats import t as student_t  # takes most of a second

    return float(student_t.ppf(0.975, n - 1)) * float(errors.std()) / n**0.5


def _summary(method: str, decoupling: str, group: pd.DataFrame) -> Summary:
    n, std, seconds = len(group), float(group["error"].std()), group["step_seconds"].dropna()
    return Summary(
        method=method, decoupling=decoupling, num_blocks=int(group["num_blocks"].iloc[0]), n=n,
        mean=float(group["error"].mean()), std=std if n > 1 else None,
        interval=half_interval(group["error"]),
        validation=100 * float(group["validation_error"].mean()),
        peak_activation_bytes=int(group["peak_activation_bytes"].iloc[0]),
        step_seconds=float(seconds.mean()) if len(seconds) else None,
        diverged=count_of(DIVERGED, group["status"]), out_of_memory=count_of(OUT_OF_MEMORY, group["status"]),
    )


def summary_table(summaries: Sequence[Summary]) -> str:
    """The summaries as a table."""
    header = ["method", "K", "test error %", "std", "95 % interval", "n", "val error %", "peak MiB", "s/step", "decoupling"]
    lines = [
        [s.method, str(s.num_blocks), f"{s.mean:.2f}", optional(s.std), _interval(s), str(s.n), f"{s.validation:.2f}",
         f"{s.peak_activation_bytes / 2**20:.1f}", optional(s.step_seconds, 4),
         brief(s.decoupling) + (f"  ({failures(s)})" if failures(s) else "")]
        for s in summaries
    ]
    return table(header, lines)


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


def searches_table(searches: Sequence[Searched]) -> str:
    """One line a search, and how far their answers agree."""
    lines = [[str(s.seed), f"{100 * s.score.error:.2f}", str(s.found.decoupling)] for s in searches]
    agreed = agreement(searches)
    heads = "no cut in common" if agreed.heads is None else f"{100 * agreed.heads:.0f} % of common cuts have the same"
    return (f"{table(['seed', 'val error %', 'found'], lines)}\n\n"
            f"cuts        {agreed.cuts:.2f} alike (Jaccard similarity, mean of all pairs)\n"
            f"heads       {heads}\n"
            f"validation  {100 * agreed.mean_error:.2f} +- {100 * agreed.std_error:.2f} % error over {len(searches)} seeds")


def pareto_table(front: Sequence[Evaluated]) -> str:
    """One line a decoupling, with what it costs to train."""
    header = ["val error %", "peak MiB", "pipeline bound", "K", "seed", "decoupling"]
    lines = [[f"{100 * point.score.error:.2f}", f"{point.score.peak_activation_bytes / 2**20:.2f}",
              f"{point.score.pipeline_speedup_bound:.2f}", str(point.decoupling.num_blocks), str(point.seed),
              str(point.decoupling) + ("" if point.score.status == OK else f"  ({point.score.status.partition(':')[0]})")]
             for point in front]
    return table(header, lines)


def cost_table(cost: Cost, decoupling: Decoupling) -> str:
    """One line a stage, which is a block or all of them, and the totals."""
    header = ["block", "units", "params", "MACs", "head params", "head MACs", "KiB/sample", "ms/step", "share %", "head"]
    heads = [*decoupling.heads, "classifier"]
    lines = []
    for block, share in zip(cost.blocks, cost.shares, strict=True):
        milliseconds = "" if block.seconds is None else f"{1000 * block.seconds:.1f}"
        ends = "-".join(map(str, dict.fromkeys((block.blocks[0], block.blocks[-1]))))
        lines.append([ends, str(block.units), f"{block.params:,}", f"{block.macs:,}", f"{block.head_params:,}",
                      f"{block.head_macs:,}", f"{block.activation_bytes / 1024:.0f}", milliseconds, f"{100 * share:.1f}",
                      ", ".join(dict.fromkeys(heads[k] for k in block.blocks))])
    totals = (f"inference: {cost.params:,} params, {cost.macs:,} MACs a sample; heads, decoders and all else that is "
              f"only for training: {cost.head_params:,} params ({100 * cost.training_only:.1f} % of all), "
              f"{cost.head_macs:,} MACs\npeak activations of a step at batch size {cost.batch_size}: "
              f"{cost.peak_activation_bytes / 2**20:.1f} MiB (float32)\npipeline speed-up bound (total over largest "
              f"stage): {cost.pipeline_speedup_bound:.2f}")
    if reading := [f"{k} reads {', '.join(map(str, block.reads))}" for k, block in enumerate(cost.blocks) if block.reads]:
        totals += f"\nstages that read weights of others, so that a pipeline would have to send them: {'; '.join(reading)}"
    return f"{table(header, lines)}\n{totals}"


def picture(decoupling: Decoupling, num_units: int, *, joint: bool = False) -> str:
    """Blocks from input to classifier, a box a unit, with the head and the loss of each; `joint` where gradients cross cuts."""
    lines, names = ["input"], [*decoupling.heads, "classifier"]
    longest, title = max(len(block) for block in decoupling.blocks(num_units)), len(f"block {len(names) - 1}:")
    for k, (block, head) in enumerate(zip(decoupling.blocks(num_units), names, strict=True)):
        units = f"{block.start + 1}" if len(block) == 1 else f"{block.start + 1}-{block.stop}"
        label = f"units {units}" if len(block) > 1 else f"unit {units}"
        lines += ["  │", f"  ▼  {'■' * len(block):{longest}}  {f'block {k}:':{title}} {label:12} ──▶ {head} ──▶ loss {k}"]
        if k < decoupling.num_blocks - 1:
            lines.append("  │  the gradient goes on" if joint else "  ╳  no gradient crosses here")
    return "\n".join(lines)


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    numeric = [bool(lines) and all(line[i][:1].isdigit() or not line[i] for line in lines) for i in range(len(header) - 1)]
    numeric.append(False)

    def written(line: Sequence[str]) -> str:
        cells = (f"{cell:>{width}}" if right else f"{cell:{width}}"
                 for cell, width, right in zip(line, widths, numeric, strict=True))
        return "  ".join(cells).rstrip()

    return "\n".join([written(header), written(["─" * width for width in widths]), *map(written, lines)])


def optional(value: float | None, digits: int = 2) -> str:
    """The number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def _interval(summary: Summary) -> str:
    if summary.interval is None:
        return ""
    return f"{max(0.0, summary.mean - summary.interval):.2f}..{min(100.0, summary.mean + summary.interval):.2f}"
