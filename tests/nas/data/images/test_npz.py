"""Arrays from outside: of every type, layout and size, damaged and malicious, each read right or refused in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

import nas.data.images.npz
from nas.data.available_memory import available_memory
from nas.data.images.npz import read_npz
from nas.data.images.pixel_arrays import channels_first
from nas.data.new.new_images import ImageArray
from nas.tasks import TASKS
from spaces.notation.errors import UserError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3
RUN = {"kind": "images", "shape": [3, 6, 5], "mean": [0.0] * 3, "std": [1.0] * 3, "zoom": 1.0, "classes": ["a", "b", "c"]}


def refusal(folder: Path, **arrays: np.ndarray) -> str:
    """Of the task on these arrays, in one short line."""
    np.savez(folder / "train.npz", **({"images": IMAGES, "labels": LABELS} | arrays))
    (folder / "test.npz").touch()
    with pytest.raises(UserError) as error:
        TASKS.build("arrays('.',validation=0.25)", folder)
    text = str(error.value)
    assert "\n" not in text and len(text.replace(str(folder), "")) < 400 and "train.npz" in text
    return text


def written(shape: Any, kind: str = "|u1", data: bytes = b"", *, header: str | None = None) -> bytes:
    """An .npy file with this header."""
    stream = io.BytesIO()
    if header is None:
        npy.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    else:
        stream.write(npy.magic(1, 0) + len(header).to_bytes(2, "little") + header.encode("latin1"))
    return stream.getvalue() + data


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


# ---- layouts


@pytest.mark.parametrize(
    "shape, first",
    [
        ((9, 3, 32, 32), True),
        ((9, 1, 28, 28), True),
        ((9, 4, 8, 8), True),
        ((9, 2, 16, 16), True),
        ((9, 3, 240, 320), True),
        ((9, 3, 4, 4), True),
        ((9, 1, 3, 3), True),
        ((9, 32, 32, 3), False),
        ((9, 28, 28, 1), False),
        ((9, 3, 3, 3), False),
        ((9, 4, 5, 3), False),
        ((9, 3, 7, 3), False),
        ((9, 1, 1, 200), False),
        ((9, 3, 3, 200), False),
        ((9, 5, 5, 200), False),
        ((9, 32, 32, 12), False),
        ((9, 2, 2, 1), False),
        ((9, 2, 5, 4), False),
        ((9, 1, 30, 1), False),
        ((9, 28, 28), False),
        ((9, 3, 30, 30, 3), False),
    ],
)
def test_channels_first_is_told_by_the_shape(shape: tuple[int, ...], first: bool) -> None:
    assert channels_first(shape) == first


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_is_refused_with_the_transpose_to_write(tmp_path: Path, channels: int) -> None:
    images = RANDOM.integers(0, 256, (12, channels, 8, 9), dtype=np.uint8)
    text = refusal(tmp_path, images=images)
    assert "channels-first" in text and text.endswith("save images.transpose(0, 2, 3, 1)")
    np.savez(tmp_path / "train.npz", images=images.transpose(0, 2, 3, 1), labels=LABELS)
    assert TASKS.build("arrays('.',validation=0.25)", tmp_path).input_shape == (channels, 8, 9)


def test_predict_says_the_same_of_its_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", images=IMAGES.transpose(0, 3, 1, 2))
    with pytest.raises(UserError, match=r"\(12, 3, 6, 5\), channels first; save images\.transpose\(0, 2, 3, 1\)"):
        ImageArray.read(tmp_path / "new.npz", RUN)
    np.savez(tmp_path / "new.npz", images=np.asfortranarray(IMAGES))
    ((_, x),) = ImageArray.read(tmp_path / "new.npz", RUN).batches(100)
    np.testing.assert_allclose(x.permute(0, 2, 3, 1), IMAGES / 255, rtol=1e-6)


@pytest.mark.parametrize("kind", [">i8", "<i2", ">u4", "u1"])
def test_every_order_of_bytes_and_axes_in_memory_is_read(tmp_path: Path, kind: str) -> None:
    for part in ("train", "test"):
        np.savez_compressed(tmp_path / f"{part}.npz", images=np.asfortranarray(IMAGES), labels=LABELS.astype(kind))
    test = TASKS.build("arrays('.',validation=0.25)", tmp_path).test()
    np.testing.assert_array_equal(test.images, IMAGES)
    np.testing.assert_array_equal(test.labels, LABELS)


# ---- types: the advice is followed, and the task is read


def objects(values: np.ndarray) -> np.ndarray:
    held = np.empty(len(values), object)
    held[:] = list(values)
    return held


@pytest.mark.parametrize(
    "images, says",
    [
        (IMAGES / 255, "numpy.rint(images * 255).astype(numpy.uint8)"),
        (IMAGES.astype(np.float32), "numpy.rint(images).astype(numpy.uint8)"),
        (IMAGES.astype(np.int64), "images.astype(numpy.uint8)"),
        (IMAGES.astype(np.uint16) * 257, "(images >> 8).astype(numpy.uint8)"),
        (IMAGES > 100, "images.astype(numpy.uint8) * 255"),
    ],
)
def test_images_of_another_type_are_refused_with_the_line_that_mends_them(tmp_path: Path, images: np.ndarray, says: str) -> None:
    assert f"save {says}" in refusal(tmp_path, images=images)
    mended = eval(says, {"numpy": np, "images": images})
    np.testing.assert_array_equal(mended, (IMAGES > 100) * 255 if images.dtype == bool else IMAGES)
    assert mended.dtype == np.uint8


@pytest.mark.parametrize(
    "labels, says",
    [
        (LABELS[:, None], "labels[:, 0]"),
        (np.eye(3)[LABELS], "labels.argmax(1)"),
        (np.eye(3, dtype=bool)[LABELS], "labels.argmax(1)"),
        (LABELS.astype(float), "labels.astype(numpy.int64)"),
        (LABELS % 2 == 0, "labels.astype(numpy.int64)"),
        (LABELS + 1, "labels - 1"),
    ],
)
def test_labels_of_another_kind_are_refused_with_the_line_that_mends_them(tmp_path: Path, labels: np.ndarray, says: str) -> None:
    assert f"save {says}" in refusal(tmp_path, labels=labels)
    mended = eval(says, {"numpy": np, "labels": labels})
    np.testing.assert_array_equal(mended, LABELS % 2 == 0 if labels.dtype == bool and labels.ndim == 1 else LABELS)


def test_what_needs_more_than_a_line_is_told_too(tmp_path: Path) -> None:
    words = np.array(["cat", "dog", "emu"])[LABELS]
    assert "number the words 0..C-1, alike in both files" in refusal(tmp_path, labels=words)
    assert "without gaps: numpy.searchsorted" in refusal(tmp_path, labels=np.where(LABELS == 2, 5, LABELS))
    assert "from -1 to 1: scale them" in refusal(tmp_path, images=np.linspace(-1, 1, IMAGES.size).reshape(IMAGES.shape))
    for broken in (LABELS + np.nan, LABELS + 0.5, LABELS.astype("M8[s]"), LABELS.astype(complex)):
        assert "whole numbers" in refusal(tmp_path, labels=broken)
    assert "numpy.stack([...]) of uint8 images of one size" in refusal(tmp_path, images=objects(IMAGES))
    assert "labels holds Python objects" in refusal(tmp_path, labels=objects(LABELS))


# ---- what is no such file


def test_other_files_of_that_name_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(UserError, match=r"one array of numpy\.save under another name; write both with numpy\.savez"):
        read_npz(path, ["images"])
    np.savez(path, x_train=IMAGES, y_train=LABELS)
    with pytest.raises(UserError, match="only x_train, y_train, and the array images and the array labels is missing"):
        read_npz(path, ["images", "labels"])
    for content in (b"", b"no zip", pickle.dumps(IMAGES), b"PK\5\6" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.npz"):
            read_npz(path, ["images"])
    with pytest.raises(UserError, match=r"b\.npz"):
        read_npz(tmp_path / "b.npz", ["images"])


@pytest.mark.parametrize(
    "member",
    [
        written((2**45,)),
        written((2**62, 2**62)),
        written((3, 4), data=bytes(11)),
        written((3, 4), data=bytes(13)),
        written((-1, 4)),
        written((4,), "|S0"),
        written((10**9,), "|V0"),
        written((2,), [("a", "<i4"), ("b", "<i4")], bytes(16)),
        written((), "|O"),
        *(
            written((), header=header)
            for header in (
                "",
                "(" * 5000,
                "{",
                "[" * 9000,
                "{'descr': 'u1'}",
                "'" * 3,
                "{'descr': '|u1', 'fortran_order': False, 'shape': (1" + "0" * 4000 + ",)}",
                "{'descr': '|u1', 'fortran_order': False, 'shape': (3,",
                "{'descr': (,), 'fortran_order': 1, 'shape': 2}",
                "\0" * 100,
                "1" * 9000,
                "{'descr': [('a',)], 'fortran_order': False, 'shape': (1,)}",
                "{'descr': {'x': 1}, 'fortran_order': False, 'shape': (1,)}",
                "{'descr': ('|u1', (2**9,)), 'fortran_order': False, 'shape': (1,)}",
                "   if x:\n \ty",
                "{[]: 1}",
                "-" * 9999,
            )
        ),
        b"\x93NUMPY\3\0" + bytes(50),
        b"\x93NUMPY\2\0\xff\xff\xff\xff" + b" " * 20_000,
        b"\x93NUMPY\x09\x09",
        b"",
        b"x",
    ],
)
def test_headers_that_lie_or_are_damaged_are_one_line_and_no_memory(tmp_path: Path, member: bytes) -> None:
    path = archive(tmp_path / "a.npz", images=member)
    with pytest.raises(UserError) as error:
        read_npz(path, ["images"])
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_what_unpacks_to_much_more_than_it_is_or_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = np.zeros((30, 100, 100), np.uint8)
    np.savez_compressed(tmp_path / "zeros.npz", images=zeros)
    np.testing.assert_array_equal(read_npz(tmp_path / "zeros.npz", ["images"])[0], zeros)
    monkeypatch.setattr(nas.data.images.npz, "_LARGE", 2**18)
    with pytest.raises(UserError, match=r"unpacks from [\d,]{3,5} bytes to 300,000, as no images do"):
        read_npz(tmp_path / "zeros.npz", ["images"])
    np.savez_compressed(tmp_path / "noise.npz", images=RANDOM.integers(0, 256, zeros.shape, dtype=np.uint8))
    np.savez(tmp_path / "plain.npz", images=zeros)
    assert [len(read_npz(tmp_path / name, ["images"])[0]) for name in ("noise.npz", "plain.npz")] == [30, 30]
    monkeypatch.setattr(nas.data.images.npz, "available_memory", lambda: 299_999)
    with pytest.raises(UserError, match="take 300,000 bytes of memory and 299,999 are free"):
        read_npz(tmp_path / "plain.npz", ["images"])


def test_available_memory_is_that_of_the_machine_or_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.available_memory._MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr("nas.data.available_memory._CGROUP", tmp_path)
    assert available_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal:  900 kB\nMemAvailable:   500 kB\nHugePages_Total: 0\n")
    assert available_memory() == 512_000
    for name, value in (("memory.max", "max"), ("memory.current", "1000")):
        (tmp_path / name).write_text(f"{value}\n")
    assert available_memory() == 512_000
    (tmp_path / "memory.max").write_text("5000\n")
    assert available_memory() == 4000
