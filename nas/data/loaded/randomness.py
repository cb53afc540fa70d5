"""Random numbers of a user's own code: seeded for it, and given back to the training as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass
class Randomness:
    """The states of the global generators of torch (on the CPU), NumPy and Python, as one stream of samples has them."""

    torch: torch.Tensor
    numpy: Any
    python: Any

    @classmethod
    def now(cls) -> Randomness:
        """Those of this moment."""
        return cls(torch.default_generator.get_state(), np.random.get_state(), random.getstate())

    @classmethod
    def seeded(cls, *seeds: int) -> Randomness:
        """Those that the seeds make."""
        with untouched():
            seed_all(*seeds_of(seeds, [0]))
            return cls.now()

    def set(self) -> None:
        """Make the generators go on from here."""
        torch.default_generator.set_state(self.torch)
        np.random.set_state(self.numpy)
        random.setstate(self.python)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Inside, random numbers are drawn from these states, which keep where they came to; outside nothing changes."""
        with untouched():
            self.set()
            yield
            self.torch, self.numpy, self.python = vars(Randomness.now()).values()


def seeds_of(seeds: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """A seed in 0..2**64-1 for each of the numbers, drawn from the seeds, all whole numbers >= 0."""
    first = np.random.SeedSequence(tuple(seeds)).generate_state(1, np.uint64)
    x = first + np.asarray(numbers, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    # The finaliser of SplitMix64 (Steele et al. 2014), after which neighbours have nothing in common.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).tolist()


def seed_all(seed: int) -> None:
    """Seed the global generators of torch, NumPy and Python by a number of `seeds_of`."""
    torch.default_generator.manual_seed(seed >> 1)
    np.random.seed(seed & 0xFFFFFFFF)
    random.seed(seed)


@contextmanager
def untouched() -> Iterator[None]:
    """What is drawn inside leaves the generators outside as they were."""
    before = Randomness.now()
    try:
        yield
    finally:
        before.set()
