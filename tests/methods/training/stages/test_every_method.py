"""Every method that can be parted is, at every border: two workers in this process find what one finds, to the bit."""

import copy
import pickle
from itertools import chain
from typing import Any

import pytest
import torch

from methods.method import Method
from methods.table import traits
from methods.training.settings import TrainingSettings
from methods.training.stages.follower import _forget_others
from methods.training.stages.items import Answer, Judged, Save, Step, Validated, Validating, Verdict
from methods.training.stages.stage_checkpoints import StageCheckpoints
from methods.training.stages.worker import StageWorker
from methods.training.trainer import Trainer, copy_weights
from nas.testing import toy_batch
from tests.methods.test_contract import VARIANTS
from tests.methods.test_contract import build as contract_build

CPU = torch.device("cpu")
BUILT = {name: contract_build(name) for name in (*VARIANTS, "al on lstm", "dgl on transformer")}
PARTED = [
    name for name, method in BUILT.items() if method.num_stages > 1 and not any(map(method.reads, range(method.num_stages)))
]
HOW = TrainingSettings(iterations=3, batch_size=16, lr=0.01, optimizer="adam")


def has_logits(name: str) -> bool:
    return traits(name.partition(" ")[0]).has_exit_logits


def workers(name: str, parts: list[range]) -> tuple[list[StageWorker], list[Any]]:
    """A worker for each part, each with a method of its own that holds no more than a process would; and what they tell."""
    told: list[Any] = []
    found = []
    for stages in parts:
        method = contract_build(name)
        trainer = Trainer(method, HOW, seed=0, device=CPU, stages=stages)
        if stages.start:
            _forget_others(method, trainer.modules())
        store = StageCheckpoints(None, "", stages=stages, num_stages=method.num_stages, device=CPU)
        found.append(StageWorker(trainer, store, told.append, exit_errors=has_logits(name)))
    return found, told


def trained(name: str, parts: list[range]) -> tuple[Method, list[Any]]:
    """The whole method after three iterations and a validation whose weights it goes back to, and what was judged."""
    row, told = workers(name, parts)

    def emit(item: Any) -> None:
        for worker in row:
            item = worker.handle(item)
            if item is None:
                return
            item = pickle.loads(pickle.dumps(item))  # as between processes

    for iteration in range(3):
        x, y = toy_batch(row[0].trainer.method, seed=iteration)
        emit(Step(iteration, True, x, y))
        if iteration == 1:
            emit(Validating(iteration, {}))
            emit(Answer(iteration, *toy_batch(row[0].trainer.method, seed=9)))
            emit(Validated(iteration))
    emit(Verdict(2, 0.5, 1.0, True, True))  # told one iteration later
    emit(Save(3, 0.0))
    method = row[0].trainer.method
    for worker in row[1:]:
        copy_weights(method, copy.deepcopy(worker.trainer.weights()))
    return method, [one for one in told if isinstance(one, Judged)]


@pytest.mark.parametrize("name", PARTED)
def test_parts_find_what_the_whole_finds(name: str) -> None:
    num_stages = BUILT[name].num_stages
    whole, judged = trained(name, [range(num_stages)])
    assert len(judged) == 1 and len(judged[0].stage_losses) == num_stages
    assert len(judged[0].exit_errors) == (whole.net.num_blocks if has_logits(name) else 0)
    assert not has_logits(name) or judged[0].exit_errors[-1] == judged[0].error >= 0
    expected = whole.state_dict()
    borders = range(1, num_stages)
    for parts in chain(([range(at), range(at, num_stages)] for at in borders), [[range(k, k + 1) for k in range(num_stages)]]):
        method, also_judged = trained(name, parts)
        assert also_judged == judged
        for tensor_name, tensor in method.state_dict().items():
            assert torch.equal(tensor, expected[tensor_name]), f"{parts}: {tensor_name}"


def test_some_methods_are_parted() -> None:
    assert {"dgl", "infopro", "al"} <= {name.partition("(")[0] for name in PARTED} and len(PARTED) >= 8
