"""A decoupled network as text: what its stages cost, and a picture."""

from __future__ import annotations

from nas.cost import Cost, StagePlan
from nas.report.table import table
from spaces.decoupling import Decoupling


def cost_table(cost: Cost, decoupling: Decoupling, width: int | None = None) -> str:
    """One line a stage, which is a block or all of them, and the totals."""
    header = ["block", "units", "params", "MACs", "head params", "head MACs", "KiB/sample", "ms/step", "share %", "head"]
    heads = [*decoupling.heads, "classifier"]
    lines = []
    for block, share in zip(cost.blocks, cost.shares, strict=True):
        milliseconds = "" if block.seconds is None else f"{1000 * block.seconds:.1f}"
        ends = "-".join(map(str, dict.fromkeys((block.blocks[0], block.blocks[-1]))))
        lines.append(
            [
                ends,
                str(block.units),
                f"{block.params:,}",
                f"{block.macs:,}",
                f"{block.head_params:,}",
                f"{block.head_macs:,}",
                f"{block.activation_bytes / 1024:.0f}",
                milliseconds,
                f"{100 * share:.1f}",
                ", ".join(dict.fromkeys(heads[k] for k in block.blocks)),
            ]
        )
    totals = (
        f"inference: {cost.params:,} params, {cost.macs:,} MACs a sample; heads, decoders and all else that is "
        f"only for training: {cost.head_params:,} params ({100 * cost.training_only:.1f} % of all), "
        f"{cost.head_macs:,} MACs\npeak activations of a step at batch size {cost.batch_size}: "
        f"{cost.peak_activation_bytes / 2**20:.1f} MiB (float32)\npipeline speed-up bound (total over largest "
        f"stage): {cost.pipeline_speedup_bound:.2f}"
    )
    if cost.bound_uncertainty is not None:
        totals += f" ± {100 * cost.bound_uncertainty:.1f} % (95 % interval, {cost.timed_steps} timed steps)"
    if reading := [f"{k} reads {', '.join(map(str, block.reads))}" for k, block in enumerate(cost.blocks) if block.reads]:
        totals += f"\nstages that read weights of others, so that a pipeline would have to send them: {'; '.join(reading)}"
    return f"{table(header, lines, width)}\n{totals}"


def plan_table(plan: StagePlan, width: int | None = None) -> str:
    """One line a process, and what the processes gain at most."""
    header = ["process", "stages", "ms/iteration", "share %", "sends KiB/iteration", "MiB"]
    total = sum(process.seconds for process in plan.processes)
    lines = [
        [
            str(number),
            "-".join(map(str, dict.fromkeys((process.stages[0], process.stages[-1])))),
            f"{1000 * process.seconds:.1f}",
            f"{100 * process.seconds / total:.1f}",
            f"{process.sends_bytes / 1024:.1f}",
            f"{process.memory_bytes / 2**20:.1f}",
        ]
        for number, process in enumerate(plan.processes)
    ]
    return (
        f"{table(header, lines, width)}\n{len(lines)} processes side by side: {plan.bound:.2f} times one process at most; MiB "
        f"are the peak of activations in a step (float32) and up to {plan.depth} carries on their way to the next process"
    )


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
