"""Random numbers of a user's own code: seeded for it, and given back to the training as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
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
        """Those that `seed_all` makes of the seeds."""
        with untouched():
            seed_all(*seeds)
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


def seed_all(*seeds: int) -> None:
    """Seed the global generators of torch, NumPy and Python by whole numbers >= 0."""
    drawn = np.random.SeedSequence(seeds).generate_state(3, np.uint64)
    torch.default_generator.manual_seed(int(drawn[0] >> np.uint64(1)))
    np.random.seed(int(drawn[1] >> np.uint64(32)))
    random.seed(int(drawn[2]))


@contextmanager
def untouched() -> Iterator[None]:
    """What is drawn inside leaves the generators outside as they were."""
    before = Randomness.now()
    try:
        yield
    finally:
        before.set()
