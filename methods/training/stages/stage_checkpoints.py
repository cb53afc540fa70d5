"""The checkpoints of a run, each process writing those of its own stages, without waiting for the others.

One process writes one file, `checkpoint.pt`. Of several, that of the stages a..b - 1 writes `checkpoint.a-b@n.pt` after
iteration n, and keeps the file before, since another process may be killed before it has written its own. A run goes on from
the largest n that all stages have, whatever processes wrote them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from methods.training import checkpoint
from methods.training.checkpoint import Checkpoint, damage_told, save_whole
from methods.training.saved_fields import COUNT, MAPPING, Field, check_fields

PART = re.compile(r"(?P<stem>.+)\.(?P<start>\d+)-(?P<stop>\d+)@(?P<iteration>\d+)\.(pt|part)")
LISTED = Field("a list", lambda held: isinstance(held, list))


class StageCheckpoints:
    """Those of the run at `path`, of the `stages` of this process out of `num_stages`, loaded onto the device. With `path` None
    nothing is saved.

    `described` names the run; a file of another one is a UserError, and so is one that is damaged.
    """

    def __init__(self, path: Path | None, described: str, *, stages: range, num_stages: int, device: torch.device) -> None:
        self.path, self.described, self.stages, self.is_whole = path, described, stages, len(stages) == num_stages
        self.device, self._whole, self._all = device, Checkpoint(path, described), range(num_stages)
        self._held: dict[str, Any] | None = None  # the whole state, between being looked at and being taken
        self._saved_at = time.monotonic()

    def due(self, *, force: bool) -> bool:
        """Whether it is time to save."""
        return self.path is not None and (force or time.monotonic() - self._saved_at > checkpoint.SECONDS_BETWEEN)

    def available(self) -> list[int]:
        """The iterations after which the state of all `stages` is there; 0, the beginning, always is."""
        if self.path is None:
            return [0]
        found: dict[int, set[int]] = {0: set(self.stages)}
        for file in self._parts():
            found.setdefault(file.iteration, set()).update(file.stages)
        if self.path.exists():
            self._held = self._whole.load(self.device)
            self.check_fields(self._held, {"iteration": COUNT})
            assert self._held is not None
            found.setdefault(self._held["iteration"], set()).update(self._all)
        return sorted(iteration for iteration, stages in found.items() if stages.issuperset(self.stages))

    def load(self, iteration: int) -> dict[str, Any]:
        """The state of `stages` after so many iterations, one of those that `available` has just given."""
        held, self._held = self._held, None
        if held is not None and held["iteration"] == iteration:
            return held if self.is_whole else self._cut_out(held)
        files = [file for file in self._parts() if file.iteration == iteration and set(file.stages) & set(self.stages)]
        states = {file.stages: Checkpoint(file.path, self.described).load(self.device) for file in files}
        return self._joined({stages: state for stages, state in states.items() if state is not None})

    def save(self, state: dict[str, Any]) -> None:
        """Write the state of `stages` after `state["iteration"]`; those of before the last one, which all have, go."""
        if self.path is None:
            return
        self._saved_at = time.monotonic()
        if self.is_whole:
            self._whole.save(state)
            return
        iteration = state["iteration"]
        name = f"{self.path.stem}.{self.stages.start}-{self.stages.stop}@{iteration}.pt"
        save_whole(state | {"described": self.described}, self.path.with_name(name))
        before = sorted({file.iteration for file in self._parts() if file.iteration < iteration})
        for file in self._parts():
            if before and file.iteration < before[-1] and file.stages == self.stages:
                file.path.unlink(missing_ok=True)

    def damage_told(self) -> AbstractContextManager[None]:
        """For taking over what was loaded: whatever a damaged file leads into is a UserError that names it."""
        return damage_told(f"the checkpoint {self.path}", "remove it to begin anew")

    def check_fields(self, held: Any, fields: Mapping[str, Field], *, within: str = "") -> None:
        """Refuse fields that are missing or hold something else."""
        check_fields(f"the checkpoint {self.path}", "remove it to begin anew", held, fields, within=within)

    def _parts(self) -> list[_Part]:
        assert self.path is not None
        return [part for part in parts_of(self.path) if part.path.suffix == ".pt"]

    def _cut_out(self, whole: dict[str, Any]) -> dict[str, Any]:
        """Of the state of all stages that of `stages`; whoever takes the weights over takes those that it needs."""
        self.check_fields(whole, {"trainer": MAPPING})
        trainer = whole["trainer"]
        self.check_fields(trainer, {"optimizers": LISTED, "scalers": LISTED}, within="trainer")
        own = slice(self.stages.start, self.stages.stop)
        return whole | {"trainer": trainer | {name: trainer[name][own] for name in ("optimizers", "scalers")}}

    def _joined(self, states: Mapping[range, dict[str, Any]]) -> dict[str, Any]:
        """Of the states of stages that cover `stages` that of these."""
        joined: dict[str, Any] = {"best": {}, "trainer": {"method": {}, "optimizers": [], "scalers": []}}
        for k in self.stages:
            stages, state = next((stages, state) for stages, state in states.items() if k in stages)
            self.check_fields(state, {"best": MAPPING, "trainer": MAPPING})
            self.check_fields(state["best"], {"weights": MAPPING}, within="best")
            self.check_fields(state["trainer"], {"method": MAPPING, "optimizers": LISTED, "scalers": LISTED}, within="trainer")
            weights = joined["best"].get("weights", {}) | state["best"]["weights"]
            trainer = joined["trainer"]
            trainer["method"] |= state["trainer"]["method"]
            with self.damage_told():
                for name in ("optimizers", "scalers"):
                    trainer[name].append(state["trainer"][name][k - stages.start])
            joined = {**joined, **state, "best": {**state["best"], "weights": weights}, "trainer": trainer}
        return joined


class _Part:
    """A file of the stages of one process."""

    def __init__(self, path: Path, match: re.Match[str]) -> None:
        self.path, self.iteration = path, int(match["iteration"])
        self.stages = range(int(match["start"]), int(match["stop"]))


def parts_of(path: Path) -> Iterable[_Part]:
    """The files of stages that lie beside the checkpoint `path`, unfinished ones included."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        match = PART.fullmatch(name)
        if match and match["stem"] == path.stem:
            yield _Part(path.with_name(name), match)


def has_checkpoint(path: Path) -> bool:
    """Whether something of a run is saved there."""
    return path.exists() or any(part.path.suffix == ".pt" for part in parts_of(path))
