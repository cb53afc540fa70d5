"""ContSup's contexts against the sum written out by hand, whose loss trains them, and a process a stage."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.contsup import ContSup
from methods.table import METHODS
from methods.training.batches import Batch
from methods.training.settings import TrainingSettings
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError
from tests.methods.training.stages.test_side_by_side import check_same_as_one_process

SPACE = read_space("small(width=0.5)", (3, 8, 8), 5)
CUTS = (1, 2, 4)  # so blocks are given 3, 8, 8 and 16 channels, on 8 x 8 and the last on 4 x 4


def build(context: str = "R1E", others: str = "", cuts: tuple[int, ...] = CUTS) -> ContSup:
    torch.manual_seed(0)
    method = METHODS.build(f"contsup(context={context}{others})", SPACE.build(Decoupling(cuts, ("0c1f",) * len(cuts))))
    assert isinstance(method, ContSup)
    return method


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(10, 3, 8, 8, generator=torch.Generator().manual_seed(3)), torch.arange(10) % 5


def by_hand(method: ContSup, x: torch.Tensor, num_residuals: int, image: bool) -> list[torch.Tensor]:
    """h_k of every block, from the equation: Res over the inputs of the blocks before, Enc of the image."""
    inputs: list[torch.Tensor] = []
    activations, h = [], x
    for k, block in enumerate(method.net.blocks):
        before = [given for j, given in enumerate(inputs) if not (image and j == 0)][::-1][:num_residuals]
        given = h
        for r, source in enumerate(before):
            conv, norm = method.contexts[str(k)].blocks[r][:2]  # type: ignore[index]
            assert conv.kernel_size == (1, 1)
            given = given + F.adaptive_avg_pool2d(norm(conv(source)).relu(), (h.shape[2], h.shape[3]))
        if image and k > 0:
            conv, norm, _, second, second_norm, *_ = method.contexts[str(k)].image  # type: ignore[misc]
            assert (conv.out_channels, second.out_channels) == (12, h.shape[1])
            encoded = second_norm(second(norm(conv(x)).relu())).relu()
            given = given + F.adaptive_avg_pool2d(encoded, (h.shape[2], h.shape[3]))
        inputs.append(given)
        h = block(given)
        activations.append(h)
    return activations


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("context", "num_residuals", "image"),
    [("R0", 0, False), ("E", 0, True), ("R1", 1, False), ("R2", 2, False), ("R9", 9, False), ("R1E", 1, True), ("R2E", 2, True)],
)
def test_a_block_is_given_the_sum(context: str, num_residuals: int, image: bool, training: bool) -> None:
    method, (x, y) = build(context), batch()
    list(method.losses(x, y))  # so that the running statistics are no longer those of the start
    method.train(training)
    expected, carry = by_hand(method, x, num_residuals, image), method.start(x)
    for k, activation in enumerate(expected):
        carry = method.run_block(k, carry)
        torch.testing.assert_close(carry.h, activation)
    torch.testing.assert_close(method(x), method.net.heads[-1](expected[-1]))


def test_an_encoder_belongs_to_the_stage_that_is_given_its_context() -> None:
    method = build("R1E", ",decoder=True")
    for k in range(4):
        encoders = [method.contexts[str(k)]] if k else []
        assert method.inference_modules(k) == [*encoders, method.net.blocks[k]]
        decoders = [method.decoders[str(k)]] if k < 3 else []
        modules = [module for module in method.stage_modules(k) if module is not method.lookaheads[k]]
        assert modules == [*encoders, method.net.blocks[k], method.net.heads[k], *decoders]


@pytest.mark.parametrize("context", ["R1", "E", "R2E"])
def test_no_gradient_comes_back_through_a_context(context: str) -> None:
    """Neither to the image nor to what made the block's input; the encoders themselves learn, weights and norms."""
    method, (x, y) = build(context), batch()
    x.requires_grad_()
    for k, loss in enumerate(method.losses(x, y)):
        method.zero_grad()
        loss.backward()
        if k:
            learnt = [
                module.weight.grad
                for module in method.contexts[str(k)].modules()
                if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
            ]
            assert learnt and all(gradient is not None and gradient.any() for gradient in learnt)
            others = [method.net.blocks[j] for j in range(k)]
            assert not any(p.grad is not None and p.grad.any() for module in others for p in module.parameters())
    assert x.grad is None


def test_the_carry_holds_no_more_than_the_next_blocks_are_given() -> None:
    for context, lengths in (("R0", [0, 0, 0]), ("E", [0, 0, 0]), ("R1", [1, 1, 1]), ("R2", [1, 2, 2]), ("R2E", [0, 1, 2])):
        method, (x, _) = build(context), batch()
        carry, found = method.start(x), []
        for k in range(3):
            carry = method.run_block(k, carry)
            found.append(len(carry[2]))
        assert found == lengths


def test_r0_is_infopro() -> None:
    point = Decoupling(CUTS, ("1c2f",) * 3)
    losses = []
    for spec in ("infopro(lambdas=[3,1,1,2])", "contsup(context=R0,decoder=True,lambdas=[3,1,1,2])"):
        torch.manual_seed(0)
        losses.append([loss.item() for loss in METHODS.build(spec, SPACE.build(point)).losses(*batch())])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("context", ["", "R", "R01", "R0E", "ER1", "r1e", "R-1", "X"])
def test_unknown_contexts(context: str) -> None:
    with pytest.raises(UserError, match="context is R0"):
        build(repr(context))


class Noise:
    """Batches that are functions of (seed, iteration)."""

    num_batches = 5

    def batch(self, seed: int, iteration: int) -> Batch:
        generator = torch.Generator().manual_seed(100 * seed + iteration)
        return torch.randn(16, 3, 8, 8, generator=generator), torch.randint(5, (16,), generator=generator)


def build_small() -> ContSup:
    return build("R1E", ",decoder=True", (2, 4))


@pytest.mark.slow
def test_a_process_a_stage_finds_what_one_process_finds_to_the_bit() -> None:
    settings = TrainingSettings(iterations=4, batch_size=16, lr=0.05, schedule="multistep")
    check_same_as_one_process(build_small, Noise(), settings, processes=3)


def test_contexts_and_decoders_are_drawn_as_the_backbone_is():
    """Released: every convolution of the model over its fan-out, in one loop."""
    for init, fan in (("", "in"), ("(init=fan_out)", "out")):
        torch.manual_seed(0)
        space = read_space(f"resnet32{init}", (3, 32, 32), 10)
        net = space.build(Decoupling((2, 9), ("1c2f",) * 2))
        method = METHODS.build("contsup(context=E,decoder=True,lambdas=[1,1,1,1])", net)
        for part in (*method.contexts.values(), *method.decoders.values()):
            for conv in (m for m in part.modules() if isinstance(m, nn.Conv2d)):
                numbers = conv.weight[:, 0].numel() if fan == "out" else conv.weight[0].numel()
                expected = (2 / numbers) ** 0.5
                assert conv.weight.std().item() == pytest.approx(expected, rel=5 / (2 * conv.weight.numel()) ** 0.5)
