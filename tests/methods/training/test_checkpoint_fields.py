"""A checkpoint that is readable but not whole is told, and never goes on to train."""

from pathlib import Path

import pytest
import torch

from methods.dgl import DGL
from methods.training.checkpoint import Checkpoint
from methods.training.loop import train
from methods.training.settings import TrainingSettings
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.25)", (2, 8, 8), 3)


class Batches:
    num_batches = 1

    def batch(self, seed, iteration):
        return torch.zeros(4, 2, 8, 8), torch.tensor([0, 1, 2, 0])


def go(path: Path, how: TrainingSettings) -> None:
    torch.manual_seed(0)
    method = DGL(SPACE.build(Decoupling((2,), ("linear",))))
    train(method, Batches(), lambda: iter([Batches().batch(0, 0)]), how, seed=0, device=torch.device("cpu"), checkpoint=path)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_field_that_is_missing_or_wrong_is_told(tmp_path, optimizer):
    path, how = tmp_path / "checkpoint.pt", TrainingSettings(iterations=2, batch_size=4, optimizer=optimizer)
    go(path, how)
    whole = path.read_bytes()

    def places(held, place=()):
        yield place
        for name, below in held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ():
            if len(place) < 2 or (
                place[1] in ("optimizers",) and name in (0, "state", "param_groups", "exp_avg", "step", "momentum")
            ):
                yield from places(below, (*place, name))

    for place in list(places(torch.load(path, weights_only=True)))[1:]:
        for wrong in ("missing", None, "x", torch.zeros(3, 5), []):
            path.write_bytes(whole)
            saved = torch.load(path, weights_only=True)
            held = saved
            for name in place[:-1]:
                held = held[name]
            if isinstance(wrong, str) and wrong == "missing":
                if isinstance(held, list) or isinstance(place[-1], int) or place[-1] in ("elapsed", "epoch_losses"):
                    continue  # fewer seconds are some too, Adam begins where it has no state, older versions had no history
                del held[place[-1]]
            elif place[-1] == "sums" and wrong == []:
                continue  # as just after a validation
            else:
                held[place[-1]] = wrong
            torch.save(saved, path)
            with pytest.raises(UserError, match=r"the checkpoint .*checkpoint\.pt"):
                go(path, how)


def test_a_whole_checkpoint_goes_on(tmp_path):
    path, how = tmp_path / "checkpoint.pt", TrainingSettings(iterations=2, batch_size=4)
    go(path, how)
    go(path, how)
    assert Checkpoint(path, f"{how} seed=0").load(torch.device("cpu"))["iteration"] == 2
