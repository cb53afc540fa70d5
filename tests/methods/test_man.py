"""MAN: what heads are given, how the average moves, and that nothing leaks into the next stage."""

import copy

import pytest
import torch
from torch.nn import functional as F

from methods.man import MAN
from methods.parts.lookahead import Lookahead
from methods.predsim import similarity_matrix
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.stages.plan import check_parted
from methods.training.trainer import Trainer
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)
CUTS = Decoupling((2, 3), ("linear", "mlp_sr"))  # after unit 2 the map halves and widens


def build(spec: str = "man", seed: int = 0) -> MAN:
    torch.manual_seed(seed)
    method = METHODS.build(spec, SPACE.build(traits(spec).adapt(CUTS), head_lookahead=traits(spec).head_lookahead))
    assert isinstance(method, MAN)
    return method


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(seed)), torch.arange(16) % 4


def lookahead(method: MAN, k: int) -> Lookahead:
    found = method.base.lookaheads[k]
    assert isinstance(found, Lookahead)
    return found


def tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


@pytest.mark.parametrize(("spec", "weights"), [("man", (1, 1)), ("man(bias=False)", (0, 1)), ("man(scale=True)", (0.75, 1.25))])
def test_a_head_is_given_the_bias_and_the_average_of_its_blocks_output(spec, weights):
    method, (x, y) = build(spec), batch()
    for k in range(2):
        if weights[0] == 0.75:
            torch.nn.init.constant_(lookahead(method, k).scale, 0.75)  # type: ignore[arg-type]
    bias, average = ([copy.deepcopy(method.net.blocks[k + 1][0]) for k in range(2)] for _ in range(2))
    losses, h = list(method.losses(x, y)), x
    for k in range(2):
        h = copy.deepcopy(method.net.blocks[k])(h).detach()
        looked = weights[0] * bias[k](h) + weights[1] * average[k](h)  # which begin as the next block's first unit
        logits = method.net.heads[k](looked)
        torch.testing.assert_close(losses[k], method.cross_entropy(logits, y))
    torch.testing.assert_close(losses[2], method.cross_entropy(method.net.heads[2](method.net.blocks[2](h)), y))


def test_the_average_is_the_exponential_mean_of_the_next_blocks_weights():
    method = build("man(momentum=0.9)")
    trainer = Trainer(method, TrainingSettings(iterations=5, batch_size=16), seed=0, device=torch.device("cpu"))
    expected = [tensors(method.net.blocks[k + 1][0]) for k in range(2)]
    for iteration in range(5):
        seen = [tensors(method.net.blocks[k + 1][0]) for k in range(2)]  # before any update of this iteration
        trainer.step(*batch(iteration), iteration)
        expected = [[0.9 * old + 0.1 * new for old, new in zip(*pair, strict=True)] for pair in zip(expected, seen, strict=True)]
    for k in range(2):
        torch.testing.assert_close(tensors(lookahead(method, k).average), expected[k])
        moved = zip(tensors(method.net.blocks[k + 1][0]), expected[k], strict=True)
        assert any(not torch.allclose(now, mean, rtol=1e-3) for now, mean in moved)


def test_momentum_1_never_moves_and_0_is_the_next_block():
    for momentum in (0, 1):
        method = build(f"man(momentum={momentum})")
        trainer = Trainer(method, TrainingSettings(iterations=3, batch_size=16), seed=0, device=torch.device("cpu"))
        first = tensors(method.net.blocks[1][0])
        for iteration in range(3):
            before = tensors(method.net.blocks[1][0])
            trainer.step(*batch(iteration), iteration)
        kept = first if momentum else before
        assert all(map(torch.equal, tensors(lookahead(method, 0).average), kept))


def test_starts():
    for spec, same in (("man", True), ("man(start=random)", False)):
        method = build(spec)
        for k in range(2):
            ahead, unit = lookahead(method, k), method.net.blocks[k + 1][0]
            assert ahead.bias is not None
            pairs = [(a, b) for a, b in zip(tensors(ahead.average), tensors(ahead.bias), strict=True) if a.dim() == 4]
            assert all(torch.equal(a, b) == same for a, b in pairs) and pairs
            convs = [(a, b) for a, b in zip(tensors(ahead.average), tensors(unit), strict=True) if a.dim() == 4]
            assert all(torch.equal(a, b) == same for a, b in convs)


