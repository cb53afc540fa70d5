"""Items from one process of a run to another: over torch.distributed, or in shared memory where both are on one host's CPU."""

from __future__ import annotations

import pickle
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_leaves, tree_map_only

from methods.training.stages.slots import SlotReader, SlotWriter

HEADER_BYTES = 4096
LENGTH_BYTES = 8
NEVER_SENT = 9  # the tag of a message that does not come, so that waiting for it ends when the other process does


class Layout(NamedTuple):
    """What stands for a tensor in a header: how its numbers lie in memory."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    on_cpu: bool


class _Laid:
    """A leaf, where `Layout`, a tuple, would be looked into."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout


class Lost:
    """Stands for an item that will not come: the other process is gone."""


class Sender:
    """Sends items to the process `to`, of which up to `depth` are on their way. Over `shared` memory what lies on the CPU is
    copied once, into a slot; else each tensor travels by itself, on a GPU without the CPU.

    Headers are pickled: both ends are processes of one run. Tensors of any shapes may come, as those of texts do.
    """

    def __init__(self, to: int, *, tag: int, depth: int, shared: bool, group: dist.ProcessGroup | None = None) -> None:
        self.to, self.tag, self.depth, self.group = to, tag, depth, group
        self.bytes_sent = 0
        self._slots = SlotWriter(depth) if shared else None
        self._on_the_way: deque[list[Any]] = deque()
        self._is_gone = threading.Event()
        self._notices = threading.Thread(target=self._notice_end, daemon=True)
        self._notices.start()

    def _notice_end(self) -> None:
        with suppress(RuntimeError, ValueError):
            dist.recv(torch.empty(1), self.to, group=self.group, tag=NEVER_SENT)
        self._is_gone.set()

    def send(self, item: Any, waiting: Callable[[], None] = lambda: None) -> None:
        """Hand the item over; waits while `depth` are on their way. `waiting`, which may raise, is called while a slot of
        shared memory is in use, and before a send is waited for, which nothing but its end interrupts. Where the other process
        is gone, a RuntimeError as torch.distributed raises."""

        def wait() -> None:
            waiting()
            if self._is_gone.is_set():
                raise RuntimeError(f"process {self.to} is gone")

        tensors = [leaf for leaf in tree_leaves(item) if isinstance(leaf, torch.Tensor)]
        dense = [tensor.detach() if _is_dense(tensor) else tensor.detach().contiguous() for tensor in tensors]
        layouts = iter([Layout(tuple(one.shape), one.stride(), one.dtype, one.device.type == "cpu") for one in dense])
        laid = tree_map_only(torch.Tensor, lambda _: _Laid(next(layouts)), item)
        here = [_memory(one) for one in dense if one.device.type == "cpu"]
        place = self._slots.write(here, wait) if self._slots is not None and here else None
        header = pickle.dumps((laid, place))
        first = torch.zeros(HEADER_BYTES, dtype=torch.uint8)
        first[:LENGTH_BYTES] = torch.frombuffer(bytearray(len(header).to_bytes(LENGTH_BYTES, "little")), dtype=torch.uint8)
        body = torch.frombuffer(bytearray(header), dtype=torch.uint8)
        fits = len(header) <= HEADER_BYTES - LENGTH_BYTES
        if fits:
            first[LENGTH_BYTES : LENGTH_BYTES + len(header)] = body
        parts = [first] if fits else [first, body]
        for one in dense:
            if place is None or one.device.type != "cpu":
                memory = _memory(one)
                parts += [memory.clone() if one.device.type == "cpu" else memory] if memory.numel() else []
        self.bytes_sent += sum(one.nbytes for one in dense)
        self._on_the_way.append([(dist.isend(part, self.to, group=self.group, tag=self.tag), part) for part in parts])
        while len(self._on_the_way) > self.depth or (self._on_the_way and _is_done(self._on_the_way[0])):
            oldest = self._on_the_way[0]
            if not _is_done(oldest):
                wait()
            for work, _ in oldest:
                work.wait()
            self._on_the_way.popleft()

    def flush(self) -> None:
        """Wait until all that was sent has been taken."""
        while self._on_the_way:
            for work, _ in self._on_the_way.popleft():
                work.wait()

    def wait_until_read(self, waiting: Callable[[], None]) -> None:
        """Until the other process has taken all that was sent, and is done with it where it lies in shared memory; `waiting`,
        which may raise, is called meanwhile."""
        self.flush()
        if self._slots is not None:
            self._slots.wait_until_free(waiting)

    def wait_until_lost(self, seconds: float) -> None:
        """Until the other process is known to be gone; that long at most."""
        self._notices.join(seconds)

    def close(self) -> None:
        """Leave no file behind."""
        if self._slots is not None:
            self._slots.close()


