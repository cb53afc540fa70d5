"""A network that does not fit its inputs is told in a line that names the backbone, the unit and the shape."""

from pathlib import Path

import pytest

from spaces.decoupling import Decoupling
from spaces.errors import UserError
from spaces.space import SearchSpace

OWN = """
from torch import nn
from spaces.backbone import Backbone


def net(input_shape, num_classes, *, second: int = 4, classifier: int = 4):
    units = [nn.Conv2d(input_shape[0], 4, 3), nn.Conv2d(second, 4, 3), nn.Conv2d(4, 4, 3)]
    last = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(classifier, num_classes))
    return Backbone(units, last, input_shape=input_shape, num_classes=num_classes)


def head(site, *, features: int = 4):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, site.num_classes))
"""


@pytest.mark.parametrize(("backbone", "head", "shape", "says"), [
    ("own_misfit.net(second=5)", "linear", (1, 8, 8), r"unit 2 of 3 of the backbone own_misfit.net\(second=5,.* \(4, 6, 6\)"),
    ("own_misfit.net", "linear", (1, 5, 5), r"unit 3 of 3 of the backbone own_misfit.net.*Conv2d, cannot take .* \(4, 1, 1\)"),
    ("own_misfit.net(classifier=7)", "linear", (1, 8, 8), r"classifier of the backbone own_misfit.net\(.*\(4, 2, 2\)"),
    ("own_misfit.net", "own_misfit.head(features=9)", (1, 8, 8),
     r"the head own_misfit.head\(features=9\) after 1 units.*\(4, 6, 6\)"),
])
def test_what_does_not_fit_is_named(tmp_path, monkeypatch, backbone, head, shape, says):
    Path(tmp_path / "own_misfit.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=says) as told:
        SearchSpace(backbone, [head], input_shape=shape, num_classes=3).build(Decoupling((1,), (head,)))
    assert len(str(told.value)) < 600 and "\n" not in str(told.value)
