"""Greedy learning and AugLocal are DGL with heads of their own."""

import pytest
import torch

from methods.table import METHODS, traits
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling

SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)
ASKED = Decoupling((2, 4), ("mlp_sr", "conv(depth=2)"))


@pytest.mark.parametrize(
    ("spec", "head"),
    [
        ("greedy", "linear"),
        ("auglocal", "auglocal(depth=6,pyramid=0.5)"),
        ("auglocal(depth=2,pyramid=0)", "auglocal(depth=2,pyramid=0.0)"),
        ("auglocal(label_smoothing=0.1)", "auglocal(depth=6,pyramid=0.5)"),
    ],
)
def test_every_cut_gets_the_methods_head_and_learns_as_dgl_does(spec, head):
    point = traits(spec).adapt(ASKED)
    assert point == Decoupling((2, 4), (head, head)) == traits(spec).adapt(point)
    assert traits(spec).adapt(Decoupling()) == Decoupling()
    x, y = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
    losses = []
    for method in (spec, f"dgl(label_smoothing={0.1 if 'smoothing' in spec else 0})"):
        torch.manual_seed(0)
        losses.append(torch.stack(list(METHODS.build(method, SPACE.build(point)).losses(x, y))))
    assert torch.equal(*losses)


@pytest.mark.slow
def test_balanced_counts_the_head_that_auglocal_will_have():
    space = read_space("resnet32", (3, 32, 32), 10)
    small, large = (read_decoupling("balanced(4)", space, head).cuts for head in ("linear", "auglocal"))
    assert len(small) == len(large) == 3 and small != large


def test_unfit_depths_are_told_when_the_network_is_built():
    with pytest.raises(UserError, match="from 1 on, got 0"):
        SPACE.build(traits("auglocal(depth=0)").adapt(ASKED))
