"""A decoupled model in a user's loop: what it computes, beside networks and loops that are written out by hand."""

from __future__ import annotations

import copy
import io
from collections import UserDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import nas
from methods.training import compilation
from nas.own_loop.decoupled import Decoupled
from spaces.memory.peak_memory import PeakMemory
from spaces.notation.errors import UserError
from tests.nas.own_loop.models import Encoder, ResidualNet, batch, conv_net


def sgd(parameters: list[nn.Parameter]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def decoupled(decoupling: str = "2:linear 3:linear", method: str = "dgl(label_smoothing=0)", **settings: Any) -> Decoupled:
    """conv_net in three blocks; equal at every call."""
    return nas.decouple(conv_net(), decoupling, **{"example": batch()[0], "method": method, "optimizer": sgd, **settings})


def blocks_by_hand(net: Decoupled) -> list[tuple[nn.Module, nn.Module]]:
    """The three blocks of `decoupled` and what gives each block's outputs, copied out of the user's model and its heads."""
    layers, heads = copy.deepcopy(list(net.model)), copy.deepcopy(list(net.method.net.heads)[:-1])
    blocks = nn.Sequential(*layers[:2]), layers[2], layers[3]
    return list(zip(blocks, (*heads, layers[4]), strict=True))


def equal(one: Any, other: Any) -> bool:
    """Whether two lists of tensors are equal, to the bit."""
    one, other = list(one), list(other)
    return len(one) == len(other) and all(map(torch.equal, one, other))


def gradients(net: Decoupled) -> list[torch.Tensor]:
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


def test_the_output_is_the_models_own_and_the_state_dict_keeps_its_names() -> None:
    model = conv_net()
    names, before = [*model.state_dict()], model(batch()[0])
    net = nas.decouple(model, "even(3)", example=batch()[0], head="linear", optimizer=sgd)
    x, y = batch()
    assert net.model is model and torch.equal(net(x), before)
    net.step(x, y)
    assert [*model.state_dict()] == names and torch.equal(net(x), model(x)) and not torch.equal(net(x), before)
    fresh = conv_net()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), net(x))


@pytest.mark.parametrize("build", [conv_net, ResidualNet])
def test_one_block_trains_as_the_untouched_model_to_the_bit(build: Callable[[], nn.Module]) -> None:
    """Dropout and the statistics of BatchNorm as well."""
    model = build()
    net = nas.decouple(build(), "uncut", example=batch()[0], method="backprop(label_smoothing=0)", optimizer=sgd)
    optimizer = sgd(list(model.parameters()))
    for step in range(5):
        x, y = batch(seed=step)
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        torch.manual_seed(step)
        assert equal(net.step(x, y), [loss])
    assert equal(net.model.state_dict().values(), model.state_dict().values())
    assert torch.equal(net.eval()(x), model.eval()(x))


def test_inputs_by_name_train_every_block() -> None:
    ids, mask = torch.randint(11, (8, 6)), torch.ones(8, 6, dtype=torch.long)
    mask[::2, 4:] = 0
    inputs, y = {"ids": ids, "mask": mask}, batch()[1]
    net = nas.decouple(Encoder(), "even(3)", example=inputs, head="linear", optimizer=sgd)
    first, outputs = net.step(inputs, y), net(**inputs)
    for _ in range(10):
        last = net.step(inputs, y)
    assert len(first) == 3 and all(after < before for after, before in zip(last, first, strict=True))
    assert not torch.equal(net(**inputs), outputs)
    torch.testing.assert_close(list(net.exits(inputs))[-1], net(**inputs))


def test_inputs_by_name_may_come_in_any_mapping() -> None:
    """As those of tokenizers do."""
    inputs, y = UserDict(ids=torch.randint(11, (8, 6)), mask=torch.ones(8, 6, dtype=torch.long)), batch()[1]
    net = nas.decouple(Encoder(), "even(3)", example=inputs, head="linear", optimizer=sgd)
    assert equal(net.losses(inputs, y), net.losses(dict(inputs), y))
    assert equal(net.exits(inputs), net.exits(dict(inputs)))


