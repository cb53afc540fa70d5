"""The tasks: what is read, how it is split, and what people are told when it cannot be."""

from __future__ import annotations

import pickle
import re
import sys
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from nas.data.images.images import Batches, Images, eval_batches
from nas.data.images.samples import Split
from nas.data.images.torchvision_import import torchvision
from nas.tasks import TASKS
from nas.tasks.text_sets import TEXT_SETS
from nas.testing import TaskContract
from spaces.notation.errors import UserError

RANDOM = np.random.default_rng(5)
PIXELS = RANDOM.integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


def save(path: Path, images: np.ndarray = PIXELS, labels: np.ndarray = LABELS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=images, labels=labels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "mine" / "train.npz")
    save(tmp_path / "mine" / "test.npz", PIXELS[:10], LABELS[:10])
    return tmp_path


def rows(*splits: Split) -> Counter[tuple[bytes, int]]:
    """The samples of the splits, however ordered."""
    return Counter(
        (image.numpy().tobytes(), int(label)) for split in splits for image, label in zip(split.images, split.labels, strict=True)
    )


def samples(pixels: np.ndarray, labels: np.ndarray) -> Counter[tuple[bytes, int]]:
    return Counter((image.tobytes(), int(label)) for image, label in zip(pixels, labels, strict=True))


# ---- what nas.testing asks of every task


class TestDigits(TaskContract):
    task = "digits"


class TestArrays(TaskContract):
    task = "arrays(mine,crop=1,flip=True,cutout=2)"

    @pytest.fixture
    def data_dir(self, folder: Path) -> Path:
        return folder


# ---- splits and constants


def test_digits_splits_hold_every_digit_once_and_the_test_split_is_fixed(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    one, other = TASKS.build("digits", tmp_path), TASKS.build("digits(split_seed=1, validation=0.4)", tmp_path)
    assert one.input_shape == (1, 8, 8) and one.num_classes == 10
    assert (len(one.train), len(one.validation), len(one.test())) == (1293, 144, 360)
    assert len(other.validation) == round(0.4 * 1437)
    data = load_digits()
    everything = samples(np.round(data.images / 16 * 255).astype(np.uint8), data.target)
    for task in (one, other):
        assert rows(task.train, task.validation, task.test()) == everything
    assert rows(one.test()) == rows(other.test()) and rows(one.validation) != rows(other.validation)
    assert set(Counter(one.test().labels.tolist()).values()) <= {35, 36, 37}


def test_a_split_depends_on_its_seed_alone(folder: Path) -> None:
    first, again = (TASKS.build("arrays(mine,split_seed=3)", folder) for _ in range(2))
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.validation.labels, again.validation.labels)
    assert rows(first.validation) != rows(TASKS.build("arrays(mine,split_seed=4)", folder).validation)


def test_constants_that_are_given_take_the_place_of_the_training_splits(folder: Path) -> None:
    """Both, or one of them; the batches, what a decoder is told and the row's task say them."""
    text = "arrays(mine,validation=0.5,mean=[0.5,0.5,0.5],std=[0.25,0.5,1])"
    task, own = TASKS.build(text, folder), TASKS.build("arrays(mine,validation=0.5)", folder)
    ((x, _),) = eval_batches(task, task.train, 20)
    expected = (task.train.images.double() / 255 - 0.5) / torch.tensor([0.25, 0.5, 1.0])
    torch.testing.assert_close(x.permute(0, 2, 3, 1).double(), expected, atol=1e-6, rtol=0)
    assert task.pixels.mean == (0.5, 0.5, 0.5) and task.inputs["std"] == [0.25, 0.5, 1.0]
    assert "mean=[0.5,0.5,0.5],std=[0.25,0.5,1.0]" in str(TASKS.resolve(text))
    assert "mean" not in str(TASKS.resolve("arrays(mine)"))
    half = TASKS.build("arrays(mine,validation=0.5,std=[0.5,0.5,0.5])", folder)
    assert half.mean == own.mean and half.std == (0.5, 0.5, 0.5) != own.std


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("mean=[0.5]", "mean is a list of 3 numbers here, one a channel, got 1"),
        ("std=[1,1,1,1]", "std is a list of 3 numbers here"),
        ("mean=[127.5,127.5,127.5]", "divide numbers of 0..255 by 255"),
        ("std=[0,0.5,0.5]", "std is that of pixels scaled to 0..1, above 0"),
        ("mean=0.5", "mean"),
    ],
)
def test_constants_that_do_not_fit_are_refused(settings: str, says: str, folder: Path) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        TASKS.build(f"arrays(mine,{settings})", folder)


