"""Reading what `save_whole` wrote, which others may have written: it takes no more memory than the file has bytes."""

from __future__ import annotations

import errno
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

_PLAIN = {"collections OrderedDict", "torch Size", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
_LARGE = 2**20  # what a value may take, whatever its file says
_UNFOLDED = 16  # times its bytes, names and texts that come several times are long when written out


class Foreign(ValueError):
    """What no file that `save_whole` wrote has."""


def load_saved(path: Path, device: torch.device | str) -> Any:
    """The state that was saved, with its tensors on `device`; Foreign, or what damaged files lead torch into, is raised.

    Refused before anything is taken: what is no ordinary file, members that are compressed or lie over each other, and names
    of anything but tensors. Refused afterwards: tensors larger than their numbers, and values that hold each other many times.
    """
    if not path.is_file():
        raise Foreign("it is no ordinary file")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise Foreign("it is compressed, as no file of this program is")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise Foreign("its parts are larger than the file")
        try:
            pickled = [archive.read(member) for member in members if member.filename.lower().endswith("data.pkl")]
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise Foreign("its parts lie outside the file") from None
    for text in pickled:
        _check_names(text)
    saved = torch.load(path, map_location=device, weights_only=True)
    _check_values(saved, _LARGE + _UNFOLDED * sum(map(len, pickled)))
    return saved


def _check_names(pickled: bytes) -> None:
    for code, name, _ in pickletools.genops(pickled):
        if code.name == "GLOBAL" and not (name in _PLAIN or _is_type(str(name))):
            raise Foreign(f"it names {str(name)[:60].replace(' ', '.')}, which is neither a tensor nor plain data")


def _is_type(name: str) -> bool:
    module, _, own = name.partition(" ")
    return module == "torch" and (own.endswith("Storage") or isinstance(getattr(torch, own, None), torch.dtype))


def _check_values(saved: Any, most: int) -> None:
    """Walk through all that is held, as often as it is held, and stop where that is more than a file has room for."""
    left, seen = [saved], 0
    while left:
        value = left.pop()
        seen += 1 + (len(value) if isinstance(value, str | bytes | list | tuple | set | dict) else 0)
        if seen > most:
            raise Foreign("its values unfold to far more than the file holds")
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            left += value
        elif isinstance(value, torch.Tensor) and not _is_dense(value):
            raise Foreign("it has a tensor that is larger than the numbers in it")


def _is_dense(tensor: torch.Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and not tensor.is_meta
        and (tensor.nbytes <= max(tensor.untyped_storage().nbytes(), _LARGE))
    )
