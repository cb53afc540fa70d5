"""Another loss of outputs than cross-entropy: exchanged in one place, refused where equations need class labels."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from methods.dgl import DGL
from methods.method import Carry, Method
from methods.table import METHODS, traits
from nas.testing import toy_batch
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling

SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)
TAKE_ANY = ("backprop", "dgl", "greedy", "auglocal", "infopro", "contsup", "man", "early_exit", "man(base=infopro)")
NEED_LABELS = {
    "predsim": "it compares activations with one-hot labels",
    "al": "blocks learn from codes of one-hot labels",
    "cooperative": "its networks teach each other probabilities of classes",
    "infopro(loss=contrast)": "its contrastive loss pairs samples of a class",
    "contsup(loss=contrast)": "its contrastive loss pairs samples of a class",
    "man(base=predsim)": "it compares activations with one-hot labels",
}


def build(spec: str) -> Method:
    known = traits(spec)
    torch.manual_seed(0)
    point = known.adapt(read_decoupling("even(3)", SPACE, known.default_head))
    return METHODS.build(spec, SPACE.build(point, head_lookahead=known.head_lookahead))


@pytest.mark.parametrize("spec", TAKE_ANY)
def test_a_loss_in_the_place_of_cross_entropy_gives_what_cross_entropy_gave(spec: str) -> None:
    """To the bit, in every stage: so it stands where cross-entropy stood, and nowhere beside."""
    (x, y), plain, own = toy_batch(build(spec)), build(spec), build(spec)
    own.net.loss = lambda outputs, targets: plain.cross_entropy(outputs, targets.argmax(1))
    found = list(own.losses(x, F.one_hot(y, 4).float()))
    assert found == list(plain.losses(x, y)) and len(found) == plain.num_stages


@pytest.mark.parametrize("spec", TAKE_ANY)
def test_it_is_given_the_outputs_of_every_exit(spec: str) -> None:
    method, seen = build(spec), list[torch.Tensor]()

    def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(outputs.detach())
        return F.mse_loss(outputs, y)

    method.net.loss = loss
    x, _ = toy_batch(method)
    list(method.losses(x, torch.zeros(len(x), 4)))
    exits = list(method.exits(x)) if "man" not in spec else seen  # whose average moves in every step
    assert len(seen) == method.net.num_blocks and all(map(torch.equal, seen, exits))


@pytest.mark.parametrize("spec", NEED_LABELS)
def test_equations_of_class_labels_refuse_it_by_name_and_reason(spec: str) -> None:
    with pytest.raises(UserError, match="needs class labels, since") as error:
        traits(spec).check_loss()
    assert NEED_LABELS[spec] in str(error.value) and str(error.value).startswith(spec.partition("(")[0])


@pytest.mark.parametrize("spec", TAKE_ANY)
def test_others_take_it(spec: str) -> None:
    traits(spec).check_loss()


def test_all_methods_say_which_they_are() -> None:
    named = {spec.partition("(")[0] for spec in (*TAKE_ANY, *NEED_LABELS)}
    assert named == {*METHODS}


def test_a_loss_that_is_no_number_is_refused() -> None:
    method = build("dgl")
    x, y = toy_batch(method)
    method.net.loss = lambda outputs, y: F.cross_entropy(outputs, y, reduction="none")
    with pytest.raises(UserError, match=r"one number, a scalar tensor, got the shape \(16,\); give their mean"):
        next(method.losses(x, y))
    method.net.loss = lambda outputs, y: 0.5
    with pytest.raises(UserError, match="got a float"):
        next(method.losses(x, y))


class Direct(DGL):
    """Calls cross_entropy itself, as methods of users from before do."""

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        carry = self.run_block(k, carry)
        return carry, self.cross_entropy(self.net.heads[k](self.head_input(k, carry)), y)


def test_a_method_that_calls_cross_entropy_itself_learns_as_before_and_refuses_another_loss() -> None:
    net = build("dgl").net
    method = Direct(net)
    x, y = toy_batch(method)
    assert list(method.losses(x, y)) == list(DGL(net).losses(x, y))
    net.loss = F.mse_loss
    with pytest.raises(UserError, match="got a Direct that calls cross_entropy; call output_loss"):
        next(method.losses(x, y))
