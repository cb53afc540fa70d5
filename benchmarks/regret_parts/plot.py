"""The plot of regret against seconds."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import t as student_t

from benchmarks.regret_parts.targets import half_interval
from benchmarks.regret_parts.truth import Truth

TOGETHER = ", together"  # behind the name of a strategy whose trainings are made in one go


def plot(made: pd.DataFrame, truth: Truth) -> Figure:
    """Mean regret against seconds, with its interval where there are six searches or more; those that answer once, or a few
    times, as points. What is trained in one go is left out where the same one by one is there: both lie next to each other."""
    names = set(made["strategy"])
    beside = {name for name in names if name.endswith(TOGETHER) and name.removesuffix(TOGETHER) in names}
    made = made[~made["strategy"].isin(beside)]
    figure = Figure(figsize=(10, 5 + 0.11 * made["strategy"].nunique()), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)  # type: ignore[attr-defined]  # of a ListedColormap
    grid = np.geomspace(max(1.0, 0.8 * min(truth.seconds.values())), made["seconds"].max(), 200)
    for strategy, group in made.groupby("strategy", sort=False):
        each = [
            steps.set_index("seconds")["regret"].sort_index().reindex(grid, method="ffill") for _, steps in group.groupby("seed")
        ]
        n, wide = len(each), pd.concat(each, axis=1)
        wide = wide[wide.notna().all(axis=1)]
        last = group.groupby("seed")["seconds"].max().median()
        wide = wide[wide.index <= last]
        if not str(strategy).startswith(("supernet", "sedona", "every")) and len(wide):
            mean, half = 100 * wide.mean(axis=1), 100 * student_t.ppf(0.975, n - 1) * wide.std(axis=1) / n**0.5
            (line,) = axes.plot(mean.index, mean, label=f"{strategy} (n={n})")
            if n >= 6:
                axes.fill_between(mean.index, mean - half, mean + half, color=line.get_color(), alpha=0.1, linewidth=0)
        else:
            ends = group.sort_values("seconds").groupby("seed").last()
            axes.errorbar(
                ends["seconds"].mean(),
                100 * ends["regret"].mean(),
                yerr=100 * half_interval(ends["regret"]) if n > 2 else None,
                fmt="s" if "sedona" in str(strategy) else "o",
                capsize=3,
                label=f"{strategy} (n={n})",
            )
    axes.axhline(100 * fmean(truth.regret), color="grey", linestyle=":", label="any decoupling, drawn blindly")
    axes.set(xscale="log", xlabel="seconds", ylabel="regret (percent points of test error)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 200 * fmean(truth.regret))  # intervals of a few searches may be longer
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize="x-small")
    return figure
