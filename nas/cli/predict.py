"""`run.py predict`: answers new inputs, and says at which depth."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from nas.cli.config import Invocation
from nas.cli.output import check_out, write_file
from nas.commands.predict import predicted
from nas.exits.predict import Prediction, predictions_csv
from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError


def run_predict(asked: Invocation) -> None:
    """Answer new inputs, and say at which depth."""
    check_out(asked.out)
    found = predicted(asked.options)
    if found.answers:
        _print_answers(found.answers, found.run, asked)
    if found.fault:
        raise UserError(found.fault)


def _print_answers(found: Sequence[Prediction], run: TrainedRun, asked: Invocation) -> None:
    depths = {exit.depth: sum(answer.depth == exit.depth for answer in found) for exit in run.exits}
    if asked.out:
        write_file(asked.out, predictions_csv(found))
    if asked.json:
        print(json.dumps({"predictions": None if asked.out else [asdict(answer) for answer in found], "depths": depths}))
        return
    if not asked.out:
        print(predictions_csv(found), end="")
    shares = ", ".join(f"{count} at depth {depth}" for depth, count in depths.items() if count)
    print(
        f"{len(found)} answers: {shares}; {sum(answer.macs for answer in found) / len(found):,.0f} multiply-accumulates "
        f"each on average, {run.exits[-1].macs:,} on the full path",
        file=sys.stderr,
    )
