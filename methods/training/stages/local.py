"""Processes on this machine that train the stages behind those of this one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from methods.training.interruption import ENDING
from methods.training.stages.first import ENDS_WITHIN, First
from methods.training.stages.follower import GONE, follow
from methods.training.stages.group import Group
from methods.training.stages.topology import Topology
from spaces.notation.errors import UserError

LOOKS_EVERY = 0.02  # seconds


@contextmanager
def local_processes(topology: Topology, device: torch.device, prepare: Callable[[], None] | None = None) -> Iterator[First]:
    """The first of processes on this machine, on one GPU each where `device` is one; the others end with the block.

    Each calls `prepare`, which is pickled, before it computes, if there is one. A process group that is there already is a
    UserError, and so are more processes than GPUs.
    """
    if dist.is_initialized():
        raise UserError("stages train in a process group of their own, got one that is there already; destroy it first")
    if device.type == "cuda" and topology.size > torch.cuda.device_count():
        raise UserError(
            f"each process has a GPU of its own, got {topology.size} processes and {torch.cuda.device_count()} GPUs; give fewer"
        )
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context: Any = get_context("forkserver" if device.type == "cpu" else "spawn")
    if device.type == "cpu":
        context.set_forkserver_preload([__name__, "torch._dynamo"])  # optimizers import it; once for all
    processes = [
        context.Process(target=_process, args=(topology, rank, store.port, _device(device, rank), prepare), daemon=True)
        for rank in range(1, topology.size)
    ]
    for process in processes:
        process.start()
    try:
        _wait_until_joined(store, processes)
        group = Group(topology, 0, store, device)
        first = First(group, why_gone=partial(_why_gone, processes), lost=partial(_kill, processes))
        try:
            yield first
        finally:
            first.close()
    finally:
        _end(processes)


def _device(device: torch.device, rank: int) -> torch.device:
    """GPUs in order from that of the first process on."""
    if device.type != "cuda":
        return device
    return torch.device("cuda", ((device.index or 0) + rank) % torch.cuda.device_count())


def _process(topology: Topology, rank: int, port: int, device: torch.device, prepare: Callable[[], None] | None) -> None:
    for number in ENDING:  # a Ctrl-C reaches all processes of a terminal; the first one has the others end
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_first, daemon=True).start()
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if prepare is not None:
        prepare()
    store = TCPStore("127.0.0.1", port, is_master=False)
    store.set(_joined(rank), "yes")
    follow(Group(topology, rank, store, device))


def _end_with_first() -> None:
    """However that ends, and whatever this process waits for, such as others that have not joined yet."""
    first = parent_process()
    assert first is not None, "only processes that were started call this"
    first.join()
    os._exit(GONE)


def _joined(rank: int) -> str:
    return f"joined {rank}"


def _wait_until_joined(store: Any, processes: list[Any]) -> None:
    store.set_timeout(timedelta(seconds=ENDS_WITHIN))
    waiting = dict(enumerate(processes, start=1))
    while waiting:
        for rank, process in list(waiting.items()):
            if store.check([_joined(rank)]):
                del waiting[rank]
            elif process.exitcode is not None:
                raise UserError(f"a process of the run ended before it began, with status {process.exitcode}; see what it wrote")
        time.sleep(LOOKS_EVERY)


def _why_gone(processes: list[Any], rank: int) -> str:
    """How the process ended; its neighbours, which end because of it, are not meant."""
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        ended = {place: process.exitcode for place, process in enumerate(processes, start=1) if process.exitcode is not None}
        first = [(place, code) for place, code in ended.items() if code not in (0, GONE)]
        if first:
            code = dict(first).get(rank, first[0][1])
            where = "" if rank in dict(first) else f" (rank {first[0][0]})"
            return (f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}") + where
        time.sleep(LOOKS_EVERY)
    return "is gone"


def _kill(processes: list[Any]) -> None:
    for process in processes:
        process.kill()


def _end(processes: list[Any]) -> None:
    until = time.monotonic() + ENDS_WITHIN
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()