def test_a_run_that_is_saved_goes_on_as_it_would_have() -> None:
    one, other = decoupled(), decoupled()
    one.step(*batch(seed=0))
    saved = one.state_dict(), [optimizer.state_dict() for optimizer in one.optimizers()]
    saved = copy.deepcopy(saved)
    expected = one.step(*batch(seed=1))
    other.load_state_dict(saved[0])
    for optimizer, state in zip(other.optimizers(), saved[1], strict=True):
        optimizer.load_state_dict(state)
    assert equal(other.step(*batch(seed=1)), expected)
    assert equal(other.state_dict().values(), one.state_dict().values())


def test_targets_may_be_probabilities_of_classes() -> None:
    """As mixing images makes them."""
    net, (x, y) = decoupled(), batch()
    mixed = 0.7 * F.one_hot(y, 4).double() + 0.3 * F.one_hot(y.roll(1), 4).double()
    assert equal(net.losses(x, mixed), [F.cross_entropy(outputs, mixed) for outputs in net.exits(x)])


def test_blocks_train_as_networks_of_their_own_to_the_bit() -> None:
    net = decoupled()
    parts = blocks_by_hand(net)
    optimizers = [sgd([*block.parameters(), *head.parameters()]) for block, head in parts]
    for step in range(3):
        (x, y), losses = batch(seed=step), []
        h = x
        for (block, head), optimizer in zip(parts, optimizers, strict=True):
            optimizer.zero_grad()
            h = block(h.detach())
            losses.append(F.cross_entropy(head(h), y))
            losses[-1].backward()
            optimizer.step()
        assert equal(net.step(x, y), losses)
    x, _ = batch(seed=9)
    h, outputs = x, []
    for block, head in parts:
        h = block(h)
        outputs.append(head(h))
    assert equal(net.exits(x), outputs) and torch.equal(net(x), outputs[-1])


def test_gradients_are_those_of_finite_differences() -> None:
    """Of each local loss, for a weight of its own block; and a weight of another block moves it without a gradient."""
    net, (x, y) = decoupled(), batch()
    for loss in net.losses(x, y):
        loss.backward()
    for k, parameter in enumerate((net.model[1][0].weight, net.model[2][0].weight, net.model[3][0].weight)):
        assert parameter.grad is not None
        with torch.no_grad():
            values = []
            for move in (1e-5, -2e-5):
                parameter.view(-1)[7] += move
                values.append(list(net.losses(x, y)))
            parameter.view(-1)[7] += 1e-5
        differences = [(float(up - down)) / 2e-5 for up, down in zip(*values, strict=True)]
        assert float(parameter.grad.view(-1)[7]) == pytest.approx(differences[k], rel=1e-5)
        assert all(abs(later) > 1e-7 for later in differences[k + 1 :]), "later losses depend on it"
        assert differences[:k] == [0] * k


def test_the_sum_of_the_losses_has_their_gradients_and_two_halves_those_of_one_batch() -> None:
    (x, y), net = batch(), decoupled()
    for loss in net.losses(x, y):
        loss.backward()
    expected = gradients(net)
    net.zero_grad()
    total = net.forward_loss(x, y)
    total.backward()
    assert equal(gradients(net), expected) and total == sum(net.losses(x, y))
    net.zero_grad()
    for half in (slice(0, 4), slice(4, 8)):
        net.step(x[half], y[half], share=0.5, update=False)
    torch.testing.assert_close(gradients(net), expected, rtol=1e-12, atol=1e-15)


