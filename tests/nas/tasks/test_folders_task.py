"""The task `folders`: small folders of images, made here, under all kinds of names."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas.data.images.folder_samples import FolderSplit
from nas.data.images.images import Images, eval_batches
from nas.data.images.samples import Split
from nas.tasks import TASKS
from nas.testing import TaskContract
from spaces.notation.errors import UserError

CLASSES = ("cat", "dog", "owl")
ROOT = Path(__file__).resolve().parents[3]


def save(folder: Path, count: int, first: int = 0, side: int = 12) -> None:
    """`count` images of each class, all of different size; the red of an image is its number."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(first, first + count):
            colour = (10 + 5 * number, 80 * label, 128)
            Image.new("RGB", (side + number, side), colour).save(folder / name / f"{number}.png")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    save(tmp_path / "pets" / "fit", 20)
    save(tmp_path / "pets" / "held", 4, first=20)
    save(tmp_path / "pets" / "final", 4, first=24)
    return tmp_path


def numbers(task: Images, part: Any) -> list[tuple[int, int]]:
    """The number and the class of each image, told by its colours."""
    found = []
    for x, y in eval_batches(task, part, 16):
        colours = (x[:, :, 0, 0] * torch.tensor(task.std) + torch.tensor(task.mean)) * 255
        assert torch.equal((colours[:, 1] / 80).round().long(), y)
        found += list(zip(((colours[:, 0] - 10) / 5).round().long().tolist(), y.tolist(), strict=True))
    return sorted(found)


def images(first: int, stop: int) -> list[tuple[int, int]]:
    return [(number, label) for number in range(first, stop) for label in range(3)]


class TestFolders(TaskContract):
    task = "folders(root=pets,train=fit,test=final,size=8)"

    @pytest.fixture
    def data_dir(self, place: Path) -> Path:
        return place


class TestFoldersInMemory(TestFolders):
    task = "folders(root=pets,train=fit,validation=held,test=final,size=8,crop=1,channels=1)"


class TestShares(TestFolders):
    task = "folders(root='pets/fit',train='.',validation=0.2,test=0.3,size=8)"


@pytest.mark.parametrize("crop", ["", ",crop=0"])
def test_splits_are_the_folders_that_are_named(place: Path, crop: str) -> None:
    task = TASKS.build(f"folders(root=pets,train=fit,validation=held,test=final,size=8{crop})", place)
    assert task.classes == CLASSES and task.input_shape == (3, 8, 8)
    assert numbers(task, task.train) == images(0, 20)
    assert numbers(task, task.validation) == images(20, 24) and numbers(task, task.test()) == images(24, 28)
    assert isinstance(task.train, Split if crop else FolderSplit) and not task.notes
    assert task.inputs["kind"] == "images" and task.inputs["zoom"] == (1 if crop else 256 / 224)


def test_shares_of_one_folder_are_disjoint_and_the_test_split_is_fixed(place: Path) -> None:
    one, other = (TASKS.build(f"folders(root=pets,train=fit,test=0.25,size=8,split_seed={seed})", place) for seed in (0, 1))
    for task in (one, other):
        found = [numbers(task, part) for part in (task.train, task.validation, task.test())]
        assert sorted(chain(*found)) == images(0, 20) and [len(part) for part in found] == [41, 4, 15]
    assert numbers(one, one.test()) == numbers(other, other.test())
    assert numbers(one, one.validation) != numbers(other, other.validation)
    assert one.notes[0] == "the test split is a share of fit, the same for every split_seed"


def test_a_test_folder_that_validates_too_is_told(place: Path) -> None:
    task = TASKS.build("folders(root=pets,train=fit,validation=held,test=held,size=8)", place)
    assert numbers(task, task.validation) == numbers(task, task.test()) == images(20, 24)
    assert task.notes == ("validation and test are one split, held: the test error is that of samples which chose the weights",)


