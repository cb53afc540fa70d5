"""Two processes side by side: stages that no gradient joins, beside pipelines with backward passes and data parallelism.

    python benchmarks/side_by_side.py --out results/side_by_side/engines.csv --network vgg19

All take turns in one run, on equal batches of noise, a core and a thread a process, gloo between processes:

one process        backprop, and DGL in the same two blocks
stages             DGL, a block a process (`methods.training.stages`), up to three carries on their way
GPipe, 1F1B        backprop, torch.distributed.pipelining of the same two halves, 2, 4 and 8 microbatches; BatchNorm sees a
                   microbatch at a time there
DDP                backprop, torch's DistributedDataParallel, half of the batch a process; BatchNorm sees that half

milliseconds  an iteration in steady state: the median gap between iterations on the last process once the first five,
              in which a pipeline fills, are left out; then the median over turns
speed_up      over backprop in one process, `over_dgl` over DGL in one process: medians of the ratios within a turn
bound         what the engine could gain at most over its own one-process form: for stages seconds of both over those of the
              slower, by `stage_seconds`; for pipelines that times M / (M + 1), their bubble; for DDP the number of processes
peak_mib      of each process: live bytes of activations and gradients of activations in one iteration, weights left out,
              with gradients of weights; of stages as `profile` counts them, with the carries on their way
sent_bytes    an iteration, of the process that sends most: counted where they are sent (of DDP what a ring of two sends)

With --sockets carries go by sockets, as between hosts, and not in shared memory, so that a link that is slowed down slows all
engines; --megabits says how slow, and becomes a column. On Linux, both directions sharing the rate:

    unshare -rn sh -c "ip link set lo up && tc qdisc add dev lo root tbf rate 200mbit burst 256kb latency 400ms &&
        GLOO_SOCKET_IFNAME=lo exec python benchmarks/side_by_side.py --sockets --megabits 200"

Takes about two minutes on two quiet cores.
"""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import get_context

from benchmarks.command import benchmark_parser, made_by
from methods.method import Method
from methods.table import METHODS
from methods.training.loop import train
from methods.training.settings import TrainingSettings
from methods.training.stages import group
from methods.training.stages.local import local_processes
from methods.training.stages.seconds import stage_seconds
from methods.training.stages.topology import Topology
from methods.training.trainer import Trainer
from nas.cost import cost, timed
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from nas.stage_plan import stage_plan
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space

SHAPE, CLASSES, BATCH, FILLING, DEPTH = (3, 32, 32), 10, 128, 5, 3
CPU = torch.device("cpu")
CUTS = {"vgg19": 5, "resnet32": 6}  # those of balanced(2,by=seconds)
MICROBATCHES = (2, 4, 8)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/side_by_side/engines.csv")
    parser.add_argument("--network", choices=sorted(CUTS), default="vgg19")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=25, help="of each engine in a turn (default: 25)")
    parser.add_argument("--sockets", action="store_true", help="no shared memory between processes")
    parser.add_argument("--megabits", type=int, help="a second, that the link between the processes was slowed down to")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    source: dict[str, Cell] = {"network": arguments.network, "cut": str(point(arguments.network)), "batch_size": BATCH}
    source |= {"turns": arguments.turns, "iterations": arguments.iterations, "cores": len(cores)}
    source |= {"sockets": arguments.sockets, "megabits": arguments.megabits, **made_by()}
    with Peers(cores, arguments.network, arguments.iterations) as peers:
        pin(cores[0])
        prepare = partial(apart if arguments.sockets else pin, cores[-1])
        rows = measured(arguments.network, peers, prepare, arguments.turns, arguments.iterations)
    ResultsLog(arguments.out).append_all([source | row for row in rows])


def measured(network: str, peers: Peers, prepare: Callable[[], None], turns: int, iterations: int) -> list[dict[str, Cell]]:
    """A row an engine; printed as it is found."""
    bound, peak, sent = foreseen(network)
    milliseconds: dict[str, list[float]] = {}
    facts: dict[str, tuple[str, int]] = {}
    with local_processes(Topology(2, depth=DEPTH), CPU, prepare) as first:

        def stages() -> float:
            return steady(network, "dgl", iterations, first)

        engines: dict[str, Callable[[], float]] = {
            "backprop, one process": lambda: steady(network, "backprop", iterations),
            "DGL, one process": lambda: steady(network, "dgl", iterations),
            "stages": stages,
        }
        for _ in range(turns):
            for name, run in engines.items():
                milliseconds.setdefault(name, []).append(run())
            for name in peers.names:
                found, facts[name] = peers.run(name)
                milliseconds.setdefault(name, []).append(found)
        carried = first.after.bytes_sent // (turns * iterations) if first.after is not None else 0
    facts |= {"stages": (peak, max(sent, carried)), "backprop, one process": (alone(network, "backprop"), 0)}
    facts["DGL, one process"] = (alone(network, "dgl"), 0)
    print(f"{'':24}{'ms':>8}{'speed-up':>10}{'bound':>7}{'share':>7}{'sent KiB':>10}  MiB of each process")
    rows = []
    for name, own in milliseconds.items():
        ratios = [
            [before / after for before, after in zip(milliseconds[f"{method}, one process"], own, strict=True)]
            for method in ("backprop", "DGL")
        ]
        most, over = bound_of(name, bound), ratios[1 if name == "stages" else 0]
        row: dict[str, Cell] = {
            "engine": name,
            "milliseconds": median(own),
            "speed_up": median(ratios[0]),
            "over_dgl": median(ratios[1]),
            "bound": most,
            "share_of_bound": None if most is None else median(over) / most,
            "peak_mib": facts[name][0],
            "sent_bytes": facts[name][1],
        }
        rows.append(row)
        share = "" if most is None else f"{median(over) / most:.2f}"
        bounds = "" if most is None else f"{most:.2f}"
        print(
            f"{name:24}{median(own):8.1f}{median(ratios[0]):10.2f}{bounds:>7}{share:>7}{facts[name][1] / 1024:10.0f}  "
            f"{facts[name][0]}",
            flush=True,
        )
    return rows


