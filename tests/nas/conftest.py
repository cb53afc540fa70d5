"""A problem for SEDONA that is small enough to search in a second: digits, whose test split no search may read."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.problem import Problem
from nas.records.results import Results
from nas.tasks import TASKS
from spaces.space import SearchSpace


@pytest.fixture(scope="session")
def problem_in():
    """problem_in(folder): a problem whose rows and checkpoints lie in that folder."""

    def read_test():
        raise AssertionError("a search read the test split")

    images = replace(TASKS.build("digits(validation=0.4)", Path("nowhere")), read_test=read_test)

    def problem(folder, backbone="small(width=0.25)", heads=("linear", "conv(depth=1)"), seed=0, precision="fp32", **constraints):
        space = SearchSpace(backbone, heads, input_shape=images.input_shape, num_classes=10, **constraints)
        settings = TrainingSettings(batch_size=16, precision=precision)
        return Problem(
            space, "dgl", "digits", images, settings, seed, torch.device("cpu"), Results(folder / "results"), folder / "runs"
        )

    return problem


@pytest.fixture
def digits_problem(problem_in, tmp_path):
    """digits_problem(name): a problem in the folder of that name."""
    return lambda name="one", *arguments, **settings: problem_in(tmp_path / name, *arguments, **settings)