def test_every_task_of_images_can_be_given_constants() -> None:
    """Of every entry, whether or not its data is here."""
    images = {name for name in TASKS if "crop" in TASKS.parameters(name) or "size" in TASKS.parameters(name)}
    assert {"cifar10", "svhn", "stl10", "imagenet", "digits", "arrays"} <= images
    for name in images:
        assert {"mean", "std"} <= set(TASKS.parameters(name)), name


def test_constants_are_those_of_the_training_split(folder: Path) -> None:
    task = TASKS.build("arrays(mine,validation=0.5)", folder)
    pixels = task.train.images.numpy() / 255
    np.testing.assert_allclose(task.mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(task.std, pixels.std((0, 1, 2)), rtol=1e-12)
    x = torch.cat([x for x, _ in eval_batches(task, task.train, 7)])
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(x.std((0, 2, 3), unbiased=False), torch.ones(3), rtol=0, atol=1e-5)


def test_a_channel_that_is_the_same_everywhere_stays_finite(tmp_path: Path) -> None:
    constant = PIXELS.copy()
    constant[..., 1] = 9
    for part in ("train", "test"):
        save(tmp_path / f"{part}.npz", constant)
    x, _ = Batches(TASKS.build("arrays('.')", tmp_path), 8).batch(0, 0)
    assert x.isfinite().all() and (x[:, 1].abs() < 1e-6).all()


@pytest.mark.parametrize(
    "setting",
    [
        "validation=0",
        "validation=1",
        "validation=-0.1",
        "validation=1.5",
        "validation=0.01",
        "validation=0.999",
        "split_seed=-1",
        "crop=-1",
        "crop=4",
        "cutout=-1",
        "cutout=5",
        "crop=1.5",
        "flip=1",
        "padding=2",
        "padding=black",
    ],
)
def test_a_wrong_setting_is_named(folder: Path, setting: str) -> None:
    with pytest.raises(UserError, match=setting.partition("=")[0]):
        TASKS.build(f"arrays(mine,{setting})", folder)


def test_a_row_that_exists_keeps_its_task() -> None:
    """As in results/tabular/small_cifar10.csv and results/cifar10_vgg19/evaluate.csv."""
    written = "cifar10(validation=0.1,split_seed=0,crop=2,flip=True,cutout=0)"
    assert str(TASKS.resolve("cifar10")) == str(TASKS.resolve("cifar10(padding=None)")) == written
    assert str(TASKS.resolve("cifar10(padding=reflect)")) == f"{written[:-1]},padding=reflect)"


OWN = {  # the setting that a user's own data needs
    "arrays": "root=here",
    "texts": "root=here",
    "folders": "root=here",
    "hf_images": "name=here",
    "hf_texts": "name=here",
    "loader": "path=my.data",
}
TEXTS = {*TEXT_SETS, "texts", "hf_texts"}
READ_WHILE_TRAINING = {"imagenet", "folders", "hf_images"}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_takes_the_same_settings(name: str) -> None:
    settings = set(dict(TASKS.resolve(f"{name}({OWN[name]})" if name in OWN else name).settings))
    if name == "loader":  # whose data sets have augmentation and sizes of their own
        assert settings == {"path", "validation", "split_seed"}
        return
    size = {"length", "num_words"} if name in TEXTS else {"size"} if name in READ_WHILE_TRAINING else {"crop"}
    assert {"validation", "split_seed"} | size <= settings
    assert name in TEXTS or {"flip", "cutout"} <= settings
    late = "embeddings" if name in TEXTS else "padding"  # left out of a row where it is not used
    assert late not in settings and (name == "imagenet" or TASKS.parameters(name)[late].default is None)
    assert TASKS.describe(name)


# ---- arrays


def test_arrays_keep_every_sample_and_may_be_grey_or_elsewhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    task = TASKS.build("arrays(mine)", folder)
    assert task.input_shape == (3, 4, 5) and task.num_classes == 4
    assert rows(task.train, task.validation) == samples(PIXELS, LABELS)
    assert rows(task.test()) == samples(PIXELS[:10], LABELS[:10])
    grey = tmp_path_factory.mktemp("grey")
    for part in ("train", "test"):
        save(grey / f"{part}.npz", PIXELS[..., 0], LABELS.astype(np.uint8))
    task = TASKS.build(f"arrays('{grey}')", folder)
    assert task.input_shape == (1, 4, 5)
    assert rows(task.train, task.validation) == rows(task.test()) == samples(PIXELS[..., 0], LABELS)


def test_a_task_travels_to_another_process(folder: Path) -> None:
    task: Images = pickle.loads(pickle.dumps(TASKS.build("arrays(mine)", folder)))
    assert rows(task.test()) == samples(PIXELS[:10], LABELS[:10])


@pytest.mark.parametrize(
    "content, message",
    [
        ({"images": PIXELS.astype(np.float32)}, "uint8.*float32"),
        ({"images": PIXELS.astype(np.int64)}, "uint8.*int64"),
        ({"images": PIXELS[..., None]}, r"\(N, H, W\).*\(40, 4, 5, 3, 1\)"),
        ({"images": PIXELS.reshape(40, -1)}, r"\(N, H, W\).*\(40, 60\)"),
        ({"images": PIXELS[:, :0]}, r"\(40, 0, 5, 3\)"),
        ({"images": PIXELS[:39]}, r"shape \(39,\).*\(40,\)"),
        ({"labels": LABELS[:39]}, r"shape \(40,\).*\(39,\)"),
        ({"labels": LABELS[:, None]}, r"shape \(40,\).*\(40, 1\)"),
        ({"labels": LABELS.astype(float)}, "whole numbers.*float64"),
        ({"labels": LABELS % 2 == 0}, "whole numbers.*bool"),
        ({"labels": LABELS.astype(str)}, "0..C-1"),
        ({"labels": LABELS + 1}, "0..C-1.*1, 2, 3, 4"),
        ({"labels": LABELS * 2}, "0..C-1.*0, 2, 4, 6"),
        ({"labels": LABELS - 1}, "0..C-1.*-1, 0, 1, 2"),
        ({"labels": LABELS * 0}, "at least 2"),
        ({"labels": LABELS[:0]}, r"shape \(40,\).*\(0,\)"),
        ({"images": np.array([{}, None])}, "images and labels"),
    ],
)
def test_arrays_of_another_kind_are_refused(folder: Path, content: dict[str, np.ndarray], message: str) -> None:
    save(folder / "mine" / "train.npz", **content)
    with pytest.raises(UserError, match=message):
        TASKS.build("arrays(mine)", folder)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"labels": LABELS + 1}, r"0\.\.3.*1 to 4"),
        ({"labels": LABELS - 1}, r"0\.\.3.*-1 to 2"),
        ({"images": PIXELS[:, :3]}, r"\(3, 5, 3\).*\(4, 5, 3\)"),
        ({"images": PIXELS[..., 0]}, r"\(4, 5, 1\).*\(4, 5, 3\)"),
    ],
)
def test_a_test_file_must_fit_the_training_file(folder: Path, content: dict[str, np.ndarray], message: str) -> None:
    save(folder / "mine" / "test.npz", **content)
    task = TASKS.build("arrays(mine)", folder)
    with pytest.raises(UserError, match=message):
        task.test()


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.train\.npz"):
        TASKS.build("arrays(nowhere)", folder)
    (folder / "mine" / "test.npz").unlink()
    with pytest.raises(UserError, match=r"mine.test\.npz"):
        TASKS.build("arrays(mine)", folder)
    with pytest.raises(UserError, match="root"):
        TASKS.build("arrays", folder)


