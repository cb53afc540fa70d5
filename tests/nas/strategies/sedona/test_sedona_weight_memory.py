"""Snapshots are copies in both directions, drawn uniformly, lie on disk, and are there whenever a process is killed."""

import io
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.training.checkpoint import Checkpoint
from nas.strategies.sedona.weight_memory import WeightMemory, bytes_needed
from spaces.notation.errors import UserError

CPU = torch.device("cpu")


def make_training(momentum=0.9):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 6, 2), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten(), nn.Linear(24, 3))
    module.to(memory_format=torch.channels_last)
    return module, torch.optim.SGD(module.parameters(), lr=0.1, momentum=momentum, weight_decay=1e-4)


def train(module, optimizer, steps):
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(module(torch.randn(8, 2, 3, 3, generator=generator)), torch.arange(8) % 3).backward()
        optimizer.step()
    return [*module.state_dict().values(), *(state["momentum_buffer"] for state in optimizer.state.values())]


def generator():
    return torch.Generator().manual_seed(9)


@pytest.fixture
def make(tmp_path):
    """make(steps): a memory of snapshots of these steps; `errors` are all 0.5 unless given."""

    def memory(steps=(), *, folder="memory", capacity=50, errors=None, **settings):
        held = WeightMemory(tmp_path / folder, capacity, device=CPU, **settings)
        module, optimizer = make_training()
        for step, error in zip(steps, errors or [0.5] * len(steps), strict=True):
            train(module, optimizer, 1)
            held.add(step, module, optimizer, error)
        return held

    return memory


def steps_left(memory):
    return {memory.sample(generator()).step for _ in range(len(memory))}


def files_of(memory):
    return {path.name for path in memory.folder.iterdir()}


# ---- copies, both ways


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_training_resumes_to_the_bit_however_often_it_went_on_meanwhile(make, momentum):
    """True only if nothing aliases: neither the snapshot the trained weights, nor the loaded weights the snapshot."""
    (module, optimizer), memory = make_training(momentum), make()
    train(module, optimizer, 3)
    memory.add(3, module, optimizer, 0.5)
    expected = [tensor.clone() for tensor in train(module, optimizer, 4)]
    snapshot = memory.sample(generator())
    for _ in range(3):
        memory.load(snapshot, module, optimizer)
        torch.testing.assert_close(train(module, optimizer, 4), expected, rtol=0, atol=0)


@pytest.mark.parametrize("steps", [0, 3])
def test_loads_into_a_fresh_module_and_optimizer_with_their_layout_and_settings(make, steps):
    module, optimizer = make_training()
    trained = [tensor.clone() for tensor in train(module, optimizer, steps)]
    optimizer.param_groups[0]["lr"] = 0.025
    memory = make()
    memory.add(steps, module, optimizer, 0.5)
    fresh = make_training()
    train(*fresh, 1)
    memory.load(memory.sample(generator()), *fresh)
    loaded = train(*fresh, 0)
    torch.testing.assert_close(loaded, trained, rtol=0, atol=0)
    assert [tensor.stride() for tensor in loaded] == [tensor.stride() for tensor in trained]
    assert fresh[1].param_groups[0]["lr"] == 0.025


def test_a_weight_without_gradient_has_no_momentum_after_loading_either(make):
    module, optimizer = make_training()
    module[0].requires_grad_(False)
    train(module, optimizer, 2)
    memory, fresh = make(), make_training()
    memory.add(2, module, optimizer, 0.5)
    memory.load(memory.sample(generator()), *fresh)
    with_momentum = [parameter in fresh[1].state for parameter in fresh[0].parameters()]
    assert with_momentum == [False, False, True, True, True, True]


@pytest.mark.cuda
def test_a_gpu_gets_back_what_it_gave(gpu, tmp_path):
    module, optimizer = make_training()
    module.to(gpu)
    generator = torch.Generator().manual_seed(5)
    module(torch.randn(8, 2, 3, 3, generator=generator).to(gpu)).square().sum().backward()
    optimizer.step()
    before = [tensor.clone() for tensor in train(module, optimizer, 0)]
    memory = WeightMemory(tmp_path, device=gpu)
    memory.add(1, module, optimizer, 0.5)
    optimizer.step()
    memory.load(memory.sample(generator), module, optimizer)
    torch.testing.assert_close(train(module, optimizer, 0), before, rtol=0, atol=0)


# ---- which snapshots are held


def test_a_full_memory_drops_the_oldest(make):
    memory = make(range(7), capacity=3, errors=[0.9, 0.1, 0.2, 0.3, 0.9, 0.9, 0.9])
    assert len(memory) == 3
    assert steps_left(memory) == {4, 5, 6}


