"""What people read: tables, and pictures of decouplings, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import t as student_t

from nas.profile import Cost
from spaces.decoupling import Decoupling


@dataclass(frozen=True)
class Summary:
    """One method on one decoupling over n seeds; errors in percent, `interval` half the width of the 95 % interval."""

    method: str
    decoupling: str
    num_blocks: int
    n: int
    mean: float
    std: float | None
    interval: float | None
    validation: float
    peak_activation_bytes: int
    step_seconds: float
    diverged: int


def summarise(rows: Iterable[Mapping[str, str]], column: str = "test_error") -> list[Summary]:
    """The rows of each method and decoupling as one line, best mean first. Runs that diverged count as 100 % wrong."""
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["decoupling"]), []).append(row)
    return sorted((_summary(group, column) for group in groups.values()), key=lambda summary: summary.mean)


def _summary(group: Sequence[Mapping[str, str]], column: str) -> Summary:
    errors = [100 * float(row.get(column) or row.get("test_error") or 1) for row in group]
    n = len(errors)
    std = stdev(errors) if n > 1 else None
    interval = float(student_t.ppf(0.975, n - 1)) * std / n**0.5 if std is not None else None
    seconds = [float(row["step_seconds"]) for row in group if row.get("step_seconds")]
    return Summary(
        group[0]["method"].partition("(")[0], group[0]["decoupling"], int(group[0]["num_blocks"]), n, mean(errors), std,
        interval, 100 * mean(float(row["validation_error"]) for row in group), int(group[0]["peak_activation_bytes"]),
        mean(seconds) if seconds else float("nan"), sum(row["status"] != "ok" for row in group),
    )


def summary_table(summaries: Sequence[Summary]) -> str:
    """The summaries as a table."""
    header = ["method", "K", "test error %", "std", "95 % interval", "n", "val error %", "peak MiB", "s/step", "decoupling"]
    lines = [
        [s.method, str(s.num_blocks), f"{s.mean:.2f}", _optional(s.std), _interval(s), str(s.n), f"{s.validation:.2f}",
         f"{s.peak_activation_bytes / 2**20:.1f}", f"{s.step_seconds:.4f}",
         short(s.decoupling) + (f"  ({s.diverged} diverged)" if s.diverged else "")]
        for s in summaries
    ]
    return table(header, lines)


def cost_table(cost: Cost, decoupling: Decoupling) -> str:
    """One line a block, and the totals."""
    header = ["block", "units", "params", "MACs", "head params", "head MACs", "KiB/image", "ms/step", "share %", "head"]
    heads = [*decoupling.heads, "classifier"]
    lines = []
    for k, (block, share) in enumerate(zip(cost.blocks, cost.shares, strict=True)):
        milliseconds = "" if block.seconds is None else f"{1000 * block.seconds:.1f}"
        lines.append([str(k), str(block.units), f"{block.params:,}", f"{block.macs:,}", f"{block.head_params:,}",
                      f"{block.head_macs:,}", f"{block.activation_bytes / 1024:.0f}", milliseconds, f"{100 * share:.1f}",
                      heads[k]])
    totals = (f"inference: {cost.params:,} params, {cost.macs:,} MACs an image; only for training: {cost.head_params:,} "
              f"params, {cost.head_macs:,} MACs\npeak activations of a step at batch size {cost.batch_size}: "
              f"{cost.peak_activation_bytes / 2**20:.1f} MiB (float32)\npipeline speed-up bound (total over largest "
              f"stage): {cost.pipeline_speedup_bound:.2f}")
    return f"{table(header, lines)}\n{totals}"


def picture(decoupling: Decoupling, num_units: int) -> str:
    """Blocks from input to classifier, a box a unit, with the head and the loss of each."""
    lines, names = ["input"], [*decoupling.heads, "classifier"]
    longest = max(len(block) for block in decoupling.blocks(num_units))
    for k, (block, head) in enumerate(zip(decoupling.blocks(num_units), names, strict=True)):
        units = f"{block.start + 1}" if len(block) == 1 else f"{block.start + 1}-{block.stop}"
        label = f"units {units}" if len(block) > 1 else f"unit {units}"
        lines += ["  │", f"  ▼  {'■' * len(block):{longest}}  block {k}: {label:12} ──▶ {head} ──▶ loss {k}"]
        if k < decoupling.num_blocks - 1:
            lines.append("  ╳  no gradient crosses here")
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

    return "\n".join([written(header), "  ".join("─" * width for width in widths), *map(written, lines)])


def short(decoupling: str) -> str:
    """A decoupling without the settings of heads, where each head has the same name as in full."""
    return " ".join(place if len(place) < 24 else place.replace(",reduction=4", "") for place in decoupling.split(" "))


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _interval(summary: Summary) -> str:
    if summary.interval is None:
        return ""
    return f"{max(0.0, summary.mean - summary.interval):.2f}..{min(100.0, summary.mean + summary.interval):.2f}"
