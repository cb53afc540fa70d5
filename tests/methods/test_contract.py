"""What every method must hold, whichever paper it comes from: one parametrised test a clause, over the whole table."""

import re
from operator import is_
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from methods.al import AL
from methods.method import Carry, Method
from methods.sides import with_side
from methods.sides.side import SideInputs
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.testing import MethodCase, MethodContract, toy_batch
from spaces.activation import PADDING, TextShape
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
NUM_CLASSES = 4
VARIANTS = (
    *sorted(METHODS),
    "infopro(loss=contrast)",
    "contsup(context=R2,loss=contrast)",
    "contsup(context=E,decoder=True)",
    "auglocal(depth=1)",
    "man(base=predsim)",
    "man(start=random,scale=True)",
    "man(bias=False)",
    "man(base=infopro(loss=contrast))",
    "man(base=contsup(context=R1E))",
    "al(detach_target=False,bridge_depth=2,pooling=grid2)",
    "al(bounded_decoders=True,first_decoder=bounded,pooling=flatten,label_dim=16)",
)
WITHOUT_HEADS = (*(name for name in VARIANTS if traits(name).default_head == NO_HEAD), "al(pooling=state)")
SPACE = read_space("small(width=0.5)", (3, 8, 8), NUM_CLASSES)
TEXTS = TextShape(8, 14)
TEXT_SPACES = {
    "linear": read_space("linear(depth=3,embedding=20,hidden=16)", TEXTS, NUM_CLASSES),
    "lstm": read_space("lstm(depth=3,embedding=20,hidden=12)", TEXTS, NUM_CLASSES),
    "transformer": read_space("transformer(depth=3,embedding=22,attention_heads=4,ffn=16,dropout=0)", TEXTS, NUM_CLASSES),
}
REFUSED_ON_TEXTS = {
    "infopro": "take decoder=False",
    "contsup": "take context=R0",
    "infopro(loss=contrast)": "head 1c2f takes maps or tokens",
    "contsup(context=R2,loss=contrast)": "head 1c2f takes maps or tokens",
    "contsup(context=E,decoder=True)": "take decoder=False",
    "man(base=infopro(loss=contrast))": "head 1c2f takes maps or tokens",
    "man(base=contsup(context=R1E))": "take context=R0",
    "al(detach_target=False,bridge_depth=2,pooling=grid2)": "pooling=grid2 came where a block hands on tokens",
    "al(bounded_decoders=True,first_decoder=bounded,pooling=flatten,label_dim=16)": "pooling=flatten came",
}
OF_TEXTS = [
    f"{name} on {space}"
    for space, names in [
        (
            "lstm",
            (
                *(name for name in VARIANTS if name not in REFUSED_ON_TEXTS),
                "infopro(decoder=False)",
                "contsup(context=R0)",
                "al(pooling=state)",
            ),
        ),
        ("transformer", ("dgl", "predsim", "man", "auglocal", "al", "early_exit", "cooperative")),
        ("linear", ("dgl", "predsim", "man", "auglocal", "al", "early_exit", "cooperative")),
    ]
    for name in names
]
TEXT, CONV = "text(dim=[3,3,2])", "conv"
WITH_SIDES = (
    *(
        f"{name} with {CONV}"
        for name in (
            "dgl",
            "al",
            "predsim",
            "infopro",
            "contsup",
            "contsup(context=R2,loss=contrast)",
            "man",
            "man(base=contsup(context=R1E))",
        )
    ),
    *(f"{name} on {space} with {TEXT}" for space in TEXT_SPACES for name in ("dgl", "al", "predsim", "man")),
    *(f"{name} on {space} with text(dim=[3,3,2],embedding=shared)" for space in ("linear", "lstm") for name in ("dgl", "al")),
    f"infopro(decoder=False) on lstm with {TEXT}",
    f"al(pooling=state) on lstm with {TEXT}",
)
EVERYWHERE = (*VARIANTS, *OF_TEXTS, *WITH_SIDES)


def parts(case: str) -> tuple[str, SearchSpace]:
    """A method's spec and its space: that of images, or the one after `on`. Side inputs stand behind `with`."""
    name, _, space = case.partition(" with ")[0].partition(" on ")
    return name, TEXT_SPACES[space] if space else SPACE


def build(case: str, split: str | None = None, seed: int = 0) -> Method:
    name, space = parts(case)
    kind = traits(name)
    split = split or ("even(3)" if space is SPACE or kind.default_head in (None, "mlp_sr") else "even(3,head=mlp)")
    point = traits(name).adapt(read_decoupling(split, space, kind.default_head))
    torch.manual_seed(seed)
    method = METHODS.build(name, space.build(point, head_lookahead=kind.head_lookahead))
    side = case.partition(" with ")[2]
    return with_side(method, side) if side else method


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


def method_case(case: str) -> MethodCase:
    """What `nas.testing` is told of a case."""
    name, space = parts(case)
    plain = space is SPACE or traits(name).default_head in (None, "mlp_sr")
    return MethodCase(
        name, space, "even(3)" if plain else "even(3,head=mlp)", case.partition(" with ")[2] or None, recipe(build(case))
    )


@pytest.fixture(params=EVERYWHERE)
def method(request: pytest.FixtureRequest) -> Method:
    return build(request.param)


