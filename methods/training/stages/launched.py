"""Processes that a launcher such as torchrun has started, on one host or on several."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import torch
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from methods.training.interruption import ENDING
from methods.training.stages.follower import follow
from methods.training.stages.group import Group
from methods.training.stages.topology import Topology
from spaces.notation.errors import UserError

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
JOINS_WITHIN = timedelta(minutes=10)  # of all processes, some of which may read data first


def is_launched() -> bool:
    """Whether this process is one of several that a launcher has started together."""
    return all(name in os.environ for name in NAMES)


def is_first() -> bool:
    """Whether this process leads those that were started together."""
    return os.environ["RANK"] == "0"


def launched_device(device: torch.device) -> torch.device:
    """Of GPUs the one of this process's place on its host."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if device.type == "cuda" else device


def launched_group(topology: Topology, device: torch.device) -> Group:
    """This process among those that were started; a UserError where they are not as many as the topology has."""
    size = int(os.environ["WORLD_SIZE"])
    if size != topology.size:
        raise UserError(
            f"a launcher starts processes x replicas = {topology.size} processes, got {size}; change --nnodes and "
            "--nproc-per-node, or --parallel"
        )
    store, rank, _ = next(iter(rendezvous("env://", timeout=JOINS_WITHIN)))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return Group(topology, rank, PrefixStore(f"decoupled-nas/{attempt}", store), device)


def follow_launched(topology: Topology, device: torch.device) -> None:
    """In a process behind the first: do its part of all runs, and end."""
    for number in ENDING:  # a launcher hands signals to all; the first process has the others end
        signal.signal(number, signal.SIG_IGN)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    follow(launched_group(topology, device))
