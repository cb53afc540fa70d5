"""A checkpoint is there as a whole or not at all, and a damaged one is a message rather than a traceback."""

import io
import os
import pickle
import random
from pathlib import Path

import pytest
import torch

from methods.training import checkpoint
from methods.training.checkpoint import Checkpoint
from spaces.notation.errors import UserError

CPU = torch.device("cpu")
STATE = {"iteration": 3, "losses": (0.5, 1.5), "nested": {"weights": torch.arange(6.0).view(2, 3), "steps": [torch.tensor(2)]}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "checkpoint.pt"


def test_gives_back_what_was_saved_last(path: Path) -> None:
    store = Checkpoint(path, "run")
    assert store.load(CPU) is None
    store.save({"iteration": 1})
    store.save(STATE)
    loaded = Checkpoint(path, "run").load(CPU)
    assert loaded is not None and set(loaded) == set(STATE)
    assert (loaded["iteration"], loaded["losses"]) == (3, (0.5, 1.5))
    torch.testing.assert_close(loaded["nested"], STATE["nested"], rtol=0, atol=0)
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_without_a_path_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Checkpoint(None, "run")
    store.save(STATE)
    assert not store.due(force=True) and store.load(CPU) is None and not list(tmp_path.iterdir())


def test_is_due_after_a_while_or_when_forced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    store = Checkpoint(path, "run")
    assert not store.due(force=False) and store.due(force=True)
    now += checkpoint.SECONDS_BETWEEN + 1
    assert store.due(force=False)
    store.save(STATE)
    assert not store.due(force=False)


def test_another_runs_file_is_refused(path: Path) -> None:
    Checkpoint(path, "seed=0").save(STATE)
    with pytest.raises(UserError, match=r"of another run \(seed=0\); remove it"):
        Checkpoint(path, "seed=1").load(CPU)


def test_a_file_cut_off_anywhere_is_a_user_error(path: Path) -> None:
    Checkpoint(path, "run").save(STATE)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cannot be read .*; remove it to begin anew"):
            Checkpoint(path, "run").load(CPU)


def test_changed_bytes_never_end_in_a_traceback(path: Path) -> None:
    """Some changes cannot be seen, as in a weight's last digit; the others are UserErrors."""
    Checkpoint(path, "run").save(STATE)
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 20))):
            damaged[chance.randrange(len(whole))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            Checkpoint(path, "run").load(CPU)
        except UserError:
            refused += 1
    assert refused > 30


def foreign(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


class Bomb:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80",
        pickle.dumps(3, protocol=2),
        foreign([1, 2]),
        foreign({"iteration": 3}),
        foreign(torch.zeros(2)),
        pickle.dumps(Bomb(), protocol=2),
        foreign(Bomb()),
    ],
    ids=range(9),
)
def test_a_foreign_file_is_a_user_error_and_never_runs(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoint(path, "run").load(CPU)
    assert not (path.parent / "pwned").exists()


def test_a_save_that_fails_half_way_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Checkpoint(path, "run")
    store.save(STATE)

    def full(state: object, file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        store.save({"iteration": 4})
    monkeypatch.undo()
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]  # a full disk gets its room back
    loaded = store.load(CPU)
    assert loaded is not None and loaded["iteration"] == 3
    store.save({"iteration": 5})
    assert (store.load(CPU) or {})["iteration"] == 5
