"""Snapshots are copies in both directions, drawn uniformly, and survive a disk."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.strategies.sedona.weight_memory import WeightMemory


def make_training():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    return module, torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)


def train(module, optimizer, steps):
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(module(torch.randn(8, 4, generator=generator)), torch.arange(8) % 3).backward()
        optimizer.step()
    return [*module.state_dict().values(), *(state["momentum_buffer"] for state in optimizer.state.values())]


def generator():
    return torch.Generator().manual_seed(9)


def make_memory(steps, capacity=50):
    memory, (module, optimizer) = WeightMemory(capacity), make_training()
    for step in steps:
        train(module, optimizer, 1)
        memory.add(step, module, optimizer)
    return memory


def steps_left(memory):
    return {memory.sample(generator()).step for _ in range(len(memory))}


def test_training_resumes_to_the_bit_however_often_it_went_on_meanwhile():
    """True only if nothing aliases: neither the snapshot the trained weights, nor the loaded weights the snapshot."""
    (module, optimizer), memory = make_training(), WeightMemory()
    train(module, optimizer, 3)
    memory.add(3, module, optimizer)
    expected = [tensor.clone() for tensor in train(module, optimizer, 4)]
    snapshot = memory.sample(generator())
    for _ in range(3):
        memory.load(snapshot, module, optimizer)
        torch.testing.assert_close(train(module, optimizer, 4), expected, rtol=0, atol=0)


def test_loads_into_a_fresh_module_and_optimizer():
    module, optimizer = make_training()
    trained = [tensor.clone() for tensor in train(module, optimizer, 3)]
    memory = WeightMemory()
    memory.add(3, module, optimizer)
    fresh = make_training()
    memory.load(memory.sample(generator()), *fresh)
    torch.testing.assert_close(train(*fresh, 0), trained, rtol=0, atol=0)


def test_a_full_memory_drops_the_oldest():
    memory = make_memory(range(7), capacity=3)
    assert len(memory) == 3
    assert steps_left(memory) == {4, 5, 6}


def test_a_sample_is_taken_out():
    memory = make_memory(range(5))
    assert Counter(memory.sample(generator()).step for _ in range(5)) == Counter(range(5))
    assert len(memory) == 0


def test_samples_are_uniform():
    """Chi-square of 6 snapshots against its 0.999 quantile at 5 degrees of freedom."""
    memory, source, draws, counts = make_memory(range(6)), generator(), 1200, Counter()
    full = memory.state_dict()
    for _ in range(draws):
        memory.load_state_dict(full)
        counts[memory.sample(source).step] += 1
    assert sum((counts[step] - draws / 6) ** 2 / (draws / 6) for step in range(6)) < 20.5


def test_survives_a_disk(tmp_path):
    memory = make_memory(range(4), capacity=4)
    torch.save(memory.state_dict(), tmp_path / "memory.pt")
    restored = WeightMemory(capacity=4)
    restored.load_state_dict(torch.load(tmp_path / "memory.pt", weights_only=True))

    for each in (memory, restored):
        each.add(9, *make_training())
    one, other = generator(), generator()
    for _ in range(4):
        old, new = memory.sample(one), restored.sample(other)
        assert old.step == new.step != 0
        torch.testing.assert_close(vars(new), vars(old), rtol=0, atol=0)


def test_restoring_replaces_and_copies():
    memory, state = make_memory(range(3)), make_memory(range(10, 12)).state_dict()
    memory.load_state_dict(state)
    for snapshot in state["snapshots"]:
        for tensor in snapshot["module"].values():
            tensor.zero_()
    assert all(memory.sample(generator()).module["0.weight"].abs().sum() > 0 for _ in range(2))
    assert len(memory) == 0


@pytest.mark.parametrize("device", [None, torch.device("meta")])
def test_keeps_snapshots_where_it_is_told(device):
    memory, (module, optimizer) = WeightMemory(device=device), make_training()
    train(module, optimizer, 1)
    memory.add(1, module, optimizer)
    snapshot = memory.sample(generator())
    tensors = [*snapshot.module.values(), *(state["momentum_buffer"] for state in snapshot.optimizer["state"].values())]
    assert {tensor.device for tensor in tensors} == {device or torch.device("cpu")}
