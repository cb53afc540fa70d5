"""Pictures of results. The only file of the framework that imports matplotlib; nothing of it needs a screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas.objectives import OBJECTIVES, pareto_front
from nas.search import Evaluated

AXES = {  # each objective's label, and what its value is multiplied by
    "error": ("validation error (%)", 100.0),
    "peak_memory": ("peak activations of a step (MiB)", 2.0**-20),
    "pipeline": ("largest stage's share of a step (%)", 100.0),
}


def pareto_plot(evaluated: Sequence[Evaluated], front: Sequence[Evaluated], objectives: Sequence[str], path: Path) -> None:
    """A PNG at `path` with a panel for each pair of objectives: what was evaluated in grey, the front in colour.

    The line is the front of the panel's own two objectives; a point of the front off the line is there for a third.
    """
    pairs = list(combinations(objectives, 2))
    figure = Figure(figsize=(5.2 * len(pairs), 4.2), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, pair in zip(panels, pairs, strict=True):
        _draw(panel, evaluated, front, pair)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _draw(panel: Axes, evaluated: Sequence[Evaluated], front: Sequence[Evaluated], pair: tuple[str, str]) -> None:
    across, up = reversed(pair)

    def values(points: Sequence[Evaluated], name: str) -> list[float]:
        return [AXES[name][1] * OBJECTIVES[name](point.score) for point in points]

    x, y = values(front, across), values(front, up)
    line = sorted(pareto_front(list(zip(x, y, strict=True))), key=x.__getitem__)
    panel.scatter(values(evaluated, across), values(evaluated, up), s=18, color="0.7", label=f"evaluated ({len(evaluated)})")
    panel.step([x[i] for i in line], [y[i] for i in line], where="post", color="tab:red", linewidth=1.2)
    panel.scatter(x, y, s=30, color="tab:red", label=f"Pareto front ({len(front)})", zorder=3)
    panel.set_xlabel(AXES[across][0])
    panel.set_ylabel(AXES[up][0])
    panel.grid(alpha=0.3)
