"""What training reads: batches that are functions of (seed, iteration)."""

from __future__ import annotations

from typing import Protocol

import torch

Batch = tuple[torch.Tensor, torch.Tensor]  # x (N, *input_shape) float32 on the training device, y (N,) int64


class TrainBatches(Protocol):
    """What the loop trains on. A batch is a function of (seed, iteration) alone, so there is no state to save."""

    num_batches: int  # an epoch's

    def batch(self, seed: int, iteration: int) -> Batch: ...
