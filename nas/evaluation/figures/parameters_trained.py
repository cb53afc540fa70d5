"""How many parameters a run trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nas.evaluation.figures.training_run import TrainingRun


@contextmanager
def parameters_trained(run: TrainingRun) -> Iterator[Callable[[], int]]:
    """Parameters that the optimizers update, each once: those of all stages but the ones that a run which is extended has
    trained, and without those that no gradient is asked for, such as fixed word vectors."""
    stages = range(run.trained_stages, run.method.num_stages)
    parameters = {parameter for k in stages for parameter in run.method.stage_parameters(k)}
    yield lambda: sum(parameter.numel() for parameter in parameters)
