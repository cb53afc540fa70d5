"""The option --parallel."""

from __future__ import annotations

from functools import partial
from typing import cast

from methods.training.settings import Precision
from nas.commands.problem import TrainedProblemOptions
from nas.device import read_device, use_threads
from nas.side_by_side import SideBySide, prepare


def read_parallel(options: TrainedProblemOptions) -> SideBySide | None:
    """The processes that --parallel asks for; in one that a launcher has started behind the first, its part is done here."""
    parallel = getattr(options, "parallel", None)
    if parallel is None:
        return None
    use_threads(options.threads)
    how = partial(prepare, options.threads, cast(Precision, options.precision), options.deterministic)
    return SideBySide(parallel, read_device(options.device), how)
