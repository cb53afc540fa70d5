"""Processes that work for this one: they leave signals to it, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from methods.training.interruption import ENDING


@contextmanager
def signals_left_to_parent() -> Iterator[None]:
    """Processes that start inside have signals that end the program blocked: those that a batch system sends to all processes at
    once are left to this one, which still has a step to finish.

    torch's DataLoader would raise an error in whatever runs when a worker of its ends; here it says so where it is read from.
    """
    before, of_child = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING), signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if of_child is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, of_child)


@contextmanager
def script_left_out() -> Iterator[None]:
    """Processes that start inside do not run the user's script again, which may have no `if __name__ == "__main__"`; what is sent
    to them has to be of other modules."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def this_module_path() -> Iterator[None]:
    """A Python that is started inside finds modules where this one does, and not first in the current folder, as `python -c`
    would: received files may lie there."""
    before = dict(os.environ)
    os.environ.update(PYTHONSAFEPATH="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def start_worker() -> None:
    """In a worker: end with the parent however it ends, or when it says so, and use one thread: each core has a worker."""
    torch.set_num_threads(1)
    end_with_parent()
    threading.Thread(target=_end_when_told, daemon=True).start()


def start_loader_worker(own: Callable[[int], None] | None, number: int) -> None:
    """The `worker_init_fn` of a DataLoader, around a user's own."""
    start_worker()
    if own is not None:
        own(number)


def end_with_parent() -> None:
    """In a worker: from now on end with the parent, however it ends."""

    def end() -> None:
        _parent().join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _end_when_told() -> None:
    """By the parent's SIGTERM, which ends a pool of which a worker was killed, and those that still wait when the program ends;
    not by one that comes from elsewhere."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != _parent().pid:
        pass
    os._exit(0)


def _parent() -> Any:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"
    return parent
