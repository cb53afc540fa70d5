"""Training that stops on the way and goes on later is, to the bit, one that never stopped."""

from pathlib import Path

import pytest
import torch

from methods.table import METHODS, traits
from methods.training.loop import FurtherCheckpoint, train
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from tests.methods.training.test_loop import CPU, ITERATIONS, SPACE, Toy, build, results, run, same, settings


def make(spec):
    torch.manual_seed(0)
    asked = traits(spec).adapt(Decoupling((2, 4), ("linear", "mlp_sr")))
    return METHODS.build(spec, SPACE.build(asked, head_lookahead=traits(spec).head_lookahead))


def run_until(path, until, method=None, how=None):
    data = Toy()
    return train(method or build(), data, data.validation, how or settings(), seed=0, device=CPU, checkpoint=path, until=until)


@pytest.mark.parametrize("name", METHODS)
def test_in_parts_every_method_comes_to_the_same(tmp_path: Path, name: str) -> None:
    full = results(run(tmp_path / "full.pt", method=make(name)), tmp_path / "full.pt")
    for until in (1, 3, ITERATIONS - 1):
        run_until(tmp_path / "part.pt", until, make(name))
    assert same(results(run(tmp_path / "part.pt", method=make(name)), tmp_path / "part.pt"), full)


@pytest.mark.parametrize("how", [{"grow": "frozen"}, {"precision": "bf16"}])
def test_in_parts_with_other_settings(tmp_path: Path, how: dict[str, str]) -> None:
    full = results(run(tmp_path / "full.pt", how=settings(**how)), tmp_path / "full.pt")
    for until in range(1, ITERATIONS):
        run_until(tmp_path / "part.pt", until, how=settings(**how))
    assert same(results(run(tmp_path / "part.pt", how=settings(**how)), tmp_path / "part.pt"), full)


@pytest.mark.parametrize("until", [1, 2, 3, 4])
def test_asked_again_it_says_the_same(tmp_path: Path, until: int) -> None:
    first, again = (run_until(tmp_path / "part.pt", until) for _ in range(2))
    found = [(one.validation_error, one.validation_loss, one.best_iteration, one.train_loss) for one in (first, again)]
    assert found[0] == found[1] and 0 <= first.validation_error <= 1
    assert all(map(torch.equal, first.method.state_dict().values(), again.method.state_dict().values()))


def test_a_checkpoint_that_is_further_is_refused(tmp_path: Path) -> None:
    run_until(tmp_path / "part.pt", 3)
    with pytest.raises(FurtherCheckpoint, match="after 3 iterations, got until=2"):
        run_until(tmp_path / "part.pt", 2)


@pytest.mark.parametrize("until", [0, ITERATIONS + 1])
def test_until_is_within_the_run(until: int) -> None:
    with pytest.raises(UserError, match=f"from 1 on, got {until}"):
        run_until(None, until)