class TestEveryMethod(MethodContract):
    """The table, its variants, on images, on texts and with side inputs. What is compared with backprop are methods whose last
    loss is the classifier's. Associated Learning has no classifier: where others tell a block the label, it tells it the label's
    code, so no number of cuts makes it backprop. Cooperative Learning is three networks, which learn from each other even
    without a cut."""

    @pytest.fixture(params=EVERYWHERE)
    def case(self, request: pytest.FixtureRequest) -> MethodCase:
        return method_case(request.param)

    @pytest.fixture(params=[case for case in (*VARIANTS, *OF_TEXTS) if parts(case)[0] not in (*WITHOUT_HEADS, "cooperative")])
    def uncut_case(self, request: pytest.FixtureRequest) -> MethodCase:
        return method_case(request.param)


@pytest.mark.parametrize(("name", "says"), REFUSED_ON_TEXTS.items())
def test_what_needs_images_says_so_on_texts(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(f"{name} on lstm")


def test_word_embeddings_learn_under_every_method() -> None:
    for case in OF_TEXTS:
        method = build(case)
        rows = method.net.blocks[0][0].words.weight  # type: ignore[index]
        before, (x, y) = rows.detach().clone(), toy_batch(method)
        Trainer(method, TrainingSettings(iterations=1, batch_size=16), seed=0, device=CPU).step(x, y, 0)
        changed = (rows != before).any(dim=1)
        assert changed[x.unique()[1:]].all() and not changed[PADDING], case


@pytest.mark.parametrize("name", sorted({*VARIANTS} - {*WITHOUT_HEADS}))
def test_heads_give_what_the_method_learns_from(name: str) -> None:
    """Logits; embeddings only where the method says that its heads answer none, and refused elsewhere."""
    asked = Decoupling((2,), ("1c2f(width=1.0,feature_dim=9,embedding=True)",))
    try:
        point = traits(name).adapt(asked)
    except UserError as error:
        assert "embedding=True" in str(error) and "loss=contrast" in str(error)
        point = traits(name).adapt(asked.with_head("1c2f(width=1.0,feature_dim=9,embedding=False)"))
    net = SPACE.build(point, head_lookahead=traits(name).head_lookahead)
    wants = NUM_CLASSES if traits(name).has_exit_logits else 9
    for head, shape in zip(net.heads[:-1], net.head_shapes, strict=False):
        assert head(torch.zeros(2, *shape)).shape == (2, wants)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_cut_has_a_head_or_its_method_needs_none(name: str) -> None:
    """`2:none` is refused, or trained with the method's own head; methods without heads show none, whatever was asked for."""
    try:
        point = traits(name).adapt(Decoupling((2,), (NO_HEAD,)))
    except UserError as error:
        assert "learns through heads, but '2:none' has none" in str(error)
    else:
        assert point.heads == () or (NO_HEAD in point.heads) == (name in WITHOUT_HEADS)
    if name in WITHOUT_HEADS:
        assert str(traits(name).adapt(Decoupling((2, 4), ("linear", "predsim")))) == "2:none 4:none"


def tensors(carry: Carry) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(carry) if isinstance(leaf, torch.Tensor)]


class NoStage(Method):
    """Says nothing of its stages."""


def test_a_method_without_stages_is_told_what_it_lacks() -> None:
    with pytest.raises(UserError, match="NoStage has no stage"):
        traits(f"{__name__}.NoStage")


def test_the_table_is_not_all_uncut() -> None:
    """Guards the tests below, which would say little of methods with one stage."""
    assert {build(name).num_stages for name in VARIANTS} == {1, 3}


def test_an_activation_is_replaced_and_nothing_else(method: Method) -> None:
    carry = method.start(*toy_batch(method))
    for k in range(method.num_stages):
        carry, _ = method.isolated_stage(k, carry, toy_batch(method)[1])
        given, h = carry.h, method.start(*toy_batch(method, seed=1)).h
        swapped = carry._replace(h=h)
        assert swapped.h is h and carry.h is given
        back = swapped._replace(h=given)
        assert len(tensors(back)) == len(tensors(carry)) and all(map(is_, tensors(back), tensors(carry)))


def one_a_family() -> tuple[str, ...]:
    """The first case of each class of methods (and of the base of a `man`), on images and on texts, and of each side input."""
    firsts: dict[object, str] = {}
    for case in EVERYWHERE:
        name, space = parts(case)
        family = re.match(r"\w+(\(base=\w+)?", case.partition(" with ")[2] or name)
        assert family is not None
        firsts.setdefault((family[0], space is SPACE), case)
    return tuple(firsts.values())


@pytest.mark.parametrize("method", one_a_family(), indirect=True)
def test_trains_in_fp16(method: Method) -> None:
    """Which differs from bf16 by the scaling of losses and the smaller range alone, so once a family."""
    settings = TrainingSettings(batch_size=16, precision="fp16", **recipe(method) | {"iterations": 20})
    trainer = Trainer(method, settings, seed=0, device=CPU)
    losses, fell = [], False
    for step in range(20):
        losses.append(torch.stack(trainer.step(*toy_batch(method, seed=step), step)))
        fell = bool((losses[-1] < losses[0]).all())
        if step >= 9 and fell:
            break
    assert torch.stack(losses).isfinite().all() and fell


@pytest.mark.parametrize("setting", ["label_smoothing=-0.1", "label_smoothing=0.6", "label_smoothing=nan_", "smoothing=0.1"])
def test_wrong_settings_are_user_errors(setting: str) -> None:
    for name in METHODS:
        with pytest.raises(UserError, match="smoothing"):
            METHODS.build(f"{name}({setting})", SPACE.build(read_decoupling("uncut", SPACE, None)))
