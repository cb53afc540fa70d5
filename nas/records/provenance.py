"""Where a result came from: the code, the versions, the device, the time. Columns of a row; never the host's name."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_SOURCE = Path(__file__).resolve().parents[2]
_GIT_SECONDS = 10.0


def provenance() -> dict[str, str]:
    """The columns commit, dirty, version, python, torch, torchvision, optuna, platform and time (UTC, ISO, whole seconds).

    `commit` is the short hash of the source tree; `dirty` is True if the tree differs from it outside results/ and
    runs/, which runs write themselves. Both are empty where git cannot tell, as is the version of an absent package; an installed
    program has no commit but its `version`.
    All but the time is asked once a process, so call this early: a commit made later is not the code that runs.
    """
    return {**_fixed(), "time": datetime.now(UTC).isoformat(timespec="seconds")}


def device_name(device: torch.device) -> str:
    """The model of the processor or the GPU behind `device`, or the device's type where none is known."""
    if device.type == "cuda":
        import torch  # which whoever only reads results does without

        return torch.cuda.get_device_name(device)
    return _processor() if device.type == "cpu" else device.type


@cache
def _fixed() -> dict[str, str]:
    status = _git("status", "--porcelain", "--", ".", ":!results", ":!runs")
    return {
        "commit": _git("rev-parse", "--verify", "--short", "HEAD") or "",
        "dirty": "" if status is None else str(status != ""),
        "version": _version("decoupled-nas"),
        "python": platform.python_version(),
        **{package: _version(package) for package in ("torch", "torchvision", "optuna")},
        "platform": platform.platform(),
    }


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine() or "cpu"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(*arguments: str) -> str | None:
    """What git says of the source tree; None without git, outside a repository, and for what a repository lacks.

    The variables that git sets for its hooks would point it elsewhere; its optional lock could fail a commit that is
    made meanwhile.
    """
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    command = ["git", "--no-optional-locks", *arguments]
    try:
        answer = subprocess.run(
            command, cwd=_SOURCE, env=environment, capture_output=True, encoding="utf-8", errors="replace",
            timeout=_GIT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
