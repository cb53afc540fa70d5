"""PredSim's stage loss, term by term, and what it makes of a decoupling."""

import pytest
import torch
from torch.nn import functional as F

from methods.predsim import PredSim, similarity_matrix
from methods.table import METHODS, traits
from spaces.activation import Tokens
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.5)", (3, 8, 8), 5)
CUT = traits("predsim").adapt(Decoupling((2, 4), ("linear", "conv(depth=2)")))


def build(spec: str = "predsim") -> PredSim:
    torch.manual_seed(0)
    method = METHODS.build(spec, SPACE.build(CUT))
    assert isinstance(method, PredSim)
    return method


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(3)), torch.arange(12) % 5


def test_every_cut_gets_the_predsim_head() -> None:
    assert str(CUT) == "2:predsim 4:predsim"
    assert traits("predsim").adapt(CUT) == CUT
    assert traits("predsim").adapt(Decoupling()) == Decoupling()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, 1.0])
def test_a_stages_loss_is_the_weighted_sum_of_its_terms(share: float) -> None:
    method = build(f"predsim(similarity={share})")
    (x, y), net = batch(), method.net
    losses = list(method.losses(x, y))
    h = x
    for k in range(2):
        h = net.blocks[k](h)
        head = net.heads[k]
        prediction = F.cross_entropy(head.prediction(h), y)  # type: ignore[operator]
        labels = similarity_matrix(torch.eye(5)[y])
        matching = (similarity_matrix(head.projection(h)) - labels).square().mean()  # type: ignore[operator]
        torch.testing.assert_close(losses[k], (1 - share) * prediction + share * matching)
    torch.testing.assert_close(losses[2], F.cross_entropy(net.heads[2](net.blocks[2](h)), y))  # unscaled


def test_each_term_alone_trains_its_own_half_of_the_head() -> None:
    """With a share of 0 or 1 the other half's gradient vanishes; the block learns from both."""
    for share, silent in ((0.0, "projection"), (1.0, "prediction")):
        method = build(f"predsim(similarity={share})")
        next(method.losses(*batch())).backward()
        for name, parameter in method.net.heads[0].named_parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.any()) != name.startswith(silent)
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.net.blocks[0].parameters())


def test_similarity_matching_pulls_samples_of_a_class_together() -> None:
    method, (x, y) = build("predsim(similarity=1.0)"), batch()
    optimizer = torch.optim.SGD(method.stage_parameters(0), 1.0)
    first = next(method.losses(x, y)).item()
    for _ in range(20):
        optimizer.zero_grad()
        next(method.losses(x, y)).backward()
        optimizer.step()
    assert next(method.losses(x, y)).item() < 0.5 * first


@pytest.mark.parametrize("share", ["-0.1", "1.5"])
def test_a_share_outside_0_to_1_is_a_user_error(share: str) -> None:
    with pytest.raises(UserError, match=rf"\[0, 1\], got {share}"):
        build(f"predsim(similarity={share})")


def test_similarity_of_texts_is_that_of_their_own_tokens() -> None:
    """Against standard deviations taken text by text; what lies at padding is not read."""
    torch.manual_seed(0)
    lengths = torch.tensor([4, 2, 3, 4])
    mask = torch.arange(4) < lengths[:, None]
    values = torch.randn(4, 4, 5).masked_fill(~mask[..., None], 1e4)
    spread = torch.stack([row[:length].std(0, correction=0) for row, length in zip(values, lengths, strict=True)])
    expected = torch.corrcoef(spread)
    torch.testing.assert_close(similarity_matrix(Tokens(values, mask)), expected, rtol=1e-4, atol=1e-5)
