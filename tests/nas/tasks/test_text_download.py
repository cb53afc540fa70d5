"""Downloads, with a stand-in for the library: what is asked of it, what is written, and what people are told."""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.data.texts.text_csv import read_csv
from nas.tasks import TASKS
from nas.tasks.text_sets import TEXT_SETS
from spaces.notation.errors import UserError

NUM_CLASSES = {"clinc_oos": 151, "banking77": 77, "dbpedia_14": 14, "trec": 6, "emotion": 6, "yelp_review_full": 5, "ag_news": 4}
COLUMNS = {"dbpedia_14": ("content", "label"), "clinc_oos": ("text", "intent"), "trec": ("text", "coarse_label")}
WITH_VALIDATION = {"sst2", "emotion", "rotten_tomatoes", "clinc_oos"}


class Hub:
    """Stands in for `datasets`; remembers what it was asked for, and fails at the part `fails_at`."""

    def __init__(self, name: str, fails_at: str = "", label: int | None = None) -> None:
        self.name, self.fails_at, self.label = name, fails_at, label
        self.asked: list[tuple[str, str | None, str, str | None]] = []

    def load_dataset(self, path: str, name: str | None = None, *, split: str, revision: str | None) -> Iterator[dict[str, Any]]:
        self.asked.append((path, name, split, revision))
        if split == self.fails_at:
            raise ConnectionError("no network")
        text, label = COLUMNS.get(self.name, ("text", "label"))
        self.count = 10 * (classes := NUM_CLASSES.get(self.name, 2))
        return (
            {
                text: f'Line\\none,\\\n"{split}" {number}',
                label: number % classes if self.label is None else self.label,
                "unused": 0,
            }
            for number in range(self.count)
        )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    def install(name: str, **settings: Any) -> Hub:
        module, stand_in = types.ModuleType("datasets"), Hub(name, **settings)
        module.load_dataset = stand_in.load_dataset  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", module)
        return stand_in

    return install


@pytest.mark.parametrize("name", TEXT_SETS)
def test_an_absent_set_is_fetched_once_and_read_like_any_other(hub, tmp_path: Path, name: str) -> None:
    stand_in = hub(name)
    data = TASKS.build(name, tmp_path / "new")
    parts = ["train", "validation", "test"] if name in WITH_VALIDATION else ["train", "test"]
    assert [split for _, _, split, _ in stand_in.asked] == parts
    assert sorted(path.name for path in (tmp_path / "new").rglob("*")) == sorted([name, *(f"{part}.csv.gz" for part in parts)])
    for part in parts:
        rows = read_csv(tmp_path / "new" / name / f"{part}.csv.gz")
        assert rows.texts[:2] == [f'Line one, "{part}" 0', f'Line one, "{part}" 1'] and rows.labels[:2] == ["0", "1"]
    assert len(data.test()) == stand_in.count
    TASKS.build(name, tmp_path / "new")
    assert len(stand_in.asked) == len(parts), "what is there is not fetched again"


def test_sst2_is_fetched_from_a_place_that_has_labels_for_its_test_split(hub, tmp_path: Path) -> None:
    stand_in = hub("sst2")
    TASKS.build("sst2", tmp_path)
    assert not any("glue" in path.lower() or path == "stanfordnlp/sst2" for path, *_ in stand_in.asked)
    hub("sst2", label=-1)
    with pytest.raises(UserError, match="train of SetFit/sst2 has no labels"):
        TASKS.build("sst2", tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize("fails_at", ["train", "test"])
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(hub, tmp_path: Path, fails_at: str) -> None:
    hub("trec", fails_at=fails_at)
    with pytest.raises(UserError, match="no .*trec and CogComp/trec cannot be downloaded.*no network.*put train"):
        TASKS.build("trec", tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_folder_and_the_extra_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **settings: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return original(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"no .*imdb; put train\.csv\.gz.*pip install '\.\[datasets\]'"):
        TASKS.build("imdb", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_lacks_a_file_is_not_overwritten(hub, tmp_path: Path) -> None:
    stand_in = hub("trec")
    (tmp_path / "trec").mkdir()
    with pytest.raises(UserError, match=r"trec.train\.csv\.gz"):
        TASKS.build("trec", tmp_path)
    assert not stand_in.asked
