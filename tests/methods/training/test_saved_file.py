"""A saved file that others wrote takes no more memory than it has bytes, names tensors only, and is told for what it is."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from methods.training.checkpoint import Checkpoint, save_whole
from methods.training.saved_file import Foreign, load_saved
from spaces.notation.errors import UserError

STATE = {
    "step": 3,
    "weights": {"a": torch.arange(12.0).view(3, 4).T, "b": torch.tensor(True)},
    "words": ["x"] * 100,
    "nothing": None,
}


def saved(
    path: Path,
    state: object = STATE,
    change: Callable[[str, bytes], bytes] = lambda name, data: data,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """The state as `save_whole` writes it, each member changed."""
    torch.save(state, path.with_suffix(".whole"))
    with zipfile.ZipFile(path.with_suffix(".whole")) as whole, zipfile.ZipFile(path, "w", compression) as archive:
        for name in whole.namelist():
            archive.writestr(name, change(name, whole.read(name)))
    return path


def pickled(text: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, data: text if name.endswith("data.pkl") else data


def unfolding(value: object) -> object:
    for _ in range(12):
        value = [value] * 9
    return value


def test_what_is_saved_is_loaded(tmp_path):
    parameter, shared = torch.nn.Parameter(torch.ones(3)), torch.ones(10)
    save_whole(
        STATE | {"tied": [shared, shared[2:]], "of": parameter, "type": torch.float16, "size": torch.Size([1])}, tmp_path / "x.pt"
    )
    found = load_saved(tmp_path / "x.pt", "cpu")
    assert torch.equal(found["weights"]["a"], STATE["weights"]["a"]) and found["words"] == ["x"] * 100
    assert found["type"] is torch.float16 and torch.equal(found["of"], torch.ones(3))


@pytest.mark.parametrize(
    ("state", "change", "compression", "says"),
    [
        (STATE, lambda name, data: data, zipfile.ZIP_DEFLATED, "it is compressed"),
        ({"x": torch.zeros(1).expand(10**12)}, lambda name, data: data, zipfile.ZIP_STORED, "larger than the numbers"),
        ({"x": torch.zeros(10**12, device="meta")}, lambda name, data: data, zipfile.ZIP_STORED, "names"),
        ({"x": unfolding("x")}, lambda name, data: data, zipfile.ZIP_STORED, "unfold"),
        ({"x": ["word" * 10**5] * 10**4}, lambda name, data: data, zipfile.ZIP_STORED, "unfold"),
        (STATE, pickled(b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x09\x85R."), zipfile.ZIP_STORED, "builtins.bytearray"),
        (STATE, pickled(b"\x80\x02ctorch\nTensor\n\x8a\x05\0\0\0\0\x09\x85R."), zipfile.ZIP_STORED, "torch.Tensor"),
        (STATE, pickled(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."), zipfile.ZIP_STORED, "os.system"),
    ],
)
def test_what_would_grow_is_refused(tmp_path, state, change, compression, says):
    file = saved(tmp_path / "x.pt", state, change, compression)
    with pytest.raises(Foreign, match=says):
        load_saved(file, "cpu")
    with pytest.raises(UserError, match=f"x.pt cannot be read .*{says}.*; remove it"):
        Checkpoint(file, "me").load(torch.device("cpu"))


def test_parts_that_lie_over_each_other_are_refused(tmp_path):
    file = saved(tmp_path / "x.pt")
    with zipfile.ZipFile(file, "a") as archive:
        first = archive.infolist()[0]
        for number in range(100):
            other = zipfile.ZipInfo(f"more/{number}")
            other.header_offset, other.CRC = first.header_offset, first.CRC
            other.file_size = other.compress_size = file.stat().st_size
            archive.filelist.append(other)
        archive._didModify = True
    with pytest.raises(Foreign, match="larger than the file"):
        load_saved(file, "cpu")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(UserError, match="no ordinary file"):
        Checkpoint(tmp_path / "x.pt", "me").load(torch.device("cpu"))


@pytest.mark.parametrize("leads_to", ["elsewhere", "missing"])
def test_nothing_is_written_through_a_link(tmp_path, leads_to):
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "x.part").symlink_to(tmp_path / leads_to)
    (tmp_path / "x.pt").symlink_to(tmp_path / leads_to)
    save_whole(STATE, tmp_path / "x.pt")
    assert (tmp_path / "elsewhere").read_text() == "mine" and not (tmp_path / "missing").exists()
    assert load_saved(tmp_path / "x.pt", "cpu")["step"] == 3 and not (tmp_path / "x.pt").is_symlink()
