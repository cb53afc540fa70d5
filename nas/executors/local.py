"""Worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import torch

from methods.training.interruption import OWN
from nas.data.worker_process import script_left_out, signals_left_to_parent, this_module_path
from nas.executors.executor import Lost, Pool, Setup
from nas.executors.worker import Message, serve
from nas.notice import notice
from nas.problem import Report
from spaces.notation.errors import UserError
from spaces.notation.own_modules import allowed_here

SECONDS_TO_END = 30.0  # that an interrupted worker has to finish its step and save it


class Local:
    """Processes on this machine, each with memory of its own; of several GPUs each has one, in turns.

    workers  how many
    """

    def __init__(self, *, workers: int = 2) -> None:
        if workers < 1:
            raise UserError(f"workers is how many processes work, from 1 on, got {workers}")
        self.workers = workers

    def open(self, setup: Setup, report: Report, device: str) -> Pool:
        """Processes that start when they get their first job."""
        return LocalPool(self.workers, setup, report, gpus() if device in ("auto", "cuda") else [])


class LocalPool:
    """A thread for each worker, which starts its process, hands it a job at a time and hears what it says.

    The processes are forked from a server that has imported what they need, so that they share it. They end with this process,
    however it ends.
    """

    def __init__(self, workers: int, setup: Setup, report: Report, gpus: Sequence[str]) -> None:
        self.at_once = workers
        self._jobs: SimpleQueue[tuple[Any, Future[Any]] | None] = SimpleQueue()
        self._workers = [
            _Worker(number, setup, report, gpus[(number - 1) % len(gpus)] if len(gpus) > 1 else None)
            for number in range(1, workers + 1)
        ]
        self._threads = [
            threading.Thread(target=worker.do, args=(self._jobs,), name=f"worker {worker.number}", daemon=True)
            for worker in self._workers
        ]

    def begin(self, job: Any) -> Future[Any]:
        """The next worker that is free does it."""
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            for worker in self._workers:
                worker.end(interrupted=error is not None)
            for _ in self._threads:
                self._jobs.put(None)
            until = time.monotonic() + SECONDS_TO_END
            for thread in self._threads:
                thread.join(max(0.0, until - time.monotonic()))
        finally:  # whoever is not done by now, or interrupts once more
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()


class _Worker:
    """One worker, and its process as long as that lives."""

    _starting = threading.Lock()  # one process at a time: what makes it leave the script out is of the whole program

    def __init__(self, number: int, setup: Setup, report: Report, gpu: str | None) -> None:
        self.number, self._setup, self._report, self._gpu = number, setup, report, gpu
        self._allowed = allowed_here()
        self._lock = threading.Lock()  # on whether there is a process
        self._ends = False
        self._process: Any = None
        self._connection: Connection | None = None

    def do(self, jobs: SimpleQueue[tuple[Any, Future[Any]] | None]) -> None:
        """Do jobs until there is None, and end the process."""
        while (asked := jobs.get()) is not None:
            job, future = asked
            if self._ends:
                future.cancel()
            elif future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._done(job))
                except BaseException as error:  # belongs to the job, whose future is waited for
                    future.set_exception(error)
        if self._connection:
            self._connection.close()  # no more jobs
            self._process.join()

    def end(self, *, interrupted: bool) -> None:
        """Begin no more jobs; the one that runs is interrupted, or else finished."""
        with self._lock:
            self._ends = True
            if interrupted:
                self._signal(OWN)

    def kill(self) -> None:
        """End the process now."""
        with self._lock:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process and self._process.is_alive():
            os.kill(self._process.pid, number)

    def _done(self, job: Any) -> Any:
        """What the process answers; what it says until then is passed on."""
        connection = self._started()
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.send(job)
        if self._heard(connection) is None:  # killed while it had no job
            self._lost()
            connection = self._started()
            connection.send(job)
            if self._heard(connection) is None:
                raise self._lost()
        while (message := self._heard(connection)) is not None:
            kind, said = message
            if kind == "answer":
                return said
            if kind == "error":
                raise said
            self._pass_on(kind, said)
        raise self._lost()

    def _heard(self, connection: Connection) -> Message | None:
        """The next message; None where the process has ended."""
        wait([connection, self._process.sentinel])
        try:
            return connection.recv() if connection.poll() else None
        except (EOFError, ConnectionResetError):
            return None

    def _pass_on(self, kind: str, said: Any) -> None:
        if kind == "notice":
            return notice(said)
        what, done, total, figures = said
        try:
            self._report(what, done, total, worker=self.number, **figures)
        except BaseException:  # of a user's own report: the job is over, and its answer would be taken for another's
            self.kill()
            self._forget()
            raise

    def _started(self) -> Connection:
        """The connection to the process, which is started where there is none."""
        with self._lock, self._starting, script_left_out():
            if self._ends:
                raise Lost("interrupted", socket.gethostname())
            if self._connection is None or not self._process.is_alive():
                _start_server(self._setup)
                self._connection, theirs = multiprocessing.Pipe()
                with theirs:
                    self._process = multiprocessing.get_context("forkserver").Process(
                        target=serve, args=(theirs, self._setup, self._gpu, self._allowed), name=f"worker {self.number}"
                    )
                    self._process.start()
            return self._connection

    def _lost(self) -> Lost:
        """How the process ended, whose connection is closed."""
        self._process.join()
        lost = Lost(how_ended(self._process.exitcode), socket.gethostname())
        self._forget()
        return lost

    def _forget(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
            self._process = self._connection = None


def gpus() -> list[str]:
    """The GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES has them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(number) for number in range(torch.cuda.device_count())]


def how_ended(code: int) -> str:
    """How a process ended, by its exit code."""
    number = -code if code < 0 else code - 128
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"exit code {code}"


def _start_server(setup: Setup) -> None:
    """The server that workers are forked from, unless it runs: it has imported what makes them ready. Signals are blocked in it,
    and in a worker until that can heed them."""
    resource_tracker.ensure_running()  # which would unblock them
    forkserver.set_forkserver_preload([getattr(setup, "func", setup).__module__])
    with signals_left_to_parent(), this_module_path(), script_left_out():
        forkserver.ensure_running()