def test_updates_come_when_asked_for() -> None:
    (x, y), net, whole = batch(), decoupled(), decoupled()
    before = copy.deepcopy(net.state_dict())
    net.step(x[:4], y[:4], share=0.5, update=False)
    assert equal(net.state_dict().values(), before.values())
    net.step(x[4:], y[4:], share=0.5)
    whole.step(x, y)
    torch.testing.assert_close(net.state_dict(), whole.state_dict(), rtol=1e-12, atol=1e-15)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_losses_keep_the_activations_of_one_block_and_their_sum_those_of_all() -> None:
    net, (x, y) = decoupled(), batch(64)

    def peak(run: Any) -> int:
        with PeakMemory(leave_out=net.parameters()) as memory:
            run()
        net.zero_grad()
        return memory.peak

    def one_by_one() -> None:
        for loss in net.losses(x, y):
            loss.backward()

    blocks = [peak(partial(_backprop, nn.Sequential(*part), given, y)) for part, given in zip(*_with_inputs(net, x), strict=True)]
    whole = peak(partial(_backprop, net, x, y))
    handed_on = 64 * 8 * 8 * 8 * 8  # bytes of what a block is given, alive beside what it makes
    assert peak(one_by_one) <= max(blocks) + handed_on < whole < peak(lambda: net.forward_loss(x, y).backward())
    assert peak(lambda: net.step(x, y)) <= max(blocks) + handed_on


