"""The other processes of a run, as the process of its first stage sees them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from methods.method import Method
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer


class Others(Protocol):
    """The processes that train the stages behind `stages`, side by side with this one.

    What fails in one of them is raised here: Diverged, a StageOutOfMemory, a UserError, or a LostProcess where it is gone.
    """

    @property
    def stages(self) -> range:
        """The stages that this process trains."""

    @property
    def num_savers(self) -> int:
        """How many processes, this one included, save and tell the weights of their stages."""

    def trainer(self, method: Method, settings: TrainingSettings, **named: Any) -> Trainer:
        """The Trainer of this process."""

    def begin(
        self, trainer: Trainer, checkpoint: Path | None, described: str, trained_stages: int, *, exit_errors: bool
    ) -> set[int]:
        """Let each make ready, to score all exits in validations with `exit_errors`; the iterations whose state all of them have
        in their checkpoints, 0 among them."""

    def load(self, iteration: int) -> None:
        """Let all go on from the checkpoint of so many iterations."""

    def announce(self, item: Any) -> None:
        """An item that is about to be handled here, which replicas of this process handle too."""

    def send(self, item: Any) -> None:
        """What an item that was handled here asks of the next process."""

    def told(self, *, waits: bool) -> Iterable[Any]:
        """What was told back since the last time; waits until there is something if asked to."""

    def end(self) -> None:
        """The run is over, or has failed; all forget it."""
