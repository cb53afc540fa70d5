"""What each exit of a run scores and costs, and adaptive inference: a row for each exit, and for each threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from methods.table import traits
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE, MeasuredRun, Measurement, Row, Rows
from nas.exits.answers import exit_answers, exit_costs
from nas.exits.calibration import expected_calibration_error
from nas.exits.curves import curves
from nas.exits.timing import exit_seconds
from nas.records.columns import tells_runs_apart
from nas.records.log import Cell, Log
from nas.records.results import Results
from nas.records.row_kinds import CURVES, EXITS
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Exits(Measurement):
    """`exits`, a row for each exit of a run, and `curves`, a row for each threshold of each confidence rule.

    With `calibrated` every exit's logits are divided by a temperature that is fitted on the validation split.
    """

    exits: Log
    curves: Log
    calibrated: bool = False
    name = "exits"

    @classmethod
    def of(cls, results: Results, *, calibrated: bool) -> Exits:
        """`exits.csv` and `curves.csv`; exits that contradict each other are a UserError."""
        exits = results.log("exits.csv", EXITS)
        _check_depths(exits)
        return cls(exits, results.log("curves.csv", CURVES), calibrated)

    @property
    def settings(self) -> Row:
        return {"calibrated": self.calibrated or None}

    @property
    def rows(self) -> tuple[Rows, ...]:
        return Rows(self.exits, ("depth",)), Rows(self.curves, ("rule", "threshold"))

    def check(self, method: str, num_blocks: int) -> None:
        if not traits(method).has_exit_logits:
            raise UserError(
                f"early exits need the logits of heads, but those of {method} give none; leave --exits, or the method, out"
            )

    def is_complete(self, key: Mapping[str, Cell]) -> bool:
        """Each depth is there, and where there are several the curves, with as many points as they have. Rows of older versions
        do not say how many that is; their curves are whole where each has its last point and the chosen one. Exits of an older
        version without seconds stay so."""
        exits, points = self.recorded(key)
        if not exits:
            return False
        num_blocks = int(exits[0]["num_blocks"])
        if {int(row["depth"]) for row in exits} != set(range(1, num_blocks + 1)):
            return False
        if num_blocks == 1:
            return True
        counts = [int(row["num_points"]) for row in points if row.get("num_points")]
        return (
            len(points) >= max(counts)
            if counts
            else bool(points)
            and all(_has_its_ends([row for row in points if row["rule"] == rule]) for rule in {row["rule"] for row in points})
        )

    def measure(self, run: MeasuredRun) -> Sequence[Sequence[Row]]:
        problem, method = run.problem, run.method
        data, precision = problem.data, problem.settings.precision
        parts = {"validation": data.validation, "test": run.test}
        raw = {name: exit_answers(method, data.eval_batches(part, EVAL_BATCH_SIZE), precision) for name, part in parts.items()}
        temperatures = raw["validation"].temperatures() if self.calibrated else None
        answers = {name: own.divided(temperatures) if temperatures else own for name, own in raw.items()}
        costs = exit_costs(lambda: problem.build(run.decoupling), data.input_shape)
        points = curves(answers["validation"], answers["test"], costs)
        seconds = exit_seconds(
            method, data, run.test, EVAL_BATCH_SIZE, [(p.rule, p.threshold) for p in points], temperatures, precision
        )
        size: Row = {"num_blocks": method.net.num_blocks}
        samples: Row = {"timed_samples": seconds.num_samples}
        exit_rows: list[Row] = [{**size, "depth": k + 1, **asdict(cost)} for k, cost in enumerate(costs)]
        for name in parts:
            errors, losses = raw[name].errors(), raw[name].losses()
            for k, row in enumerate(exit_rows):
                row |= {
                    f"{name}_error": errors[k],
                    f"{name}_loss": losses[k],
                    f"{name}_ece": expected_calibration_error(answers[name].logits[k], answers[name].y),
                }
        for k, row in enumerate(exit_rows):
            row |= {"temperature": temperatures[k] if temperatures else None, "seconds": seconds.exits[k], **samples}
        curve_rows: list[Row] = [
            {
                **size,
                **asdict(point),
                "test_shares": " ".join(f"{share:.4f}" for share in point.test_shares),
                "test_seconds": own,
                **samples,
                "num_points": len(points),
            }
            for point, own in zip(points, seconds.points, strict=True)
        ]
        return exit_rows, curve_rows


def _has_its_ends(curve: Sequence[Mapping[str, str]]) -> bool:
    return any(float(row["threshold"]) == math.inf for row in curve) and any(row["chosen"] == "True" for row in curve)


def _check_depths(exits: Log) -> None:
    """Refuse depths outside 1..K, and different rows of one depth of a run."""
    first: dict[tuple[tuple[str, str], ...], int] = {}
    known: set[tuple[str, ...]] = set()
    for number, row in enumerate(exits.rows()):
        depth, num_blocks = int(row["depth"]), int(row["num_blocks"])
        if not 1 <= depth <= num_blocks:
            raise UserError(
                f"{exits.row_at(number)}: a depth lies in 1..num_blocks, here 1..{num_blocks}, got {depth}; mend or delete it"
            )
        if tuple(row.values()) in known:  # a file that was joined with a copy of itself
            continue
        known.add(tuple(row.values()))
        own = tuple(item for item in row.items() if item[0] == "depth" or tells_runs_apart(item[0]))
        if first.setdefault(own, number) != number:
            raise UserError(
                f"{exits.row_at(number)}: a run has one exit at each depth, but {exits.row_at(first[own])} is of the same "
                f"run and depth {depth}; delete the wrong one"
            )
