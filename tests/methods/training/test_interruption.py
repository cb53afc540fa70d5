"""A signal that ends the program waits for the step, whose state is saved, and a run goes on from there to the bit."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch

from methods.training.interruption import ENDING, Interruptions
from methods.training.loop import Progress
from tests.methods.training.test_loop import build, results, run, same, settings


class Stop(KeyboardInterrupt):
    pass


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The signals raise Stop, as run.py's handlers raise something."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, stop)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("at", [1, 4, 5])
def test_a_run_that_a_signal_ended_goes_on_to_the_bit(tmp_path: Path, number: int, at: int) -> None:
    """At every kind of iteration: the next, and not the last save, is where it goes on."""

    def end(progress: Progress) -> None:
        if progress.iteration == at:
            signal.raise_signal(number)

    path = tmp_path / "part.pt"
    with pytest.raises(Stop):
        run(path, method=build(), how=settings(), report=end)
    assert torch.load(path, weights_only=True)["iteration"] in (at, at + 1)  # it came while the iteration was told, or validated
    seen: list[int] = []
    resumed = run(path, method=build(), how=settings(), report=lambda progress: seen.append(progress.iteration))
    assert seen[0] in (at + 1, at + 2)
    whole = run(tmp_path / "whole.pt", method=build(), how=settings())
    assert same(results(resumed, path), results(whole, tmp_path / "whole.pt"))


def test_the_first_waits_and_the_second_comes_through() -> None:
    steps = []
    with pytest.raises(Stop, match=str(int(signal.SIGTERM))), Interruptions() as interruptions:
        signal.raise_signal(signal.SIGTERM)
        steps.append(interruptions.pending)
    with pytest.raises(Stop), Interruptions():
        signal.raise_signal(signal.SIGHUP)
        steps.append(True)
        signal.raise_signal(signal.SIGINT)
        steps.append(False)
    assert steps == [True, True]
    with pytest.raises(Stop):
        signal.raise_signal(signal.SIGINT)  # the handlers are back


def test_it_comes_through_also_where_the_step_fails() -> None:
    """As when the same signal has ended the worker processes that a step waits for."""
    with pytest.raises(Stop), Interruptions():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("a worker was killed")


def test_what_nobody_handles_is_left_alone_and_so_are_other_threads() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interruptions() as interruptions:
        signal.raise_signal(signal.SIGHUP)
        assert not interruptions.pending and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    failed: list[BaseException] = []

    def enter() -> None:
        try:
            with Interruptions() as inside:
                assert not inside.pending
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failed
