"""The hypergradient against finite differences of real training, and against a hand-written unroll of the nested loss."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call

from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from spaces.backbone import Backbone

GAPS, NUM_HEADS, NUM_CLASSES, SMOOTHING = (1, 3), 2, 3, 0.1
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 0.01


@pytest.fixture(autouse=True)
def float64_on_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)


def make_relaxation(dropout=0.0):
    def unit(channels):
        return nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.Softplus(),
                             nn.Dropout(dropout))

    def head(width):
        return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, width), nn.BatchNorm1d(width), nn.Tanh(),
                             nn.Linear(width, NUM_CLASSES))

    torch.manual_seed(1)
    classifier = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, NUM_CLASSES))
    backbone = Backbone([unit(2), *(unit(3) for _ in range(3))], classifier, input_shape=(2, 4, 4), num_classes=NUM_CLASSES)
    candidates = [[head(3 + d) for d in range(NUM_HEADS)] for _ in GAPS]
    return Relaxation(backbone, GAPS, candidates, label_smoothing=SMOOTHING)


def make_optimizer(relaxation, warm=True):
    optimizer = torch.optim.SGD(relaxation.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    if warm:
        for p in relaxation.parameters():
            optimizer.state[p]["momentum_buffer"] = 0.1 * torch.randn_like(p)
    return optimizer


def make_architecture():
    return Architecture(torch.tensor([[0.7, -0.3], [-0.5, 0.4]]), torch.tensor([[0.2, -0.6], [0.9, 0.1]]))


def make_batches(count):
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(6, 2, 4, 4, generator=generator), torch.randint(NUM_CLASSES, (6,), generator=generator))
            for _ in range(count)]


def hypergradient(relaxation, optimizer, architecture, inner, outer, *, objective="validation", engine="adjoint"):
    return ENGINES[engine](Bilevel(relaxation, optimizer, architecture, inner, outer, objective))


def smooth_cross_entropy(logits, y):
    target = torch.full_like(logits, SMOOTHING / (NUM_CLASSES - 1))
    target[torch.arange(len(y)), y] = 1 - SMOOTHING
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def nested_reference(relaxation, x, y, architecture, scales):
    """sum_j (prod_(k<j) a_k1) a_j0 L_j + (prod_k a_k1) L_n, written out; `scales` is one s_j a gap."""
    a, b = torch.softmax(architecture.alpha, 1), torch.softmax(architecture.beta, 1)
    total, reach, h, j = 0, 1, x, 0
    for number, unit in enumerate(relaxation.units, start=1):
        h = unit(h)
        if number in GAPS:
            candidates = relaxation.heads[j]
            logits = sum(b[j, d] * scales[j] * candidates[d](h / scales[j]) for d in range(NUM_HEADS))
            total = total + reach * a[j, 0] * smooth_cross_entropy(logits, y)
            reach, j = reach * a[j, 1], j + 1
    return total + reach * smooth_cross_entropy(relaxation.classifier(h), y)


def validation_reference(relaxation, x, y):
    for layer in [layer for unit in relaxation.units for layer in unit] + list(relaxation.classifier):
        x = x if isinstance(layer, nn.Dropout) else layer(x)
    return nn.functional.cross_entropy(x, y)


def divisor(name, architecture):
    """P of a parameter: the product of a_k1 over the gaps below the unit, head or classifier that holds it."""
    part, number, *_ = name.split(".")
    gap_or_end = {"units": lambda: int(number) + 1, "heads": lambda: GAPS[int(number)]}.get(part, lambda: 99)()
    above = torch.softmax(architecture.alpha, 1)[:, 1]
    return torch.prod(torch.stack([torch.ones(())] + [above[k] for k, gap in enumerate(GAPS) if gap < gap_or_end]))


def released_scales(architecture):
    return (1 / (torch.softmax(architecture.alpha, 1)[:, 0] + 1e-5)).detach()


def unrolled_reference(relaxation, optimizer, architecture, inner_batches, outer_batch, objective):
    """The outer loss, still attached to the architecture, by `functional_call` and SGD written out."""
    scales = released_scales(architecture) if objective == "train" else torch.ones(len(GAPS))
    params = {name: p.detach().clone().requires_grad_() for name, p in relaxation.named_parameters()}
    buffers = {name: b.clone() for name, b in relaxation.named_buffers()}
    velocity = {name: optimizer.state[p]["momentum_buffer"] for name, p in relaxation.named_parameters()
                if p in optimizer.state}
    for batch in inner_batches if objective == "validation" else inner_batches[:-1]:
        loss = functional_call(relaxation, {**params, **buffers}, (nested_reference, *batch, architecture, scales))
        gradients = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        for (name, p), gradient in zip(list(params.items()), gradients, strict=True):
            step = gradient / divisor(name, architecture) + WEIGHT_DECAY * p
            velocity[name] = MOMENTUM * velocity[name] + step if name in velocity else step
            params[name] = p - LR * velocity[name]
    if objective == "validation":
        return functional_call(relaxation, {**params, **buffers}, (validation_reference, *outer_batch))
    last = (nested_reference, *inner_batches[-1], architecture, scales)
    return functional_call(relaxation, {**params, **buffers}, last)


def trained_reference(relaxation, optimizer, architecture, inner_batches, outer_batch, objective, scales):
    """The outer loss as a number, after real `torch.optim.SGD` steps on a copy."""
    relaxation, optimizer = copy.deepcopy((relaxation, optimizer))
    for batch in inner_batches if objective == "validation" else inner_batches[:-1]:
        optimizer.zero_grad()
        nested_reference(relaxation, *batch, architecture, scales).backward()
        for name, p in relaxation.named_parameters():
            p.grad /= divisor(name, architecture)
        optimizer.step()
    if objective == "validation":
        return float(validation_reference(relaxation, *outer_batch).detach())
    return float(nested_reference(relaxation, *inner_batches[-1], architecture, scales).detach())


@pytest.mark.parametrize(("objective", "num_steps", "dropout", "warm"), [
    *itertools.product(["validation", "train"], [1, 2, 3], [0.0], [True]),
    ("validation", 2, 0.3, False), ("train", 3, 0.3, False),
])
def test_agrees_with_central_differences_of_real_training(objective, num_steps, dropout, warm):
    relaxation = make_relaxation(dropout)
    optimizer, architecture = make_optimizer(relaxation, warm), make_architecture()
    *inner, outer = make_batches(num_steps + 1)
    scales = released_scales(architecture) if objective == "train" else torch.ones(len(GAPS))

    def outer_loss(moved):
        torch.manual_seed(7)
        return trained_reference(relaxation, optimizer, moved, inner, outer, objective, scales)

    def differences(field, eps=1e-6):
        base = getattr(architecture, field)
        gradient = torch.zeros_like(base)
        for index in itertools.product(*map(range, base.shape)):
            bump = torch.zeros_like(base)
            bump[index] = eps
            up, down = (Architecture(**{**vars(architecture), field: base + sign * bump}) for sign in (1, -1))
            gradient[index] = (outer_loss(up) - outer_loss(down)) / (2 * eps)
        return gradient

    torch.manual_seed(7)
    result = hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective)
    assert result.outer_loss.item() == pytest.approx(outer_loss(architecture), rel=1e-12)
    for field, gradient in (("alpha", result.alpha_grad), ("beta", result.beta_grad)):
        torch.testing.assert_close(gradient, differences(field), rtol=1e-5, atol=2e-9)
        assert gradient.abs().min() > 1e-7, "too small a gradient for the differences to say anything"


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("warm", [True, False])
def test_equals_a_hand_written_unroll(objective, num_steps, warm):
    relaxation = make_relaxation()
    optimizer, architecture = make_optimizer(relaxation, warm), make_architecture()
    *inner, outer = make_batches(num_steps + 1)
    result = hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective)

    leaves = Architecture(architecture.alpha.clone().requires_grad_(), architecture.beta.clone().requires_grad_())
    loss = unrolled_reference(relaxation, optimizer, leaves, inner, outer, objective)
    alpha_grad, beta_grad = torch.autograd.grad(loss, (leaves.alpha, leaves.beta))
    torch.testing.assert_close(result.alpha_grad, alpha_grad, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(result.beta_grad, beta_grad, rtol=1e-12, atol=1e-15)
    assert alpha_grad.abs().max() > 1e-4
    assert len(result.inner_losses) == (num_steps if objective == "validation" else num_steps - 1)


@pytest.mark.parametrize("objective", ["validation", "train"])
def test_rows_sum_to_zero(objective):
    """softmax ignores a shift of a row, so no gradient points along one."""
    relaxation = make_relaxation()
    *inner, outer = make_batches(4)
    result = hypergradient(relaxation, make_optimizer(relaxation), make_architecture(), inner, outer, objective=objective)
    for gradient in (result.alpha_grad, result.beta_grad):
        assert gradient.abs().max() > 1e-4
        assert gradient.sum(dim=1).abs().max() < 1e-15


@pytest.mark.parametrize("objective", ["validation", "train"])
def test_leaves_everything_as_it_was(objective):
    relaxation = make_relaxation(dropout=0.3)
    optimizer, architecture = make_optimizer(relaxation), make_architecture()
    *inner, outer = make_batches(4)
    before = copy.deepcopy((relaxation.state_dict(), optimizer.state_dict(), vars(architecture)))
    hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective)
    torch.testing.assert_close((relaxation.state_dict(), optimizer.state_dict(), vars(architecture)), before, rtol=0, atol=0)
    assert all(p.grad is None for p in relaxation.parameters())
    assert all(module.training for module in relaxation.modules())
    assert not architecture.alpha.requires_grad and architecture.beta.grad is None


@pytest.mark.parametrize("loss", [Relaxation.inner_loss, Relaxation.released_inner_loss])
def test_inner_gradient_is_the_nested_losss_divided_by_its_reach(loss):
    relaxation, architecture, [batch] = make_relaxation(), make_architecture(), make_batches(1)
    scales = torch.ones(len(GAPS)) if loss is Relaxation.inner_loss else released_scales(architecture)
    names, params = zip(*relaxation.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss(relaxation, *batch, architecture), params)
    nested = torch.autograd.grad(nested_reference(relaxation, *batch, architecture, scales), params)
    for name, gradient, reference in zip(names, gradients, nested, strict=True):
        torch.testing.assert_close(gradient, reference / divisor(name, architecture), rtol=1e-12, atol=1e-14)


def test_the_direct_derivative_of_the_training_objective_alone_ignores_the_weights():
    """With one inner batch the released objective takes no step: only E_1's own dependence on the architecture is left."""
    relaxation, [inner, outer] = make_relaxation(), make_batches(2)
    results = []
    for lr in (0.0, 10.0):
        optimizer = torch.optim.SGD(relaxation.parameters(), lr=lr)
        results.append(hypergradient(relaxation, optimizer, make_architecture(), [inner], outer, objective="train"))
    torch.testing.assert_close(results[0].alpha_grad, results[1].alpha_grad, rtol=0, atol=0)
    assert results[0].alpha_grad.abs().max() > 1e-4


@pytest.mark.parametrize("cut", list(itertools.product([False, True], repeat=len(GAPS))))
def test_a_decided_architecture_trains_isolated_blocks(cut):
    relaxation, [(x, y)] = make_relaxation(), make_batches(1)
    alpha = torch.tensor([[1000.0, -1000.0] if c else [-1000.0, 1000.0] for c in cut])
    beta = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]])
    params = list(relaxation.parameters())
    gradients = torch.autograd.grad(relaxation.inner_loss(x, y, Architecture(alpha, beta)), params)

    losses, h = [], x
    for number, unit in enumerate(relaxation.units, start=1):
        h = unit(h)
        if number in GAPS and cut[GAPS.index(number)]:
            j = GAPS.index(number)
            losses.append(smooth_cross_entropy(relaxation.heads[j][j](h), y))
            h = h.detach()
    losses.append(smooth_cross_entropy(relaxation.classifier(h), y))
    isolated = torch.autograd.grad(sum(losses), params, materialize_grads=True, allow_unused=True)
    for gradient, reference in zip(gradients, isolated, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-12, atol=1e-14)