@pytest.mark.parametrize("saver", [np.savez, np.savez_compressed])
def test_no_damage_to_a_file_goes_unseen_or_ends_in_another_error(folder: Path, saver: Callable[..., None]) -> None:
    path = folder / "mine" / "train.npz"
    saver(path, images=PIXELS[:8, :2, :2], labels=LABELS[:8])
    whole, expected = path.read_bytes(), samples(PIXELS[:8, :2, :2], LABELS[:8])
    damaged = [whole[:length] for length in range(0, len(whole), 5)]
    damaged += [whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :] for place in range(len(whole))]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            task = TASKS.build("arrays(mine,validation=0.5)", folder)
        except UserError as error:
            assert "train.npz" in str(error) and "\n" not in str(error)
            refused += 1
        else:  # a byte that says nothing of the arrays, such as the time of day
            assert rows(task.train, task.validation) == expected
    assert refused > len(damaged) / 2


def test_other_files_of_that_name_are_refused(folder: Path) -> None:
    path = folder / "mine" / "train.npz"
    with path.open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(UserError, match="images and labels"):
        TASKS.build("arrays(mine)", folder)
    np.savez(path, images=PIXELS)
    with pytest.raises(UserError, match="labels"):
        TASKS.build("arrays(mine)", folder)


# ---- the test split stays unread


