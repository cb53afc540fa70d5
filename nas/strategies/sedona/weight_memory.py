"""Snapshots of inner training to search from, on disk, so that one search sees young and old weights alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from methods.training.checkpoint import damage_told, save_whole
from methods.training.saved_fields import COUNT, TEXT, Field, check_fields, number
from methods.training.saved_file import load_saved
from spaces.notation.errors import UserError

INDEX = {"num_added": COUNT, "snapshots": Field("a list", lambda held: isinstance(held, list))}
SNAPSHOT = {"file": TEXT, "step": COUNT, "error": number("a number", lambda held: True)}
WAY_OUT = "remove the checkpoints of the searches that name it, to begin these anew"


@dataclass(frozen=True)
class Snapshot:
    """The state after `step` inner steps, when the loss or error rate was `error`; `file` is relative to the memory's folder."""

    file: str
    step: int
    error: float


class WeightMemory:
    """At most `capacity` snapshots, each an immutable file in `folder`, which is the memory's own, read onto `device`.

    eviction  what a full memory drops for a new snapshot: the oldest, or the worst, which is the one of the highest error
              (of equals the oldest). The paper is said to drop the worst; the released code has the option but never
              passes it on, so that the published results come from dropping the oldest

    `state_dict` is an index of names, steps and errors. A checkpoint holds it, and may be older than the folder; so a
    file stays when its snapshot leaves the memory, until `collect`. Call that when a checkpoint has been saved or loaded,
    and only then: so a process may be killed at any moment, and the folder never holds more than `capacity` files and
    those added between two calls.
    """

    def __init__(
        self, folder: Path, capacity: int = 50, *, eviction: Literal["oldest", "worst"] = "oldest", device: torch.device
    ) -> None:
        self.folder, self.capacity, self.eviction, self.device = folder, capacity, eviction, device
        self._snapshots: list[Snapshot] = []
        self._num_added = 0

    def __len__(self) -> int:
        return len(self._snapshots)

    def add(self, step: int, module: nn.Module, optimizer: torch.optim.SGD, error: float) -> None:
        """Remember both states as they are now."""
        snapshot = Snapshot(f"{self._num_added}.snapshot", step, error)
        training = optimizer.state_dict()
        momentum = {
            i: buffers["momentum_buffer"] for i, buffers in training["state"].items() if buffers["momentum_buffer"] is not None
        }
        # Joined, as thousands of small tensors take two to three times as long to write and to read.
        save_whole(
            asdict(snapshot)
            | {
                "module": _joined(module.state_dict().values()),
                "momentum": _joined(momentum.values()),
                "momentum_of": list(momentum),
                "param_groups": training["param_groups"],
            },
            self.folder / snapshot.file,
        )
        self._num_added += 1
        self._remember(snapshot)

    def sample(self, generator: torch.Generator) -> Snapshot:
        """One snapshot, uniform over those held, and taken out: add it again once it has been trained.

        Load it before the next `collect`.
        """
        return self._snapshots.pop(int(torch.randint(len(self), (), generator=generator)))

    def load(self, snapshot: Snapshot, module: nn.Module, optimizer: torch.optim.SGD) -> None:
        """Set both to the snapshot's state; a UserError where its file is missing or damaged."""
        path = self._path(snapshot)
        weights = module.state_dict()  # shares its storage with the module
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        with damage_told(f"the snapshot {path}", WAY_OUT):
            saved = load_saved(path, self.device)
            owners = [parameters[i] for i in saved["momentum_of"]]
            values = _apart(saved["module"], weights.values())
            buffers = {
                i: {"momentum_buffer": torch.empty_like(owner).copy_(buffer)}  # in the memory layout of the weights
                for i, owner, buffer in zip(saved["momentum_of"], owners, _apart(saved["momentum"], owners), strict=True)
            }
            groups = saved["param_groups"]
        for weight, value in zip(weights.values(), values, strict=True):
            weight.copy_(value)
        optimizer.load_state_dict({"state": buffers, "param_groups": groups})

    def clear(self) -> None:
        """Remove every snapshot."""
        self._snapshots.clear()

    def collect(self) -> None:
        """Delete the folder's snapshots that the memory no longer names, and what a killed process left of a write."""
        named = {snapshot.file for snapshot in self._snapshots}
        for path in self.folder.glob("*"):
            if path.suffix in (".snapshot", ".part") and path.name not in named:
                path.unlink()

    def adopt(self, folder: Path, index: Mapping[str, Any]) -> None:
        """Add the snapshots of another memory, of which `folder` and `index`, its `state_dict()`, are given.

        They are read where they are and never deleted: this is how several searches share one pretraining. The other
        memory must not delete them either, so it must not go on.
        """
        for entry in index["snapshots"]:
            path = (folder / entry["file"]).resolve()
            file = os.path.relpath(path, self.folder.resolve())  # so that all folders may be moved together
            self._remember(Snapshot(file, entry["step"], entry["error"]))
        self._check()

    def state_dict(self) -> dict[str, Any]:
        """The index: plain numbers and names, oldest first."""
        return {"num_added": self._num_added, "snapshots": [asdict(snapshot) for snapshot in self._snapshots]}

    def load_state_dict(self, index: Mapping[str, Any]) -> None:
        """Hold the snapshots of an index instead of the present ones; a UserError where a file is missing."""
        check = partial(check_fields, f"the index of the weight memory {self.folder}", WAY_OUT)
        check(index, INDEX)  # files are named after the number
        for entry in index["snapshots"]:
            check(entry, SNAPSHOT, within="snapshots")
        self._num_added = index["num_added"]
        self._snapshots = [Snapshot(**entry) for entry in index["snapshots"]]
        self._check()

    def _remember(self, snapshot: Snapshot) -> None:
        if len(self) == self.capacity:
            worst = max(self._snapshots, key=lambda held: held.error)
            self._snapshots.remove(worst if self.eviction == "worst" else self._snapshots[0])
        self._snapshots.append(snapshot)

    def _check(self) -> None:
        for snapshot in self._snapshots:
            self._path(snapshot)

    def _path(self, snapshot: Snapshot) -> Path:
        path = (self.folder / snapshot.file).resolve()  # the own folder, by way of which another is reached, may not be there yet
        if not path.exists():
            raise UserError(f"the snapshot {path} of the weight memory is missing; put it back, or {WAY_OUT}")
        return path


