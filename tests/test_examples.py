"""The scripts of examples/ run, on few iterations."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from spaces.torchvision_import import torchvision

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FRAMEWORKS = {"lightning_loop", "hugging_face_trainer"}  # which import torchvision


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example that the test's parameter names, found by its name as a plug-in is."""
    if request.param in FRAMEWORKS:
        torchvision()
    monkeypatch.syspath_prepend(str(EXAMPLES))
    spec = importlib.util.find_spec(request.param)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("example", ["compare_methods"], indirect=True)
def test_comparing_methods_gives_a_line_a_method_and_decoupling(example: ModuleType, tmp_path: Path) -> None:
    table = example.compare(tmp_path, iterations=1, trials=1, seeds=1)
    assert {method.split("(")[0] for method, _ in table.index} == {"dgl", "greedy"}
    assert table["mean"].between(0, 1).all()


@pytest.mark.parametrize("example", ["own_method"], indirect=True)
def test_an_own_method_and_head_train(example: ModuleType, tmp_path: Path) -> None:
    table = example.compare(tmp_path, iterations=1)
    assert {method.split("(")[0] for method in table["method"]} == {"own_method.Weighted", "dgl"}
    assert table["decoupling"].str.contains("own_method.hidden").all()


@pytest.mark.parametrize("example", ["memory_and_exits"], indirect=True)
def test_blocks_take_less_memory_than_the_whole(example: ModuleType) -> None:
    uncut, *decoupled = example.peaks().values()
    assert max(decoupled) < uncut


@pytest.mark.parametrize("example", ["memory_and_exits"], indirect=True)
def test_a_lower_threshold_takes_no_more_operations(example: ModuleType, tmp_path: Path) -> None:
    macs = example.exits(tmp_path, iterations=2)
    assert len(macs) == 2 and macs[0.5] <= macs[0.9]


@pytest.mark.slow
@pytest.mark.parametrize("example", ["lightning_loop"], indirect=True)
def test_a_decoupled_model_learns_inside_lightning(example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert example.accuracy(epochs=2) > 0.3  # 0.1 is chance
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("example", ["hugging_face_trainer"], indirect=True)
def test_a_decoupled_model_learns_inside_hugging_faces_trainer(example: ModuleType, tmp_path: Path) -> None:
    assert example.accuracy(tmp_path, steps=30) > 0.45  # 0.25 is chance
    alone = example.BertForSequenceClassification.from_pretrained(tmp_path)
    assert alone.num_labels == 4, "the model is saved as a model of the library"
