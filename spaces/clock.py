"""The clock by which computing is timed."""

from __future__ import annotations

import time

import torch


def seconds_on(device: torch.device) -> float:
    """Seconds computed so far, of which differences count. On a CPU they are this thread's, or with several threads this
    process's, so that other programs count for what they take from the caches and not for what they take of the core; on a GPU
    they are the wall clock's, once the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.thread_time() if torch.get_num_threads() == 1 else time.process_time()
