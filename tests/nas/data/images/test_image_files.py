"""Which files of a folder are images: what cameras, systems, archives and editors leave beside them."""

from __future__ import annotations

import os
import pickle
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.images.folder_samples import read_resized
from nas.data.images.image_files import FoundImages, folders_in, image_endings, left_out_note, shown
from nas.data.images.image_reader import read_image
from nas.data.new.new_images import ImageFiles
from nas.data.new.new_inputs import new_inputs
from nas.tasks import TASKS
from spaces.notation.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
TOOLS = (
    ".ipynb_checkpoints",
    "@eaDir",
    "__MACOSX",
    "#recycle",
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    ".git",
    ".thumbnails",
    "@Recycle",
    "TheVolumeSettingsFolder",
    "_gsdata_",
)
INPUTS = {"kind": "images", "shape": [3, 8, 8], "mean": [0.0] * 3, "std": [1.0] * 3, "zoom": 1.0, "classes": ["cat", "dog"]}


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path, format="PNG")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """imagenet/train and imagenet/val with ten and two images of each class."""
    for name in ("cat", "dog"):
        for number in range(12):
            save(tmp_path / "imagenet" / ("train" if number < 10 else "val") / name / f"{number:02}.png")
    return tmp_path


def built(folder: Path):
    return TASKS.build("imagenet(size=8,validation=0.2)", folder)


def test_all_formats_of_cameras_and_editors_are_read(tmp_path: Path) -> None:
    names = [f"{place}{ending}" for place, ending in enumerate(image_endings()) if ending not in (".heic", ".heif")]
    names += ["a.JPG", "b.Jpeg", "c (1).TIF", "Kopie von d.webp"]
    for name in names:
        kind = image_endings()[Path(name).suffix.lower()]
        Image.fromarray(PIXELS).convert("1" if name.endswith("pbm") else "RGB").save(tmp_path / name, format=kind)
        assert read_image(tmp_path / name).size == (8, 8), name
    assert {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"} <= set(image_endings())
    found = FoundImages.below(tmp_path)
    assert found.names == sorted(names) and not found.left_out
    assert len(new_inputs(tmp_path, INPUTS).names) == len(names)


def test_what_is_no_image_is_left_out_counted_and_said(folder: Path) -> None:
    cat = folder / "imagenet" / "train" / "cat"
    for name in (
        "._00.png",
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "notes.txt",
        "00.xmp",
        "00.png~",
        "raw.NEF",
        "noending",
        "x.tmp",
    ):
        (cat / name).write_bytes(b"x")
    (cat / "gone.png").symlink_to("nowhere.png")
    (cat / "empty.jpg").touch()
    os.mkfifo(cat / "pipe.png")
    (cat / "album.jpg").mkdir()
    save(cat / "album.jpg" / "inside.png")
    (cat / "loop").symlink_to(cat)
    save(cat / "@eaDir" / "00.png" / "SYNOPHOTO_THUMB_M.jpg")
    found = FoundImages.below(cat)
    assert found.names == [*(f"{number:02}.png" for number in range(10)), "album.jpg/inside.png"]
    once = (
        ".txt",
        ".xmp",
        ".png~",
        ".nef",
        "without ending",
        ".tmp",
        "broken link",
        "empty .jpg",
        "no ordinary file",
        "link to a folder above",
    )
    assert found.left_out == Counter({"hidden or of the system": 5} | dict.fromkeys(once, 1))
    (note,) = built(folder).notes
    assert "train: 15 files are left out (5 hidden or of the system, 1 " in note and "\n" not in note and len(note) < 400
    inputs = new_inputs(cat, INPUTS)
    assert inputs.names == found.names and inputs.notes == left_out_note(cat, found.left_out)


def test_photographs_of_phones_are_read_by_a_plug_in_or_left_out_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "IMG_0001.HEIC").write_bytes(b"x")
    called: list[str] = []
    for module, left_out in ((None, {".heic, read once pillow-heif is installed": 1}), (ModuleType("pillow_heif"), {})):
        monkeypatch.setitem(sys.modules, "pillow_heif", module)
        if module is not None:
            monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")
            monkeypatch.setitem(Image.OPEN, "HEIF", None)
            monkeypatch.setattr(module, "register_heif_opener", lambda: called.append("registered"), raising=False)
        image_endings.cache_clear()
        assert FoundImages.below(tmp_path).left_out == left_out
    monkeypatch.undo()
    image_endings.cache_clear()
    assert called == ["registered"]


