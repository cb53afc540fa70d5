"""Tables: as wide as they need to be, or within a terminal's columns."""

from __future__ import annotations

import re

import pytest

from nas.report.table import broken, table

HEADER = ["method", "K", "test error %", "n", "95 % interval", "decoupling"]
LONG = "2:conv(depth=4,reduction=4) 4:conv(depth=1,reduction=4) 6:mlp_sr 9:conv(depth=4) 13:conv(depth=2)"
CUTS = "2,4,5,6,7-20,21,23,24,25,26,27,29:mlp_sr  (1 diverged)"
LINES = [["dgl", "5", "33.19", "3", "24.37..42.02", LONG], ["predsim(similarity=0.5)", "3", "9.17", "3", "", CUTS]]


def words(text: str) -> str:
    return re.sub(r"[\s─:]", "", text)


def test_without_a_width_it_is_as_wide_as_it_needs_to_be() -> None:
    assert table(["a", "b"], [["10", "x"], ["2", "yy"]]) == " a  b\n──  ──\n10  x\n 2  yy"
    shown = table(HEADER, LINES)
    assert len(shown.splitlines()) == 4 and LONG in shown and table(HEADER, LINES, 300) == shown


@pytest.mark.parametrize("width", [150, 110, 80, 60, 40, 30, 20])
def test_within_a_width_no_line_is_longer_and_nothing_is_lost(width: int) -> None:
    shown = table(HEADER, LINES, width)
    assert max(map(len, shown.splitlines())) <= width
    for line in LINES:
        for cell in line:
            together = words(shown)
            assert all(words(part) in together for part in broken(cell, 8)), cell
    assert "n 3" in shown.splitlines()[0], "what is the same in all rows stands above"


def test_one_row_has_all_of_its_columns() -> None:
    shown = table(HEADER, LINES[:1], 60)
    assert words(shown).count("33.19") == 1 and "n" in shown and "method" in shown


def test_a_decoupling_breaks_at_its_blocks() -> None:
    assert broken(LONG, 40) == [
        "2:conv(depth=4,reduction=4)",
        "4:conv(depth=1,reduction=4) 6:mlp_sr",
        "9:conv(depth=4) 13:conv(depth=2)",
    ]
    assert broken(CUTS, 20)[0] == "2,4,5,6,7-20,21,23,"
    assert broken("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5] and broken("", 5) == [""]


def test_headings_go_over_several_lines() -> None:
    lines = table(HEADER, [[*line[:-1], "even"] for line in LINES], 58).splitlines()
    assert any(line.split()[-1:] == ["decoupling"] for line in lines) and not any("test error %" in line for line in lines)


def test_a_table_without_rows_has_its_header() -> None:
    assert table(["a", "b"], []) == "a  b\n─  ─" and len(table(["a" * 30, "b" * 30], [], 40).splitlines()) >= 1
