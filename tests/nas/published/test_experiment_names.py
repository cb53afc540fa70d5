"""Experiments by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.cli.config import parse
from nas.published import experiments
from nas.published.experiments import configuration, what_it_is
from spaces.notation.errors import UserError


def test_an_experiment_is_found_by_its_name_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(["evaluate", "--config", "dgl_cifar10"]).options.space == "dgl_cnn"
    (tmp_path / "dgl_cifar10").write_text("space: small")
    assert parse(["evaluate", "--config", "dgl_cifar10"]).options.space == "small", "a file that is there comes first"


def test_a_name_that_is_none_lists_those_that_are_alike() -> None:
    with pytest.raises(UserError, match="unknown experiment 'dgl_cifar'.*dgl_cifar10"):
        configuration(Path("dgl_cifar"))
    assert configuration(Path("nowhere/mine.yaml")) == Path("nowhere/mine.yaml")


def test_every_experiment_says_what_it_reproduces() -> None:
    assert len(experiments.experiments()) > 30
    assert all(map(what_it_is, experiments.experiments().values()))


def test_where_nothing_is_installed_or_beside_the_code_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "_BESIDE_THE_CODE", tmp_path)
    monkeypatch.setattr(experiments, "files", lambda package: None)
    assert experiments.experiments() == {}
