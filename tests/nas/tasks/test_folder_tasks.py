"""Tasks in folders of images: small ones, made here, in the layouts of the real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.images.images import Batches, Images, eval_batches
from nas.data.images.samples import Samples, Split
from nas.tasks import TASKS
from spaces.notation.errors import UserError

CLASSES = ("n01", "n02", "n10")


def save(path: Path, colour: int, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (colour, 128, 128)).save(path, format="PNG")  # readers go by content


# ---- imagenet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 images of each class for training and 4 for testing, all of different size and colour."""
    for label, name in enumerate(CLASSES):
        for number in range(24):
            part = "train" if number < 20 else "val"
            save(tmp_path / "imagenet" / part / name / f"{name}_{number}.JPEG", 3 * (24 * label + number), 30 + number)
        (tmp_path / "imagenet" / "train" / name / "notes.txt").touch()
    return tmp_path


def numbers(task: Images, split: Samples) -> list[int]:
    """Which images a split holds, told by their colour, each with its label checked."""
    found = []
    for x, y in eval_batches(task, split, 7):
        colours = ((x[:, 0, 0, 0] * task.std[0] + task.mean[0]) * 255 / 3).round().int().tolist()
        assert [colour // 24 for colour in colours] == y.tolist()
        found += colours
    return found


def test_imagenet_splits_the_training_folder_and_tests_on_the_other(folder: Path) -> None:
    task = TASKS.build("imagenet(size=32,validation=0.2)", folder)
    assert task.input_shape == (3, 32, 32) and task.num_classes == 3
    train, validation, test = numbers(task, task.train), numbers(task, task.validation), numbers(task, task.test())
    assert len(validation) == 12 and sorted(train + validation) == [n for n in range(72) if n % 24 < 20]
    assert test == [n for n in range(72) if n % 24 >= 20]
    again, other = (TASKS.build(f"imagenet(size=32,validation=0.2,split_seed={seed})", folder) for seed in (0, 1))
    assert numbers(again, again.validation) == validation != numbers(other, other.validation)
    x, y = Batches(task, 16).batch(0, 0)
    assert x.shape == (16, 3, 32, 32) and x.is_contiguous(memory_format=torch.channels_last) and y.dtype == torch.int64


def test_imagenet_reads_no_image_before_its_batch_and_no_name_of_a_test_image_before_the_test(folder: Path) -> None:
    root = folder / "imagenet"
    for path in [*root.glob("train/n01/*.JPEG"), *root.glob("val/n01/*.JPEG")]:
        path.write_bytes(b"damaged")
    task = TASKS.build("imagenet(size=32)", folder)
    with pytest.raises(UserError, match=r"train.n01.n01_\d+\.JPEG is missing or damaged"):
        numbers(task, task.train)
    with pytest.raises(UserError, match=r"val.n01.n01_20\.JPEG is missing or damaged"):
        numbers(task, task.test())
    for path in root.glob("val/n02/*"):
        path.unlink()
    with pytest.raises(UserError, match=r"val.n02 .*has no"):
        task.test()


@pytest.mark.parametrize("setting", ["size=0", "validation=0", "validation=0.001", "split_seed=-1", "cutout=33", "cutout=-1"])
def test_a_wrong_setting_of_imagenet_is_named(folder: Path, setting: str) -> None:
    written = setting if "size" in setting else f"size=32,{setting}"
    with pytest.raises(UserError, match=setting.partition("=")[0]):
        TASKS.build(f"imagenet({written})", folder)


def test_folders_that_are_missing_or_differ_are_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UserError, match=r"imagenet.train .*there is none"):
        TASKS.build("imagenet", tmp_path_factory.mktemp("empty"))
    (folder / "imagenet" / "val" / "n02").rename(folder / "imagenet" / "val" / "n03")
    with pytest.raises(UserError, match="same 3 classes"):
        TASKS.build("imagenet", folder)


# ---- tiny_imagenet

NAMES = [f"n{number:03}" for number in range(200)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "tiny-imagenet-200"
    for label, name in enumerate(NAMES):
        for number in range(2):
            save(root / "train" / name / "images" / f"{name}_{number}.JPEG", label, 64)
        (root / "train" / name / f"{name}_boxes.txt").touch()
    order = np.random.default_rng(0).permutation(30)
    for place, label in enumerate(order):
        save(root / "val" / "images" / f"val_{place}.JPEG", int(label), 64)
    lines = [f"val_{place}.JPEG\t{NAMES[label]}\t0\t0\t62\t62" for place, label in enumerate(order)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root.parent


def test_tiny_imagenet_has_200_classes_in_memory(tiny: Path) -> None:
    task = TASKS.build("tiny_imagenet", tiny)
    assert task.input_shape == (3, 64, 64) and task.num_classes == 200
    labels: Counter[int] = Counter()
    for split in (task.train, task.validation):
        assert isinstance(split, Split) and torch.equal(split.images[:, 0, 0, 0].long(), split.labels)
        labels.update(split.labels.tolist())
    assert labels == dict.fromkeys(range(200), 2)
    test = task.test()
    assert isinstance(test, Split) and torch.equal(test.images[:, 5, 5, 0].long(), test.labels)
    assert sorted(test.labels.tolist()) == list(range(30))


def test_what_is_missing_or_wrong_in_tiny_imagenet_is_named(tiny: Path) -> None:
    task, root = TASKS.build("tiny_imagenet", tiny), tiny / "tiny-imagenet-200"
    annotations = root / "val" / "val_annotations.txt"
    written = annotations.read_text()
    for content in (written.replace("n003", "n999"), "val_0.JPEG", ""):
        annotations.write_text(content)
        with pytest.raises(UserError, match=r"val_annotations\.txt"):
            task.test()
    annotations.write_text(written)
    save(root / "val" / "images" / "val_3.JPEG", 1, 63)
    with pytest.raises(UserError, match=r"64x64.*val_3\.JPEG has 63x63"):
        task.test()
    image = root / "train" / "n007" / "images" / "n007_1.JPEG"
    image.write_bytes(image.read_bytes()[:50])
    with pytest.raises(UserError, match=r"n007_1\.JPEG is missing or damaged"):
        TASKS.build("tiny_imagenet", tiny)
    for path in (root / "train" / "n009").iterdir():
        if path.is_file():
            path.unlink()
    (root / "train" / "n009").rename(root / "elsewhere")
    with pytest.raises(UserError, match="200 classes, but 199 are there"):
        TASKS.build("tiny_imagenet", tiny)
