"""`run.py predict`: answers new inputs, and says at which depth."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from nas.cli.output import check_out, write_file
from nas.data.new.new_inputs import new_inputs
from nas.device import read_device, set_switches, use_threads
from nas.exits.confidence import CONFIDENCES
from nas.exits.predict import Prediction, predict, predictions_csv
from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError


def run_predict(options: argparse.Namespace) -> None:
    """Answer new inputs, and say at which depth."""
    if options.rule and options.threshold is None:
        raise UserError("--rule says how sure an exit is, which matters only with --threshold; give that, or leave --rule out")
    check_out(options.out)
    use_threads(options.threads)
    run, device = TrainedRun.load(options.run), read_device(options.device)
    set_switches(run.key["precision"], deterministic=bool(run.key.get("deterministic")))  # type: ignore[arg-type]
    rule = CONFIDENCES[str(CONFIDENCES.resolve(options.rule or "max_softmax"))]
    inputs = new_inputs(options.inputs, run.inputs)
    for note in inputs.notes:
        print(note, file=sys.stderr)
    found = predict(run, inputs, rule, budget=options.budget, threshold=options.threshold, calibrated=options.calibrate,
                    device=device)
    if found:
        _print_answers(found, run, options)
    if inputs.fault:
        raise UserError(inputs.fault)


def _print_answers(found: Sequence[Prediction], run: TrainedRun, options: argparse.Namespace) -> None:
    depths = {exit.depth: sum(answer.depth == exit.depth for answer in found) for exit in run.exits}
    if options.out:
        write_file(options.out, predictions_csv(found))
    if options.json:
        print(json.dumps({"predictions": None if options.out else [asdict(answer) for answer in found], "depths": depths}))
        return
    if not options.out:
        print(predictions_csv(found), end="")
    shares = ", ".join(f"{count} at depth {depth}" for depth, count in depths.items() if count)
    print(f"{len(found)} answers: {shares}; {sum(answer.macs for answer in found) / len(found):,.0f} multiply-accumulates "
          f"each on average, {run.exits[-1].macs:,} on the full path", file=sys.stderr)
