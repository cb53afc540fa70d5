"""The palette by computation: contrast against both papers, colours apart for the colour-blind, and marks beside them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from nas.charts.look import look
from nas.charts.palette import COLOURS, DARK, DARK_PAPER, DASHES, LIGHT, LIGHT_PAPER, MARKERS, contrast

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as who lacks a kind of cone sees it
BLIND = {
    "protanopia": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deuteranopia": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritanopia": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}
TELLABLE = 8.0  # of CIE 1976 differences; 2.3 is just noticeable


def lab(colour: str, seen: list[tuple[float, ...]]) -> np.ndarray:
    """CIELAB (D65) of a colour as it is seen."""
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(seen) @ linear, 0, 1)
    xyz = np.array([(0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)]) @ linear
    ratio = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_contrast_is_that_of_black_on_white() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("colours", "paper"), [(LIGHT, LIGHT_PAPER), (DARK, DARK_PAPER)], ids=["light", "dark"])
def test_every_colour_stands_out_from_its_paper(colours: tuple[str, ...], paper: str) -> None:
    assert len(colours) == len(COLOURS)
    assert {colour: round(contrast(colour, paper), 2) for colour in colours if contrast(colour, paper) < 3} == {}


@pytest.mark.parametrize("blindness", BLIND)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_the_first_colours_are_told_apart_by_the_colour_blind(colours: tuple[str, ...], blindness: str) -> None:
    seen = [lab(colour, BLIND[blindness]) for colour in colours[:4]]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > TELLABLE


def test_a_second_cue_tells_apart_whatever_colours_do_not() -> None:
    first = [look(number) for number in range(72)]
    assert len(set(first)) == len(first)
    assert len({one.marker for one in first[: len(MARKERS)]}) == len(MARKERS) == 18 and len(set(DASHES)) == len(DASHES)
