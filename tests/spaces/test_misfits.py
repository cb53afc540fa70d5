"""A network that does not fit its inputs is told in a line that names the backbone, the unit and the shape."""

from pathlib import Path

import pytest

from methods.dgl import DGL
from nas.cost import cost
from nas.exits.answers import exit_costs
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

OWN = """
import torch
from torch import nn
from spaces.backbone import Backbone


def net(input_shape, num_classes, *, second: int = 4, classifier: int = 4):
    units = [nn.Conv2d(input_shape[0], 4, 3), nn.Conv2d(second, 4, 3), nn.Conv2d(4, 4, 3)]
    last = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(classifier, num_classes))
    return Backbone(units, last, input_shape=input_shape, num_classes=num_classes)


class Unit(nn.Module):
    def __init__(self, does):
        super().__init__()
        self.does, self.weight = does, nn.Parameter(torch.ones(1))

    def forward(self, x):
        if self.does == "assert":
            assert x.shape[1] == 3, "colours, please"
        if self.does == "attribute":
            x.nowhere
        made = {"none": None, "tuple": (x, x), "sum": x.sum(), "first": x[:1]}
        return made.get(self.does, x * self.weight + torch.ones(1, 4, 1, 1))


def does(input_shape, num_classes, *, what: str = "well"):
    if what == "colours" and input_shape[0] != 3:
        raise ValueError("three channels, please")
    units = [nn.Conv2d(input_shape[0], 4, 3), Unit(what), BEFORE if what == "before" else nn.Conv2d(4, 4, 3)]
    return Backbone(units, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)),
                    input_shape=input_shape, num_classes=num_classes)


BEFORE = nn.Conv2d(4, 4, 3)


def head(site, *, features: int = 4):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, site.num_classes))
"""


@pytest.mark.parametrize(
    ("backbone", "head", "shape", "says"),
    [
        ("own_misfit.net(second=5)", "linear", (1, 8, 8), r"unit 2 of 3 of the backbone own_misfit.net\(second=5,.* \(4, 6, 6\)"),
        (
            "own_misfit.net",
            "linear",
            (1, 5, 5),
            r"unit 3 of 3 of the backbone own_misfit.net.*Conv2d, cannot take .* \(4, 1, 1\)",
        ),
        ("own_misfit.net(classifier=7)", "linear", (1, 8, 8), r"classifier of the backbone own_misfit.net\(.*\(4, 2, 2\)"),
        (
            "own_misfit.net",
            "own_misfit.head(features=9)",
            (1, 8, 8),
            r"the head own_misfit.head\(features=9\) after 1 units.*\(4, 6, 6\)",
        ),
        (
            "own_misfit.does(what='assert')",
            "linear",
            (1, 8, 8),
            r"unit 2 of 3 .*Unit, cannot .*AssertionError: colours, please in .*own_misfit.py, line 20",
        ),
        (
            "own_misfit.does(what=attribute)",
            "linear",
            (1, 8, 8),
            r"unit 2 .*AttributeError: .*nowhere.* in .*own_misfit.py, line 22",
        ),
        ("own_misfit.does(what=none)", "linear", (1, 8, 8), "unit 2 .*must hand on a tensor, or Tokens, but it gives a NoneType"),
        ("own_misfit.does(what=tuple)", "linear", (1, 8, 8), "unit 2 .*but it gives a tuple"),
        ("own_misfit.does(what=sum)", "linear", (1, 8, 8), r"unit 2 .*as many samples as it is given, 2, .*but it gives \(\)"),
        ("own_misfit.does(what=first)", "linear", (1, 8, 8), r"unit 2 .*but it gives \(1, 4, 6, 6\)"),
        (
            "own_misfit.does(what=colours)",
            "linear",
            (1, 8, 8),
            "backbone own_misfit.does.* cannot be made .ValueError: three channels, please in .*own_misfit.py, line 29",
        ),
        ("own_misfit.does(what=before)", "linear", (1, 8, 8), r"units.2.weight of own_misfit.does.* lies on cpu"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, monkeypatch, backbone, head, shape, says):
    Path(tmp_path / "own_misfit.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=says) as told:
        SearchSpace(backbone, [head], input_shape=shape, num_classes=3).build(Decoupling((1,), (head,)))
    assert len(str(told.value)) < 600 and "\n" not in str(told.value)


def test_a_unit_may_make_tensors_as_it_runs(tmp_path, monkeypatch):
    """On the default device, such as the first state of an LSTM of one's own: costs are computed all the same."""
    Path(tmp_path / "own_misfit.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    space = SearchSpace("own_misfit.does", ["linear"], input_shape=(1, 8, 8), num_classes=3)
    decoupling = Decoupling((2,), ("linear",))
    found = cost(lambda: DGL(space.build(decoupling)), (1, 8, 8), 3, batch_size=4)
    assert found.macs == 6 * 6 * 4 * 9 + 4 * 4 * 4 * 4 * 9 + 4 * 3
    assert [exit_cost.macs for exit_cost in exit_costs(lambda: DGL(space.build(decoupling)), (1, 8, 8))][1] == found.macs