def bound_of(engine: str, bound: float) -> float | None:
    """What an engine could gain at most over one process, given that of the two halves."""
    if "one process" in engine:
        return None
    if engine == "DDP":
        return 2.0
    if engine == "stages":
        return bound
    microbatches = int(engine.rpartition(" ")[2])
    return bound * microbatches / (microbatches + 1)


# ---- the network, in one process and in stages


def point(network: str) -> Decoupling:
    """Two blocks."""
    return Decoupling((CUTS[network],), ("mlp_sr",))


def build(network: str, method: str) -> Method:
    """Drawn alike everywhere."""
    torch.manual_seed(0)
    space = read_space(network, SHAPE, CLASSES)
    return METHODS.build(method, space.build(point(network) if method == "dgl" else Decoupling()))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """x (128, 3, 32, 32) and y (128,), always the same."""
    x = torch.randn(BATCH, *SHAPE, generator=torch.Generator().manual_seed(1))
    return x.contiguous(memory_format=torch.channels_last), torch.arange(BATCH) % CLASSES


class Batches:
    """One batch, again and again."""

    num_batches = 10**6

    def __init__(self) -> None:
        self.given = batch()

    def batch(self, seed: int, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.given


def steady(network: str, method: str, iterations: int, first: Any = None) -> float:
    """Milliseconds of an iteration, in this process or with the others that `first` leads."""
    settings = TrainingSettings(iterations=iterations, batch_size=BATCH, lr=0.01)
    if first is None:
        trainer, gaps = Trainer(build(network, method), settings, seed=0, device=CPU), []
        x, y = batch()
        for iteration in range(iterations):
            began = time.perf_counter()
            trainer.step(x, y, iteration)
            gaps.append(time.perf_counter() - began)
        return 1000 * median(gaps[FILLING:])
    make = partial(build, network, method)
    others = first.others(make, (range(0, 1), range(1, 2)), settings, seed=0)
    trained = train(make(), Batches(), validation, settings, seed=0, device=CPU, others=others)
    return 1000 * trained.step_seconds


def validation() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """A few samples, since the loop asks for some."""
    x, y = batch()
    yield x[:8], y[:8]


def foreseen(network: str) -> tuple[float, str, int]:
    """Of the two stages: the bound, MiB of each process and bytes that are sent an iteration."""
    settings, (x, y) = TrainingSettings(batch_size=BATCH), batch()
    make = partial(build, network, "dgl")
    costs = timed(cost(make, SHAPE, CLASSES, BATCH), make(), settings, x, y, device=CPU)
    plan = stage_plan(costs, make(), settings, x, y, name="dgl", processes=2, depth=DEPTH)
    peaks = " ".join(f"{process.memory_bytes / 2**20:.1f}" for process in plan.processes)
    return stage_seconds(make(), settings, x, y, device=CPU, most_seconds=8).bound, peaks, plan.processes[0].sends_bytes


def alone(network: str, method: str) -> str:
    """MiB of one process that trains all."""
    peak = cost(partial(build, network, method), SHAPE, CLASSES, BATCH).peak_activation_bytes
    return f"{peak / 2**20:.1f}"


def pin(core: int) -> None:
    """This process, with one thread, to a core."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)


def apart(core: int) -> None:
    """Pin this process, and have it say that it lies on a host of its own."""
    pin(core)
    group.host_name = lambda: "another host"


# ---- torch's own engines, in two processes that wait for their turn


class Peers:
    """Two processes that train with torch's engines when they are told to."""

    names = (*(f"{kind} {number}" for kind in ("GPipe", "1F1B") for number in MICROBATCHES), "DDP")

    def __init__(self, cores: list[int], network: str, iterations: int) -> None:
        context = get_context("spawn")
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self._store, self._asked, self._told = store, [context.Queue() for _ in range(2)], context.Queue()
        self._processes = [
            context.Process(
                target=peer,
                args=(rank, cores[rank % len(cores)], store.port, network, iterations, self._asked[rank], self._told),
                daemon=True,
            )
            for rank in range(2)
        ]

    def __enter__(self) -> Peers:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *given: object) -> None:
        for asked in self._asked:
            asked.put(None)
        for process in self._processes:
            process.join(30)
            process.kill()

    def run(self, name: str) -> tuple[float, tuple[str, int]]:
        """Milliseconds on the last process; MiB of each, and the most bytes that one of them sends an iteration."""
        for asked in self._asked:
            asked.put(name)
        found: dict[int, tuple[float, int, int]] = {}
        while len(found) < 2:
            if any(process.exitcode is not None for process in self._processes):
                raise SystemExit(f"a process of {name} has ended; see above")
            with suppress(queue.Empty):
                rank, *told = self._told.get(timeout=1)
                found[rank] = tuple(told)
        peaks = " ".join(f"{found[rank][1] / 2**20:.1f}" for rank in range(2))
        return found[1][0], (peaks, max(found[rank][2] for rank in range(2)))


