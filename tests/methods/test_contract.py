"""What every method must hold, whichever paper it comes from: one parametrised test a clause, over the whole table."""

import copy
import io
import re
from collections.abc import Iterator
from operator import is_
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map_only

from methods.al import AL
from methods.method import Carry, Method
from methods.sides import with_side
from methods.sides.side import SideInputs
from methods.table import METHODS, adapter, learns_jointly, method_class
from methods.training.loop import Trainer, error_and_loss
from methods.training.settings import Precision, TrainingSettings
from spaces.activation import PADDING, TextShape
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
NUM_CLASSES = 4
VARIANTS = (
    *sorted(METHODS), "infopro(loss=contrast)", "contsup(context=R2,loss=contrast)", "contsup(context=E,decoder=True)",
    "auglocal(depth=1)", "man(base=predsim)", "man(start=random,scale=True)", "man(bias=False)",
    "man(base=infopro(loss=contrast))", "man(base=contsup(context=R1E))", "al(detach_target=False,bridge_depth=2,pooling=grid2)",
    "al(bounded_decoders=True,first_decoder=bounded,pooling=flatten,label_dim=16)",
)
WITHOUT_HEADS = (*(name for name in VARIANTS if method_class(name).default_head == NO_HEAD), "al(pooling=state)")
SPACE = read_space("small(width=0.5)", (3, 8, 8), NUM_CLASSES)
TEXTS = TextShape(8, 14)
TEXT_SPACES = {
    "linear": read_space("linear(depth=3,embedding=20,hidden=16)", TEXTS, NUM_CLASSES),
    "lstm": read_space("lstm(depth=3,embedding=20,hidden=12)", TEXTS, NUM_CLASSES),
    "transformer": read_space("transformer(depth=3,embedding=22,attention_heads=4,ffn=16,dropout=0)", TEXTS, NUM_CLASSES),
}
REFUSED_ON_TEXTS = {
    "infopro": "take decoder=False", "contsup": "take context=R0", "infopro(loss=contrast)": "head 1c2f takes images",
    "contsup(context=R2,loss=contrast)": "head 1c2f takes images", "contsup(context=E,decoder=True)": "take decoder=False",
    "man(base=infopro(loss=contrast))": "head 1c2f takes images", "man(base=contsup(context=R1E))": "take context=R0",
    "al(detach_target=False,bridge_depth=2,pooling=grid2)": "pooling=grid2 came where a block hands on tokens",
    "al(bounded_decoders=True,first_decoder=bounded,pooling=flatten,label_dim=16)": "pooling=flatten came",
}
OF_TEXTS = [f"{name} on {space}" for space, names in [
    ("lstm", (*(name for name in VARIANTS if name not in REFUSED_ON_TEXTS), "infopro(decoder=False)", "contsup(context=R0)",
              "al(pooling=state)")),
    ("transformer", ("dgl", "predsim", "man", "auglocal", "al", "early_exit", "cooperative")),
    ("linear", ("dgl", "predsim", "man", "auglocal", "al", "early_exit", "cooperative")),
] for name in names]
TEXT, CONV = "text(dim=[3,3,2])", "conv"
WITH_SIDES = (
    *(f"{name} with {CONV}" for name in ("dgl", "al", "predsim", "infopro", "contsup", "contsup(context=R2,loss=contrast)", "man",
                                         "man(base=contsup(context=R1E))")),
    *(f"{name} on {space} with {TEXT}" for space in TEXT_SPACES for name in ("dgl", "al", "predsim", "man")),
    *(f"{name} on {space} with text(dim=[3,3,2],embedding=shared)" for space in ("linear", "lstm") for name in ("dgl", "al")),
    f"infopro(decoder=False) on lstm with {TEXT}", f"al(pooling=state) on lstm with {TEXT}",
)
EVERYWHERE = (*VARIANTS, *OF_TEXTS, *WITH_SIDES)


def parts(case: str) -> tuple[str, SearchSpace]:
    """A method's spec and its space: that of images, or the one after `on`. Side inputs stand behind `with`."""
    name, _, space = case.partition(" with ")[0].partition(" on ")
    return name, TEXT_SPACES[space] if space else SPACE


