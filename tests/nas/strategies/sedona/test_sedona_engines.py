"""The hypergradient engines against finite differences of real training, a hand-written unroll of the nested loss, and each
other, on convolutional, recurrent and attention networks."""

import copy
import gc
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from methods.training.settings import TrainingSettings
from nas.problem import Problem
from nas.records.results import Results
from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from nas.strategies.sedona.relaxed_training import RelaxedTraining
from nas.tasks import TASKS
from spaces.activation import PADDING, TextShape, combined
from spaces.backbone import Backbone
from spaces.heads import HEADS
from spaces.memory.peak_memory import PeakMemory
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

EXACT = ("adjoint", "unroll")

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
        return nn.Sequential(
            nn.Conv2d(channels, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.Softplus(), nn.Dropout(dropout)
        )

    def head(width):
        return nn.Sequential(
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, NUM_CLASSES)
        )

    torch.manual_seed(1)
    classifier = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, NUM_CLASSES))
    backbone = Backbone([unit(2), *(unit(3) for _ in range(3))], classifier, input_shape=(2, 4, 4), num_classes=NUM_CLASSES)
    candidates = [[head(3 + d) for d in range(NUM_HEADS)] for _ in GAPS]
    return Relaxation(backbone, GAPS, candidates, label_smoothing=SMOOTHING)


class Rows(nn.Module):
    """An image's rows as a sequence: (N, C, H, W) -> (N, H, C W)."""

    def forward(self, x):
        return x.transpose(1, 2).flatten(2)


class Recurrent(nn.Module):
    def __init__(self, layer, width, **settings):
        super().__init__()
        self.recurrent = layer(width, 4, batch_first=True, **settings)
        for p in self.recurrent.parameters():  # torch's own start is so small that hardly any gradient is left
            p.data *= 3

    def forward(self, x):
        return self.recurrent(x)[0]


class Attention(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout, batch_first=True)

    def forward(self, x):
        return x + self.attention(x, x, x, need_weights=False)[0]


class Checkpointed(nn.Sequential):
    """Computes itself again in the backward pass."""

    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


def conv_units(dropout):
    return [
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Softplus(), nn.Dropout(dropout)),
        nn.Sequential(nn.Conv2d(4, 8, 3, 2, padding=1, groups=2), nn.BatchNorm2d(8, affine=False), nn.Tanh()),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4), nn.GELU()),
    ]


def checkpointed_units(dropout, unit=Checkpointed):
    """Dropout lies between layers with saved tensors, so that a wrong mask is not without effect."""
    return [
        unit(
            nn.Conv2d(2 if first else 4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Softplus(),
            nn.Dropout(dropout),
            nn.Conv2d(4, 4, 1),
            nn.Tanh(),
        )
        for first in (True, False, False)
    ]


def recurrent_units(layer, **settings):
    width = 8 if settings.get("bidirectional") else 4
    return [
        nn.Sequential(Rows(), Recurrent(layer, 8, **settings)),
        nn.Sequential(Recurrent(layer, width, **settings)),
        nn.Sequential(Recurrent(layer, width, **settings)),
    ]


def encoder_units(dropout, norm_first):
    def layer():
        return nn.TransformerEncoderLayer(8, 2, 6, dropout, F.gelu, batch_first=True, norm_first=norm_first)

    return [nn.Sequential(Rows(), layer()), nn.Sequential(layer())]


NETS = {
    "conv": conv_units,
    "lstm": lambda dropout: recurrent_units(nn.LSTM, num_layers=2, dropout=dropout, bidirectional=True),
    "gru": lambda dropout: recurrent_units(nn.GRU),
    "attention": lambda dropout: [nn.Sequential(Rows(), Attention(dropout)), nn.Sequential(Attention(dropout))],
    "encoder": lambda dropout: encoder_units(dropout, norm_first=False),
    "encoder_norm_first": lambda dropout: encoder_units(dropout, norm_first=True),
}
PLAIN_NETS = ("conv", "gru", "encoder")  # one of each kind
TEXTS = {
    "linear": "linear(depth=2,embedding=3,hidden=4,dropout={})",
    "text_lstm": "lstm(depth=3,embedding=3,hidden=2,dropout={})",
    "text_transformer": "transformer(depth=2,embedding=6,attention_heads=4,ffn=3,positions=True,dropout={})",
}  # with padding; an LSTM's states cross the gaps beside its outputs
PATCHES = {
    "vit": "tests.token_networks.tiny_vit(depth=2,features=8)",
    "masked_vit": "tests.token_networks.tiny_vit(depth=2,features=8,masked=True)",
    "mixer": "tests.token_networks.tiny_mixer(depth=2,features=8)",
}  # of plain tokens
ALL_NETS = (*NETS, *TEXTS, *PATCHES)


def make_net(units, dropout=0.0, name=""):
    """A relaxation that may be cut at every gap."""
    if isinstance(units, str):
        patches = units in PATCHES.values()
        heads = ["linear", "conv" if name == "vit" else "mlp(depth=1,width=3)"]
        shape = (2, 4, 4) if patches else TextShape(5, 8)
        space = SearchSpace(units.format(dropout), heads, input_shape=shape, num_classes=NUM_CLASSES)
        backbone = space.build_backbone()
        candidates = [[HEADS.build(head, space.site(gap)) for head in space.heads] for gap in space.gaps]
        for p in backbone.units.parameters():
            p.data *= 2  # so that more than a trace of the gradient is left
        return Relaxation(backbone, space.gaps, candidates, label_smoothing=SMOOTHING)
    units = units(dropout)
    backbone = Backbone(units, nn.Identity(), input_shape=(2, 4, 4), num_classes=NUM_CLASSES)
    *sizes, last = (torch.Size(shape).numel() for shape in backbone.shapes[1:])

    def head(size):
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 4), nn.Tanh(), nn.Linear(4, NUM_CLASSES))

    backbone.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(last, NUM_CLASSES))
    return Relaxation(
        backbone, range(1, len(units)), [[head(size) for _ in range(NUM_HEADS)] for size in sizes], label_smoothing=SMOOTHING
    )