def test_a_full_memory_drops_the_worst_and_of_equals_the_oldest_but_never_the_new_one(make):
    memory = make(range(4), capacity=3, errors=[0.7, 0.8, 0.8, 0.9], eviction="worst")
    assert [entry["step"] for entry in memory.state_dict()["snapshots"]] == [0, 2, 3]
    memory.add(4, *make_training(), 0.1)
    assert steps_left(memory) == {0, 2, 4}


def test_a_sample_is_taken_out(make):
    memory = make(range(5))
    assert Counter(memory.sample(generator()).step for _ in range(5)) == Counter(range(5))
    assert len(memory) == 0


def test_samples_are_uniform(make):
    """Chi-square of 6 snapshots against its 0.999 quantile at 5 degrees of freedom."""
    memory, source, draws, counts = make(range(6)), generator(), 1200, Counter()
    full = memory.state_dict()
    for _ in range(draws):
        memory.load_state_dict(full)
        counts[memory.sample(source).step] += 1
    assert sum((counts[step] - draws / 6) ** 2 / (draws / 6) for step in range(6)) < 20.5


# ---- the index


def test_a_small_index_goes_on_like_the_memory_it_is_of(make, tmp_path):
    memory = make(range(4), capacity=4, errors=[0.4, 0.3, 0.2, 0.1], eviction="worst")
    torch.save(memory.state_dict(), tmp_path / "index.pt")
    assert len(str(memory.state_dict())) < 1000
    restored = WeightMemory(memory.folder, 4, eviction="worst", device=CPU)
    restored.load_state_dict(torch.load(tmp_path / "index.pt", weights_only=True))
    for each in (memory, restored):
        each.add(9, *make_training(), 0.5)
    one, other = generator(), generator()
    assert [memory.sample(one) for _ in range(4)] == [restored.sample(other) for _ in range(4)]


def test_restoring_replaces_what_was_held_and_does_not_follow_the_index(make):
    memory = make(range(3))
    index = memory.state_dict()
    memory.sample(generator())
    memory.add(9, *make_training(), 0.1)
    assert len(index["snapshots"]) == 3
    memory.load_state_dict(index)
    index["snapshots"].clear()
    assert steps_left(memory) == {0, 1, 2}


# ---- the folder


def test_files_stay_until_they_are_collected(make):
    memory = make(range(7), capacity=3)
    (memory.folder / "7.part").write_bytes(b"half")
    (memory.folder / "notes.txt").write_text("not ours")
    assert len(files_of(memory)) == 7 + 2
    memory.collect()
    assert files_of(memory) == {"4.snapshot", "5.snapshot", "6.snapshot", "notes.txt"}


def test_collecting_before_anything_was_added(make):
    memory = make()
    memory.collect()
    assert len(memory) == 0


class Killed(BaseException):
    """What a process sees of kill -9, as far as the disk is concerned."""


