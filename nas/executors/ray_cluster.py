"""Tasks of a Ray cluster: where there is room on its machines."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from methods.training.interruption import ENDING
from nas.cores import usable_cores
from nas.executors.executor import Lost, Pool, Setup
from nas.executors.local import SECONDS_TO_END
from nas.executors.ray_task import Sent, do
from nas.notice import notice
from nas.problem import Report
from spaces.notation.errors import UserError
from spaces.notation.own_modules import allowed_here

SECONDS_TO_CONNECT = 10.0
OBJECT_STORE_BYTES = 100 * 2**20  # what a cluster of our own keeps for objects: jobs and answers are small


class Ray:
    """Tasks of a Ray cluster (address, or auto, or local for one here), each with cpus and a share of a GPU.

    address      of the cluster's head; auto finds one that runs, local starts one here
    cpus         cores that a task has
    gpus         the share of a GPU that a task has
    working_dir  a folder that tasks are given a copy of, for modules of your own
    """

    def __init__(self, *, address: str = "auto", cpus: float = 1.0, gpus: float = 0.0, working_dir: str | None = None) -> None:
        if cpus < 0 or gpus < 0 or cpus + gpus == 0:
            raise UserError(f"cpus and gpus of ray are what a run takes, above 0, got {cpus} and {gpus}")
        if gpus > 1 and gpus != int(gpus):
            raise UserError(f"gpus of ray are a share of one or a whole number, got {gpus}")
        self.address, self.cpus, self.gpus, self.working_dir = address, cpus, gpus, working_dir

    def open(self, setup: Setup, report: Report, device: str) -> Pool:
        """Connects to the cluster. Ray chooses a run's GPU, so that a device with a number is a UserError."""
        if device not in ("auto", "cuda", "cpu") or (device == "cpu" and self.gpus) or (device == "cuda" and not self.gpus):
            raise UserError(
                f"with ray a run computes on a GPU where ray(gpus=...) is above 0, got --device {device} and gpus={self.gpus:g}; "
                "leave --device out"
            )
        return RayPool(self, setup)


class RayPool:
    """A task for each job, all of them asked for at once, so that a cluster can grow with what waits.

    Ray never repeats a task: whether a run is tried again is the command's, which counts the attempts. What a task tells people
    is told when it ends. Tasks find modules where this process does, and run in the folder that this one is in.
    """

    at_once = None

    def __init__(self, executor: Ray, setup: Setup) -> None:
        self._ray = import_ray()
        self._executor = executor
        self._begun: dict[Any, Future[Any]] = {}
        self._lock = threading.Lock()  # on what is begun: futures of Ray end in another thread
        self._sent = Sent(setup, allowed_here(), None if executor.working_dir else os.getcwd())
        self._connects = not self._ray.is_initialized()  # else the user's program has, and goes on with it

    def begin(self, job: Any) -> Future[Any]:
        """A task, which begins when there is room for it."""
        future: Future[Any] = Future()
        task = self._do.remote(self._at, job)
        with self._lock:
            self._begun[task] = future
        task.future().add_done_callback(lambda done: self._ended(task, done))
        return future

    def _ended(self, task: Any, done: Future[Any]) -> None:
        with self._lock:
            future = self._begun.pop(task)
        error = done.exception()
        if error is None:
            kind, said, notices = done.result()
            for text in notices:
                notice(text)
            if kind == "answer":
                future.set_result(said)
            else:
                future.set_exception(said)
        else:
            future.set_exception(self._lost(error))

    def _lost(self, error: BaseException) -> BaseException:
        exceptions = self._ray.exceptions
        if isinstance(error, exceptions.RayTaskError):  # a task answers with the errors of runs
            return error
        if isinstance(error, exceptions.RuntimeEnvSetupError | exceptions.TaskUnschedulableError):
            return UserError(f"Ray cannot begin a run: {error}")
        return Lost(type(error).__name__, "a node of Ray") if isinstance(error, exceptions.RayError) else error

    def __enter__(self) -> Self:
        if self._connects:
            with _told(self._executor.address), _signals_as_they_are():
                _check_listens(self._executor.address)
                self._ray.init(**self._settings())
        elif self._executor.working_dir:
            raise UserError("ray(working_dir=...) is for a command that connects, got a program that has; give it to ray.init")
        options: dict[str, Any] = {
            "num_cpus": self._executor.cpus,
            "max_retries": 0,
            "name": "run",
            "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(_own_path())}},
        }
        if self._executor.gpus:
            options["num_gpus"] = self._executor.gpus
        self._do = self._ray.remote(do).options(**options)
        self._at = self._ray.put(self._sent)
        return self

    def _settings(self) -> dict[str, Any]:
        own = self._executor.address == "local"
        settings: dict[str, Any] = {"address": self._executor.address, "log_to_driver": False, "logging_level": logging.ERROR}
        if own:
            settings |= {
                "num_cpus": usable_cores(),
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
            }
        if self._executor.working_dir:
            settings["runtime_env"] = {"working_dir": str(Path(self._executor.working_dir).absolute())}
        return settings

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with self._lock:
                begun = list(self._begun)
            for force in (False, True) if error is not None else ():
                for task in begun:
                    self._ray.cancel(task, force=force)  # as by Ctrl-C first, so that a run saves its checkpoint
                _, begun = self._ray.wait(begun, num_returns=len(begun), timeout=SECONDS_TO_END) if begun else ([], [])
        finally:
            if self._connects:
                self._ray.shutdown()


def import_ray() -> Any:
    """Ray, which takes seconds, and reports to nobody that it is used."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a run without a GPU of Ray's sees what the node has
    try:
        with _signals_as_they_are():
            import ray
    except ImportError as error:
        raise UserError(f"ray(...) needs Ray, which does not import ({error}); pip install 'decoupled-nas[ray]'") from None
    return ray


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Ray would have SIGTERM end the program without a word."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _own_path() -> list[str]:
    """Where this process finds modules that are not installed."""
    installed = {sys.prefix, sys.base_prefix}
    return [entry for entry in sys.path if entry and not any(Path(entry).is_relative_to(place) for place in installed)]


def _check_listens(address: str) -> None:
    """Raise OSError where nobody does, which would take Ray minutes to find out."""
    host, colon, port = (os.environ.get("RAY_ADDRESS", "") if address == "auto" else address).rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_CONNECT).close()


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What Ray raises where there is no such cluster is a UserError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split()).split(". ")[0]
        raise UserError(
            f"address of ray is that of a cluster that runs, as of `ray start --head`, or local, got {address!r}: {said}"
        ) from None
