"""What is written of a run's exits: a row for each, and a row for each threshold of adaptive inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from methods.calibration import expected_calibration_error
from methods.method import Method
from nas.columns import CURVES, EXITS
from nas.curves import curves
from nas.exit_timing import exit_seconds
from nas.exits import exit_answers, exit_costs
from nas.problem import Problem
from nas.results import Cell, ResultsLog
from nas.task_data import Part
from spaces.decoupling import Decoupling

Row = dict[str, Cell]


@dataclass(frozen=True)
class ExitLogs:
    """`exits`, a row for each exit of a run, and `curves`, a row for each threshold of each confidence rule.

    With `calibrated` every exit's logits are divided by a temperature that is fitted on the validation split.
    """

    exits: ResultsLog
    curves: ResultsLog
    calibrated: bool = False

    @classmethod
    def of(cls, folder: Path, *, calibrated: bool) -> ExitLogs:
        """`exits.csv` and `curves.csv` of the folder."""
        return cls(ResultsLog(folder / "exits.csv", EXITS), ResultsLog(folder / "curves.csv", CURVES), calibrated)

    @property
    def key(self) -> Row:
        """The cells that tell a run with exits from one without."""
        return {"exits": True, "calibrated": self.calibrated or None}

    def complete(self, key: Row) -> bool:
        """Whether both logs have what they should of a run that ended well. One that an older version left without curves has
        them added when it is trained again; its exits, in a log that is only appended to, stay without seconds."""
        several = self.exits.find({**key, "depth": 2})
        return (self.curves if several else self.exits).find(key) is not None

    def add(self, key: Row, source: Mapping[str, Cell], problem: Problem, decoupling: Decoupling, method: Method, test: Part,
            batch_size: int) -> None:
        """The rows of a trained run, `key` and `source` in each; what is there already is not repeated."""
        exit_rows, curve_rows = _rows(problem, decoupling, method.eval(), test, batch_size, calibrated=self.calibrated)
        for log, rows in ((self.exits, exit_rows), (self.curves, curve_rows)):
            if rows and not log.find(key):
                log.append_all([{**key, "num_blocks": method.net.num_blocks, **row, **source} for row in rows])


def _rows(problem: Problem, decoupling: Decoupling, method: Method, test: Part, batch_size: int, *,
          calibrated: bool) -> tuple[list[Row], list[Row]]:
    """Of each exit, and of each point of each curve: all that is no part of the run's key."""
    data, precision = problem.data, problem.settings.precision
    parts = {"validation": data.validation, "test": test}
    raw = {name: exit_answers(method, data.eval_batches(part, batch_size), precision) for name, part in parts.items()}
    temperatures = raw["validation"].temperatures() if calibrated else None
    answers = {name: own.divided(temperatures) if temperatures else own for name, own in raw.items()}
    costs = exit_costs(lambda: problem.build(decoupling), data.input_shape)
    points = curves(answers["validation"], answers["test"], costs)
    seconds = exit_seconds(method, data, test, batch_size, [(p.rule, p.threshold) for p in points], temperatures, precision)
    samples: Row = {"timed_samples": seconds.num_samples}
    exit_rows: list[Row] = [{"depth": k + 1, **asdict(cost)} for k, cost in enumerate(costs)]
    for name in parts:
        errors, losses = raw[name].errors(), raw[name].losses()
        for k, row in enumerate(exit_rows):
            row |= {f"{name}_error": errors[k], f"{name}_loss": losses[k],
                    f"{name}_ece": expected_calibration_error(answers[name].logits[k], answers[name].y)}
    for k, row in enumerate(exit_rows):
        row |= {"temperature": temperatures[k] if temperatures else None, "seconds": seconds.exits[k], **samples}
    curve_rows: list[Row] = [
        {**asdict(point), "test_shares": " ".join(f"{share:.4f}" for share in point.test_shares), "test_seconds": own, **samples}
        for point, own in zip(points, seconds.points, strict=True)
    ]
    return exit_rows, curve_rows
