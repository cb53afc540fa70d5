"""The settings that ship with the ground truth are those that made it."""

from pathlib import Path

from benchmarks.ground_truth import METHOD, SETTINGS, SPACE, TASK
from nas.cli.config import parse

TABLES = Path(__file__).resolve().parents[2] / "results" / "tabular"


def test_the_options_beside_the_table_are_those_of_the_script():
    options = parse(["search", "--config", str(TABLES / "small_cifar10.yaml")]).options
    assert (options.space, options.task, options.method) == (SPACE, TASK, METHOD)
    settings = type(SETTINGS)(**{name: getattr(options, name) for name in vars(SETTINGS) if hasattr(options, name)})
    assert settings == SETTINGS
    assert options.evaluator == "tabular(path='results/tabular/small_cifar10.csv')"
