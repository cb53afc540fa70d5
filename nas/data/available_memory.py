"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

_CGROUP, _MEMINFO = Path("/sys/fs/cgroup"), Path("/proc/meminfo")


def available_memory() -> int | None:
    """Bytes that are free without swapping, and no more than a container leaves; None where the system does not say."""
    known = [
        value
        for value in (
            _free(),
            _left("memory.max", "memory.current"),
            _left("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
        )
        if value is not None
    ]
    return max(0, min(known)) if known else None


def _free() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return None


def _left(limit: str, used: str) -> int | None:
    try:
        return int((_CGROUP / limit).read_text(encoding="ascii")) - int((_CGROUP / used).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or the word max
        return None
