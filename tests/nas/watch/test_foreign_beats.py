"""What stands where processes tell what they are at is data, of anybody: it ends neither the page nor a heartbeat."""

from __future__ import annotations

import json

import pytest

from nas.charts.results import Given
from nas.page.page import as_json
from nas.records.beats import Beat
from nas.records.heartbeat import runs_of
from nas.watch.now import now_of

TASK = {"run": "a", "method": "dgl", "decoupling": "3:linear", "task": "digits", "seed": "0", "since": "2026", "figures": {}}
FOREIGN = ["", "null", "[]", "{}", "[" * 100_000, '{"tasks": 5}', '{"tasks": [5]}', '{"tasks": [{"run": []}]}']


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_a_text_of_others_has_no_runs(text: str) -> None:
    now = now_of(Given(), [Beat("x", text, 1.0, True)])
    assert now["runs"] == now["commands"] == [] and runs_of(text) == set()


@pytest.mark.parametrize(
    "cells",
    [
        {"method": "<img src=x onerror=alert(1)>"},
        {"method": "((([x"},
        {"method": ""},
        {"decoupling": "9:((("},
        {"figures": {"loss": float("inf")}, "seconds_left": float("nan")},
    ],
)
@pytest.mark.parametrize("is_alive", [True, False])
def test_cells_that_are_none_of_ours_are_shown_as_they_are(cells: dict[str, object], is_alive: bool) -> None:
    text = json.dumps({"process": 1, "host": "h", "tasks": [TASK | cells]})
    now = json.loads(as_json(now_of(Given(), [Beat("x", text, 1.0, is_alive)])))
    (run,) = now["runs"]
    assert run["method"] == cells.get("method", "dgl") and run["loss"] is None