def test_the_backbone_is_the_same_as_without_man():
    torch.manual_seed(0)
    plain = SPACE.build(CUTS)
    for spec in ("man", "man(start=random)"):
        assert all(map(torch.equal, tensors(build(spec).net.blocks), tensors(plain.blocks)))


def test_a_local_loss_leaves_the_next_block_and_the_average_without_gradients():
    method = build()
    next(method.losses(*batch())).backward()
    assert all(parameter.grad is None for parameter in method.net.blocks[1].parameters())
    assert all(parameter.grad is None for parameter in lookahead(method, 0).average.parameters())
    bias = lookahead(method, 0).bias
    assert bias is not None and all(parameter.grad is not None for parameter in bias.parameters())


def test_inference_does_not_run_what_heads_look_through():
    method = build()
    method.eval()
    expected = method(batch()[0])
    for k in range(2):
        for parameter in lookahead(method, k).parameters():
            torch.nn.init.constant_(parameter, torch.nan)
    assert torch.equal(method(batch()[0]), expected)
    early, *_, last = method.exits(batch()[0])
    assert early.isnan().all() and torch.equal(last, expected)
    inference = {id(p) for k in range(3) for module in method.inference_modules(k) for p in module.parameters()}
    assert inference == {id(p) for p in method.net.blocks.parameters()}


def test_evaluation_does_not_move_the_average():
    method = build("man(momentum=0.5,start=random)")
    before = tensors(lookahead(method, 0).average)
    method(batch()[0])
    list(method.exits(batch()[0]))
    assert all(map(torch.equal, tensors(lookahead(method, 0).average), before))


def test_what_a_run_saves_goes_on_to_the_bit():
    """The average, which no optimizer knows, is in the trainer's state."""
    settings = TrainingSettings(iterations=6, batch_size=16)
    whole, first, second = (
        Trainer(build("man(momentum=0.9)", seed), settings, seed=0, device=torch.device("cpu")) for seed in (0, 0, 1)
    )
    for iteration in range(6):
        whole.step(*batch(iteration), iteration)
        if iteration < 3:
            first.step(*batch(iteration), iteration)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for iteration in range(3, 6):
        second.step(*batch(iteration), iteration)
    expected = whole.method.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in second.method.state_dict().items())
    assert any("average" in name for name in expected)


def test_a_stage_reads_the_next_and_so_cannot_have_a_process_of_its_own():
    assert [build().reads(k) for k in range(3)] == [(1,), (2,), ()]
    with pytest.raises(UserError, match="stage 0 of man reads those of stage 1;"):
        check_parted(build(), 2, "man")


def test_around_predsim_both_terms_see_what_the_head_sees():
    method, (x, y) = build("man(base=predsim(similarity=1.0))"), batch()
    loss = next(method.losses(x, y))
    h = method.net.blocks[0](x)
    looked = lookahead(method, 0)(h)
    head = method.net.heads[0]
    target = similarity_matrix(F.one_hot(y, 4))
    torch.testing.assert_close(loss, F.mse_loss(similarity_matrix(head.similarity(looked)), target))  # type: ignore[operator]
    assert str(traits("man(base=predsim)").adapt(CUTS)) == "2:predsim 3:predsim"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("man(base=man)", r"other than man, got man\("),
        ("man(base=backprop)", r"other than man, got backprop\("),
        ("man(base=dlg)", "unknown method 'dlg'; did you mean dgl"),
        ("man(base=dgl(x=1))", "setting of method dgl: 'x'"),
        ("man(momentum=1.5)", r"\[0, 1\], got 1.5"),
        ("man(bias=False,scale=True)", "and bias=False"),
        ("man(start=later)", "'later'"),
        ("man(base=dgl(label_smoothing=0.7))", "got 0.7"),
    ],
)
def test_wrong_settings(spec, says):
    with pytest.raises(UserError, match=says):
        build(spec)


def test_the_bases_settings_hold_and_are_written_out():
    assert build("man(base=dgl(label_smoothing=0.2))").label_smoothing == 0.2
    written = str(METHODS.resolve("man"))
    assert written == str(METHODS.resolve(written)) == str(METHODS.resolve("man(base=dgl(label_smoothing=0.1))"))
    assert "base='dgl(label_smoothing=0.1)'" in written