def killed_at(monkeypatch, event):
    """Die at the `event`-th touch of the disk: half way through a write, before a sync, a renaming or a removal, or after."""
    touches = 0

    def dies(original, *, before):
        def call(*arguments, **settings):
            nonlocal touches
            touches += 1
            if touches == event:
                before(*arguments)
                raise Killed
            result = original(*arguments, **settings)
            touches += 1
            if touches == event:
                raise Killed
            return result

        return call

    def write_half(state, file):
        buffer = io.BytesIO()
        save(state, buffer)
        file.write(buffer.getvalue()[: len(buffer.getvalue()) // 2])

    save = torch.save
    monkeypatch.setattr(torch, "save", dies(save, before=write_half))
    for place, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
        monkeypatch.setattr(place, name, dies(getattr(place, name), before=lambda *_: None))


NUM_STEPS, BETWEEN, CAPACITY = 8, 3, 2


def run_search(folder):
    """A search in small: each step adds a snapshot whose weights are the step; sometimes it takes one out. Its memory."""
    memory = WeightMemory(folder / "memory", CAPACITY, eviction="worst", device=CPU)
    store, start = Checkpoint(folder / "search.pt", "a search"), 0
    if (saved := store.load(CPU)) is not None:
        start = saved["step"]
        memory.load_state_dict(saved["memory"])
    memory.collect()
    check_contents(memory)
    for step in range(start, NUM_STEPS):
        if step % 4 == 3:
            memory.sample(torch.Generator().manual_seed(step))
        module = nn.Linear(1, 1)
        nn.init.constant_(module.weight, step)
        memory.add(step, module, torch.optim.SGD(module.parameters(), 0.1), error=step * 7 % 5)
        if (step + 1) % BETWEEN == 0:
            store.save({"step": step + 1, "memory": memory.state_dict()})
            memory.collect()
    return memory


def check_contents(memory):
    module = nn.Linear(1, 1)
    for entry in memory._snapshots:
        memory.load(entry, module, torch.optim.SGD(module.parameters(), 0.1))
        assert module.weight.item() == entry.step


def test_a_search_killed_at_any_touch_of_the_disk_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and what it is for cannot be tested
    undisturbed = run_search(tmp_path / "undisturbed").state_dict()
    event, died = 0, True
    while died:
        event += 1
        folder = tmp_path / str(event)
        with monkeypatch.context() as patch:
            killed_at(patch, event)
            try:
                run_search(folder)
                died = False
            except Killed:
                pass
            assert len([*(folder / "memory").glob("*")]) <= CAPACITY + BETWEEN
        memory = run_search(folder)
        assert memory.state_dict() == undisturbed
        check_contents(memory)
        assert len(files_of(memory)) <= CAPACITY + BETWEEN
        memory.collect()
        assert files_of(memory) == {entry["file"] for entry in undisturbed["snapshots"]}
    assert event > 6 * NUM_STEPS  # each step writes, syncs and renames


def test_a_write_that_fails_leaves_the_memory_as_it_was(make, monkeypatch):
    memory = make(range(2), capacity=2)
    index = memory.state_dict()

    def full(state, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        memory.add(2, *make_training(), 0.5)
    assert memory.state_dict() == index


# ---- sharing


def test_an_adopted_snapshot_is_read_where_it_is_and_never_deleted(make, tmp_path):
    shared = make(range(3), folder="runs/pretraining")
    before = {path: path.read_bytes() for path in shared.folder.iterdir()}
    searches = [make(folder=f"runs/search {i}/memory", capacity=3) for i in range(2)]
    for i, memory in enumerate(searches):
        memory.adopt(shared.folder, shared.state_dict())
        for step in range(10, 12 + i):
            memory.add(step, *make_training(), 0.5)
        memory.collect()
    assert {path: path.read_bytes() for path in shared.folder.iterdir()} == before
    assert [[entry["step"] for entry in memory.state_dict()["snapshots"]] for memory in searches] == [[2, 10, 11], [10, 11, 12]]
    assert files_of(searches[0]) == {"0.snapshot", "1.snapshot"}

    index = searches[0].state_dict()
    shutil.move(tmp_path / "runs", tmp_path / "moved")  # as a whole
    moved = WeightMemory(tmp_path / "moved/search 0/memory", 3, device=CPU)
    moved.load_state_dict(index)
    adopted = moved._snapshots[0]
    module, optimizer = make_training()
    moved.load(adopted, module, optimizer)
    torch.testing.assert_close([*module.state_dict().values()], [*trained_for(3).state_dict().values()], rtol=0, atol=0)


def trained_for(steps):
    module, optimizer = make_training()
    for _ in range(steps):
        train(module, optimizer, 1)
    return module


def test_a_memory_adopts_no_more_than_it_can_hold(make):
    shared = make(range(4), folder="pretraining", errors=[0.1, 0.4, 0.2, 0.3])
    memory = make(folder="search", capacity=2, eviction="worst")
    memory.adopt(shared.folder, shared.state_dict())
    assert steps_left(memory) == {0, 3}


# ---- messages


@pytest.mark.parametrize("how", ["load_state_dict", "adopt", "load"])
def test_a_missing_file_is_told(make, how):
    memory = make(range(2))
    index, taken = memory.state_dict(), memory.sample(generator())
    (memory.folder / taken.file).unlink()
    with pytest.raises(UserError, match=rf"{taken.file} .* is missing; put it back, or remove the checkpoints"):
        if how == "load":
            memory.load(taken, *make_training())
        elif how == "adopt":
            make(folder="other").adopt(memory.folder, index)
        else:
            memory.load_state_dict(index)


def test_a_damaged_file_is_told(make):
    memory = make([1])
    snapshot = memory.sample(generator())
    path = memory.folder / snapshot.file
    whole, other = path.read_bytes(), io.BytesIO()
    torch.save({"module": {}}, other)
    for content in [*(whole[:length] for length in range(0, len(whole), 211)), b"hello", other.getvalue()]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{snapshot.file} cannot be read \(\w+\); remove the checkpoints"):
            memory.load(snapshot, *make_training())


def test_a_snapshot_of_another_network_is_told(make):
    memory = make([1])
    module = nn.Linear(3, 2)
    with pytest.raises(UserError, match="cannot be read"):
        memory.load(memory.sample(generator()), module, torch.optim.SGD(module.parameters(), 0.1, momentum=0.9))


# ---- size


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_bytes_needed_are_those_of_the_files(make, momentum):
    module = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Conv2d(48, 48, 3), nn.BatchNorm2d(48))))
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=momentum)
    needed, memory = bytes_needed(module, optimizer, 3), make(capacity=3)
    module(torch.randn(2, 48, 64, 64)).sum().backward()
    optimizer.step()
    for step in range(3):
        memory.add(step, module, optimizer, 0.5)
    assert sum(path.stat().st_size for path in memory.folder.iterdir()) == pytest.approx(needed, rel=0.01)
