"""What `nas.memory` says before training is what a step on the CPU then holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import nas
from nas.own_loop.step_memory import step_memory
from spaces.notation.errors import UserError
from spaces.torchvision_import import torchvision

WAYS = ("backprop", "checkpointing", "decoupled", "both")


def chain() -> nn.Module:
    widths = [(3, 8), (8, 8), (8, 16), (16, 16)]
    layers = [nn.Sequential(nn.Conv2d(*pair, 3, padding=1), nn.BatchNorm2d(pair[1]), nn.ReLU()) for pair in widths]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.0, batch_first=True)
    return nn.Sequential(
        nn.Linear(6, 12), nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Flatten(), nn.Linear(84, 5)
    )


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.01, momentum=0.9)


def adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 0.01)


def measured(make: Callable[[], nn.Module], x: torch.Tensor, y: Any, way: str, cuts: Any, method: str, optimizer: Any) -> Any:
    again = way in ("checkpointing", "both")
    asked = ("uncut", "backprop") if way in ("backprop", "checkpointing") else (cuts, method)
    net = nas.decouple(make(), asked[0], example=x, method=asked[1], checkpoint_units=again)
    return step_memory(net, x, y, optimizer)


@pytest.mark.parametrize(
    ("make", "shape", "method", "optimizer"),
    [(chain, (3, 12, 12), "dgl", sgd), (chain, (3, 12, 12), "predsim", adam), (encoder, (7, 6), "dgl", sgd)],
)
def test_shapes_say_what_a_step_on_the_cpu_holds(
    make: Callable[[], nn.Module], shape: tuple[int, ...], method: str, optimizer: Any
) -> None:
    x, y = torch.randn(16, *shape), torch.arange(16) % 5
    foreseen = nas.memory(make(), torch.zeros(2, *shape), "balanced(2)", method=method, optimizer=optimizer, batch_size=16)
    for way in WAYS:
        found, said = measured(make, x, y, way, foreseen.decoupling, method, optimizer), getattr(foreseen, way)
        assert (said.gradients, said.parameters) == (found.gradients, found.parameters)
        assert said.optimizer == pytest.approx(found.optimizer, abs=8 * 40)  # counts of steps
        assert said.activations == pytest.approx(found.activations, rel=0.01)
        assert said.peak == pytest.approx(found.peak, rel=0.01)


def test_parameters_gradients_and_momentum_by_hand() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    found = nas.memory(model, torch.zeros(1, 4), "1:linear", batch_size=8)
    first, head, rest = 4 * 6 + 6, 6 * 3 + 3, 6 * 6 + 6 + 6 * 3 + 3
    assert found.decoupled.parameters == found.decoupled.optimizer == 4 * (first + head + rest)
    assert found.decoupled.gradients == 4 * max(first + head, rest)
    assert found.backprop.parameters == found.backprop.gradients == 4 * (first + rest)
    assert found.batch_size == 8 and found.frame["ratio"].iloc[0] == 1


def test_a_decoupled_step_of_many_units_holds_less_and_both_less_still() -> None:
    layers = [layer for _ in range(8) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Tanh())]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = nas.memory(model, torch.zeros(1, 3, 20, 20), "balanced(4)", head="linear", batch_size=64)
    assert found.both.peak < found.decoupled.peak < 0.5 * found.backprop.peak
    assert found.checkpointing.peak < found.backprop.peak
    assert "cut at" in str(found) and "ratio" in str(found)
    assert all(map(torch.equal, before.values(), model.state_dict().values())), "the model is left as it is"


def test_outputs_at_every_pixel_have_labels_there() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1))
    loss = nn.functional.cross_entropy
    found = nas.memory(model, torch.zeros(2, 3, 8, 8), "1:dense", loss=loss, labels=torch.zeros(2, 8, 8, dtype=torch.long))
    assert found == nas.memory(model, torch.zeros(2, 3, 8, 8), "1:dense", loss=loss)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch_size": 0}, "batch_size is a number of samples from 1 on, got 0"),
        ({"decoupling": "balanced(99)"}, "99"),
        ({"method": "nothing"}, "method"),
    ],
)
def test_what_does_not_hold_is_told(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        nas.memory(chain(), torch.zeros(2, 3, 12, 12), **settings)


@pytest.mark.slow
def test_a_library_network_holds_what_is_foreseen() -> None:
    def make() -> nn.Module:
        return torchvision().models.VisionTransformer(32, 8, 4, 2, 16, 32, num_classes=5)

    foreseen = nas.memory(make(), torch.zeros(2, 3, 32, 32), "balanced(3)", batch_size=8)
    for way in WAYS:
        found = measured(make, torch.randn(8, 3, 32, 32), torch.arange(8) % 5, way, foreseen.decoupling, "dgl", sgd)
        assert getattr(foreseen, way).peak == pytest.approx(found.peak, rel=0.01)
