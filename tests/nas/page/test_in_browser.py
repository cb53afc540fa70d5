"""The page in a real Chromium: its numbers are those of the files, and it is read, sorted, filtered, printed and kept alive."""

from __future__ import annotations

import csv
import re
import shutil
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.charts.results import read_given
from nas.page.data import page_data
from nas.page.page import as_json, page
from tests.nas.page.browser import Watched, browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "results"
T_OF_3 = 4.302652729911275  # quantile 0.975 of Student's t with 2 degrees of freedom
SHOWN_POINTS = (
    "plot => [...plot.querySelectorAll('.scatterlayer .trace')].filter(one => !one.style.opacity || one.style.opacity > 0.5)"
)

CUT_IN_PICTURES = """() => [...document.querySelectorAll('.network svg')].filter(one => one.clientWidth).flatMap(one =>
  [...one.querySelectorAll('text')].filter(text => text.getBBox().x + text.getBBox().width > one.viewBox.baseVal.width)
    .map(text => text.textContent))"""


@pytest.fixture(scope="module")
def opened() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> str:
    return nas.write_report(RESULTS / "digits", out=tmp_path_factory.mktemp("page") / "digits.html").as_uri()


@pytest.fixture
def shown(opened, digits) -> Iterator[Watched]:
    """The report of results/digits, on a desk's screen; what it copies is in `window.copied`."""
    found = Watched(opened, digits, viewport={"width": 1280, "height": 900})
    found.page.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    yield found
    assert found.said == []
    found.page.close()


def evaluated() -> dict[tuple[str, str], list[dict[str, str]]]:
    """The rows of each method and decoupling, read without anything of ours."""
    lines = defaultdict(list)
    with open(RESULTS / "digits" / "evaluate.csv", newline="") as file:
        for row in csv.DictReader(file):
            lines[row["method"], row["decoupling"]].append(row)
    return lines


def show_columns(page: Any, *names: str) -> None:
    page.click("details.pop > summary")
    for name in names:
        page.check(f"details.pop input[data-key='column {name}']")
    page.keyboard.press("Escape")


def table_of(page: Any) -> list[dict[str, str]]:
    """The table's lines as they are read, by the keys of the columns."""
    keys = page.eval_on_selector_all("#table thead button", "all => all.map(one => one.dataset.key.replace('sort ', ''))")
    cells = page.eval_on_selector_all(
        "#table tbody tr", "rows => rows.map(row => [...row.children].slice(0, -1).map(cell => cell.textContent))"
    )
    return [dict(zip(keys, row, strict=True)) for row in cells]


def test_nothing_is_asked_of_a_network_and_nothing_is_complained_of(shown, digits):
    shown.drawn()
    assert shown.asked == [digits]


def test_the_table_has_the_numbers_of_the_file(shown):
    show_columns(shown.page, "full_method", "full_decoupling", "params", "train_params")
    lines, found = evaluated(), table_of(shown.page)
    assert len(found) == len(lines) == 7
    for line in found:
        rows = lines[line["full_method"], line["full_decoupling"]]
        errors = [100 * float(row["test_error"]) for row in rows]
        mean, half = statistics.mean(errors), T_OF_3 * statistics.stdev(errors) / 3**0.5
        assert line["test_error"] == f"{mean:.2f} ± {half:.2f}" and line["n"] == "3" == str(len(rows))
        assert line["peak_activation_bytes"] == f"{int(rows[0]['peak_activation_bytes']) / 2**20:.1f}"
        assert line["step_seconds"] == f"{statistics.median(float(row['step_seconds']) for row in rows):.4f}"
        assert line["macs"] == f"{int(rows[0]['macs']) / 1e6:,.2f}"
        assert line["train_params"] == f"{(int(rows[0]['params']) + int(rows[0]['head_params'])) / 1e3:,.1f}"


def test_the_numbers_of_a_chart_are_those_of_the_file(shown):
    shown.drawn().click("figure:has-text('Test error against memory') summary")
    cells = shown.page.eval_on_selector_all(
        "figure:has-text('Test error against memory') tbody tr",
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))",
    )
    expected = {
        (
            round(int(rows[0]["peak_activation_bytes"]) / 2**20, 3),
            round(100 * statistics.mean(float(row["test_error"]) for row in rows), 2),
        )
        for rows in evaluated().values()
    }
    assert {(round(float(row[1]), 3), round(float(row[2]), 2)) for row in cells} == expected


