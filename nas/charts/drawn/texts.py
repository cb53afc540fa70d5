"""Texts on figures: plain, in lines that fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN = 3.5  # inches of a paper's column


def wrapped(text: str, letters: int) -> str:
    """In lines of so many letters, broken behind commas and blanks."""
    lines = [""]
    for piece in re.findall(r"[^, ]+[, ]?|[, ]", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > letters:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip(" ") for line in lines)


def plain(text: str) -> str:
    """A text that is no formula."""
    return text.replace("$", r"\$")


def width_of(panel: Axes) -> float:
    """Of the figure that the panel is on, in inches."""
    figure = panel.get_figure(root=True)
    return COLUMN if figure is None else float(figure.get_figwidth())


def fitting(panel: Axes, text: str, share: float, most: float) -> float:
    """The size of letters, in points, at which the text's lines take up no more than the share of the panel's width."""
    longest = max(map(len, text.split("\n")))
    return min(most, 72 * width_of(panel) * share / (0.62 * longest))