def make_problem(name, dropout=0.0, num_steps=3, objective="validation", units=None):
    """A bilevel problem of that net, with two parameter groups and warm momentum buffers."""
    torch.manual_seed(1)
    relaxation = make_net(units or (NETS | TEXTS | PATCHES)[name], dropout, name)
    parameters = list(relaxation.parameters())
    optimizer = torch.optim.SGD(
        [{"params": parameters[:3], "lr": 3 * LR, "weight_decay": 0.05, "momentum": 0.5}, {"params": parameters[3:]}],
        lr=LR,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )
    for p in parameters:
        optimizer.state[p]["momentum_buffer"] = 0.1 * torch.randn_like(p)
    num_gaps = len(relaxation.gaps)
    *inner, outer = make_texts(num_steps + 1) if name in TEXTS else make_batches(num_steps + 1)
    return Bilevel(
        relaxation, optimizer, Architecture(torch.randn(num_gaps, 2), torch.randn(num_gaps, NUM_HEADS)), inner, outer, objective
    )


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
    return [
        (torch.randn(6, 2, 4, 4, generator=generator), torch.randint(NUM_CLASSES, (6,), generator=generator))
        for _ in range(count)
    ]


def make_texts(count):
    generator = torch.Generator().manual_seed(3)
    batches = []
    for _ in range(count):
        ids = torch.randint(1, 8, (6, 5), generator=generator)
        lengths = torch.tensor([5, 1, 3, 3, 4, 2])
        ids[torch.arange(5) >= lengths[:, None]] = PADDING
        batches.append((ids, torch.randint(NUM_CLASSES, (6,), generator=generator)))
    return batches


def hypergradient(relaxation, optimizer, architecture, inner, outer, *, objective="validation", engine):
    return ENGINES[engine](Bilevel(relaxation, optimizer, architecture, inner, outer, objective))


def gradient_of(problem, engine, seed=7):
    """The hypergradient as one vector."""
    torch.manual_seed(seed)
    found = ENGINES[engine](problem)
    return torch.cat([found.alpha_grad.flatten(), found.beta_grad.flatten()])


def assert_equal(gradient, reference, tolerance=1e-12):
    size = float(reference.abs().max())
    assert size > 1e-6
    torch.testing.assert_close(gradient, reference, rtol=0, atol=tolerance * size)


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
        if number in relaxation.gaps:
            candidates = relaxation.heads[j]
            scaled = combined(lambda part, scale=scales[j]: part / scale, h)
            logits = sum(b[j, d] * scales[j] * candidates[d](scaled) for d in range(NUM_HEADS))
            total = total + reach * a[j, 0] * smooth_cross_entropy(logits, y)
            reach, j = reach * a[j, 1], j + 1
    return total + reach * smooth_cross_entropy(relaxation.classifier(h), y)