def test_folders_of_tools_are_no_classes_wherever_they_are(folder: Path) -> None:
    clean = built(folder)
    assert clean.notes == ()
    root = folder / "imagenet"
    for place, name in enumerate(TOOLS):
        save(root / "train" / name / "00.png")
        if place % 2:
            (root / "val" / name).mkdir()
    (root / "train" / "again").symlink_to(root / "train")
    save(root / "train" / "beside.png")
    (root / "val" / "classes.txt").write_text("cat dog")
    task = built(folder)
    assert task.classes == clean.classes == ("cat", "dog") and task.train.files == clean.train.files
    assert torch.equal(task.validation.labels, clean.validation.labels) and len(task.test()) == 4
    assert [note.partition("imagenet/")[2] for note in task.notes] == [
        "train: 14 files are left out (12 hidden or of the system, 2 beside the class folders)",
        "val: 7 files are left out (6 hidden or of the system, 1 beside the class folders)",
    ]


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda root: (root / "val" / "dog").rename(root / "val" / "cow"), "only train has dog, only val has cow"),
        (lambda root: (root / "val" / "dog").rename(root / "val" / "Dog"), "only val has Dog, which are spelt in two ways"),
        (lambda root: (root / "train" / "logs").mkdir(), "only train has logs"),
        (lambda root: [(root / part / "logs").mkdir() for part in ("train", "val")], "train/logs holds .* has none"),
        (lambda root: [path.rename(path.with_suffix(".psd")) for path in (root / "val" / "dog").iterdir()], "; it holds 2 .psd;"),
        (lambda root: [path.unlink() for path in (root / "val" / "dog").iterdir()], "val/dog holds .* has none"),
    ],
)
def test_a_class_folder_that_differs_or_is_empty_is_named_before_anything_trains(folder: Path, change, says: str) -> None:
    change(folder / "imagenet")
    with pytest.raises(UserError, match=says) as error:
        built(folder)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_names_that_are_no_text_and_those_that_differ_in_case_are_read_and_can_be_printed(folder: Path) -> None:
    cat = os.fsencode(folder / "imagenet" / "train" / "cat")
    for name in (b"caf\xe9.png", b"two\nlines.png", b"A.png", b"a.png"):
        save(Path(os.fsdecode(cat + b"/" + name)))
    task = built(folder)
    assert len(task.train) + len(task.validation) == 24
    paths = pickle.loads(pickle.dumps([task.train.folder / file for file in task.train.files]))  # as they go to a worker
    assert read_resized(paths, 0, 8, (0, 1)).shape == (len(task.train), 8, 8, 3)
    names = new_inputs(Path(os.fsdecode(cat)), INPUTS).names
    assert {"caf\\xe9.png", "two\\nlines.png", "A.png", "a.png"} <= set(names)
    assert "\n".join(names).encode() and shown("größe/a b.png") == "größe/a b.png"


def test_new_images_are_those_of_training(folder: Path) -> None:
    """Orientation, transparency, 16 bits: one reader."""
    cat = folder / "imagenet" / "train" / "cat"
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(cat / "00.png")
    task = built(folder)
    inputs = ImageFiles.read(cat, INPUTS)
    ((_, x),) = inputs.batches(100)
    assert inputs.names[0] == "00.png" and (x[0] * 255).round().unique().tolist() == [40_000 >> 8]
    assert folders_in(folder / "imagenet" / "train") == list(task.classes or ())
