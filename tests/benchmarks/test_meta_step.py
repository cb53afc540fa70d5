"""The plain script of the meta-step benchmark computes what the released code does, as the reference engine does."""

import pytest
import torch

from benchmarks.meta_step import ENGINES, released_meta_step
from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from spaces.heads import HEADS
from spaces.space import SearchSpace


@pytest.mark.parametrize("num_steps", [1, 3])
def test_the_plain_script_finds_the_released_gradient(num_steps):
    torch.manual_seed(0)
    space = SearchSpace("small(width=0.25)", ["linear", "conv(depth=1)"], input_shape=(1, 8, 8), num_classes=10)
    backbone = space.build_backbone()
    candidates = [[HEADS.build(head, space.site(gap, backbone)) for head in space.heads] for gap in space.gaps]
    relaxation = Relaxation(backbone, space.gaps, candidates).double()
    optimizer = torch.optim.SGD(relaxation.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    architecture = Architecture(torch.randn(5, 2).double(), torch.randn(5, 2).double())
    *inner, outer = [(torch.randn(6, 1, 8, 8).double(), torch.arange(6)) for _ in range(num_steps + 1)]
    expected = ENGINES["unroll"](Bilevel(relaxation, optimizer, architecture, inner, outer, "train"))
    alpha_grad, beta_grad = released_meta_step(relaxation, optimizer, architecture, inner, outer)
    torch.testing.assert_close(alpha_grad, expected.alpha_grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(beta_grad, expected.beta_grad, rtol=1e-9, atol=1e-12)
    assert expected.alpha_grad.abs().max() > 1e-4
