"""A replica's share of the batches."""

from __future__ import annotations

from methods.training.batches import Batch, TrainBatches


class Share:
    """Of batches of a replica's size those of one of `replicas`, which together read each sample once an epoch."""

    def __init__(self, batches: TrainBatches, replicas: int, replica: int) -> None:
        self.batches, self.replicas, self.replica = batches, replicas, replica
        self.num_batches = batches.num_batches // replicas

    def batch(self, seed: int, iteration: int) -> Batch:
        """The replica's batch of an iteration."""
        return self.batches.batch(seed, iteration * self.replicas + self.replica)
