"""What a figure is told of the run that it measures."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.method import Method


@dataclass(frozen=True)
class TrainingRun:
    """A run that is about to train.

    method          what is trained
    device          where
    trained_stages  how many of the first stages stay as they are, those of a run that is extended
    resumed         whether it goes on from a checkpoint, so that a part of training is over
    """

    method: Method
    device: torch.device
    trained_stages: int = 0
    resumed: bool = False