def peer(rank: int, core: int, port: int, network: str, iterations: int, asked: Any, told: Any) -> None:
    """One of two processes."""
    pin(core)
    dist.init_process_group("gloo", store=dist.TCPStore("127.0.0.1", port), rank=rank, world_size=2)
    while (name := asked.get()) is not None:
        kind, _, number = name.partition(" ")
        sent = [0]
        step, weights = ddp_step(rank, network, sent) if kind == "DDP" else pipeline_step(rank, network, kind, int(number), sent)
        ends = []
        for _ in range(iterations):
            step()
            ends.append(time.perf_counter())
        sent[0] = 0
        with PeakMemory(leave_out=weights) as memory:
            step()
        gaps = [after - before for before, after in zip(ends[FILLING:], ends[FILLING + 1 :], strict=False)]
        dist.barrier()
        told.put((rank, 1000 * median(gaps), memory.peak, sent[0]))
    dist.destroy_process_group()


class Order(torch.autograd.Function):
    """A tensor in another memory order, and its gradient in the order that torch's engines send."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, order: torch.memory_format) -> torch.Tensor:
        """The same numbers."""
        return x.clone(memory_format=order)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """In the default order."""
        return gradients[0].contiguous(), None


class Half(nn.Module):
    """Half of a network, in channels-last as all else here; what passes between two halves lies in the default order."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images or the first half's activation -> the activation, or logits."""
        return self.parts(Order.apply(x, torch.channels_last)).contiguous()


def pipeline_step(rank: int, network: str, kind: str, microbatches: int, sent: list[int]) -> tuple[Any, list[nn.Parameter]]:
    """An iteration of backprop in two halves, and its weights; `sent` is added to."""
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

    class Counted(PipelineStage):
        def get_fwd_send_ops(self, *given: Any) -> list[Any]:
            """What goes to the next half."""
            return count(super().get_fwd_send_ops(*given))

        def get_bwd_send_ops(self, *given: Any) -> list[Any]:
            """Gradients for the one before."""
            return count(super().get_bwd_send_ops(*given))

    def count(operations: list[Any]) -> list[Any]:
        sent[0] += sum(one.tensor.nbytes for one in operations)
        return operations

    net = build(network, "dgl").net
    half = Half(net.blocks[0]) if rank == 0 else Half(net.blocks[1], net.heads[-1])
    half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = {"GPipe": ScheduleGPipe, "1F1B": Schedule1F1B}[kind](
        Counted(half, rank, 2, CPU), microbatches, loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1)
    )
    optimizer, (x, y) = sgd(half), batch()

    def step() -> None:
        schedule.step(x) if rank == 0 else schedule.step(target=y)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, list(half.parameters())


def ddp_step(rank: int, network: str, sent: list[int]) -> tuple[Any, list[nn.Parameter]]:
    """An iteration of backprop on half of the batch, and its weights; `sent` is added to."""
    net = build(network, "backprop").net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = nn.parallel.DistributedDataParallel(net)
    buffers = sum(buffer.nbytes for buffer in net.buffers()) if rank == 0 else 0

    def averaged(gradients: torch.Tensor) -> Any:
        sent[0] += gradients.nbytes  # 2 (n - 1) / n of them, which is once for two
        future = dist.all_reduce(gradients.div_(2), async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    model.register_comm_hook(None, lambda state, bucket: averaged(bucket.buffer()))
    optimizer, loss = sgd(net), nn.CrossEntropyLoss(label_smoothing=0.1)
    x, y = (part.chunk(2)[rank] for part in batch())

    def step() -> None:
        loss(model(x), y).backward()
        sent[0] += buffers  # of BatchNorm, before each forward pass
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, list(net.parameters())


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    """As the loop's own."""
    return torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)


if __name__ == "__main__":
    main()