def test_the_best_answer_has_the_lowest_validation_error(shown):
    cut = {key: rows for key, rows in evaluated().items() if rows[0]["num_blocks"] != "1"}
    best = min(cut.values(), key=lambda rows: statistics.mean(float(row["validation_error"]) for row in rows))
    error = statistics.mean(100 * float(row["test_error"]) for row in best)
    assert f"{error:.2f} ±" in shown.page.inner_text("#answer dl.numbers")


def test_a_heading_sorts_by_mouse_and_by_keyboard(shown):
    heading = "#table th:has(button[data-key='sort test_error'])"

    def errors() -> list[float]:
        return [float(line["test_error"].split()[0]) for line in table_of(shown.page)]

    before = errors()
    shown.page.click(f"{heading} button")
    assert errors() == sorted(before) and shown.page.get_attribute(heading, "aria-sort") == "ascending"
    shown.page.keyboard.press("Enter")  # what was clicked has the focus still, though the table was made anew
    assert errors() == sorted(before, reverse=True) and shown.page.get_attribute(heading, "aria-sort") == "descending"
    shown.page.keyboard.press("Enter")
    assert errors() == before and shown.page.get_attribute(heading, "aria-sort") == "none"


def test_words_narrow_table_and_charts_and_all_is_shown_again(shown):
    shown.drawn().fill("input[type=search]", "predsim")
    assert {line["method"].partition("(")[0] for line in table_of(shown.page)} == {"predsim"}
    assert shown.page.evaluate(f"({SHOWN_POINTS})(document.querySelector('.plot')).length") == 1
    shown.page.click("#chosen button:has-text('Show all')")
    assert len(table_of(shown.page)) == 7 and shown.page.input_value("input[type=search]") == ""
    assert shown.page.evaluate(f"({SHOWN_POINTS})(document.querySelector('.plot')).length") == 3


def test_a_click_on_a_point_shows_its_line_alone_with_its_command(shown):
    plot = shown.drawn().locator(".plot").first
    plot.scroll_into_view_if_needed()
    place = plot.locator(".scatterlayer .points path").first.bounding_box()
    shown.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    shown.page.wait_for_selector(".plot .hoverlayer text", state="attached")
    shown.page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    shown.page.wait_for_selector("#chosen:not([hidden])")
    (line,) = table_of(shown.page)
    assert "test error" in shown.page.inner_text("#chosen")
    shown.page.click("#chosen button:has-text('Copy command')")
    commands = {row["command"] for rows in evaluated().values() for row in rows}
    assert shown.page.evaluate("window.copied") in commands
    assert line["method"].partition("(")[0] in shown.page.inner_text("#chosen")
    shown.page.keyboard.press("Escape")
    assert len(table_of(shown.page)) == 7 and not shown.page.is_visible("#chosen")


def test_what_is_shown_is_copied_as_csv_markdown_and_latex(shown):
    shown.page.fill("input[type=search]", "backprop")
    shown.page.click("button[data-key=csv]")
    (row,) = csv.DictReader(shown.page.evaluate("window.copied").splitlines())
    (rows,) = [rows for (method, _), rows in evaluated().items() if method.startswith("backprop")]
    assert float(row["test_error"]) == pytest.approx(statistics.mean(100 * float(one["test_error"]) for one in rows))
    assert "params" not in row and row["decoupling"] == "uncut"
    shown.page.click("button[data-key=markdown]")
    head, rule, line = shown.page.evaluate("window.copied").splitlines()
    assert head.startswith("| method | K |") and set(rule) <= set("|-: ") and line.count("|") == head.count("|")
    shown.page.click("button[data-key=latex]")
    assert "\\toprule" in shown.page.evaluate("window.copied") and "$\\pm$" in shown.page.evaluate("window.copied")


def test_the_keyboard_reaches_what_there_is_and_the_focus_is_seen(shown):
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.textContent") == "Skip to the results"
    shown.page.keyboard.press("Enter")
    assert shown.page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(60):
        shown.page.keyboard.press("Tab")
        reached.add(shown.page.evaluate("document.activeElement.dataset.key ?? document.activeElement.tagName"))
        assert shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"search", "columns", "csv", "sort test_error"} <= reached and any(one.startswith("only ") for one in reached)


