"""How large a number may be that is meant: what is beyond is a slip, which is told before anything is computed or taken."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from spaces.notation.errors import UserError

if TYPE_CHECKING:
    from torch import nn

# By the name of the option or of the setting, for numbers and for each number of a list; generous, far beyond what was ever run.
LARGEST = {
    "seeds": 10_000,
    "epochs": 1_000_000,
    "iterations": 10**9,
    "batch_size": 1_000_000,
    "ensemble": 10_000,
    "trials": 1_000_000,
    "limit": 1_000_000,
    "population": 1_000_000,
    "pretrain": 10**9,
    "meta_steps": 10**9,
    "inner_steps": 1_000_000,
    "memory": 1_000_000,
    "inner_batch": 1_000_000,
    "outer_batch": 1_000_000,
    "disk_gb": 1_000_000,
    "depth": 1_000,
    "encoders": 1_000,
    "attention_heads": 10_000,
    "width": 100_000,
    "embedding": 100_000,
    "hidden": 100_000,
    "ffn": 100_000,
    "label_dim": 100_000,
    "feature_dim": 100_000,
    "dim": 100_000,
    "bridge_depth": 1_000,
    "units": 10_000,
    "num_words": 10_000_000,
    "length": 100_000,
    "crop": 10_000,
    "cutout": 10_000,
    "size": 10_000,
    "num": 1_000_000,
    "split_seed": 2**32 - 1,
}
LARGEST_OTHER = 10**9  # of a whole number with another name


def check_size(what: str, name: str, value: object) -> None:
    """Refuse a number, or a list of some, that is plainly a slip; `what` is what the message calls it."""
    if isinstance(value, tuple | list):
        for entry in value:
            check_size(what, name, entry)
    elif name in LARGEST or type(value) is int:
        largest = LARGEST.get(name, LARGEST_OTHER)
        if isinstance(value, int | float) and largest < abs(value) < math.inf:  # who writes infinity means it
            raise UserError(f"{what} is at most {largest:,}, got {value:,}; was that meant?")


def check_memory(what: str, module: nn.Module) -> None:
    """Refuse a network, built on the meta device, whose weights alone take more memory than this machine has."""
    taken = sum(parameter.nbytes for parameter in module.parameters())
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if taken > there:
        raise UserError(
            f"the weights of {what} take {taken / 2**30:,.0f} GiB, but this machine has {there / 2**30:,.0f} GiB of "
            "memory; choose a smaller network"
        )
