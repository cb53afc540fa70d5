"""The public names of nas: the same rows as the command line, the same options, nothing printed, nothing left behind."""

from __future__ import annotations

import inspect
import json
import pkgutil
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import nas
import run
from nas.cli.config import parse, settings_of
from nas.cli.parser import COMMANDS, parser
from nas.commands.option import options_of, read_options
from nas.commands.search_options import SearchOptions
from spaces.decoupling import Decoupling

SPACE, TASK = "small(width=0.25)", "digits"
SHORT: dict[str, Any] = {"iterations": 2, "batch_size": 32}
FLAGS = ("--space", SPACE, "--task", TASK, "--iterations", "2", "--batch-size", "32")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_DATA_DIR", raising=False)


def cells(path: str) -> list[dict[str, str]]:
    """The rows as text, without the command and what differs from run to run."""
    frame = pd.read_csv(path, dtype=str).drop(columns=["command", "time", "step_seconds", "pipeline_speedup_bound"])
    return frame.to_dict("records")


def test_rows_are_those_of_the_command_line_and_each_takes_over_the_others(capsys: pytest.CaptureFixture) -> None:
    asked: dict[str, Any] = {"decoupling": ["even(2)"], "methods": ["dgl", "backprop"], "seeds": 1, **SHORT}
    table = nas.evaluate(SPACE, TASK, **asked)
    assert capsys.readouterr() == ("", "") and len(table) == 2
    assert run.main(["evaluate", *FLAGS, "--decoupling", "even(2)", "--seeds", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new_rows"] == 0, "the command line has nothing to train"
    elsewhere = ["--results", "other", "--runs", "others"]
    assert run.main(["evaluate", *FLAGS, "--decoupling", "even(2)", "--seeds", "1", *elsewhere]) == 0
    assert cells("other/evaluate.csv") == cells("results/evaluate.csv")
    nas.evaluate(SPACE, TASK, **asked, results="other", runs=Path("others"))
    assert len(cells("other/evaluate.csv")) == 2, "Python has nothing to train"


def test_a_table_has_typed_columns_and_a_command_that_can_be_run_again(capsys: pytest.CaptureFixture) -> None:
    table = nas.evaluate(SPACE, TASK, decoupling=Decoupling.parse("2:linear"), methods="dgl", seeds=1, exits=True, **SHORT)
    assert table["test_error"].dtype == "Float64" and table["seed"].dtype == "Int64" and table["dirty"].dtype == "boolean"
    assert table["scale"].isna().all()
    capsys.readouterr()
    again = eval(table["command"].iloc[0], {"nas": nas})
    pd.testing.assert_frame_equal(again, table)
    exits = nas.read_results("results/exits.csv")
    assert list(exits["depth"]) == [1, 2] and exits["test_error"].dtype == "Float64"


def test_what_is_found_can_be_evaluated_compared_profiled_and_asked() -> None:
    found = nas.search(SPACE, "digits(validation=0.4)", strategy="random(trials=2)", **SHORT)
    assert found.best.decoupling == found.decoupling and found.row["decoupling"] == str(found.decoupling)
    assert found.score.error == float(found.row["validation_error"]) and found.new_rows == 2
    table = nas.evaluate(SPACE, TASK, decoupling=[found.decoupling, "even(2)"], methods=["dgl"], seeds=1, **SHORT)
    fair = nas.compare("results/evaluate.csv")
    assert {line.decoupling for line in fair.lines} == set(table["decoupling"])
    assert nas.profile(SPACE, TASK, decoupling=found.decoupling).peak_activation_bytes > 0
    np.savez("new.npz", images=np.zeros((3, 8, 8, 1), "uint8"))
    folder = Path("runs") / table["run"].iloc[0]
    answers = nas.predict(folder, "new.npz", threshold=0.9)
    assert list(answers["input"]) == ["0", "1", "2"] and answers["probability"].between(0, 1).all()
    assert isinstance(nas.load_run(folder).build()(torch.zeros(1, 1, 8, 8)), torch.Tensor)


def test_progress_is_told_how_far_it_is() -> None:
    heard = []
    nas.evaluate(
        SPACE,
        TASK,
        decoupling="even(2)",
        methods="dgl",
        seeds=1,
        **SHORT,
        progress=lambda what, done, total, **figures: heard.append((what, done, total)),
    )
    assert ("runs", 1, 1) in heard and any("dgl" in what and done == total == 2 for what, done, total in heard)


def test_the_process_is_as_it_was() -> None:
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    nas.profile(SPACE, TASK)
    assert before == (torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nas.evaluate(lrr=0.1), "unknown keyword: 'lrr'; did you mean lr"),
        (lambda: nas.evaluate(batch_size="many"), "batch_size is a whole number, got 'many'"),
        (lambda: nas.evaluate(batch_size=True), "batch_size is a whole number, got True"),
        (lambda: nas.evaluate(exits=1), "exits is True or False, got 1"),
        (lambda: nas.evaluate(space=3), "space is a text, got 3"),
        (lambda: nas.evaluate(lr=["fast"]), "lr is a number, got 'fast'"),
        (lambda: nas.evaluate(methods=[]), "name one at least, got an empty list"),
        (lambda: nas.evaluate(epochs=1, iterations=1), "one of epochs and iterations may be given, got both"),
        (lambda: nas.evaluate(save_weights=True, discard_weights=True), "one of save_weights and discard_weights"),
        (lambda: nas.evaluate("small", "digits", 3), "nas.evaluate takes space, task by place, got 3 values"),
        (lambda: nas.evaluate("small", space="small"), "space is given once, got it by place and by name"),
        (lambda: nas.predict("nowhere"), "inputs has to be given"),
        (lambda: nas.predict("nowhere", "new.npz"), "there is no trained run at nowhere"),
        (lambda: nas.compare("nowhere.csv"), "nowhere.csv has none or is not there"),
    ],
)
def test_a_bad_argument_is_a_user_error(call: Any, message: str) -> None:
    with pytest.raises(nas.UserError) as error:
        call()
    assert message in str(error.value)


FUNCTIONS = {"report": "write_report"}  # `nas.report` is the package of tables
OF_THE_SHELL = ("runs", "watch", "init", "list", "show", "completion")  # commands without a function


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.options])
def test_every_option_is_a_flag_a_key_and_a_keyword(name: str) -> None:
    options = COMMANDS[name].options
    assert options is not None
    choices = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    actions = {action.dest for action in choices[name]._actions}  # type: ignore[index]
    assert set(options_of(options)) == {one.name for one in fields(options)} <= actions
    if name not in OF_THE_SHELL:
        function = getattr(nas, FUNCTIONS.get(name, name.replace("-", "_")))
        assert set(options_of(options)) <= set(inspect.signature(function).parameters)
    if COMMANDS[name].config:
        asked = parse([name])
        kept = {key: value for key, value in settings_of(asked.options).items() if value is not None}
        assert read_options(options, kept) == asked.options


def test_scripts_of_earlier_versions_still_run() -> None:
    assert parse(["evaluate", "--keep"]).options == parse(["evaluate", "--save-weights"]).options


def test_defaults_are_those_of_the_command_line() -> None:
    assert parse(["search"]).options == SearchOptions()


def test_a_public_name_stays_what_it_is_when_every_module_is_imported() -> None:
    for module in pkgutil.walk_packages(nas.__path__, "nas."):
        import_module(module.name)
    assert [name for name in nas.__all__ if inspect.ismodule(getattr(nas, name))] == []
    assert set(nas.__all__) <= set(dir(nas)) and "nas.search" not in sys.modules