def test_a_screen_reader_finds_headings_landmarks_and_names(shown):
    page = shown.drawn()
    assert page.locator("h1").count() == page.locator("main").count() == page.locator("header").count() == 1
    for section in page.locator("main > section").all():
        assert page.locator(f"#{section.get_attribute('aria-labelledby')}").inner_text()
    for plot in page.locator(".plot").all():
        assert plot.get_attribute("role") == "img" and "The numbers are in the table" in (plot.get_attribute("aria-label") or "")
    assert page.locator("table:not(:has(th[scope=col]))").count() == 0
    unnamed = "all => all.filter(one => !(one.textContent.trim() || one.getAttribute('aria-label'))).length"
    assert page.eval_on_selector_all("button, summary, a", unnamed) == 0
    links = page.eval_on_selector_all("#contents a", "all => all.map(one => one.hash)")
    assert links == page.eval_on_selector_all("main > section", "all => all.map(one => `#${one.id}`)")


def test_dark_and_light_follow_the_system_until_one_is_chosen(opened, digits):
    background = "getComputedStyle(document.body).backgroundColor"
    found = Watched(opened, digits, color_scheme="dark")
    dark = found.drawn().evaluate(background)
    found.page.select_option(".theme select", "light")
    light = found.page.evaluate(background)
    found.page.emulate_media(color_scheme="light")
    found.page.select_option(".theme select", "auto")
    assert found.page.evaluate(background) == light != dark
    assert sum(map(int, re.findall(r"\d+", dark))) < 150 < 600 < sum(map(int, re.findall(r"\d+", light))) and found.said == []
    found.page.close()


@pytest.mark.parametrize("folder", ["digits", "cifar10_resnet32", "adaptive/cifar10", "texts_search", "converged", "al_images"])
def test_a_phone_scrolls_no_page_sideways(opened, folder, tmp_path):
    where = nas.write_report(RESULTS / folder, out=tmp_path / "report.html").as_uri()
    found = Watched(opened, where, viewport={"width": 360, "height": 740})
    assert found.drawn().evaluate("document.documentElement.scrollWidth") <= 360
    switch, title = found.page.locator(".theme").bounding_box(), found.page.locator("h1").bounding_box()
    assert switch["y"] + switch["height"] <= title["y"]
    assert found.page.evaluate(CUT_IN_PICTURES) == []
    assert found.said == [] and found.asked == [where]
    found.page.close()


def test_an_axis_of_whole_numbers_has_whole_ticks(opened, tmp_path):
    where = nas.write_report(RESULTS / "cifar10_resnet32", out=tmp_path / "report.html").as_uri()
    page_of = Watched(opened, where).drawn()  # of up to 16 blocks
    texts = page_of.evaluate(
        "[...document.querySelectorAll('.plot')].flatMap(plot => plot._fullLayout?.annotations ?? [])"
        ".filter(one => one.x === 0).map(one => one.text)"
    )
    assert texts[0] == "1" and texts[-1] == "16" and all(text.isdigit() for text in texts)
    page_of.close()


