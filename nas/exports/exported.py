"""What is exported: a trained run up to one of its exits, or with all of them, so that inputs leave at the first that is sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from methods.method import Method
from nas.exits.adaptive import check_reachable, check_threshold
from nas.exits.confidence import CONFIDENCES
from nas.exits.predict import temperature_of
from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Adaptive:
    """A rule of confidence by its name, and how sure an exit has to be."""

    rule: str
    threshold: float

    @classmethod
    def read(cls, text: str) -> Adaptive:
        """`max_softmax:0.9`; a rule that is not of the table, or no threshold in (0, 1], is a UserError."""
        rule, _, number = text.partition(":")
        try:
            threshold = float(number)
        except ValueError:
            raise UserError(f"--adaptive is a rule and its threshold, such as max_softmax:0.9, got {text}") from None
        if rule not in CONFIDENCES:
            raise UserError(
                f"an exported network has the rules {', '.join(CONFIDENCES)}, got {rule}; a rule of your own would need your code"
            )
        check_threshold(threshold)
        if threshold > 1:
            raise UserError(f"an exported threshold is a confidence above 0 and at most 1, got {number}; give --exit instead")
        return cls(rule, threshold)


@dataclass(frozen=True)
class Exported:
    """A run, the depth of the exit that answers (or at which all that stayed so long leave), the rule by which inputs leave
    earlier, None where none does, and whether logits are divided by the temperatures that were fitted on validation."""

    run: TrainedRun
    depth: int
    adaptive: Adaptive | None = None
    calibrated: bool = False

    @classmethod
    def of(cls, run: TrainedRun, *, depth: int | None, adaptive: Adaptive | None, calibrated: bool) -> Exported:
        """What was asked for, checked; without a depth the last exit."""
        num_blocks = run.decoupling.num_blocks
        depth = num_blocks if depth is None else depth
        with_logits = [exit.depth for exit in run.exits]
        if not 1 <= depth <= num_blocks:
            raise UserError(f"--exit is the number of an exit, 1 to {num_blocks} in this run, got {depth}")
        if depth not in with_logits:
            raise UserError(f"exits of this run that give logits are {', '.join(map(str, with_logits))}, got --exit {depth}")
        if calibrated and adaptive is None:
            raise UserError(
                "--calibrate divides the logits that a rule of --adaptive is given, got no --adaptive; leave it out, the "
                "temperature stands in metadata.json"
            )
        found = cls(run, depth, adaptive, calibrated)
        if adaptive is None:
            return found
        if num_blocks == 1:
            raise UserError("--adaptive lets inputs leave at an early exit, but this run has one block; leave it out")
        if len(with_logits) < num_blocks:
            raise UserError(
                f"--adaptive needs logits at every exit, which this run has at depth {with_logits[0]} alone; leave it out"
            )
        rule = CONFIDENCES[adaptive.rule]
        check_reachable(found.method, rule, adaptive.threshold, found.temperatures, depth - 1)
        return found

    @cached_property
    def method(self) -> Method:
        """The method with the run's weights, in evaluation mode, on the CPU, which nobody changes."""
        return self.run.build()

    def another_method(self) -> Method:
        """The same again, for one's own use."""
        return self.run.build()

    @cached_property
    def temperatures(self) -> list[float]:
        """What divides the logits of each exit that runs, from the first of `depths` on."""
        of_depth = {exit.depth: exit for exit in self.run.exits}
        return [temperature_of(self.run, of_depth[depth], self.calibrated) for depth in self.depths]

    @property
    def depths(self) -> range:
        """Those of the exits that may answer."""
        return range(1 if self.adaptive else self.depth, self.depth + 1)

    @property
    def num_features(self) -> int:
        """How many numbers stand beside each input."""
        features: Mapping[str, Sequence[Any]] | None = self.run.inputs.get("features")
        return len(features["mean"]) if features else 0
