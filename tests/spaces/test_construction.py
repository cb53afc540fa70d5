"""The lines that make a library's network make the one that a backbone was cut out of."""

from __future__ import annotations

from typing import Any

from torch import nn

from spaces.backbones import BACKBONES
from spaces.construction import Construction


def test_lines_make_the_network_with_the_layers_that_were_replaced() -> None:
    plain = Construction("torch.nn.TransformerEncoderLayer", (8, 2), {"dim_feedforward": 4})
    model = plain.make()
    model.set_submodule("linear1", nn.Linear(8, 3, bias=False))
    replaced = plain.with_replaced(None, "linear1")
    made: dict[str, Any] = {}
    exec("\n".join([*replaced.imports(), *replaced.lines(model)]), made)
    assert str(made["model"]) == str(model) != str(plain.make())


def test_a_network_of_this_project_is_made_by_no_lines() -> None:
    assert BACKBONES.build("small(width=0.25)", (1, 8, 8), 10).construction is None


def test_grey_images_replace_the_first_layer_and_classes_do_not_the_last() -> None:
    made = BACKBONES.build("torchvision(name=squeezenet1_1)", (1, 32, 32), 7).construction
    assert made is not None and made.replaced == ("features.0",)
    assert made.lines(made.make())[0] == "model = torchvision.models.get_model('squeezenet1_1', weights=None, num_classes=7)"