def test_it_prints_with_charts_and_without_buttons(shown, tmp_path):
    shown.drawn().pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    printed = (tmp_path / "report.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) >= 4
    if ghostscript := shutil.which("gs"):
        command = [
            ghostscript,
            "-q",
            "-dNOPAUSE",
            "-dBATCH",
            "-dSAFER",
            "-sDEVICE=txtwrite",
            "-sOutputFile=-",
            tmp_path / "report.pdf",
        ]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Fair table" in text and "test error (%)" in text and "Markdown" not in text
    shown.page.emulate_media(media="print")
    assert not any(one.is_visible() for one in shown.page.locator("#table .bar, #contents, .theme, td button").all())


HOSTILE = "</script><img src=x onerror=alert(1)><b>bold</b> =cmd() {{7*7}} javascript:alert(1) \u2028"


def test_what_rows_hold_is_text_and_nothing_else(opened, tmp_path):
    with open(RESULTS / "digits" / "evaluate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"command": HOSTILE, "device": HOSTILE, "commit": HOSTILE}
    rows[0] |= {"status": f"diverged: {HOSTILE}", "test_error": ""}
    with open(tmp_path / "evaluate.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    where = nas.write_report(tmp_path / "evaluate.csv", out=tmp_path / "report.html", title=HOSTILE).as_uri()
    found = Watched(opened, where)
    found.page.on("dialog", lambda dialog: found.said.append("a dialog"))
    page = found.drawn()
    assert page.title() == HOSTILE.replace("\u2028", "").strip() or HOSTILE.split()[0] in page.title()
    assert "<img src=x onerror=alert(1)><b>bold</b>" in page.inner_text("#asked code")
    assert "<img src=x onerror=alert(1)>" in page.inner_text("#provenance") and "<img src=x" in page.inner_text("#warnings")
    assert page.locator("main img, main b, main script").count() == 0
    place = page.locator(".plot .points path").first.bounding_box()
    page.locator(".plot").first.scroll_into_view_if_needed()
    place = page.locator(".plot .points path").first.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_selector(".plot .hoverlayer text", state="attached")
    assert page.locator(".plot .hoverlayer a, .plot .hoverlayer b, .plot image[href^=http]").count() == 0
    assert found.said == [] and found.asked == [where]
    page.close()


RUN = {
    "method": "dgl",
    "decoupling": "2:none",
    "seed": 1,
    "killed": False,
    "who": "process 7",
    "where": "here",
    "since": "2026-01-01",
}
FAR = {"iteration": 5, "iterations": 60, "loss": 1.25, "validation_error": 0.5, "seconds_left": 300}
NOW = {"trouble": "", "asked": 30, "finished": 21, "commands": [], "failed": [], "failed_runs": 0, "seconds_left": 900}


def test_new_data_keep_what_the_reader_did(opened):
    """Served by nobody: the browser is given page and data by the test."""
    given = read_given([RESULTS / "digits"])
    live = {"url": "data.json", "now": "now.json", "seconds": 0.1}
    first = page(page_data(given, "Digits", live=live, running={"version": "1", "runs": [], **NOW}))
    now = {"version": "2", "runs": [RUN | FAR], **NOW}
    later = as_json(page_data(given, "Digits, later", live=live, running=now))
    ready: list[bool] = []

    def answer(route: Any) -> None:
        if not route.request.url.endswith(".json"):
            route.fulfill(status=200, content_type="text/html", body=first)
        elif ready:
            text = later if route.request.url.endswith("data.json") else as_json(now)
            route.fulfill(status=200, headers={"ETag": '"2"'}, content_type="application/json", body=text)
        else:
            route.fulfill(status=304)

    tab = opened.new_page()
    tab.route("**/*", answer)
    tab.goto("http://report.test/")
    tab.click("button[data-key='sort test_error']")
    tab.fill("input[type=search]", "dgl")
    before = table_of(tab)
    ticks = "[...document.querySelectorAll('.plot .ytick text')].slice(0, 4).map(one => one.textContent).join()"
    plot = tab.locator(".plot .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box, wide = plot.bounding_box(), tab.evaluate(ticks)
    tab.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    tab.mouse.up()
    tab.wait_for_timeout(400)
    zoomed = tab.evaluate(ticks)
    assert zoomed != wide
    tab.focus("input[type=search]")
    ready.append(True)
    tab.wait_for_selector("h1:has-text('Digits, later')")
    said = tab.inner_text("#running")
    assert all(part in said for part in ("21 of 30", "process 7 on here", "5 of 60", "5 min", "50.00 %"))
    assert table_of(tab) == before and len(before) == 3 and tab.evaluate(ticks) == zoomed
    assert tab.evaluate("document.activeElement.dataset.key") == "search" and tab.input_value("input[type=search]") == "dgl"
    assert tab.get_attribute("#table th:has(button[data-key='sort test_error'])", "aria-sort") == "ascending"
    tab.close()


def test_of_thousands_of_lines_a_page_is_drawn(opened, tmp_path):
    from benchmarks.report_time import many_rows

    many_rows(1_500, tmp_path / "evaluate.csv")
    where = nas.write_report(tmp_path / "evaluate.csv", out=tmp_path / "report.html").as_uri()
    found = Watched(opened, where)
    assert len(table_of(found.page)) == 50 and "of 500" in found.page.inner_text("#table .pages")
    found.page.click("button[data-key=after]")
    assert "51–100 of 500" in found.page.inner_text("#table .pages")
    assert found.said == []
    found.page.close()