def bytes_needed(module: nn.Module, optimizer: torch.optim.SGD, capacity: int) -> int:
    """The disk space of `capacity` snapshots once every weight has its momentum, but for a few kB each.

    The most that a folder holds is that of the memory's capacity and of the snapshots added between two collections.
    """
    weights = sum(tensor.nbytes for tensor in module.state_dict().values())
    momentum = sum(parameter.nbytes for group in optimizer.param_groups if group["momentum"] for parameter in group["params"])
    return capacity * (weights + momentum)


def _joined(tensors: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
    """All tensors of each dtype one after another in a new tensor on the CPU."""
    same: dict[str, list[torch.Tensor]] = {}
    for tensor in tensors:
        same.setdefault(str(tensor.dtype), []).append(tensor.detach().flatten())
    return {dtype: torch.cat(parts).cpu() for dtype, parts in same.items()}


def _apart(joined: Mapping[str, torch.Tensor], like: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """What `_joined` was given, in the shapes of `like`; a RuntimeError where the numbers of elements differ."""
    like = list(like)
    sizes: dict[str, list[int]] = {dtype: [] for dtype in joined}
    for tensor in like:
        sizes[str(tensor.dtype)].append(tensor.numel())
    parts = {dtype: iter(joined[dtype].split(sizes[dtype])) for dtype in joined}
    return [next(parts[str(tensor.dtype)]).view(tensor.shape) for tensor in like]
