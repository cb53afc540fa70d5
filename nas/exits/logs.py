"""What is written of a run's exits: a row for each, and a row for each threshold of adaptive inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from methods.method import Method
from nas.data.task_data import Part
from nas.exits.answers import exit_answers, exit_costs
from nas.exits.calibration import expected_calibration_error
from nas.exits.curves import curves
from nas.exits.timing import exit_seconds
from nas.problem import Problem
from nas.records.columns import tells_runs_apart
from nas.records.results_log import Cell, ResultsLog
from nas.records.row_kinds import CURVES, EXITS
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

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
        """`exits.csv` and `curves.csv` of the folder; exits that contradict each other are a UserError."""
        exits = ResultsLog(folder / "exits.csv", EXITS)
        _check_depths(exits)
        return cls(exits, ResultsLog(folder / "curves.csv", CURVES), calibrated)

    @property
    def key(self) -> Row:
        """The cells that tell a run with exits from one without."""
        return {"exits": True, "calibrated": self.calibrated or None}

    def complete(self, key: Row) -> bool:
        """Whether both logs have what they should of a run that ended well: each depth, and curves where there are several. What
        a person or an older version left out is added when the run is trained again; exits without seconds stay so."""
        first = self.exits.find(key)
        if first is None:
            return False
        depths = range(1, int(first["num_blocks"]) + 1)
        return all(self.exits.find({**key, "depth": depth}) for depth in depths) and (
            len(depths) == 1 or self.curves.find(key) is not None)

    def add(self, key: Row, source: Mapping[str, Cell], problem: Problem, decoupling: Decoupling, method: Method, test: Part,
            batch_size: int) -> None:
        """The rows of a trained run, `key` and `source` in each; what is there already is not repeated."""
        exit_rows, curve_rows = _rows(problem, decoupling, method.eval(), test, batch_size, calibrated=self.calibrated)
        for log, rows, place in ((self.exits, exit_rows, ("depth",)), (self.curves, curve_rows, ("rule", "threshold"))):
            missing = [row for row in rows if not log.find({**key, **{name: row[name] for name in place}})]
            if missing:
                log.append_all([{**key, "num_blocks": method.net.num_blocks, **row, **source} for row in missing])


def _check_depths(exits: ResultsLog) -> None:
    """Refuse depths outside 1..K, and different rows of one depth of a run."""
    first: dict[tuple[tuple[str, str], ...], int] = {}
    known: set[tuple[str, ...]] = set()
    for line, row in enumerate(exits.rows(), start=2):
        depth, num_blocks = int(row["depth"]), int(row["num_blocks"])
        if not 1 <= depth <= num_blocks:
            raise UserError(f"{exits.path}, line {line}: a depth lies in 1..num_blocks, here 1..{num_blocks}, but {depth} came; "
                            "mend or delete the line")
        if tuple(row.values()) in known:  # a file that was joined with a copy of itself
            continue
        known.add(tuple(row.values()))
        own = tuple(item for item in row.items() if item[0] == "depth" or tells_runs_apart(item[0]))
        if first.setdefault(own, line) != line:
            raise UserError(f"{exits.path}, line {line}: a run has one exit at each depth, but line {first[own]} is of the same "
                            f"run and depth {depth}; delete the wrong one")


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
