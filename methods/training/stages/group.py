"""The process group of a run's processes, and the links between them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store

from methods.training.stages.links import NEVER_SENT, Receiver, Sender
from methods.training.stages.topology import Topology

# How long a process may wait for an item: while another run is prepared, say. That a process is gone is told by its connection.
PATIENCE = timedelta(days=30)
DOWN, BACK, TO_REPLICAS = 1, 2, 3  # tags: carries, what is told to the first process, and what that tells the first of replicas


class Group:
    """This process among all of `topology`; made by every process at once.

    Tensors on GPUs go by NCCL, and those on the CPU by gloo, or in shared memory between processes of one host. Without a
    `store` to meet at it is beside the process group that is there already.
    """

    def __init__(self, topology: Topology, rank: int, store: Store | None, device: torch.device) -> None:
        self.topology, self.rank, self.device = topology, rank, device
        self.process, self.replica = topology.place(rank)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if store is not None:
            dist.init_process_group(backend, store=store, rank=rank, world_size=topology.size, timeout=PATIENCE)
        own = None if store is not None else dist.new_group(backend=backend, timeout=PATIENCE)
        self.processes: dist.ProcessGroup | None = own
        hosts: list[Any] = [None] * topology.size
        dist.all_gather_object(hosts, (host_name(), device.type), group=self.processes)
        self.hosts = [host for host, _ in hosts]
        self._shared = [host == hosts[rank] and device.type == "cpu" for host in hosts]
        rows = [[topology.rank(process, r) for r in range(topology.replicas)] for process in range(topology.processes)]
        groups = [dist.new_group(row, timeout=PATIENCE) for row in rows] if topology.replicas > 1 else []
        self.of_replicas = groups[self.process] if groups else None

    def after(self) -> Sender | None:
        """To the process of the next stages; None from the last."""
        if self.process + 1 == self.topology.processes:
            return None
        return self.sender(self.topology.rank(self.process + 1, self.replica), DOWN)

    def before(self) -> Receiver:
        """From the process of the stages before, or, for the first of a replica, from the very first process."""
        if self.process:
            return self.receiver(self.topology.rank(self.process - 1, self.replica), DOWN)
        return self.receiver(0, TO_REPLICAS)

    def sender(self, to: int, tag: int) -> Sender:
        """To any process."""
        shared = self._shared[to] and tag == DOWN
        return Sender(to, tag=tag, depth=self.topology.depth, shared=shared, group=self.processes)

    def receiver(self, of: int, tag: int, **more: Any) -> Receiver:
        """From any process."""
        return Receiver(of, tag=tag, depth=self.topology.depth, device=self.device, group=self.processes, **more)

    def hang_up(self) -> None:
        """Of a group beside another: close its connections, so that nobody waits for this process, and no thread here for others.

        torch has no call that does so, but a receive whose time is up closes its group's.
        """
        assert self.processes is not None, "the group of all is destroyed as a whole"
        for rank in range(self.topology.size):
            if rank != self.rank:
                with suppress(RuntimeError):
                    self.processes.recv([torch.empty(1)], rank, NEVER_SENT).wait(timedelta(milliseconds=1))


def host_name() -> str:
    """What tells hosts apart: containers of equal names have other boot ids or other names."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/ipc")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''} " + (
        os.readlink(namespace) if namespace.exists() else ""
    )
