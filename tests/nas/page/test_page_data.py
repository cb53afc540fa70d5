"""The page's data, of made-up rows: what is best, what is warned of, and what is in the pool of texts."""

import csv
import json
import random

import pytest

from benchmarks.report_time import made_up
from nas.charts.results import read_given
from nas.page.data import page_data
from nas.page.page import as_json


def cut(place: int) -> dict[str, object]:
    return {"decoupling": f"{place}:mlp_sr", "num_blocks": 2}


UNCUT = {"method": "backprop(label_smoothing=0.0)", "decoupling": "uncut", "num_blocks": 1, "head_params": 0, "head_macs": 0}


@pytest.fixture
def data(tmp_path):
    """data(row, row, ...): of a results file of made-up rows with these cells changed."""

    def of(*changes):
        rows = [made_up(0, 0, random.Random(0)) | change for change in changes]
        with open(tmp_path / "evaluate.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
        return json.loads(as_json(page_data(read_given([tmp_path / "evaluate.csv"]), "A title")))

    return of


def test_the_best_answer_is_chosen_on_validation_and_stands_beside_backprop(data):
    found = data(
        cut(2) | {"validation_error": 0.2, "test_error": 0.1},
        cut(4) | {"validation_error": 0.1, "test_error": 0.3},
        UNCUT | {"validation_error": 0.01, "test_error": 0.2, "peak_activation_bytes": 2**25},
    )
    (answer,) = found["answers"]
    figures = {name: (value, beside) for name, value, beside in answer["figures"]}
    assert answer["title"].endswith("4:mlp_sr") and "10.00 %" in answer["about"]
    assert figures["test error"] == ("30.00 %", "+10.00 against backprop")
    assert figures["peak of activations"][1] == "0.50 of backprop's"


def test_networks_in_one_piece_alone_have_no_best_answer(data):
    assert data(UNCUT)["answers"] == []


def test_what_one_should_know_is_warned_of(data):
    warnings = data(
        {"seed": 0, "dirty": True, "commit": "aaaaaaa"},
        {"seed": 1, "commit": "bbbbbbb", "status": "diverged: loss is nan", "test_error": ""},
    )["warnings"]
    for part in (
        "1 row is of runs that failed",
        "Few seeds",
        "differed from its commit",
        "Mixed commits: aaaaaaa (1), bbbbbbb (1)",
    ):
        assert any(part in warning for warning in warnings), part
    assert data(*({"seed": seed} for seed in range(3)))["warnings"] == []
    assert "trial at scale 0.1" in data(*({"seed": seed, "scale": 0.1} for seed in range(3)))["warnings"][0]


def test_long_texts_stand_once_however_many_points_have_them(data):
    command = "python run.py evaluate " + "x" * 100
    found = data(*({"seed": seed, "command": command} for seed in range(5)), cut(5) | {"command": command})
    assert found["texts"].count(command) == 1
    points = [
        point
        for section in found["sections"]
        for figure in section["figures"]
        for series in figure.get("series", ())
        for point in series["points"]
    ]
    assert len(points) > 5 and {found["texts"][point[5]] for point in points} == {command}
    (table,) = found["tables"]
    groups = {found["texts"][line["group"]] for line in table["lines"]}
    assert {found["texts"][point[6]] for point in points} == groups and len(groups) == 2


def test_sections_that_rows_do_not_have_are_not_there(data):
    titles = [section["title"] for section in data({})["sections"]]
    assert "Learning curves" not in titles and "Exits" not in titles


def test_rows_of_two_tasks_are_two_tables_and_each_chart_is_of_one(data):
    found = data(*(cut(place) | {"task": task} for task in ("digits(crop=1)", "cifar10(crop=4)") for place in (2, 4)))
    names = {table["name"] for table in found["tables"]}
    assert len(names) == 2 and {answer["table"] for answer in found["answers"]} == names
    assert {figure["table"] for section in found["sections"] for figure in section["figures"]} == names


def test_a_line_that_cannot_be_averaged_is_said_and_not_shown(data):
    found = data({"seed": 0}, {"seed": 0, "test_error": 0.5}, cut(5))
    assert len(found["refused"]) == 1 and "a seed counts once" in found["refused"][0]
    assert [line["cells"][4] for table in found["tables"] for line in table["lines"]] == ["5:mlp_sr"]


def test_the_lowest_error_of_a_k_is_best_where_its_interval_overlaps_no_other(data):
    near = [
        cut(place) | {"seed": seed, "test_error": error + seed / 1000}
        for place, error in ((2, 0.1), (4, 0.3))
        for seed in range(3)
    ]
    far = [UNCUT | {"seed": seed, "test_error": 0.05 + seed / 1000} for seed in range(3)]
    (table,) = data(*near, *far)["tables"]
    assert [(line["cells"][1], line["best"]) for line in table["lines"]] == [(1, False), (2, True), (2, False)]


def test_what_all_lines_share_is_read_by_people(data):
    (table,) = data({"epochs": 1.499288762446657, "lr": 0.05, "weight_decay": 1e-05, "batch_size": 128})["tables"]
    shared = dict(map(tuple, table["shared"]))
    assert (shared["epochs"], shared["batch size"]) == ("1.499", "128") and not any("digest" in name for name in shared)
