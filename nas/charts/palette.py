"""The one palette: colours that the colour-blind tell apart and that stand out from light and dark paper, and a marker and dashes
for each, so that nothing is told by colour alone."""

from __future__ import annotations

# Okabe and Ito's hues (Color Universal Design, 2008), each in two tones: darker for white paper, lighter for dark screens.
COLOURS = ("blue", "vermilion", "green", "purple", "sky", "orange", "grey", "olive")
LIGHT = ("#0072b2", "#c04f00", "#007a5a", "#a84f82", "#2b87b8", "#a66f00", "#5f5f5f", "#6b7000")  # on LIGHT_PAPER
DARK = ("#4aa8e8", "#f2814a", "#2fc79a", "#e39cc4", "#8fd3f7", "#f0b43c", "#b4b4b4", "#c9cf4f")  # on DARK_PAPER
LIGHT_PAPER, DARK_PAPER = "#ffffff", "#14171c"
FILLED = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "cross", "x", "star")
MARKERS = (*FILLED, *(f"{marker}-open" for marker in FILLED))  # as Plotly calls them; the second nine are hollow
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")  # of the lines of a series, by its marker
HEAT_LOW, HEAT_HIGH = "#f7fbff", "#08306b"  # of heat maps, over shades of one blue: light and dark tell grey prints too


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, #rrggbb each, from 1 to 21 (WCAG 2.1, "contrast ratio")."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