def validation_reference(relaxation, x, y):
    if not isinstance(relaxation.units[0], nn.Sequential):  # texts' and patches' nets have their dropout inside
        relaxation = copy.deepcopy(relaxation).eval()
        for unit in relaxation.units:
            x = unit(x)
        return nn.functional.cross_entropy(relaxation.classifier(x), y)
    for layer in [layer for unit in relaxation.units for layer in unit] + list(relaxation.classifier):
        x = x if isinstance(layer, nn.Dropout) else layer(x)
    return nn.functional.cross_entropy(x, y)


def divisor(name, architecture, gaps=GAPS):
    """P of a parameter: the product of a_k1 over the gaps below the unit, head or classifier that holds it."""
    part, number, *_ = name.split(".")
    gap_or_end = {"units": lambda: int(number) + 1, "heads": lambda: gaps[int(number)]}.get(part, lambda: 99)()
    above = torch.softmax(architecture.alpha, 1)[:, 1]
    return torch.prod(torch.stack([torch.ones(())] + [above[k] for k, gap in enumerate(gaps) if gap < gap_or_end]))


def released_scales(architecture):
    return (1 / (torch.softmax(architecture.alpha, 1)[:, 0] + 1e-5)).detach()


def unrolled_reference(relaxation, optimizer, architecture, inner_batches, outer_batch, objective, with_hessian=True):
    """The outer loss, still attached to the architecture, by `functional_call` and SGD written out. Without the Hessian each
    step's gradient is that of weights which do not depend on the architecture."""
    scales = released_scales(architecture) if objective == "train" else torch.ones(len(GAPS))
    params = {name: p.detach().clone().requires_grad_() for name, p in relaxation.named_parameters()}
    buffers = {name: b.clone() for name, b in relaxation.named_buffers()}
    velocity = {name: optimizer.state[p]["momentum_buffer"] for name, p in relaxation.named_parameters() if p in optimizer.state}
    for batch in inner_batches if objective == "validation" else inner_batches[:-1]:
        at = params if with_hessian else {name: p.detach().requires_grad_() for name, p in params.items()}
        loss = functional_call(relaxation, {**at, **buffers}, (nested_reference, *batch, architecture, scales))
        gradients = torch.autograd.grad(loss, list(at.values()), create_graph=True)
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
            p.grad /= divisor(name, architecture, relaxation.gaps)
        optimizer.step()
    if objective == "validation":
        return float(validation_reference(relaxation, *outer_batch).detach())
    return float(nested_reference(relaxation, *inner_batches[-1], architecture, scales).detach())


@pytest.mark.parametrize(
    ("objective", "num_steps", "dropout", "warm"),
    [
        *itertools.product(["validation", "train"], [1, 2, 3], [0.0], [True]),
        ("validation", 2, 0.3, False),
        ("train", 3, 0.3, False),
    ],
)
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

    alpha_differences, beta_differences = differences("alpha"), differences("beta")
    for engine in EXACT:
        torch.manual_seed(7)
        result = hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective, engine=engine)
        assert result.outer_loss.item() == pytest.approx(outer_loss(architecture), rel=1e-12)
        for gradient, expected in ((result.alpha_grad, alpha_differences), (result.beta_grad, beta_differences)):
            torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=2e-9)
            assert gradient.abs().min() > 1e-7, "too small a gradient for the differences to say anything"


