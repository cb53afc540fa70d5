"""What papers print, as published.csv has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.published import experiments
from nas.published.experiments import where_it_deviates
from nas.published.values import Experiment, published_values


def test_a_value_has_the_settings_of_its_experiment() -> None:
    """InfoPro, Table 2: ResNet-32 on CIFAR-10, DGL in 4 blocks, 11.48 ± 0.20; 160 epochs of 1,024 images at a rate of 0.8."""
    (one,) = (
        value
        for value in published_values()
        if (value.experiment.name, value.method.name, value.num_blocks) == ("infopro_table2_cifar10_resnet32", "dgl", 4)
    )
    assert (one.test_error, one.std, one.source) == (0.1148, 0.0020, "InfoPro Table 2")
    assert str(one.decoupling) == "4:mlp_sr 8:mlp_sr 12:mlp_sr"
    experiment = one.experiment
    assert (experiment.backbone.name, experiment.task.name, experiment.length) == ("resnet32", "cifar10", ("epochs", 160))
    assert (experiment.training.batch_size, experiment.training.lr, experiment.training.precision) == (1024, 0.8, "fp32")
    assert experiment.deviates.startswith("2 % of the training images") and experiment.deviates.endswith("best test epoch")


def test_of_two_values_with_the_same_blocks_each_has_the_cuts_of_its_rule() -> None:
    """SEDONA's Table: uniform cuts after 4, 8 and 12 of VGG-19's units, and those that it found."""
    found = {
        one.rule: one.decoupling.cuts
        for one in published_values()
        if one.experiment.name == "sedona_cifar10_vgg19" and one.method.name == "dgl"
    }
    assert found == {"even(4)": (4, 8, 12), "published(4)": (6, 13, 14)}


def test_an_experiment_may_be_as_long_as_its_iterations(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# Deviates: here\n#   and there.\nspace: vgg11\ntask: digits\niterations: 300\n")
    mine = Experiment("mine", path)
    assert mine.length == ("iterations", 300) and str(mine.backbone) == "vgg11(width=1.0)"
    assert where_it_deviates(path) == "here and there"


def test_without_the_file_nothing_is_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(experiments, "_BESIDE_THE_CODE", tmp_path)
    monkeypatch.setattr(experiments, "files", lambda package: None)
    assert experiments.values_file() is None
    assert published_values.__wrapped__() == ()
