"""The tasks hf_images and hf_texts: small data sets, saved here in the forms in which they come."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nas
from nas.data.images.images import Images, eval_batches
from nas.data.images.samples import Split
from nas.tasks import TASKS
from nas.testing import TaskContract
from spaces.activation import WithFeatures
from spaces.notation.errors import UserError

datasets = pytest.importorskip("datasets")
CLASSES = ["cat", "dog", "owl"]
TEXTS = {"cat": "a soft purr and a meow", "dog": "a loud bark in the yard", "owl": "a long hoot at night"}


@pytest.fixture(scope="module", autouse=True)
def no_network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


def encoded(number: int) -> bytes:
    """A PNG of its own size, whose red is its number."""
    file = io.BytesIO()
    Image.new("RGB", (10 + number % 5, 12), (4 * number, 80 * (number % 3), 128)).save(file, format="PNG")
    return file.getvalue()


def pictures(first: int, count: int, **columns: Any) -> Any:
    numbers = range(first, first + count)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    rows = {"image": [{"bytes": encoded(n), "path": None} for n in numbers], "label": [n % 3 for n in numbers]}
    table = datasets.Dataset.from_dict(rows, features=features)
    for name, values in columns.items():
        table = table.add_column(name, values)
    return table


def texts(count: int) -> dict[str, list[Any]]:
    names = [CLASSES[n % 3] for n in range(count)]
    return {
        "sentence": [f"{TEXTS[name]} {n}" for n, name in enumerate(names)],
        "animal": names,
        "age": [1.0 * n for n in range(count)],
    }


def save_to_disk(place: Path) -> None:
    datasets.DatasetDict({"train": pictures(0, 30), "valid": pictures(30, 6), "test": pictures(36, 6)}).save_to_disk(place)


def save_parquet(place: Path) -> None:
    place.mkdir()
    for name, first, count in (("train", 0, 30), ("validation", 30, 6), ("test", 36, 6)):
        pictures(first, count).to_parquet(place / f"{name}-00000-of-00001.parquet")


def save_one(place: Path) -> None:
    pictures(0, 42).save_to_disk(place)


def save_files(place: Path) -> None:
    for name, first, count in (("train", 0, 30), ("validation", 30, 6), ("test", 36, 6)):
        for number in range(first, first + count):
            path = place / name / CLASSES[number % 3] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(number))


def save_csv(place: Path) -> None:
    place.mkdir()
    for name, count in (("train", 30), ("test", 9)):
        datasets.Dataset.from_dict(texts(count)).to_csv(place / f"{name}.csv")


SAVED: dict[str, Callable[[Path], None]] = {
    "saved": save_to_disk,
    "parquet": save_parquet,
    "one": save_one,
    "files": save_files,
    "csv": save_csv,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, save in SAVED.items():
        save(folder / name)
    return folder


class TestSavedImages(TaskContract):
    task = "hf_images(name=saved,validation=valid,size=8,crop=1)"

    @pytest.fixture
    def data_dir(self, place: Path) -> Path:
        return place


class TestParquetImages(TestSavedImages):
    task = "hf_images(name=parquet,size=8,channels=1)"


class TestTexts(TestSavedImages):
    task = "hf_texts(name=csv,text=sentence,label=animal)"


def numbers(task: Images, part: Any) -> list[int]:
    """Which images a part holds, told by their colour, each with its label checked."""
    found = []
    for x, y in eval_batches(task, part, 7):
        colours = ((x[:, 0, 0, 0] * task.std[0] + task.mean[0]) * 255 / 4).round().int().tolist()
        assert [colour % 3 for colour in colours] == y.tolist()
        found += colours
    return sorted(found)


@pytest.mark.parametrize("crop", ["", ",crop=0"])
@pytest.mark.parametrize(("name", "validation"), [("saved", "valid"), ("parquet", "validation"), ("files", "validation")])
def test_images_are_those_of_the_splits_whatever_holds_them(place: Path, name: str, validation: str, crop: str) -> None:
    task = TASKS.build(f"hf_images(name={name},validation={validation},size=8{crop})", place)
    assert task.classes == tuple(CLASSES) and task.input_shape == (3, 8, 8)
    assert numbers(task, task.train) == [*range(30)] and numbers(task, task.validation) == [*range(30, 36)]
    assert numbers(task, task.test()) == [*range(36, 42)]
    assert isinstance(task.train, Split) == bool(crop)


def test_a_single_table_gives_shares(place: Path) -> None:
    task = TASKS.build("hf_images(name=one,test=0.25,validation=0.2,size=8)", place)
    parts = [numbers(task, part) for part in (task.train, task.validation, task.test())]
    assert sorted(chain(*parts)) == [*range(42)] and len(parts[2]) == 10


def test_other_images_or_labels_are_other_data(place: Path, tmp_path: Path) -> None:
    def task(table: Any, name: str) -> Images:
        datasets.DatasetDict({"train": table, "test": pictures(36, 6)}).save_to_disk(tmp_path / name)
        return TASKS.build(f"hf_images(name={name},size=8)", tmp_path)

    one, same = task(pictures(0, 30), "a"), task(pictures(0, 30), "b")
    assert one.content == same.content and one.test_digest == same.test_digest
    assert task(pictures(1, 30), "c").content != one.content
    relabelled = pictures(0, 30).map(lambda row: {"label": (row["label"] + 1) % 3})
    assert task(relabelled, "d").content != one.content


def test_texts_take_their_labels_from_train_and_their_features_from_columns(place: Path) -> None:
    task = TASKS.build("hf_texts(name=csv,label=animal,features=[age],length=4)", place)
    assert task.classes == tuple(CLASSES) and task.num_features == 1 and task.input_shape.length == 4
    assert {"purr", "bark", "hoot"} <= set(task.vocabulary.words) and len(task.test()) == 9
    x, y = task.train_batches(8).batch(0, 0)
    assert isinstance(x, WithFeatures) and x.x.shape == (8, 4) and int(y.max()) <= 2


def test_one_file_is_a_data_set(tmp_path: Path) -> None:
    rows = texts(30)
    lines = [json.dumps({"text": text, "label": name}) for text, name in zip(rows["sentence"], rows["animal"], strict=True)]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    task = TASKS.build("hf_texts(name=all.jsonl,test=0.2)", tmp_path)
    assert len(task.test()) == 6 and len(task.train) + len(task.validation) == 24


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("hf_images(name=saved,validation=val)", "validation is one of the splits of .*saved, train, valid, test, got val"),
        ("hf_images(name=one)", "test is one of the splits of .*one, train, got test; give test="),
        ("hf_images(name=saved,train=training)", "train is one of the splits"),
        ("hf_images(name=saved,test=train)", "test is another split than train"),
        ("hf_images(name=saved,label=kind)", r"label is a column of .*, image \(Image\), label \(ClassLabel\), got kind"),
        ("hf_images(name=saved,label=image)", r"label is a column of labels, got image \(Image\)"),
        ("hf_images(name=csv)", "the column of images is found by its type or its name, got .*sentence"),
        ("hf_texts(name=saved)", "the column of texts is found by its type or its name"),
        ("hf_texts(name=csv)", "the column of labels is found by its type or its name, got .*; name it by label="),
        ("hf_texts(name=csv,label=animal,features=[animal])", r"features are columns of numbers of .*, got animal"),
        ("hf_texts(name=csv,label=animal,length=0)", "length is how many tokens"),
        ("hf_images(name=saved,size=0)", "size is the side"),
        ("hf_images(name=saved,config=large)", "config and revision are of a data set on the hub, got config=large"),
        ("hf_images(name='./nothing')", r"there is no ./nothing, here or in"),
        ("hf_images(name=nobody/nothing)", "nobody/nothing is neither here nor in the cache, and cannot be fetched from the hub"),
    ],
)
def test_what_is_missing_or_wrong_is_told_in_a_line(place: Path, spec: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as told:
        TASKS.build(spec, place)
    assert "\n" not in str(told.value)


def broken(place: Path, **cells: Any) -> None:
    """Saved images, one row of which is another."""
    table = pictures(0, 30).to_dict()
    for name, value in cells.items():
        table[name][5] = value
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    rows = datasets.Dataset.from_dict(table, features=features)
    datasets.DatasetDict({"train": rows, "test": pictures(36, 6)}).save_to_disk(place / "broken")


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"image": {"bytes": b"no image at all", "path": None}}, "the image in row 5 of the split train of .*broken is"),
        ({"image": None}, "an image is missing in row 5 of the split train of .*broken, got none"),
        ({"label": -1}, "row 5 of the split train of .*broken: a label is one of 3 classes, got none"),
        ({"label": None}, "row 5 of the split train of .*broken: a label is one of 3 classes, got none"),
    ],
)
def test_a_row_that_is_damaged_is_named(tmp_path: Path, cells: dict[str, Any], says: str) -> None:
    broken(tmp_path, **cells)
    with pytest.raises(UserError, match=says):
        TASKS.build("hf_images(name=broken,size=8,crop=0)", tmp_path)


def test_the_test_split_is_read_in_its_turn(tmp_path: Path) -> None:
    bad = pictures(36, 5).to_dict()
    bad["image"][2] = {"bytes": b"damaged", "path": None}
    test = datasets.Dataset.from_dict(bad, features=pictures(0, 3).features)
    datasets.DatasetDict({"train": pictures(0, 30), "test": test}).save_to_disk(tmp_path / "late")
    task = TASKS.build("hf_images(name=late,size=8,crop=0)", tmp_path)
    with pytest.raises(UserError, match="the image in row 2 of the split test of .*late is missing or damaged"):
        task.test()


def test_an_image_file_that_was_removed_is_named(place: Path, tmp_path: Path) -> None:
    save_files(tmp_path / "files")
    task = TASKS.build("hf_images(name=files,size=8)", tmp_path)
    (tmp_path / "files" / "train" / "dog" / "1.png").unlink()
    with pytest.raises(UserError, match=r"an image is missing in row \d+ of .*, got the missing file .*1\.png"):
        numbers(task, task.train), numbers(task, task.validation)


def test_scripts_and_pickles_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "train.pkl").write_bytes(b"")
    (tmp_path / "train.pkl").write_bytes(b"")
    for name, says in (("own", "cannot be read"), ("pickled", "cannot be read"), ("train.pkl", "ends in .csv, .*, got")):
        with pytest.raises(UserError, match=says):
            TASKS.build(f"hf_texts(name={name})", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_without_the_package_a_line_says_how_to_get_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UserError, match=r"package datasets, which is missing; pip install '\.\[datasets\]'"):
        TASKS.build("hf_images(name=saved)", place)


def test_nothing_is_shown_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_csv(tmp_path / "csv")
    capfd.readouterr()
    TASKS.build("hf_texts(name=csv,label=animal,text=sentence)", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_run_answers_new_images(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = f"hf_images(name='{place / 'saved'}',validation=valid,size=8,crop=1)"
    settings = {"decoupling": "even(2)", "methods": "dgl", "seeds": 1, "iterations": 8, "batch_size": 15, "lr": 0.05}
    table = nas.evaluate("small(width=0.25)", spec, **settings)
    Path("new").mkdir()
    Path("new/one.png").write_bytes(encoded(40))
    assert set(nas.predict(f"runs/{table['run'][0]}", "new")["answer"]) <= set(CLASSES)