def test_images_in_memory_have_their_own_constants_and_others_imagenets(place: Path) -> None:
    spec = "folders(root=pets,train=fit,validation=held,test=final,size=8"
    own, known = TASKS.build(f"{spec},crop=0)", place), TASKS.build(f"{spec})", place)
    pixels = own.train.images.numpy() / 255
    np.testing.assert_allclose(own.mean, pixels.mean((0, 1, 2)))
    assert known.mean == (0.485, 0.456, 0.406)
    given = TASKS.build(f"{spec},crop=0,mean=[0.5,0.5,0.5],std=[0.5,0.5,0.5])", place)
    assert given.std == (0.5, 0.5, 0.5)
    grey = TASKS.build(f"{spec},channels=1)", place)
    assert grey.input_shape == (1, 8, 8) and grey.mean == (0.5,)
    assert next(iter(eval_batches(grey, grey.train, 9)))[0].shape == (9, 1, 8, 8)


def test_no_test_image_is_read_before_the_test(place: Path) -> None:
    for path in (place / "pets" / "final").rglob("*.png"):
        path.write_bytes(b"damaged")
    task = TASKS.build("folders(root=pets,train=fit,test=final,size=8,crop=1)", place)
    with pytest.raises(UserError, match=r"24\.png is missing or damaged"):
        task.test()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("", r"the split train is the folder train of .*pets, got the folders final, fit, held there; name it by train="),
        ("train=fit", r"the split test is the folder test of .*pets, got the folders final, fit, held there; name it by test="),
        ("train=fit,test=final,validation=val", "the split validation is the folder val .* name it by validation="),
        ("train=fit,test=fit", "test is another split than train"),
        ("train=fit,test=final,validation='./fit'", "validation is another split than train"),
        ("train=fit,test=1.5", "test is a split's name, or a share of train between 0 and 1, got 1.5"),
        ("train=fit,test=final,validation=0", "validation is a split's name, or a share of train"),
        ("train=fit,test=final,validation=held,split_seed=1", "split_seed draws a share for validation, got split_seed=1"),
        ("train=fit,test=final,size=0", "size is the side"),
        ("train=fit,test=final,channels=2", "channels is 3 for colour or 1 for grey, got 2"),
        ("train=fit,test=final,padding=reflect", "padding is what lies around an image that crop pads"),
        ("train=fit,test=final,crop=8,size=8", "crop pads by 0..7 pixels"),
    ],
)
def test_what_is_missing_or_wrong_is_told(place: Path, settings: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        TASKS.build(f"folders(root=pets{',' * bool(settings)}{settings})", place)


def test_folders_of_other_classes_are_refused(place: Path) -> None:
    (place / "pets" / "held" / "owl").rename(place / "pets" / "held" / "fox")
    with pytest.raises(UserError, match="hold folders of the same 3 classes"):
        TASKS.build("folders(root=pets,train=fit,validation=held,test=final)", place)
    with pytest.raises(UserError, match=r"the folder train of .*nowhere, got nothing, as it is missing there"):
        TASKS.build("folders(root=nowhere)", place)


def test_images_that_take_more_than_memory_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.images.folder_samples.available_memory", lambda: 1000)
    with pytest.raises(UserError, match=r"54 images of 8x8 pixels take 10,368 bytes of memory, got 1,000 free; leave crop out"):
        TASKS.build("folders(root=pets,train=fit,test=final,size=8,crop=1)", place)


def test_a_run_answers_new_images(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    table = nas.evaluate(
        "small(width=0.25)",
        "folders(root=pets,train=fit,test=final,size=8,crop=1)",
        data_dir=".",
        decoupling="even(2)",
        methods="dgl",
        seeds=1,
        iterations=40,
        batch_size=16,
        lr=0.05,
    )
    found = nas.predict(f"runs/{table['run'][0]}", "pets/held")
    assert set(found["answer"]) <= set(CLASSES) and len(found) == 12


@pytest.mark.slow
def test_a_plain_script_reads_images_and_runs_once(place: Path, tmp_path: Path) -> None:
    """One without `if __name__ == "__main__"`, which Python's processes would run again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom nas.tasks import TASKS\nprint('runs')\n"
        f"print(len(TASKS.build('folders(root=pets,train=fit,test=final,size=8,crop=1)', Path({str(place)!r})).train))\n"
    )
    ran = subprocess.run([sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60, capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"runs\n54\n", b"")