def test_training_and_validation_never_touch_the_test_file(folder: Path) -> None:
    (folder / "mine" / "test.npz").write_bytes(b"unreadable")
    task = TASKS.build("arrays(mine,crop=1,flip=True,cutout=2)", folder)
    task = task.to(torch.device("cpu"))
    Batches(task, 8).batch(0, 5)
    assert sum(len(y) for _, y in eval_batches(task, task.validation, 3)) == 4
    with pytest.raises(UserError, match=r"test\.npz"):
        task.test()


# ---- torchvision's layouts


def idx(array: np.ndarray) -> bytes:
    """The format of the MNIST family: two zeros, the type (8 is uint8), the number of dimensions, each as 4 bytes."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, rows_of_part in (("train", slice(30)), ("t10k", slice(30, 40))):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(PIXELS[rows_of_part, ..., 0]))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(LABELS[rows_of_part].astype(np.uint8)))
    return tmp_path


def test_fashion_mnist_reads_the_four_files(fashion: Path) -> None:
    task = TASKS.build("fashion_mnist", fashion)
    assert task.input_shape == (1, 4, 5) and task.num_classes == 10
    assert rows(task.train, task.validation) == samples(PIXELS[:30, ..., 0], LABELS[:30])
    assert rows(task.test()) == samples(PIXELS[30:, ..., 0], LABELS[30:])


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:7], lambda b: b"", lambda b: b"\0\0\t" + b[3:]])
def test_damaged_files_are_refused_and_those_of_the_test_split_only_when_read(
    fashion: Path, damage: Callable[[bytes], bytes]
) -> None:
    raw = fashion / "FashionMNIST" / "raw"
    test_file, train_file = raw / "t10k-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    test_file.write_bytes(damage(test_file.read_bytes()))
    task = TASKS.build("fashion_mnist", fashion)
    Batches(task, 8).batch(0, 0)
    with pytest.raises(UserError, match=r"FashionMNIST.*damaged"):
        task.test()
    train_file.write_bytes(damage(train_file.read_bytes()))
    with pytest.raises(UserError, match=r"FashionMNIST.*damaged"):
        TASKS.build("fashion_mnist", fashion)


@pytest.mark.parametrize(
    "name, kind, label_key, num_classes", [("cifar10", "CIFAR10", "labels", 10), ("cifar100", "CIFAR100", "fine_labels", 100)]
)
def test_cifar_reads_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, label_key: str, num_classes: int
) -> None:
    dataset = getattr(torchvision().datasets, kind)
    random = np.random.default_rng(0)
    written = {}
    for attribute in ("train_list", "test_list"):  # the official files have checksums, these have none
        monkeypatch.setattr(dataset, attribute, [[file, None] for file, _ in getattr(dataset, attribute)])
        files = [
            (random.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8), random.integers(0, num_classes, 20))
            for _ in getattr(dataset, attribute)
        ]
        written[attribute] = samples(
            np.concatenate([pixels for pixels, _ in files]).transpose(0, 2, 3, 1), np.concatenate([labels for _, labels in files])
        )
        for (file, _), (pixels, labels) in zip(getattr(dataset, attribute), files, strict=True):
            path = tmp_path / dataset.base_folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(pickle.dumps({"data": pixels.reshape(20, -1), label_key: labels.tolist()}))
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": None})
    (tmp_path / dataset.base_folder / dataset.meta["filename"]).write_bytes(pickle.dumps({dataset.meta["key"]: []}))
    task = TASKS.build(name, tmp_path)
    assert task.input_shape == (3, 32, 32) and task.num_classes == num_classes
    assert rows(task.train, task.validation) == written["train_list"]
    assert rows(task.test()) == written["test_list"]


def numbers(count: int, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (count, side, side, 3) and labels, each of the ten classes among them."""
    return random.integers(0, 256, (count, side, side, 3), dtype=np.uint8), np.arange(count) % 10


