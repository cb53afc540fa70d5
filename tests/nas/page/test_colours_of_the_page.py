"""The page's own colours can be read, on light and on dark paper (WCAG 2.1, AA)."""

import re

import pytest

from nas.charts.palette import DARK, LIGHT, contrast
from nas.page.page import HERE

BLOCKS = re.findall(r"\{([^}]*)\}", (HERE / "style" / "colours.css").read_text("utf-8"))
THEMES = {name: dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for name, block in zip(("light", "dark"), BLOCKS, strict=True)}


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out(theme: str) -> None:
    colours = THEMES[theme]
    for text in ("ink", "quiet", "accent", "warn", "bad", "good"):
        for paper in ("paper", "card", "faint"):
            assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
    assert contrast(colours["ink"], colours["accent-soft"]) >= 4.5 <= contrast(colours["ink"], colours["warn-soft"])
    assert contrast(colours["paper"], colours["accent"]) >= 4.5, "the main button"


@pytest.mark.parametrize(("theme", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_series_stand_out_from_the_card_that_they_are_drawn_on(theme: str, palette: tuple[str, ...]) -> None:
    assert [colour for colour in palette if contrast(colour, THEMES[theme]["card"]) < 3] == []
