"""The relaxed network's losses against the same written out."""

from collections import Counter

import pytest
import torch
from torch import nn

from nas.strategies.sedona.relaxation import Architecture, Relaxation
from spaces.backbone import Backbone

GAPS = (1, 3)


def make_relaxation(dropout=0.0, label_smoothing=0.1):
    torch.manual_seed(0)
    units = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(dropout)) for _ in range(4)]
    classifier = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, 5))
    candidates = [[nn.Sequential(nn.Flatten(), nn.Linear(48, 5)) for _ in range(3)] for _ in GAPS]
    backbone = Backbone(units, classifier, input_shape=(3, 4, 4), num_classes=5)
    return Relaxation(backbone, GAPS, candidates, label_smoothing=label_smoothing)


@pytest.fixture
def batch():
    return torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 5


def random_architecture():
    generator = torch.Generator().manual_seed(2)
    return Architecture(torch.randn(2, 2, generator=generator), torch.randn(2, 3, generator=generator))


def test_the_search_starts_undecided():
    architecture = Architecture.zeros(5, 4)
    torch.testing.assert_close(architecture.shares, torch.full((5, 2), 0.5))
    torch.testing.assert_close(architecture.mixture, torch.full((5, 4), 0.25))


@pytest.mark.parametrize("loss", [Relaxation.inner_loss, Relaxation.released_inner_loss, Relaxation.nested_loss])
def test_every_unit_head_and_the_classifier_run_once(loss, batch):
    relaxation, runs = make_relaxation(), Counter()
    parts = [*relaxation.units, *(head for mixed in relaxation.heads for head in mixed), relaxation.classifier]
    for part in parts:
        part.register_forward_hook(lambda module, *_: runs.update([module]))
    relaxation(loss, *batch, random_architecture())
    assert runs == Counter(parts)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_inner_loss_weighs_the_losses_of_mixed_logits(batch, label_smoothing):
    relaxation, architecture, (x, y) = make_relaxation(label_smoothing=label_smoothing), random_architecture(), batch
    target = torch.full((8, 5), label_smoothing / 4)
    target[torch.arange(8), y] = 1 - label_smoothing
    expected, h = 0.0, x
    for number, unit in enumerate(relaxation.units, start=1):
        h = unit(h)
        if number in GAPS:
            j = GAPS.index(number)
            local = architecture.alpha[j, 0].exp() / architecture.alpha[j].exp().sum()
            weights = architecture.beta[j].exp() / architecture.beta[j].exp().sum()
            logits = sum(weights[d] * relaxation.heads[j][d](h) for d in range(3))
            expected = expected - local * (target * logits.log_softmax(1)).sum(1).mean()
    expected = expected - (target * relaxation.classifier(h).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(relaxation.inner_loss(x, y, architecture), expected)


def test_inner_loss_can_be_read_without_gradients(batch):
    relaxation, architecture = make_relaxation(), random_architecture()
    with torch.no_grad():
        without = relaxation.inner_loss(*batch, architecture)
    torch.testing.assert_close(without, relaxation.inner_loss(*batch, architecture).detach(), rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_outer_loss_has_batch_statistics_and_no_dropout_in_every_mode(batch, training):
    relaxation, (x, y) = make_relaxation(dropout=0.5).train(training), batch
    for unit in relaxation.units:
        unit[1].running_mean.fill_(100.0)
    relaxation.units[2].train(not training)
    modes = [module.training for module in relaxation.modules()]

    h = x
    for conv, norm, *_ in relaxation.units:
        h = conv(h)
        mean, variance = h.mean((0, 2, 3), keepdim=True), h.var((0, 2, 3), keepdim=True, unbiased=False)
        h = torch.tanh((h - mean) / (variance + norm.eps).sqrt())
    logits = relaxation.classifier[2](h.flatten(1))
    expected = -logits.log_softmax(1)[torch.arange(8), y].mean()
    torch.testing.assert_close(relaxation.outer_loss(x, y), expected)
    assert [module.training for module in relaxation.modules()] == modes


class OwnDropout(nn.Module):
    """Layers that drop without an nn.Dropout inside."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.LSTM(4, 6, num_layers=2, dropout=0.5, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.5, batch_first=True)

    def forward(self, x):
        h, _ = self.recurrent(x.flatten(1, 2))
        h = self.attention(h, h, h, need_weights=False)[0]
        return nn.functional.dropout(h, 0.5, training=self.training)


def test_outer_loss_is_without_the_dropout_that_layers_do_themselves(batch):
    torch.manual_seed(0)
    unit, classifier, (x, y) = OwnDropout(), nn.Sequential(nn.Flatten(), nn.Linear(72, 5)), batch
    relaxation = Relaxation(Backbone([unit], classifier, input_shape=(3, 4, 4), num_classes=5), (), [])
    expected = -classifier(unit.eval()(x)).log_softmax(1)[torch.arange(8), y].mean()
    torch.testing.assert_close(relaxation.train().outer_loss(x, y), expected)
    assert unit.attention.training