def test_svhn_reads_the_matrices_whose_tens_are_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    dataset, random = torchvision().datasets.SVHN, np.random.default_rng(0)
    monkeypatch.setattr(dataset, "split_list", {part: [url, file, None] for part, (url, file, _) in dataset.split_list.items()})
    written = {}
    for part, count in (("train", 30), ("test", 20), ("extra", 40)):
        pixels, labels = numbers(count, 32, random)
        written[part] = samples(pixels, labels)
        content = {"X": pixels.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]}
        savemat(tmp_path / f"{part}_32x32.mat", content)
    task, more = TASKS.build("svhn", tmp_path), TASKS.build("svhn(extra=True)", tmp_path)
    assert task.input_shape == (3, 32, 32) and task.num_classes == 10
    assert (task.augmentation.crop, task.augmentation.flip) == (2, False)
    assert rows(task.train, task.validation) == written["train"]
    assert rows(more.train, more.validation) == written["train"] + written["extra"]
    assert rows(task.test()) == rows(more.test()) == written["test"]


def test_stl10_reads_the_binaries_whose_columns_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, random, written = torchvision().datasets.STL10, np.random.default_rng(0), {}
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    (folder / "unlabeled_X.bin").touch()
    for attribute, part, count in (("train_list", "train", 20), ("test_list", "test", 10)):
        monkeypatch.setattr(dataset, attribute, [[file, None] for file, _ in getattr(dataset, attribute)])
        pixels, labels = numbers(count, 96, random)
        written[part] = samples(pixels, labels)
        (folder / f"{part}_X.bin").write_bytes(pixels.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    task = TASKS.build("stl10", tmp_path)
    assert task.input_shape == (3, 96, 96) and task.num_classes == 10
    assert (task.augmentation.crop, task.augmentation.flip) == (4, True)
    assert rows(task.train, task.validation) == written["train"] and rows(task.test()) == written["test"]
    (folder / "test_y.bin").write_bytes(b"\0" * 10)  # as if unlabelled
    with pytest.raises(UserError, match=r"0\.\.9.*255"):
        task.test()


@pytest.mark.parametrize(
    "name, kind, where",
    [
        ("svhn", "SVHN", "train_32x32.mat"),
        ("stl10", "STL10", "stl10_binary"),
        ("cifar10", "CIFAR10", "cifar-10-batches-py"),
        ("cifar100", "CIFAR100", "cifar-100-python"),
        ("fashion_mnist", "FashionMNIST", "FashionMNIST.raw"),
    ],
)
def test_only_absent_files_are_downloaded_and_without_a_network_their_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, where: str
) -> None:
    asked = []

    def no_network(self: object) -> None:
        asked.append(kind)
        raise URLError("no network")

    monkeypatch.setattr(getattr(torchvision().datasets, kind), "download", no_network)
    with pytest.raises(UserError, match=f"{where}.*no network.*put the files there"):
        TASKS.build(name, tmp_path)
    assert asked == [kind]
    place = tmp_path / (where if where.endswith(".mat") else where.replace(".", "/") + "/half")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"half")
    with pytest.raises(UserError, match=f"{where}.*incomplete or damaged"):
        TASKS.build(name, tmp_path)
    assert asked == [kind]


# ---- the import of torchvision


def test_torchvision_is_importable_with_and_without_its_operators() -> None:
    module = torchvision()
    assert module is torchvision() is sys.modules["torchvision"]
    image = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(module.transforms.functional.hflip(image), image.flip(2))


def test_a_torchvision_that_imports_is_left_alone_and_other_failures_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    assert torchvision() is stand_in

    def fails(name: str) -> types.ModuleType:
        raise RuntimeError("something else")

    monkeypatch.setattr("spaces.torchvision_import.importlib.import_module", fails)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision()
    assert sys.modules["torchvision"] is stand_in