def build(case: str, split: str | None = None, seed: int = 0) -> Method:
    name, space = parts(case)
    kind = method_class(name)
    split = split or ("even(3)" if space is SPACE or kind.default_head in (None, "mlp_sr") else "even(3,head=mlp)")
    point = adapter(name)(read_decoupling(split, space, kind.default_head))
    torch.manual_seed(seed)
    method = METHODS.build(name, space.build(point, head_lookahead=kind.head_lookahead))
    side = case.partition(" with ")[2]
    return with_side(method, side) if side else method


def batch(method: Method, size: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise about a colour of the class, or padded texts in which the class has its own words."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(size) % NUM_CLASSES
    if method.net.shapes[0] == TEXTS:
        ids = torch.randint(1, 14, (size, 8), generator=generator)
        own = torch.rand(size, 8, generator=generator) < 0.9
        ids[own] = (1 + 3 * y[:, None] + ids % 3)[own]
        lengths = torch.randint(4, 9, (size, 1), generator=generator)
        return ids.masked_fill(torch.arange(8) >= lengths, PADDING), y
    colours = torch.randn(NUM_CLASSES, 3, 1, 1, generator=torch.Generator().manual_seed(99))
    return colours[y] + 0.5 * torch.randn(size, 3, 8, 8, generator=generator), y


def recipe(method: Method) -> dict[str, Any]:
    """Iterations at most, learning rate and optimizer. Associated Learning has Adam, as in all its codes, and more iterations,
    since a deeper code says the label only once those before it do; with side inputs it learns from parts of the texts."""
    if isinstance(method, SideInputs) and isinstance(method.base, AL):
        return recipe(method.base) | {"iterations": 300}
    if isinstance(method, AL):
        return {"iterations": 150, "lr": 0.003, "optimizer": "adam"}
    if method.net.shapes[0] == TEXTS:  # words learn only where they occur
        return {"iterations": 60, "lr": 0.1}
    return {"iterations": 30, "lr": 0.05}


@pytest.fixture(params=EVERYWHERE)
def method(request: pytest.FixtureRequest) -> Method:
    return build(request.param)


@pytest.fixture(params=[case for case in (*VARIANTS, *OF_TEXTS) if parts(case)[0] not in (*WITHOUT_HEADS, "cooperative")])
def uncut(request: pytest.FixtureRequest) -> Method:
    """Of methods whose last loss is the classifier's. Associated Learning has no classifier: where others tell a block the
    label, it tells it the label's code, so no number of cuts makes it backprop. Cooperative Learning is three networks, which
    learn from each other even without a cut."""
    return build(request.param, "uncut")


@pytest.mark.parametrize(("name", "says"), REFUSED_ON_TEXTS.items())
def test_what_needs_images_says_so_on_texts(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(f"{name} on lstm")


def test_word_embeddings_learn_under_every_method() -> None:
    for case in OF_TEXTS:
        method = build(case)
        rows = method.net.blocks[0][0].words.weight  # type: ignore[index]
        before, (x, y) = rows.detach().clone(), batch(method)
        Trainer(method, TrainingSettings(iterations=1, batch_size=16), seed=0, device=CPU).step(x, y, 0)
        changed = (rows != before).any(dim=1)
        assert changed[x.unique()[1:]].all() and not changed[PADDING], case


@pytest.mark.parametrize("name", sorted({*VARIANTS} - {*WITHOUT_HEADS}))
def test_heads_give_what_the_method_learns_from(name: str) -> None:
    """Logits; embeddings only where the method says that its heads answer none, and refused elsewhere."""
    settings = dict(METHODS.resolve(name).settings)
    asked = Decoupling((2,), ("1c2f(width=1.0,feature_dim=9,embedding=True)",))
    try:
        point = adapter(name)(asked)
    except UserError as error:
        assert "embedding=True" in str(error) and "loss=contrast" in str(error)
        point = adapter(name)(asked.with_head("1c2f(width=1.0,feature_dim=9,embedding=False)"))
    net = SPACE.build(point, head_lookahead=method_class(name).head_lookahead)
    wants = NUM_CLASSES if method_class(name).answers_early(**settings) else 9
    for head, shape in zip(net.heads[:-1], net.head_shapes, strict=False):
        assert head(torch.zeros(2, *shape)).shape == (2, wants)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_cut_has_a_head_or_its_method_needs_none(name: str) -> None:
    """`2:none` is refused, or trained with the method's own head; methods without heads show none, whatever was asked for."""
    try:
        point = adapter(name)(Decoupling((2,), (NO_HEAD,)))
    except UserError as error:
        assert "learns through heads, but '2:none' has none" in str(error)
    else:
        assert point.heads == () or (NO_HEAD in point.heads) == (name in WITHOUT_HEADS)
    if name in WITHOUT_HEADS:
        assert str(adapter(name)(Decoupling((2, 4), ("linear", "predsim")))) == "2:none 4:none"


def tensors(carry: Carry) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(carry) if isinstance(leaf, torch.Tensor)]


class NoStage(Method):
    """Says nothing of its stages."""


def test_a_method_without_stages_is_told_what_it_lacks() -> None:
    with pytest.raises(UserError, match="NoStage has no stage"):
        method_class(f"{__name__}.NoStage")


def test_the_table_is_not_all_uncut() -> None:
    """Guards the tests below, which would say little of methods with one stage."""
    assert {build(name).num_stages for name in VARIANTS} == {1, 3}


@pytest.mark.parametrize("case", EVERYWHERE)
def test_a_block_is_a_stage_unless_all_learn_jointly(case: str) -> None:
    method = build(case)
    assert method.num_stages == (1 if learns_jointly(parts(case)[0]) else method.net.num_blocks)


def test_one_finite_scalar_loss_a_stage(method: Method) -> None:
    losses = list(method.losses(*batch(method)))
    assert len(losses) == method.num_stages and len(method.net.blocks) == len(method.net.heads)
    assert [block for k in range(method.num_stages) for block in method.stage_blocks(k)] == [*range(method.net.num_blocks)]
    assert all(loss.shape == () and loss.isfinite() for loss in losses)


def test_a_loss_reaches_its_own_stage_and_no_other(method: Method) -> None:
    for k, loss in enumerate(method.losses(*batch(method))):
        method.zero_grad(set_to_none=True)
        loss.backward()
        reached = {name for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
        own = {id(parameter) for parameter in method.stage_parameters(k)}
        assert reached == {name for name, parameter in method.named_parameters() if id(parameter) in own}


def test_every_parameter_belongs_to_one_stage(method: Method) -> None:
    owned = [parameter for k in range(method.num_stages) for parameter in method.stage_parameters(k)]
    assert sorted(map(id, owned)) == sorted(id(parameter) for parameter in method.parameters() if parameter.requires_grad)


def test_every_tensor_belongs_to_one_stage(method: Method) -> None:
    owned = [name for k in range(method.num_stages) for module in method.stage_modules(k) for name in module.state_dict()]
    assert len(owned) == len(method.state_dict())
    for k in range(method.num_stages):
        assert all(set(method.inference_modules(block)) <= set(method.stage_modules(k)) for block in method.stage_blocks(k))
        assert k not in method.reads(k) and set(method.reads(k)) <= set(range(method.num_stages))


def test_inputs_and_carries_are_left_as_they_were(method: Method) -> None:
    x, y = batch(method)
    given = x.clone(), y.clone()
    carry = method.start(x, y)
    for k in range(method.num_stages):
        before = tree_map_only(torch.Tensor, torch.clone, carry)
        following, loss = method.isolated_stage(k, carry, y)
        loss.backward()
        assert all(map(torch.equal, tensors(carry), tensors(before)))
        carry = following
    method(x)
    list(method.exits(x))
    assert torch.equal(x, given[0]) and torch.equal(y, given[1])


def test_an_activation_is_replaced_and_nothing_else(method: Method) -> None:
    carry = method.start(*batch(method))
    for k in range(method.num_stages):
        carry, _ = method.isolated_stage(k, carry, batch(method)[1])
        given, h = method.activation(carry), method.activation(method.start(*batch(method, seed=1)))
        swapped = method.replaced(carry, h)
        assert method.activation(swapped) is h and method.activation(carry) is given
        back = method.replaced(swapped, given)
        assert len(tensors(back)) == len(tensors(carry)) and all(map(is_, tensors(back), tensors(carry)))


def test_the_carry_does_not_depend_on_the_stages_own_update(method: Method) -> None:
    """So the next stage may begin while this one still runs backward."""
    x, y = batch(method)
    carry, loss = method.isolated_stage(0, method.start(x, y), y)
    before = tree_map_only(torch.Tensor, torch.clone, carry)
    optimizer = torch.optim.SGD(method.stage_parameters(0), 0.5)
    loss.backward()
    optimizer.step()
    assert all(map(torch.equal, tensors(carry), tensors(before)))


@pytest.mark.parametrize("size", [1, 5])
def test_logits(method: Method, size: int) -> None:
    method.eval()
    assert method(batch(method, size)[0]).shape == (size, NUM_CLASSES)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("spec", EVERYWHERE)
def test_there_is_an_exit_a_block_and_the_last_is_forward(spec: str, training: bool) -> None:
    method = build(spec).train(training)
    x, _ = batch(method)
    exits = list(method.exits(x))
    assert len(exits) == method.net.num_blocks
    name, _ = parts(spec)
    early = method_class(name).answers_early(**dict(METHODS.resolve(name).settings))
    assert all(logits.shape == (len(x), NUM_CLASSES) for logits in (exits if early else exits[-1:]))
    assert torch.equal(exits[-1], method(x))


def plain(method: Method) -> nn.Sequential:
    """The same backbone with the same weights, as anyone would write it."""
    own = [p.shape for p in method.parameters()]
    (space,) = (one for one in (SPACE, *TEXT_SPACES.values()) if own == [p.shape for p in one.template.parameters()])
    torch.manual_seed(0)
    backbone = space.build_backbone()
    network = nn.Sequential(*backbone.units, backbone.classifier)
    return network


def plain_loss(logits: torch.Tensor, y: torch.Tensor, smoothing: float) -> torch.Tensor:
    return F.cross_entropy(logits, y, label_smoothing=smoothing * NUM_CLASSES / (NUM_CLASSES - 1))


def test_uncut_has_the_gradients_of_backprop_to_the_bit(uncut: Method) -> None:
    x, y = batch(uncut)
    network = plain(uncut)
    expected = plain_loss(network(x), y, uncut.label_smoothing)
    expected.backward()
    (loss,) = uncut.losses(x, y)
    loss.backward()
    assert torch.equal(loss, expected)
    for own, other in zip(uncut.parameters(), network.parameters(), strict=True):
        assert own.grad is not None and other.grad is not None and torch.equal(own.grad, other.grad)


def test_uncut_trains_like_a_plain_loop_to_the_bit(uncut: Method) -> None:
    steps, lr = 8, 0.1
    settings = TrainingSettings(iterations=steps, batch_size=16, lr=lr, weight_decay=1e-3,
                                schedule="multistep(milestones=[0.5],gamma=0.1)")
    trainer = Trainer(uncut, settings, seed=0, device=CPU)
    network = plain(uncut).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=1e-3, fused=True)
    for step in range(steps):
        x, y = batch(uncut, seed=step)
        trainer.step(x, y, step)
        optimizer.param_groups[0]["lr"] = lr if step < 3 else lr * 0.1
        optimizer.zero_grad()
        plain_loss(network(x), y, uncut.label_smoothing).backward()
        optimizer.step()
    tensors = zip(uncut.state_dict().values(), network.state_dict().values(), strict=True)
    assert all(torch.equal(own, other) for own, other in tensors)


def test_learns_a_toy_task(method: Method) -> None:
    """Within the iterations of its recipe; it ends once it has, which most do in a fraction of them."""
    settings = TrainingSettings(batch_size=32, **recipe(method))
    trainer = Trainer(method, settings, seed=0, device=CPU)
    unseen = [batch(method, 64, seed=1000)]
    history, error, fell = [], 1.0, False
    for step in range(settings.iterations):
        history.append(torch.stack(trainer.step(*batch(method, 32, seed=step), step)))
        if step % 10 == 9:
            error, _ = error_and_loss(method, iter(unseen), "fp32")
            fell = bool((torch.stack(history[-5:]).mean(0) < torch.stack(history[:5]).mean(0)).all())
            if error <= 0.1 and fell:
                break
    assert error <= 0.1 and fell  # 0.75 is chance


def test_state_dict_survives_a_file(method: Method) -> None:
    Trainer(method, TrainingSettings(iterations=1, batch_size=16), seed=0, device=CPU).step(*batch(method), 0)
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(method)
    for tensor in other.state_dict().values():
        tensor.zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert list(method.losses(*batch(method))) == list(other.losses(*batch(method)))
    method.eval(), other.eval()  # which reads the running statistics too
    assert torch.equal(method(batch(method)[0]), other(batch(method)[0]))


def peak(method: Method, losses: Iterator[torch.Tensor], *, at_once: bool) -> int:
    """Bytes of the peak of one training step's forward and backward passes."""
    with PeakMemory(leave_out=method.parameters()) as memory:
        if at_once:
            sum(losses, torch.zeros(())).backward()
        else:
            for loss in losses:
                loss.backward()
    method.zero_grad(set_to_none=True)
    return memory.peak


def test_only_one_block_is_in_memory_at_a_time(method: Method) -> None:
    x, y = batch(method, 64)
    carry, stages = method.start(x, y), []
    for k in range(method.num_stages):
        with PeakMemory(leave_out=method.stage_parameters(k)) as memory:
            # Copies, so that what the stage is given counts for as long as it needs it; x itself is there before the step.
            carry = tree_map_only(torch.Tensor, lambda part: part if part.data_ptr() == x.data_ptr() else part.clone(), carry)
            carry, loss = method.isolated_stage(k, carry, y)
            loss.backward()
        stages.append(memory.peak)
    scalars = 16 * method.num_stages
    # Stages share a mask, copies do not; and a loss that reads no token of an LSTM's keeps in which order they were read.
    masks = x.numel() * (method.num_stages + 8) if method.net.shapes[0] == TEXTS else 0
    assert peak(method, method.losses(x, y), at_once=False) == pytest.approx(max(stages), abs=scalars + masks)
    if method.num_stages > 1 and len(method.net.shapes[-1]) > 1:  # once tokens are pooled, the first block is nearly all
        assert max(stages) < 0.8 * peak(method, method.losses(x, y), at_once=True)


def one_a_family() -> tuple[str, ...]:
    """The first case of each class of methods (and of the base of a `man`), on images and on texts, and of each side input."""
    firsts: dict[object, str] = {}
    for case in EVERYWHERE:
        name, space = parts(case)
        family = re.match(r"\w+(\(base=\w+)?", case.partition(" with ")[2] or name)
        assert family is not None
        firsts.setdefault((family[0], space is SPACE), case)
    return tuple(firsts.values())


@pytest.mark.parametrize(("method", "precision"), [*((case, "bf16") for case in EVERYWHERE),
                                                   *((case, "fp16") for case in one_a_family())], indirect=["method"])
def test_trains_in_half_precision(method: Method, precision: Precision) -> None:
    """fp16, which differs by the scaling of losses and the smaller range alone, once a family."""
    settings = TrainingSettings(batch_size=16, precision=precision, **recipe(method) | {"iterations": 20})
    trainer = Trainer(method, settings, seed=0, device=CPU)
    losses, fell = [], False
    for step in range(20):
        losses.append(torch.stack(trainer.step(*batch(method, seed=step), step)))
        fell = bool((losses[-1] < losses[0]).all())
        if step >= 9 and fell:
            break
    assert torch.stack(losses).isfinite().all() and fell


@pytest.mark.parametrize("setting", ["label_smoothing=-0.1", "label_smoothing=0.6", "label_smoothing=nan_", "smoothing=0.1"])
def test_wrong_settings_are_user_errors(setting: str) -> None:
    for name in METHODS:
        with pytest.raises(UserError, match="smoothing"):
            METHODS.build(f"{name}({setting})", SPACE.build(read_decoupling("uncut", SPACE, None)))