def _backprop(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    F.cross_entropy(network(x), y).backward()


def _with_inputs(net: Decoupled, x: torch.Tensor) -> tuple[list[tuple[nn.Module, nn.Module]], list[torch.Tensor]]:
    parts, given = blocks_by_hand(net), [x]
    for block, _ in parts[:-1]:
        given.append(block(given[-1]).detach())
    return parts, given


def test_each_blocks_gradient_is_clipped_by_itself() -> None:
    (x, y), net, other = batch(), decoupled(), decoupled()
    net.step(x, y, max_norm=0.01)
    for loss in other.losses(x, y):
        loss.backward()
    for k, optimizer in enumerate(other.optimizers()):
        norm = nn.utils.clip_grad_norm_(other.block_parameters(k), 0.01)
        assert norm > 0.01
        optimizer.step()
    assert equal(net.state_dict().values(), other.state_dict().values())


def test_scaled_losses_train_as_others() -> None:
    (x, y), net, other = batch(), decoupled(), decoupled()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(2):
        net.step(x, y, scaler=scaler, max_norm=0.01)
        other.step(x, y, max_norm=0.01)
    torch.testing.assert_close(net.state_dict(), other.state_dict(), rtol=1e-12, atol=1e-15)


def test_a_step_that_overflows_leaves_that_block_as_it_was_and_lowers_the_scale() -> None:
    (x, y), net = batch(), decoupled()
    before = copy.deepcopy(net.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with torch.no_grad():
        net.model[3][0].weight.mul_(torch.inf)
    net.step(x, y, scaler=scaler)
    assert scaler.get_scale() == 512
    after = net.state_dict()
    assert torch.equal(after["model.4.2.weight"], before["model.4.2.weight"])
    assert not torch.equal(after["model.0.0.weight"], before["model.0.0.weight"])


def test_autocast_holds_for_every_block_wherever_its_loss_is_asked_for() -> None:
    net, (x, y) = decoupled(optimizer=None).float(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        inside = [loss.detach() for loss in net.losses(x.float(), y)]
        losses = net.losses(x.float(), y)
    assert equal(losses, inside)
    plain = list(net.losses(x.float(), y))
    assert not equal(plain, inside)
    torch.testing.assert_close(plain, inside, rtol=0.05, atol=0.05)
    net.optimizers(sgd)
    with torch.autocast("cpu", torch.bfloat16):
        assert equal(net.step(x.float(), y), inside)
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())


def test_half_precision_with_scaled_losses_trains_as_a_loop_that_is_written_out() -> None:
    (x, y), net, other = batch(), decoupled().float(), decoupled().float()
    scaler, written = torch.amp.GradScaler("cpu", init_scale=64.0), torch.amp.GradScaler("cpu", init_scale=64.0)
    for _ in range(2):
        with torch.autocast("cpu", torch.float16):
            found = net.step(x.float(), y, scaler=scaler, max_norm=0.05)
        expected = []
        with torch.autocast("cpu", torch.float16):
            losses = other.losses(x.float(), y)
        for k, (optimizer, loss) in enumerate(zip(other.optimizers(), losses, strict=True)):
            written.scale(loss).backward()
            written.unscale_(optimizer)
            nn.utils.clip_grad_norm_(other.block_parameters(k), 0.05)
            written.step(optimizer)
            optimizer.zero_grad()
            expected.append(loss.detach())
        written.update()
        assert equal(found, expected)
    assert equal(net.state_dict().values(), other.state_dict().values())


def test_schedulers_drive_the_blocks_optimizers() -> None:
    net, (x, y) = decoupled(), batch()
    schedulers = [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5) for optimizer in net.optimizers()]
    for _ in range(2):
        net.step(x, y)
        for scheduler in schedulers:
            scheduler.step()
    assert [optimizer.param_groups[0]["lr"] for optimizer in net.optimizers()] == [0.025] * net.num_blocks


def test_an_average_of_the_weights_is_kept() -> None:
    net, (x, y) = decoupled(), batch()
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    expected = None
    for _ in range(3):
        net.step(x, y)
        average.update_parameters(net)
        now = net.model[1][0].weight.detach()
        expected = now.clone() if expected is None else 0.75 * expected + 0.25 * now
    torch.testing.assert_close(average.module.model[1][0].weight, expected)
    by_hand = conv_net()
    by_hand.load_state_dict(average.module.model.state_dict())
    assert torch.equal(average(x), by_hand(x)) and not torch.equal(average(x), net(x))
    assert equal(list(average.module.exits(x))[-1:], [average(x)]), "a copy's blocks have the copy's weights"


def test_a_copy_trains_apart_with_optimizers_of_its_own() -> None:
    net, (x, y) = decoupled(), batch()
    net.step(x, y)
    other = copy.deepcopy(net)
    before = copy.deepcopy(net.state_dict())
    other.step(x, y)
    assert equal(net.state_dict().values(), before.values())
    assert not {*map(id, other.optimizers())} & {*map(id, net.optimizers())}


@pytest.mark.parametrize("method", ["dgl", "man(base=predsim)", "cooperative"])
def test_what_torch_saves_whole_goes_on_as_it_would_have(method: str) -> None:
    """Dropout, the statistics of BatchNorm and modules that two share included."""
    net, file = nas.decouple(ResidualNet(), "even(2)", example=batch()[0], method=method, optimizer=sgd), io.BytesIO()
    net.step(*batch(seed=0))
    torch.save((net, [optimizer.state_dict() for optimizer in net.optimizers()]), file)
    file.seek(0)
    loaded, states = torch.load(file, weights_only=False)
    for optimizer, state in zip(loaded.optimizers(), states, strict=True):
        optimizer.load_state_dict(state)
    for step in (1, 2):
        torch.manual_seed(step)
        expected = net.step(*batch(seed=step))
        torch.manual_seed(step)
        assert equal(loaded.step(*batch(seed=step)), expected)
    assert equal(loaded.state_dict().values(), net.state_dict().values())
    x, _ = batch(seed=3)
    assert torch.equal(loaded.eval()(x), net.eval()(x)) and torch.equal(loaded(x), loaded.model(x))
    assert not {*map(id, loaded.parameters())} & {*map(id, net.parameters())}


@pytest.mark.parametrize("method", ["dgl", "man(base=infopro(decoder=False))"])
def test_the_state_dict_holds_each_tensor_once_and_goes_into_another(method: str) -> None:
    one, other = decoupled("even(3)", method), decoupled("even(3)", method)
    one.step(*batch())
    saved = one.state_dict()
    storages = [tensor.data_ptr() for tensor in saved.values() if tensor.numel()]
    assert len(set(storages)) == len(storages) and {*saved} >= {f"model.{name}" for name in one.model.state_dict()}
    assert not equal(other.exits(batch()[0]), one.exits(batch()[0]))
    other.load_state_dict(saved)
    assert equal(other.exits(batch()[0]), one.exits(batch()[0])) and equal(other.state_dict().values(), saved.values())
    holder, receiver = nn.ModuleDict({"net": one}), nn.ModuleDict({"net": decoupled("even(3)", method)})
    assert not receiver.load_state_dict(holder.state_dict()).missing_keys
    with pytest.raises(RuntimeError, match=r"Missing key.*model.0.0.weight"):
        other.load_state_dict({name: tensor for name, tensor in saved.items() if name != "model.0.0.weight"})


def test_heads_have_the_models_mode_type_and_device() -> None:
    net = nas.decouple(conv_net().eval(), "even(3)", example=batch()[0])
    assert not any(module.training for module in net.modules())
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert all(module.training for module in net.train().modules())


def test_tensors_of_the_model_stay_in_their_precision() -> None:
    model = conv_net().bfloat16()
    model[2].register_buffer("table", torch.ones(3))
    net = nas.decouple(model, "even(3)", example=batch()[0].bfloat16())
    assert model[2].table.dtype == torch.float32 and {p.dtype for p in net.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in net.method.net.heads[0].buffers()} == {torch.bfloat16, torch.int64}


def test_frozen_layers_stay_frozen() -> None:
    model = conv_net()
    model[0].requires_grad_(False)
    model[0].eval()
    before = copy.deepcopy(model[0].state_dict())
    net = nas.decouple(model, "even(3)", example=batch()[0], head="linear", optimizer=sgd)
    net.step(*batch())
    assert equal(model[0].state_dict().values(), before.values()) and not model[0].training
    assert all(p.requires_grad for k in range(3) for p in net.block_parameters(k))


def test_optimizers_are_made_when_asked_for_and_made_anew_by_another_factory() -> None:
    net = decoupled(optimizer=None)
    with pytest.raises(UserError, match="each block has an optimizer of its own, got no factory"):
        net.step(*batch())
    first = net.optimizers(sgd)
    assert len(first) == net.num_blocks and net.optimizers() == first
    assert [[id(p) for p in o.param_groups[0]["params"]] for o in first] == [
        [*map(id, net.block_parameters(k))] for k in range(3)
    ]
    second = net.optimizers(torch.optim.Adam)
    assert all(isinstance(optimizer, torch.optim.Adam) for optimizer in second) and net.optimizers() == second
    for wrong, said in ((sgd(list(net.parameters())), "got a SGD"), (lambda p: None, "got a NoneType")):
        with pytest.raises(UserError, match=said):
            net.optimizers(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["early_exit(label_smoothing=0)", "backprop(label_smoothing=0)"])
def test_what_learns_end_to_end_is_one_block(method: str) -> None:
    net = decoupled("even(3)", method, **({} if "back" in method else {"head": "linear"}))
    assert net.num_blocks == len(net.optimizers()) == len(net.step(*batch())) == 1


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Counts the graphs that torch.compile makes, and runs them as they are."""
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(compilation, "BACKEND", counter)
    yield counter
    torch._dynamo.reset()


def test_compiled_blocks_are_a_graph_each_and_train_as_others(graphs: Any) -> None:
    net, other = decoupled().compile_blocks(), decoupled()
    for step in range(2):
        assert equal(net.step(*batch(seed=step)), other.step(*batch(seed=step)))
    assert graphs.frame_count == net.num_blocks
    assert equal(net.state_dict().values(), other.state_dict().values())


def test_what_cannot_be_compiled_is_refused(graphs: Any) -> None:
    with pytest.raises(UserError, match="unknown mode of compiling 'max'; there are: default, no, reduce-overhead"):
        decoupled().compile_blocks("max")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="got checkpoint_units; leave it out"):
        decoupled(checkpoint_units=True).compile_blocks()
    decoupled().compile_blocks().compile_blocks("no").step(*batch())
    assert graphs.frame_count == 0


@pytest.mark.slow
def test_a_users_compiled_step_trains_as_others() -> None:
    """In graphs with breaks between them, where torch.compile cannot follow."""
    torch._dynamo.reset()
    net, other = decoupled(), decoupled()

    @torch.compile(backend="eager")
    def total(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return net.forward_loss(x, y)

    total(*batch()).backward()
    other.forward_loss(*batch()).backward()
    assert equal(gradients(net), gradients(other))
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["share", "max_norm"])
def test_numbers_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is a number above 0, got 0; leave it out"):
        decoupled().step(*batch(), **{name: 0})


def test_embeddings_are_no_exits() -> None:
    net = decoupled("even(3)", "infopro(loss=contrast,decoder=False)")
    net.step(*batch())
    with pytest.raises(UserError, match="exits are outputs of heads, got a method whose heads give embeddings"):
        net.exits(batch()[0])


class Standardised(nn.Module):
    """Inputs by their running mean, which the network itself holds, as it does a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.out = nn.Linear(6, 4)
        self.factor = nn.Parameter(torch.ones(6))
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 6) -> (N, 4)."""
        if self.training:
            self.mean.mul_(0.5).add_(x.detach().mean(0), alpha=0.5)
        x = (x - self.mean) * self.factor
        for layer in self.layers:
            x = layer(x).relu()
        return self.out(x)


@pytest.mark.parametrize("how", ["moved", "assigned", "copied and moved"])
def test_blocks_hold_the_models_own_buffers_and_parameters_wherever_these_go(how: str) -> None:
    x, y = torch.randn(8, 6) + 2, torch.randint(4, (8,))
    net = nas.decouple(Standardised(), "even(2)", example=x, optimizer=sgd)
    names = list(net.state_dict())
    if how == "assigned":
        net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True)
    else:
        net = (copy.deepcopy(net) if "copied" in how else net).double()
        x = x.double()
        net.optimizers(sgd)
    assert list(net.state_dict()) == names
    before = copy.deepcopy(net.model.state_dict())
    net.step(x, y)
    assert torch.allclose(net.model.mean, x.mean(0) / 2)
    assert not torch.equal(net.model.factor, before["factor"])
    net.eval()
    assert torch.equal(list(net.exits(x))[-1], net(x))


@pytest.mark.parametrize(
    ("example", "x", "says"),
    [
        ("one", {"x": 0}, "a tensor, got the names x"),
        ("two", ("x", "x", "x"), "a tuple of 2, got a tuple of 3"),
        ("two", "x", "a tuple of 2, got a str"),
        ("named", {"a": 0, "b": 0, "c": 0}, "the names a, b, got the names a, b, c"),
        ("named", {"a": 0}, "the names a, b, got the names a"),
    ],
)
def test_a_batch_of_other_parts_than_the_examples_is_refused(example: str, x: Any, says: str) -> None:
    part = torch.randn(2, 6)
    if example == "one":
        net = nas.decouple(Standardised(), "even(2)", example=part, optimizer=sgd)
    else:
        net = nas.decouple(
            Added(), "even(2)", example=(part, part) if example == "two" else {"a": part, "b": part}, optimizer=sgd
        )
    for use in (lambda: net.step(x, torch.tensor([0, 1])), lambda: net.exits(x)):
        with pytest.raises(UserError, match=says):
            use()


class Added(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Standardised()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Two of (N, 6) -> (N, 4)."""
        h = self.inner.layers[0](a + b).relu()
        return self.inner.out(self.inner.layers[1](h).relu())