@pytest.mark.parametrize("name", [*PLAIN_NETS, *TEXTS, "masked_vit"])
def test_agrees_with_central_differences_along_random_directions_on_any_net(name, eps=1e-6):
    problem = make_problem(name, num_steps=2)
    start, scales = [problem.architecture.alpha, problem.architecture.beta], torch.ones(len(problem.relaxation.gaps))
    gradient = gradient_of(problem, "adjoint")

    def outer_loss(step, direction):
        moved = Architecture(*(leaf.detach() + step * part for leaf, part in zip(start, direction, strict=True)))
        return trained_reference(
            problem.relaxation, problem.optimizer, moved, problem.inner_batches, problem.outer_batch, "validation", scales
        )

    for _ in range(3):
        direction = [torch.randn_like(leaf) for leaf in start]
        slope = torch.dot(gradient, torch.cat([part.flatten() for part in direction])).item()
        assert abs(slope) > 1e-5
        assert slope == pytest.approx((outer_loss(eps, direction) - outer_loss(-eps, direction)) / (2 * eps), rel=1e-4, abs=2e-9)


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("name", ALL_NETS)
def test_the_exact_engines_agree_on_any_net(name, objective):
    """Two parameter groups, momentum, weight decay, dropout, BatchNorm of the batch, label smoothing."""
    problem = make_problem(name, dropout=0.2, objective=objective)
    assert_equal(gradient_of(problem, "adjoint"), gradient_of(problem, "unroll"))