class Receiver:
    """Receives the items of the process `of`, which a thread takes in while others are worked on, up to `depth` ahead.

    `receive` gives the next; what it holds is the receiver's until the item after it is asked for. `into` is called with each
    item in place of that, by the thread.
    """

    def __init__(
        self,
        of: int,
        *,
        tag: int,
        depth: int,
        device: torch.device,
        group: dist.ProcessGroup | None = None,
        into: Callable[[Any], None] | None = None,
    ) -> None:
        self.of, self.tag, self.device, self.group = of, tag, device, group
        self._slots = SlotReader()
        self._ready: queue.Queue[Any] = queue.Queue(depth)
        self._in_use: Any = None
        self._into = into
        self._thread = threading.Thread(target=self._take_in, daemon=True)
        self._thread.start()

    def receive(self) -> Any:
        """The next item; Lost where the other process is gone."""
        self.release()
        item, self._in_use, on_device = self._ready.get()
        return self._from_device(item) if on_device else item

    def release(self) -> None:
        """The last item is not needed any more."""
        if self._in_use is not None:
            self._in_use.in_use = False
            self._in_use = None

    def discard(self) -> None:
        """What has come will not be asked for; the thread, which may wait for room, goes on until nothing more comes."""
        self._into = lambda item: None
        with suppress(queue.Empty):
            while True:
                self._ready.get_nowait()

    def wait_until_lost(self, seconds: float) -> None:
        """Until the other process is gone, so that nothing is received any more; that long at most."""
        self._thread.join(seconds)

    def _take_in(self) -> None:
        while True:
            try:
                taken = self._taken()
            except (RuntimeError, ValueError, OSError):  # the connection is closed, the group destroyed, or a slot gone
                taken = (Lost(), None, False)
            if self._into is None:
                self._ready.put(taken)
            else:
                self._into(taken[0])
            if isinstance(taken[0], Lost):
                return

    def _taken(self) -> tuple[Any, Any, bool]:
        first = torch.empty(HEADER_BYTES, dtype=torch.uint8)
        dist.recv(first, self.of, group=self.group, tag=self.tag)
        length = int.from_bytes(bytes(first[:LENGTH_BYTES].tolist()), "little")
        if length <= HEADER_BYTES - LENGTH_BYTES:
            body = first[LENGTH_BYTES : LENGTH_BYTES + length]
        else:
            body = torch.empty(length, dtype=torch.uint8)
            dist.recv(body, self.of, group=self.group, tag=self.tag)
        laid, place = pickle.loads(bytes(body.numpy()))
        slot = None if place is None else self._slots.slot(place)
        leaves = [leaf for leaf in tree_leaves(laid) if isinstance(leaf, _Laid)]
        on_device = not all(leaf.layout.on_cpu for leaf in leaves)
        item = tree_map_only(_Laid, partial(self._on_cpu, slot, iter(() if place is None else place.offsets)), laid)
        return item, slot, on_device

    def _on_cpu(self, slot: Any, offsets: Any, laid: _Laid) -> Any:
        """The tensor that a layout stands for; of a GPU, the layout as it is."""
        layout = laid.layout
        if not layout.on_cpu:
            return laid
        tensor = torch.empty_strided(layout.shape, layout.stride, dtype=layout.dtype) if slot is None else None
        if tensor is None:
            offset, count = next(offsets), _count(layout.shape)
            if not count:
                return torch.empty(layout.shape, dtype=layout.dtype)
            return slot.view(offset, layout.dtype, count).as_strided(layout.shape, layout.stride)
        if tensor.numel():
            dist.recv(_memory(tensor), self.of, group=self.group, tag=self.tag)
        return tensor

    def _from_device(self, item: Any) -> Any:
        """Of GPUs the tensors are taken by the thread that computes, in the order in which they were sent."""

        def taken(laid: _Laid) -> torch.Tensor:
            layout = laid.layout
            tensor = torch.empty_strided(layout.shape, layout.stride, dtype=layout.dtype, device=self.device)
            if tensor.numel():
                dist.recv(_memory(tensor), self.of, group=self.group, tag=self.tag)
            return tensor

        return tree_map_only(_Laid, taken, item)


def _memory(tensor: torch.Tensor) -> torch.Tensor:
    """A dense tensor's numbers as they lie in memory, channels-last or not; a view."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _is_dense(tensor: torch.Tensor) -> bool:
    return bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))


def _is_done(works: list[Any]) -> bool:
    return all(work.is_completed() for work, _ in works)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
