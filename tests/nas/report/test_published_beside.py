"""Rows beside what papers print: hand-made rows, and values of hand-made experiments."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

import nas
import run
from methods.table import METHODS
from nas.published.values import Experiment, PublishedValue
from nas.report import published
from nas.report.comparable import read_rows
from nas.report.fair_table import as_csv, fair_table, plain, written
from nas.report.published import differences

RECIPE = """# A paper
# Deviates: the epoch is chosen otherwise.
space: vgg11
task: "digits(validation=0.1)"
decoupling: ["even(2)", "2:linear"]
{length}
batch_size: 128
lr: 0.1
schedule: "cosine(warmup=0.1)"
weight_decay: 0.0001
optimizer: sgd
"""
ROW = {
    "method": "dgl(label_smoothing=0.1)",
    "backbone": "vgg11(width=1.0)",
    "decoupling": "4:mlp_sr",
    "task": "digits(validation=0.1,split_seed=0,crop=1,flip=False,cutout=0)",
    "seed": "0",
    "epochs": "10.0",
    "iterations": "100",
    "batch_size": "128",
    "lr": "0.1",
    "weight_decay": "0.0001",
    "optimizer": "sgd(momentum=0.9,nesterov=False)",
    "schedule": "cosine(warmup=0.1,final=0.01)",
    "precision": "fp32",
    "checkpoint_units": "False",
    "num_blocks": 2,
    "test_error": 0.2,
    "params": 10,
    "head_params": 1,
    "macs": 10,
    "head_macs": 1,
    "peak_activation_bytes": 100,
    "pipeline_speedup_bound": 1.5,
    "step_seconds": 0.1,
    "status": "ok",
}


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """paper(values): published.csv holds these values, (method, K, rule, error) each, of one experiment; of a second one if
    it is asked for, which trains longer."""
    values: list[PublishedValue] = []

    def holds(*given: tuple[str, int, str, float], length: str = "epochs: 10", name: str = "paper_table1") -> Experiment:
        path = tmp_path / f"{name}.yaml"
        path.write_text(RECIPE.format(length=length))
        experiment = Experiment(name, path)
        for method, num_blocks, rule, error in given:
            full = METHODS.resolve(method)
            values.append(PublishedValue(experiment, full, num_blocks, rule, error, 0.01, name.replace("_", " ")))
        return experiment

    monkeypatch.setattr(published, "published_values", lambda: tuple(values))
    return holds


@pytest.fixture
def table_of(tmp_path: Path):
    """table_of(change, ...): the table of ROW with these cells changed."""

    def made(*changes: dict[str, object]):
        pd.DataFrame([ROW | change for change in changes]).to_csv(tmp_path / "evaluate.csv", index=False)
        return fair_table(read_rows([tmp_path / "evaluate.csv"]), published=True)

    return made


def test_a_value_of_the_same_settings_differs_in_nothing(paper, table_of) -> None:
    paper(("dgl", 2, "even(2)", 0.15))
    fair = table_of({})
    (line,) = fair.lines
    assert line.published is not None
    assert (line.published.test_error, line.published.std, line.published.source) == (15.0, 1.0, "paper table1")
    assert (line.published.differs, line.published.why, fair.unmatched) == ((), "", ())
    assert re.search(r"20\.00 +15\.00±1\.00 +\+5\.00", written(fair))
    assert fair.notes[-1] == "paper_table1 repeats its paper, but: the epoch is chosen otherwise"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": "2.0"}, "epochs 2 (10)"),
        ({"batch_size": "64"}, "batch_size 64 (128)"),
        ({"backbone": "vgg11(width=4.0)"}, "width 4.0 (1.0)"),
        ({"task": "digits(validation=0.4,split_seed=0,crop=1,flip=False,cutout=0)"}, "validation 0.4 (0.1)"),
        ({"task": "digits(validation=0.1,split_seed=0,crop=4,flip=False,cutout=0)"}, "crop 4 (1)"),
        ({"decoupling": "3:mlp_sr"}, "cuts 3 (4)"),
        ({"decoupling": "4:conv(depth=2,reduction=4)"}, "heads conv(depth=2) (mlp_sr)"),
        ({"method": "dgl(label_smoothing=0.0)"}, "label_smoothing 0.0 (0.1)"),
        ({"lr": "0.05"}, "lr 0.05 (0.1)"),
        ({"schedule": "cosine(warmup=0.2,final=0.01)"}, "warmup 0.2 (0.1)"),
        ({"schedule": "multistep(milestones=[0.5],gamma=0.1)"}, "schedule multistep(milestones=[0.5]) (cosine(warmup=0.1))"),
        ({"weight_decay": "0.0005"}, "weight_decay 0.0005 (0.0001)"),
        ({"optimizer": "sgd(momentum=0.9,nesterov=True)"}, "nesterov True (False)"),
        ({"precision": "bf16"}, "precision bf16 (fp32)"),
        ({"checkpoint_units": "True"}, "checkpoint_units True (False)"),
        ({"scale": "0.05"}, "scale 0.05 (1)"),
        ({"grow": "frozen(starts=[0,0.5])"}, "grow frozen(starts=[0,0.5]) (none)"),
        ({"epochs": ""}, None),
    ],
)
def test_what_differs_is_said_with_theirs_in_brackets(paper, changed, said) -> None:
    paper(("dgl", 2, "even(2)", 0.15))
    (value,) = published.published_values()
    assert list(differences({name: str(cell) for name, cell in (ROW | changed).items()}, value)) == ([said] if said else [])


def test_an_experiment_of_so_many_iterations_is_compared_in_them(paper, table_of) -> None:
    paper(("dgl", 2, "even(2)", 0.15), length="iterations: 64000")
    assert table_of({}).lines[0].published.differs == ("iterations 100 (64000)",)


def test_of_several_values_the_one_that_differs_least_stands_beside(paper, table_of) -> None:
    paper(("dgl", 2, "even(2)", 0.15), length="epochs: 160")
    paper(("dgl", 2, "even(2)", 0.11), ("dgl", 2, "2:linear", 0.12), name="paper_table2")
    fair = table_of({}, {"decoupling": "2:linear"})
    assert {line.decoupling: line.published.test_error for line in fair.lines} == {"4:mlp_sr": 11.0, "2:linear": 12.0}
    assert [(one.method, one.num_blocks, one.test_error, one.source) for one in fair.unmatched] == [
        ("dgl", 2, 15.0, "paper table1")
    ]
    assert "published, and beside no line: dgl K=2 15.00 (paper table1)" in written(fair)


def test_a_line_without_a_value_says_why(paper, table_of) -> None:
    paper(("dgl", 2, "even(2)", 0.15), ("infopro(loss=contrast)", 2, "even(2)", 0.1))
    three = {"decoupling": "2:mlp_sr 4:mlp_sr", "num_blocks": 3}
    softmax = {"method": str(METHODS.resolve("infopro(loss=softmax)"))}
    fair = table_of({}, three, softmax, {"method": "greedy(label_smoothing=0.0)"}, {"method": "my.net.Mine(a=1)"})
    why = {(line.method.partition("(")[0], line.num_blocks): line.published.why for line in fair.lines}
    assert why == {
        ("dgl", 2): "",
        ("dgl", 3): "no value of dgl for K=3; there is for K=2",
        ("infopro", 2): "no value of infopro with loss=softmax",
        ("greedy", 2): "no value of greedy",
        ("my.net.Mine", 2): "no value of my.net.Mine",
    }
    assert all(line.published.test_error is None for line in fair.lines if line.published.why)
    assert "no value of greedy" in written(fair)
    assert [one.test_error for one in fair.unmatched] == [10.0], "another loss is another method"


def test_a_network_of_which_nothing_is_published_is_told(paper, table_of) -> None:
    paper(("dgl", 2, "even(2)", 0.15))
    fair = table_of({"backbone": "small(width=1.0)"})
    assert fair.lines[0].published is None and fair.unmatched == ()
    assert fair.notes[-1] == "nothing is published for small on digits; there is for vgg11 on it"
    assert "published values" not in written(fair)
    assert table_of({"task": "svhn(crop=2)"}).notes[-1] == "nothing is published for vgg11 on svhn"


def test_what_differs_everywhere_and_what_differs_alike_is_said_once(paper, table_of) -> None:
    paper(("dgl", 2, "even(2)", 0.15), ("backprop", 1, "", 0.1))
    backprop = {"method": "backprop(label_smoothing=0.1)", "decoupling": "uncut", "num_blocks": 1}
    text = written(table_of(*({"epochs": "2.0"} | more for more in ({}, {"lr": "0.2", "decoupling": "3:mlp_sr"}, backprop))))
    assert text.count("epochs 2 (10)") == 1 and "\nall: epochs 2 (10)\n" in text
    assert "\na: cuts 3 (4); lr 0.2 (0.1)\n" in text and "\nb: " not in text


def test_json_csv_and_python_have_it_too(paper, table_of, tmp_path: Path, capsys) -> None:
    paper(("dgl", 2, "even(2)", 0.15), ("greedy", 2, "2:linear", 0.3))
    fair = table_of({"lr": "0.05"})
    (row,) = csv.DictReader(io.StringIO(as_csv(fair)))
    assert (row["published_test_error"], row["published_source"]) == ("15.0", "paper table1")
    assert row["published_differs"] == "lr 0.05 (0.1)"
    assert plain(fair)["unmatched"][0]["method"] == "greedy"
    assert nas.compare(tmp_path / "evaluate.csv", published=True).lines[0].published.test_error == 15.0
    assert nas.compare(tmp_path / "evaluate.csv").lines[0].published is None
    run.main(["compare", str(tmp_path / "evaluate.csv"), "--published", "--json"])
    assert json.loads(capsys.readouterr().out)["lines"][0]["published_experiment"] == "paper_table1"
    run.main(["compare", str(tmp_path / "evaluate.csv"), "--json"])
    assert not {"published", "published_test_error"} & set(json.loads(capsys.readouterr().out)["lines"][0])