@pytest.mark.parametrize(("objective", "num_steps"), [("validation", 1), ("train", 2)])
@pytest.mark.parametrize("name", ALL_NETS)
@pytest.mark.parametrize("dropout", [0.0, 0.2])  # torch's attention takes another kernel with dropout
def test_identity_is_exact_where_one_step_is_differentiated(dropout, name, objective, num_steps):
    problem = make_problem(name, dropout, objective=objective, num_steps=num_steps)
    assert_equal(gradient_of(problem, "identity"), gradient_of(problem, "unroll"))


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("warm", [True, False])
def test_identity_equals_a_hand_written_unroll_without_the_hessian(objective, warm):
    relaxation = make_relaxation()
    optimizer, architecture = make_optimizer(relaxation, warm), make_architecture()
    *inner, outer = make_batches(4)
    result = hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective, engine="identity")
    exact = hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective, engine="adjoint")

    leaves = Architecture(architecture.alpha.clone().requires_grad_(), architecture.beta.clone().requires_grad_())
    loss = unrolled_reference(relaxation, optimizer, leaves, inner, outer, objective, with_hessian=False)
    alpha_grad, beta_grad = torch.autograd.grad(loss, (leaves.alpha, leaves.beta))
    assert_equal(result.alpha_grad, alpha_grad, 1e-11)
    assert_equal(result.beta_grad, beta_grad, 1e-11)
    assert (exact.alpha_grad - alpha_grad).abs().max() > 1e-2 * alpha_grad.abs().max(), "the Hessian had no say"
    torch.testing.assert_close(result.outer_loss, exact.outer_loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(result.inner_losses, exact.inner_losses, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["lstm", "gru", "encoder", *TEXTS])
def test_engines_agree_in_float32_where_torch_takes_other_kernels(name):
    torch.set_default_dtype(torch.float32)
    problem = make_problem(name, num_steps=1)
    exact = gradient_of(problem, "unroll")
    assert_equal(gradient_of(problem, "adjoint"), exact, 1e-3)
    assert_equal(gradient_of(problem, "identity"), exact, 1e-3)


@pytest.mark.parametrize("held", [True, False])
def test_weights_that_do_not_learn(held):
    """Frozen, or not held by the optimizer: `unroll` leaves them to higher."""
    problem = make_problem("conv", num_steps=1)
    first, *rest = problem.relaxation.parameters()
    all_learn = gradient_of(replace(problem, optimizer=torch.optim.SGD([first, *rest], lr=LR)), "unroll")
    first.requires_grad_(not held)
    problem = replace(problem, optimizer=torch.optim.SGD([first, *rest] if held else rest, lr=LR))
    exact = gradient_of(problem, "unroll")
    assert (exact - all_learn).abs().max() > 1e-3 * all_learn.abs().max()
    assert_equal(gradient_of(problem, "adjoint"), exact)
    assert_equal(gradient_of(problem, "identity"), exact)


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("engine", EXACT)
def test_equals_a_hand_written_unroll(engine, objective, num_steps, warm):
    relaxation = make_relaxation()
    optimizer, architecture = make_optimizer(relaxation, warm), make_architecture()
    *inner, outer = make_batches(num_steps + 1)
    result = hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective, engine=engine)

    leaves = Architecture(architecture.alpha.clone().requires_grad_(), architecture.beta.clone().requires_grad_())
    loss = unrolled_reference(relaxation, optimizer, leaves, inner, outer, objective)
    alpha_grad, beta_grad = torch.autograd.grad(loss, (leaves.alpha, leaves.beta))
    torch.testing.assert_close(result.alpha_grad, alpha_grad, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(result.beta_grad, beta_grad, rtol=1e-12, atol=1e-15)
    assert alpha_grad.abs().max() > 1e-4
    assert len(result.inner_losses) == (num_steps if objective == "validation" else num_steps - 1)


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("num_steps", [2, 4])
@pytest.mark.parametrize("engine", ENGINES)
def test_rows_sum_to_zero(engine, objective, num_steps):
    """softmax ignores a shift of a row, so no gradient points along one."""
    relaxation = make_relaxation()
    *inner, outer = make_batches(num_steps)
    result = hypergradient(
        relaxation, make_optimizer(relaxation), make_architecture(), inner, outer, objective=objective, engine=engine
    )
    for gradient in (result.alpha_grad, result.beta_grad):
        assert gradient.abs().max() > 1e-4
        assert gradient.sum(dim=1).abs().max() < 1e-15


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("engine", ENGINES)
def test_leaves_everything_as_it_was(engine, objective):
    relaxation = make_relaxation(dropout=0.3)
    optimizer, architecture = make_optimizer(relaxation), make_architecture()
    *inner, outer = make_batches(4)
    before = copy.deepcopy((relaxation.state_dict(), optimizer.state_dict(), vars(architecture)))
    tensors = [*relaxation.parameters(), *relaxation.buffers()]
    memory = [t.data_ptr() for t in tensors]
    hypergradient(relaxation, optimizer, architecture, inner, outer, objective=objective, engine=engine)
    torch.testing.assert_close((relaxation.state_dict(), optimizer.state_dict(), vars(architecture)), before, rtol=0, atol=0)
    after = [*relaxation.parameters(), *relaxation.buffers()]
    assert list(map(id, after)) == list(map(id, tensors)) and [t.data_ptr() for t in after] == memory
    assert all(p.grad is None for p in relaxation.parameters())
    assert all(module.training for module in relaxation.modules())
    assert not architecture.alpha.requires_grad and architecture.beta.grad is None


@pytest.mark.parametrize("engine", ENGINES)
def test_gives_the_weights_back_where_a_step_fails(engine):
    problem = make_problem("conv")
    x, _ = problem.inner_batches[-1]
    problem = replace(problem, inner_batches=[*problem.inner_batches[:-1], (x, torch.full((len(x),), NUM_CLASSES))])
    before, memory = copy.deepcopy(problem.relaxation.state_dict()), [p.data_ptr() for p in problem.relaxation.parameters()]
    with pytest.raises((IndexError, RuntimeError)):
        ENGINES[engine](problem)
    torch.testing.assert_close(problem.relaxation.state_dict(), before, rtol=0, atol=0)
    assert [p.data_ptr() for p in problem.relaxation.parameters()] == memory


@pytest.mark.parametrize("setting", [{"nesterov": True}, {"dampening": 0.1}, {"maximize": True}], ids=str)
def test_refuses_an_optimizer_that_is_more_than_sgd_with_momentum(setting):
    problem = make_problem("conv")
    optimizer = torch.optim.SGD(problem.relaxation.parameters(), lr=LR, momentum=MOMENTUM, **setting)
    with pytest.raises(UserError, match="plain SGD"):
        replace(problem, optimizer=optimizer)


@pytest.mark.parametrize("engine", ["adjoint", "identity"])
@pytest.mark.parametrize("objective", ["validation", "train"])
def test_a_unit_that_checkpoints_itself_changes_nothing(engine, objective):
    plain = make_problem("plain", 0.3, objective=objective, units=lambda d: checkpointed_units(d, unit=nn.Sequential))
    checkpointed = make_problem("checkpointed", 0.3, objective=objective, units=checkpointed_units)
    assert_equal(gradient_of(checkpointed, engine), gradient_of(plain, engine))


@pytest.mark.parametrize("between", [True, False])
def test_the_outer_loss_is_differentiated_through_its_own_graph(between):
    """BatchNorm's buffers have no version, so a pass in another mode goes unnoticed where a graph holds on to them."""
    problem = make_problem("conv")
    relaxation, (x, y) = problem.relaxation, problem.outer_batch
    weights = list(problem.relaxation.units.parameters())
    expected = torch.autograd.grad(relaxation.outer_loss(x, y), weights)
    loss = relaxation.train(not between).outer_loss(x, y)
    relaxation.train(between).inner_loss(10 * x, y, problem.architecture)
    relaxation.outer_loss(5 * x, y)
    torch.testing.assert_close(torch.autograd.grad(loss, weights), expected, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_a_training_step_moves_running_statistics_and_moves_them_once(engine):
    torch.set_default_dtype(torch.float32)
    images = TASKS.build("digits(validation=0.4)", Path("nowhere"))
    space = SearchSpace("small(width=0.25)", ["conv(depth=1)"], input_shape=images.input_shape, num_classes=10)
    settings, folder = TrainingSettings(batch_size=16), Path("nowhere")
    problem = Problem(space, "dgl", "digits", images, settings, 0, torch.device("cpu"), Results(folder), folder)
    training = RelaxedTraining(problem, "validation", 0.1, 10)
    norms = [part for part in training.relaxation.modules() if isinstance(part, nn.BatchNorm2d)]
    architecture = Architecture.zeros(len(space.gaps), 1)
    batch = torch.randn(8, *images.input_shape), torch.arange(8) % 10
    before = copy.deepcopy(training.relaxation.state_dict())
    ENGINES[engine](Bilevel(training.relaxation, training.optimizer, architecture, [batch] * 2, batch))
    torch.testing.assert_close(training.relaxation.state_dict(), before, rtol=0, atol=0)

    first = []
    norms[0].register_forward_pre_hook(lambda module, arguments: first.append(arguments[0].detach()))
    training.step(architecture, 0, batch, seed=0)
    assert [int(norm.num_batches_tracked) for norm in norms] == [1] * len(norms)
    torch.testing.assert_close(norms[0].running_mean, 0.1 * first[0].mean((0, 2, 3)))


def peak_bytes(engine, num_steps, units):
    problem = make_problem("plain", num_steps=num_steps, units=units)
    gc.collect()
    with PeakMemory() as memory:
        ENGINES[engine](problem)
    return memory.peak, problem


@pytest.mark.slow
def test_memory_grows_by_the_weights_of_a_step_or_by_its_graph():
    def units(dropout):
        return [
            nn.Sequential(nn.Conv2d(2 if first else 32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.Softplus())
            for first in (True, False, False, False)
        ]

    grown = {}
    for engine in ENGINES:
        (few, _), (many, problem) = peak_bytes(engine, 2, units), peak_bytes(engine, 8, units)
        grown[engine] = (many - few) / 6
    weights = sum(p.nbytes for p in problem.relaxation.parameters())
    at_gaps = len(problem.relaxation.gaps) * 6 * 32 * 4 * 4 * 8  # images, channels, height, width, bytes a number
    with PeakMemory() as memory:
        loss = problem.inner_loss(problem.inner_batches[0])  # keeps its graph alive
        graph = memory.current
    assert 0.9 * weights < grown["adjoint"] < 1.1 * weights
    assert grown["identity"] < 1.1 * (weights + at_gaps)
    assert grown["unroll"] > graph + weights, loss


@pytest.mark.parametrize("loss", [Relaxation.inner_loss, Relaxation.released_inner_loss])
def test_inner_gradient_is_the_nested_losss_divided_by_its_reach(loss):
    relaxation, architecture, [batch] = make_relaxation(), make_architecture(), make_batches(1)
    scales = torch.ones(len(GAPS)) if loss is Relaxation.inner_loss else released_scales(architecture)
    names, params = zip(*relaxation.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss(relaxation, *batch, architecture), params)
    nested = torch.autograd.grad(nested_reference(relaxation, *batch, architecture, scales), params)
    for name, gradient, reference in zip(names, gradients, nested, strict=True):
        torch.testing.assert_close(gradient, reference / divisor(name, architecture), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_direct_derivative_of_the_training_objective_alone_ignores_the_weights(engine):
    """With one inner batch the released objective takes no step: only E_1's own dependence on the architecture is left."""
    relaxation, [inner, outer] = make_relaxation(), make_batches(2)
    results = []
    for lr in (0.0, 10.0):
        optimizer = torch.optim.SGD(relaxation.parameters(), lr=lr)
        results.append(
            hypergradient(relaxation, optimizer, make_architecture(), [inner], outer, objective="train", engine=engine)
        )
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
