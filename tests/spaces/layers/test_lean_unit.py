"""Units that keep only their input, against the plain ones."""

import copy

import pytest
import torch
from torch import nn

from spaces.layers.lean_unit import is_lean, lean
from spaces.memory.peak_memory import PeakMemory


def make(pool: bool, **conv) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3, bias=False, **conv), nn.BatchNorm2d(5), nn.ReLU(inplace=True)]
    unit = nn.Sequential(*([nn.MaxPool2d(2)] if pool else []), *layers).double()
    nn.init.normal_(unit[-2].weight)
    nn.init.normal_(unit[-2].bias)
    return unit


def trained(run, unit: nn.Sequential, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    for _ in range(2):
        (run(unit, x) * torch.arange(unit[-2].num_features).double()[:, None, None]).square().sum().backward()
    return [x.grad, *(p.grad for p in unit.parameters()), *unit.buffers()]


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("conv", [{"padding": 1}, {"stride": 2}, {"padding": 2, "dilation": 2}])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_gradients_and_statistics_are_the_plain_units(pool, conv, layout, monkeypatch):
    monkeypatch.setattr("spaces.layers.lean_unit.PART", 50)  # several parts
    unit, x = make(pool, **conv), torch.randn(7, 3, 8, 9 if not pool else 8).double().contiguous(memory_format=layout)
    assert is_lean(unit, x)
    plain = trained(lambda module, given: module(given), copy.deepcopy(unit), x)
    torch.testing.assert_close(trained(lean, unit, x), plain, rtol=1e-9, atol=1e-12)


def test_an_input_that_needs_no_gradient_gets_none():
    unit, x = make(True, padding=1), torch.randn(4, 3, 6, 6).double()
    lean(unit, x).sum().backward()
    assert x.grad is None and all(p.grad is not None for p in unit.parameters())


def test_only_plain_training_units_are_lean():
    unit, x = make(False), torch.randn(2, 3, 6, 6).double()
    biased = nn.Sequential(nn.Conv2d(3, 5, 3), *list(unit)[1:])
    others = [
        nn.Sequential(*unit, nn.Dropout()),
        biased,
        nn.Sequential(nn.MaxPool2d(3), *unit),
        copy.deepcopy(unit).eval(),
        nn.Sequential(unit[0], nn.BatchNorm2d(5, track_running_stats=False), nn.ReLU()),
        nn.Linear(3, 3),
    ]
    assert is_lean(unit, x) and not any(is_lean(other, x) for other in others)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_lean(unit, x)


def test_a_chain_of_them_needs_about_half(monkeypatch):
    monkeypatch.setattr("spaces.layers.lean_unit.PART", 500)
    x, peaks = torch.randn(32, 5, 16, 16).double(), []
    for run in (lambda module, given: module(given), lean):
        units = [
            nn.Sequential(nn.Conv2d(5, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU(inplace=True)).double()
            for _ in range(6)
        ]
        with PeakMemory() as memory:
            h = x
            for unit in units:
                h = run(unit, h)
            h.sum().backward()
        peaks.append(memory.peak)
    assert peaks[1] < 0.6 * peaks[0]
