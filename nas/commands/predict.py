"""`predict`: answers new inputs with a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.option import keywords_of, option, required
from nas.commands.python_call import python_call
from nas.commands.shared_options import AllowOptions, DeviceOptions
from nas.data.new.new_inputs import new_inputs
from nas.device import read_device, set_switches, use_threads
from nas.exits.confidence import CONFIDENCES
from nas.exits.predict import Prediction
from nas.exits.predict import predict as answer_all
from nas.notice import notice
from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PredictOptions(DeviceOptions, AllowOptions):
    """What `predict` takes."""

    run: Path = required("the run's folder, as evaluate says", metavar="RUN", positional=True)
    inputs: Path = required(
        "a folder of images, an image, an .npz with the array images, or a CSV file with the column text",
        metavar="INPUTS",
        positional=True,
    )
    budget: int | None = option(None, "the most multiply-accumulates that an input may take", metavar="MACS")
    threshold: float | None = option(None, "an input leaves at the first exit that is so confident", metavar="T")
    calibrate: bool = option(
        False, "divide each exit's logits by the temperature that was fitted on validation, as evaluate does"
    )
    rule: str | None = option(
        None, f"how confident an exit is: {', '.join(CONFIDENCES)} (default: max_softmax)", metavar="R", components=True
    )


@dataclass(frozen=True)
class Predicted:
    """The answers in the order of the inputs, the run that gave them, and which inputs cannot be read, and why."""

    answers: Sequence[Prediction]
    run: TrainedRun
    fault: str | None


def predicted(options: PredictOptions) -> Predicted:
    """Answer all inputs that can be read."""
    if options.rule and options.threshold is None:
        raise UserError(
            "--rule says how confident an exit is, which matters only with --threshold; give that, or leave --rule out"
        )
    use_threads(options.threads)
    run, device = TrainedRun.load(options.run), read_device(options.device)
    set_switches(run.key["precision"], deterministic=bool(run.key.get("deterministic")))  # type: ignore[arg-type]
    rule = CONFIDENCES[str(CONFIDENCES.resolve(options.rule or "max_softmax"))]
    inputs = new_inputs(options.inputs, run.inputs)
    for note in inputs.notes:
        notice(note)
    found = answer_all(
        run, inputs, rule, budget=options.budget, threshold=options.threshold, calibrated=options.calibrate, device=device
    )
    return Predicted(found, run, inputs.fault)


@keywords_of(PredictOptions, "run", "inputs")
def predict(*given: Any, **options: Any) -> pd.DataFrame:
    """What a trained run answers to new inputs, as `run.py predict` says: a row an input, with its answer, the probability, the
    depth of the exit and the multiply-accumulates. An input that cannot be read is a UserError, as is a bad argument.

        nas.predict("runs/0123456789abcdef", "photos", threshold=0.9)
    """
    import pandas as pd

    with python_call(PredictOptions, "predict", ("run", "inputs"), given, options) as (read, _):
        found = predicted(read)
    if found.fault:
        raise UserError(found.fault)
    return pd.DataFrame([asdict(one) for one in found.answers], columns=[one.name for one in fields(Prediction)])


def load_run(path: str | Path) -> TrainedRun:
    """A trained run, of its folder or of the file in it: `load_run(path).build()` is the method with its weights. One that is
    missing, damaged or of another kind is a UserError."""
    return TrainedRun.load(Path(path))
