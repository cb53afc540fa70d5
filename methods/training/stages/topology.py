"""Which process trains what: every process of a run has a place in the row of stages, and a replica."""

from __future__ import annotations

from dataclasses import dataclass

from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Topology:
    """`processes` in a row, each with contiguous stages, `depth` carries on their way between two; `replicas` of the row, each
    on its share of a batch, which average gradients stage by stage.

    Process p of replica r has the rank p replicas + r, so that on several hosts, which take ranks in order, the replicas of a
    stage are near each other, and only carries cross between hosts.
    """

    processes: int
    depth: int = 3
    replicas: int = 1

    def __post_init__(self) -> None:
        for name, lowest in (("processes", 1), ("depth", 1), ("replicas", 1)):
            if getattr(self, name) < lowest:
                raise UserError(f"{name} is a whole number from {lowest} on, got {getattr(self, name)}")
        if self.size < 2:
            raise UserError("stages are parted among several processes, got processes=1; give 2 or more, or leave it out")

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.processes * self.replicas

    def rank(self, process: int, replica: int) -> int:
        """Of a process in the row of a replica."""
        return process * self.replicas + replica

    def place(self, rank: int) -> tuple[int, int]:
        """The process's place in the row, and its replica."""
        return divmod(rank, self.replicas)


def named(stages: range) -> str:
    """Words for a process: its stages, from 0."""
    return f"stage {stages.start}" if len(stages) == 1 else f"stages {stages.start} to {stages.stop - 1}"
