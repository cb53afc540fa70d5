"""How many cores this process may compute on."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Those of the process's affinity, which batch systems narrow, and no more than a container's quota, rounded up."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, _quota(_CGROUP) or affinity))


def _quota(cgroup: Path) -> int | None:
    """Cores' worth of time that a container is given, rounded up; None without a limit. Both versions of cgroups are known."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / file).read_text(encoding="ascii") for file in files).split()
        except (OSError, ValueError):
            continue
        return -(-int(quota) // int(period)) if quota.isdigit() and int(quota) else None
    return None
