"""Heads in lockstep against the same heads one after another: logits, first and second derivatives, running statistics."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.lockstep import kinds, lockstep
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from nas.strategies.sedona.second_order import SecondOrder, pooled_features
from spaces.heads import HEADS
from spaces.layers.layers import conv_bn_relu, pooled_linear
from spaces.space import SearchSpace

DEPTHS = ("conv(depth=1)", "conv(depth=2)", "conv(depth=3)", "conv(depth=4)")


@pytest.fixture(autouse=True)
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_heads(*names, gaps=(1, 2), net="small"):
    """Heads of each gap, and an activation for each gap."""
    torch.manual_seed(0)
    space = SearchSpace(net, names, input_shape=(3, 8, 8), num_classes=3)
    backbone = space.build_backbone()
    heads = [HEADS.build(name, space.site(gap, backbone)) for gap in gaps for name in space.heads]
    for head in heads:
        for p in head.parameters():
            p.data += 0.1 * torch.randn_like(p)  # BatchNorm's too
    at_gaps = [torch.randn(3, *backbone.shapes[gap], requires_grad=True) for gap in gaps]
    return nn.ModuleList(heads), at_gaps, [x for x in at_gaps for _ in space.heads]


def in_turn(heads, inputs):
    return [head(x) for head, x in zip(heads, inputs, strict=True)]


def together(heads, inputs):
    return lockstep(list(heads), [kinds(head) for head in heads], inputs)


@pytest.mark.parametrize("net", ["small", "resnet32"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("names", [DEPTHS, DEPTHS[2:], ("conv(depth=2,reduction=1)", "conv(depth=4,reduction=1)")])
def test_logits_and_derivatives_are_those_of_the_heads_alone(names, training, net):
    heads, at_gaps, inputs = make_heads(*names, net=net)
    heads.train(training)
    leaves = [*at_gaps, *heads.parameters()]

    def made(run):
        logits = torch.stack(run(heads, inputs), dim=-1)
        first = torch.autograd.grad(logits.square().mean(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        return logits, *first, *second

    torch.testing.assert_close(made(together), made(in_turn), rtol=1e-9, atol=1e-11)


def test_running_statistics_move_as_those_of_the_heads_alone():
    heads, _, inputs = make_heads(*DEPTHS)
    alone = copy.deepcopy(heads)
    for _ in range(2):
        together(heads, inputs)
        in_turn(alone, inputs)
    assert heads[0][0][1].num_batches_tracked == 2
    for (name, own), other in zip(heads.named_buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(own, other, msg=name)


def test_heads_at_gaps_of_one_shape_are_one_convolution(monkeypatch):
    heads, _, inputs = make_heads(*DEPTHS, gaps=(1, 2), net="resnet32")
    calls, conv2d = [], torch.nn.functional.conv2d
    monkeypatch.setattr("torch.nn.functional.conv2d", lambda x, *more: (calls.append(x.shape), conv2d(x, *more))[1])
    together(heads, inputs)
    assert len(calls) == 2 + 3 * 3  # and the last are in `pooled_features`
    assert calls[0][1] == 2 * inputs[0].shape[1], "what the heads of a gap share is read once"


@pytest.mark.parametrize(
    "head",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)),
        nn.Sequential(nn.Tanh(), nn.Linear(3, 2)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1, padding="same"), nn.ReLU()),
        nn.Sequential(conv_bn_relu(4, 4, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)),
        nn.Sequential(conv_bn_relu(4, 4, groups=4), nn.ReLU(), *(pooled_linear(4, 4) for _ in range(2))),
        nn.Sequential(nn.ReLU(), *(conv_bn_relu(4, 4) for _ in range(2)), pooled_linear(4, 4)),
        nn.Sequential(conv_bn_relu(4, 4), pooled_linear(4, 4)),
    ],
)
def test_a_head_of_other_layers_runs_alone(head):
    assert kinds(head) is None


def test_a_head_with_hooks_runs_alone():
    (head, *_), _, _ = make_heads(*DEPTHS)
    assert kinds(head) is not None
    head[0][0].register_forward_pre_hook(lambda module, given: None)
    assert kinds(head) is None


def conv_problem(num_steps, heads=("conv(depth=1)", "linear", "conv(depth=3)")):
    """Of heads in lockstep and others, at gaps of two shapes."""
    torch.manual_seed(0)
    space = SearchSpace("small", heads, input_shape=(3, 8, 8), num_classes=3)
    backbone = space.build_backbone()
    candidates = [[HEADS.build(head, space.site(gap, backbone)) for head in space.heads] for gap in space.gaps]
    relaxation = Relaxation(backbone, space.gaps, candidates)
    optimizer = torch.optim.SGD(relaxation.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    architecture = Architecture(torch.randn(len(space.gaps), 2), torch.randn(len(space.gaps), len(heads)))
    *inner, outer = [(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])) for _ in range(num_steps + 1)]
    return Bilevel(relaxation, optimizer, architecture, inner, outer)


@pytest.mark.parametrize(("engine", "num_steps"), [("adjoint", 2), ("unroll", 2), ("identity", 1)])
def test_engines_find_in_lockstep_what_they_find_of_heads_alone(engine, num_steps, monkeypatch):
    found = ENGINES[engine](conv_problem(num_steps))
    monkeypatch.setattr("nas.strategies.sedona.relaxation.kinds", lambda head: None)
    alone = ENGINES["adjoint"](conv_problem(num_steps))
    assert alone.alpha_grad.abs().min() > 1e-8
    torch.testing.assert_close([found.alpha_grad, found.beta_grad], [alone.alpha_grad, alone.beta_grad], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("part", [1, 2 * 4 * 5, 10**6])  # places of a sample, some samples, all heads at once
def test_pooled_features_have_both_derivatives_in_both_modes(part, monkeypatch):
    monkeypatch.setattr(pooled_features, "CPU_PART", part)
    torch.manual_seed(0)
    given = [torch.randn(*shape, requires_grad=True) for shape in ((2, 3, 4, 3), (2, 3, 5), (2, 5))]
    x, weight, bias = given
    expected = torch.relu(torch.einsum("hnpc,hcf->hnpf", x, weight) + bias[:, None, None]).mean(2)
    torch.testing.assert_close(pooled_features.pooled_features(*given), expected)
    assert torch.autograd.gradcheck(pooled_features.pooled_features, given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(pooled_features.pooled_features, given)


def test_second_derivatives_of_our_kernels_are_the_same_in_lockstep():
    heads, at_gaps, inputs = make_heads(*DEPTHS)
    leaves = [*at_gaps, *heads.parameters()]

    def second():
        first = torch.autograd.grad(torch.stack(together(heads, inputs)).square().mean(), leaves, create_graph=True)
        return torch.autograd.grad(first, leaves, [torch.ones_like(g) for g in first])

    plain = second()
    with SecondOrder():
        torch.testing.assert_close(second(), plain, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("engine", ["adjoint", "identity", "unroll"])
def test_bfloat16_finds_about_the_same_gradient(engine):
    torch.set_default_dtype(torch.float32)
    exact, lower = (ENGINES[engine](replace(conv_problem(1), precision=precision)) for precision in ("fp32", "bf16"))
    pair = [torch.cat([found.alpha_grad.flatten(), found.beta_grad.flatten()]) for found in (exact, lower)]
    assert not torch.equal(*pair)
    assert torch.cosine_similarity(*pair, dim=0) > 0.95
