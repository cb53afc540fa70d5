"""`export`: writes a trained run as files that other programs load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.option import keywords_of, option, required
from nas.commands.python_call import python_call
from nas.commands.shared_options import AllowOptions, data_dir
from nas.device import use_threads
from nas.records.results import Results
from nas.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from nas.exports.export_run import Export


@dataclass(frozen=True, kw_only=True)
class ExportOptions(AllowOptions):
    """What `export` takes."""

    run: Path = required("the run's folder, as evaluate says", metavar="RUN", positional=True)
    to: str = option("torch", "torch, safetensors, onnx or torch_export", metavar="FORMAT", components=True)
    exit: int | None = option(
        None, "the network up to exit K, 1 the first, with the head there; else the whole", metavar="K", excludes="exits"
    )
    adaptive: str | None = option(
        None,
        "all exits: an input leaves at the first that is so confident, such as max_softmax:0.9",
        metavar="RULE:T",
        excludes="exits",
    )
    calibrate: bool = option(
        False, "with --adaptive: divide each exit's logits by the temperature that was fitted on validation, as evaluate does"
    )
    out: Path | None = option(None, "a new folder for the files; else exports/RUN-FORMAT", metavar="DIR")
    results: Results = option(
        Results("results"), "where rows lie, as of evaluate; the model card cites the run's", metavar="WHERE"
    )
    data_dir: Path = option(
        data_dir, "where the data lies, on whose test split the files are tried; or set NAS_DATA_DIR", metavar="DIR"
    )
    threads: int = option(1, "CPU threads of this process")


def exported(options: ExportOptions) -> Export:
    """Write it."""
    from nas.exports.export_run import export_run
    from nas.exports.exported import Adaptive, Exported
    from nas.exports.formats import FORMATS

    use_threads(options.threads)
    to = FORMATS.resolve(options.to)
    written, run = FORMATS.build(to), TrainedRun.load(options.run)
    written.check_installed()
    adaptive = None if options.adaptive is None else Adaptive.read(options.adaptive)
    what = Exported.of(run, depth=options.exit, adaptive=adaptive, calibrated=options.calibrate)
    folder = options.out or Path("exports") / f"{run.name}-{to.name}"
    return export_run(what, written, to.name, folder, results=options.results, data_dir=options.data_dir)


@keywords_of(ExportOptions, "run")
def export(*given: Any, **options: Any) -> Path:
    """Write a trained run as files that other programs load, as `run.py export` says; the folder, which is new, with
    metadata.json and model_card.md beside the files. What cannot be exported is a UserError, and nothing is left then.

        nas.export("runs/0123456789abcdef", to="onnx")
    """
    with python_call(ExportOptions, "export", ("run",), given, options) as (read, _):
        return exported(read).folder
