"""Snapshots of inner training to search from, so that one search sees young and old weights alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only


@dataclass(frozen=True)
class Snapshot:
    """The state of module and optimizer after `step` inner steps."""

    step: int
    module: dict[str, Any]
    optimizer: dict[str, Any]


class WeightMemory:
    """At most `capacity` snapshots, copied to `device` (None: each tensor stays where it is).

    A full memory drops its oldest snapshot for a new one. The paper is said to drop the worst; the released code has the
    option but never passes it on, so that the published results come from dropping the oldest.
    """

    def __init__(self, capacity: int = 50, *, device: torch.device | None = None) -> None:
        self.device = device
        self._snapshots: deque[Snapshot] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._snapshots)

    def add(self, step: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Remember a copy of both states; later training does not reach it."""
        self._remember(Snapshot(step, module.state_dict(), optimizer.state_dict()))

    def sample(self, generator: torch.Generator) -> Snapshot:
        """One snapshot, uniform over those held, and taken out: add it again once it has been trained."""
        index = int(torch.randint(len(self), (), generator=generator))
        snapshot = self._snapshots[index]
        del self._snapshots[index]
        return snapshot

    @staticmethod
    def load(snapshot: Snapshot, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Copy the snapshot into both; training them does not reach it."""
        module.load_state_dict(snapshot.module)
        optimizer.load_state_dict(_copy(snapshot.optimizer, None))  # torch keeps the tensors it is given here

    def state_dict(self) -> dict[str, Any]:
        """All snapshots, oldest first, as nested dicts of tensors and numbers: safe for `torch.load(weights_only=True)`."""
        return {"snapshots": [dict(vars(snapshot)) for snapshot in self._snapshots]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold copies of the snapshots of `state_dict()` instead of the present ones."""
        self._snapshots.clear()
        for snapshot in state["snapshots"]:
            self._remember(Snapshot(**snapshot))

    def _remember(self, snapshot: Snapshot) -> None:
        self._snapshots.append(Snapshot(snapshot.step, _copy(snapshot.module, self.device),
                                        _copy(snapshot.optimizer, self.device)))


def _copy(state: dict[str, Any], device: torch.device | None) -> dict[str, Any]:
    return tree_map_only(torch.Tensor, lambda t: t.detach().to(device or t.device, copy=True), state)
