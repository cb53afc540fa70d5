"""Many decouplings trained at once, those that begin alike sharing their first stages.

Gradients do not cross cuts, so stage k depends on the seed and on what lies before and in it, and on nothing behind it. Runs
whose first stages are the same hold the same weights in them after every step: training these once is exact, no estimate. The
stages of all runs make a tree; a batch passes through it from the root, and each node is trained once, whatever the number of
runs that it belongs to. So all 2^(L-1) cuts of L units cost 2^(L-1) times the last unit, but only L times the first.

Which stages are the same is found in their state and not declared: two runs share stage k as long as they share all before it
and its tensors, its optimizer's and its last loss, after at least one step that each did alone, are equal to the bit.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from methods.method import Carry, Method
from methods.training import checkpoint
from methods.training.batches import Batch, TrainBatches
from methods.training.diverged import Diverged
from methods.training.epoch import Epoch, EpochLosses
from methods.training.interruption import Interruptions
from methods.training.loop import FurtherCheckpoint, Progress, Trained, checked_until, further_checkpoint
from methods.training.scoring import ErrorAndLoss, autocast
from methods.training.settings import TrainingSettings
from methods.training.stages.items import Save, Step
from methods.training.stages.stage_checkpoints import StageCheckpoints
from methods.training.stages.worker import CUDA_READ_INTERVAL, Best, StageWorker
from methods.training.trainer import Trainer, copy_weights
from spaces.notation.errors import UserError


def train_together(
    methods: Sequence[Method],
    batches: TrainBatches,
    validation: Callable[[], Iterator[Batch]],
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    checkpoints: Sequence[Path | None],
    until: int | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    records: Sequence[Callable[[Epoch], None]] | None = None,
    exit_errors: bool = False,
) -> list[Trained | Diverged | FurtherCheckpoint]:
    """What `methods.training.loop.train` makes of each method, to the bit, with what begins alike trained once.

    The methods come from one seed; each has a checkpoint of its own, that of its run alone, so that whatever trains it next,
    alone or together with others, goes on from there. Runs that are at different iterations join when the others have come so
    far. One whose loss is not finite is answered with `Diverged`, and those that do not share the stage go on. `until` is as of
    `train`; a run whose checkpoint is further is answered with FurtherCheckpoint.

    `records` hear of the validations of each run, as `record` of `train` does, whose `exit_errors` this takes too; the seconds
    there are those of all runs. `step_seconds` is the sum over a run's stages of their median seconds; NaN on a GPU, where a
    stage alone is not timed. Of `Progress` the losses are one number, the mean over all stages of all runs.
    """
    until = settings.iterations if until is None else checked_until(until, settings)
    if settings.grow is not None:
        raise UserError(f"runs that are trained together do not grow, got grow={settings.grow}; leave it out")
    for method in methods:
        if (reason := why_apart(method)) is not None:
            raise UserError(f"{type(method).__name__} cannot be trained together with others: {reason}; train it alone")
    runs = [
        _Run(number, method, settings, seed, device, path)
        for number, (method, path) in enumerate(zip(methods, checkpoints, strict=True))
    ]
    forest = _Forest(device, batches.num_batches, exit_errors=exit_errors)
    begun = [run for run in runs if run.start <= until]
    with Interruptions() as interruptions:
        for iteration in range(min((run.start for run in begun), default=until), until):
            joining = [run for run in begun if run.start == iteration]
            if not forest.running and not joining:
                continue
            x, y = batches.batch(seed, iteration)
            if joining and iteration > 0:
                forest.join(joining, iteration)
            if iteration == 0:
                forest.first_step(joining, x, y)
                forest.join([run for run in joining if run.diverged is None], 1)
            else:
                forest.step(x, y, iteration)
            done = iteration + 1
            judged = done % batches.num_batches == 0 or done == settings.iterations
            if judged:
                for run, epoch in forest.validate(validation, done):
                    if records is not None:
                        records[run.number](epoch)
            if forest.running:
                error = forest.lowest_error if judged else None
                report(Progress(done, settings.iterations, (forest.mean_loss,), error))
            ends = done == settings.iterations  # its rows take a while, in which a process may be killed
            if forest.running and (forest.due or interruptions.pending or ends):
                forest.save(done)
                interruptions.deliver()
    if until < settings.iterations:
        if joining := [run for run in begun if run.start == until]:
            forest.join(joining, until)
        if until % batches.num_batches:
            forest.look(validation, until)
        for run in forest.running:
            run.stop(until)
    return [run.answer(until) for run in runs]


def why_apart(method: Method) -> str | None:
    """Why the first stages of this method's runs cannot be shared with others'; None where they can."""
    for k, blocks in enumerate(method.stages):
        if method.reads(k):
            return f"its stage {k} reads the weights of stage {method.reads(k)[0]}"
        own = {id(module) for module in method.stage_modules(k)}
        if any(id(module) not in own for block in blocks for module in method.inference_modules(block)):
            return f"its stage {k} runs modules that it does not train"
    return None


class _Run:
    """One of the methods: what becomes of it, and where its state is saved."""

    def __init__(
        self, number: int, method: Method, settings: TrainingSettings, seed: int, device: torch.device, path: Path | None
    ) -> None:
        self.number, self.method = number, method
        self.trainer = Trainer(method, settings, seed=seed, device=device)
        stages = self.trainer.stages
        self.store = StageCheckpoints(path, f"{settings} seed={seed}", stages=stages, num_stages=method.num_stages, device=device)
        self.worker = StageWorker(self.trainer, self.store, lambda told: None)
        self.start = max(self.store.available())
        if self.start:
            self.worker.load(self.start)
        self.began = time.perf_counter() - self.worker.elapsed
        self.path: list[_Node] = []
        self.losses = self.worker.losses
        self.seconds = list(self.worker.clock.seconds)
        self.diverged: Diverged | None = None
        self.looked: Best | None = None  # of a validation that is of no consequence
        self.is_stopped = False

    @property
    def best(self) -> Best:
        """Its best weights so far."""
        return self.worker.best

    def weights(self) -> dict[str, torch.Tensor]:
        """Its tensors, wherever they are trained; not copied."""
        return {
            name: tensor
            for k, node in enumerate(self.path)
            for name, tensor in node.trainer.weights_of(node.trainer.method, range(k, k + 1)).items()
        }

    def epoch(self, done: int, num_batches: int, exits: Sequence[tuple[float, float]], *, exit_errors: bool) -> Epoch:
        """What there is to say of it at a validation; the losses of the next begin anew."""
        losses, self.worker.epoch_losses = self.worker.epoch_losses.means, EpochLosses()
        lr = self.trainer.scheduled_lr(self.method.num_stages - 1, done - 1)
        errors = tuple(error for error, _ in exits) if exit_errors else ()
        return Epoch(done, done / num_batches, losses, errors, *exits[-1], lr, time.perf_counter() - self.began)

    def save(self, iterations: int) -> None:
        """Write its checkpoint, as it would write it alone."""
        self._gather()
        self.worker.losses = self.losses
        self.worker.clock.seconds = [*self.seconds, *([self.step_seconds] if self.is_timed else [])]
        self.worker.handle(Save(iterations, time.perf_counter() - self.began))
        self._forget()

    def stop(self, iterations: int) -> None:
        """Save its state where it is not to be trained further; its method stays as it stands."""
        self.save(iterations)
        self.is_stopped = True

    def answer(self, until: int) -> Trained | Diverged | FurtherCheckpoint:
        """What became of it; its method has its best weights, or where it was stopped the last."""
        if self.start > until:
            return further_checkpoint(self.store.path, self.start, until)
        if self.diverged is not None:
            return self.diverged
        if not self.is_stopped:
            self.trainer.load_weights(self.method.state_dict() | self.best.weights)
        train_loss = sum(self.losses) / len(self.losses)
        best = self.best if self.looked is None or self.looked.error >= self.best.error else self.looked
        return Trained(self.method, best.error, best.loss, best.iteration, train_loss, self.step_seconds)

    @property
    def step_seconds(self) -> float:
        """Those of its stages, each the median over all steps that it was timed in; NaN on a GPU."""
        if self.trainer.device.type != "cpu":
            return math.nan
        return sum(median(node.seconds) for node in self.path) if self.is_timed else median(self.seconds)

    @property
    def is_timed(self) -> bool:
        """Whether it has made steps in the tree that it is in, and these were timed."""
        return bool(self.path) and all(node.seconds for node in self.path)

    def _gather(self) -> None:
        """Take the state of the stages that others train for it into its own trainer."""
        copy_weights(self.method, self.weights())
        for k, node in enumerate(self.path):
            if node.trainer is not self.trainer:
                self.trainer.optimizers[k].load_state_dict(copy.deepcopy(node.trainer.optimizers[k].state_dict()))
                self.trainer.scalers[k].load_state_dict(node.trainer.scalers[k].state_dict())

    def _forget(self) -> None:
        """Give up what the optimizers of others' stages hold."""
        for k, node in enumerate(self.path):
            if node.trainer is not self.trainer:
                self.trainer.optimizers[k].state.clear()


@dataclass
class _Node:
    """Stage k, trained once for all `runs` below; `ends` are those of which it is the last stage."""

    trainer: Trainer
    k: int
    runs: list[_Run]
    ends: list[_Run] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    scores: dict[int, ErrorAndLoss] = field(default_factory=dict)  # of the validation that runs, of each exit that is scored

    def walk(self) -> Iterator[_Node]:
        yield self
        for child in self.children:
            yield from child.walk()


class _Forest:
    """The stages of all runs that are at the same iteration."""

    def __init__(self, device: torch.device, num_batches: int, *, exit_errors: bool) -> None:
        self.num_batches, self.exit_errors = num_batches, exit_errors
        self.device, self.interval = device, CUDA_READ_INTERVAL if device.type == "cuda" else 1
        self.running: list[_Run] = []
        self.roots: list[_Node] = []
        self.lowest_error = math.inf
        self.mean_loss = math.nan
        self._waiting: list[tuple[list[_Node], torch.Tensor]] = []
        self._saved_at, self._seconds_to_save = time.monotonic(), 0.0

    def first_step(self, runs: Sequence[_Run], x: torch.Tensor, y: torch.Tensor) -> None:
        """Each by itself, so that what differs in what the stages compute shows in their state."""
        for run in runs:
            try:
                run.worker.handle(Step(0, True, x, y))
                run.losses, run.seconds = run.worker.losses, list(run.worker.clock.seconds)
            except Diverged as diverged:
                run.diverged = diverged

    def join(self, runs: Sequence[_Run], done: int) -> None:
        """Let these take part from here on, after so many iterations."""
        if self._waiting:  # losses of those that run already
            self.read(done)
        for run in self.running:
            run._gather()
            if run.is_timed:
                run.seconds.append(run.step_seconds)
        self.running.extend(runs)
        for run in self.running:
            run.path = []
        self.roots = _shared(self.running, 0)
        for run in self.running:
            run._forget()

    def step(self, x: torch.Tensor, y: torch.Tensor, iteration: int) -> None:
        """One iteration of every stage of every run."""
        nodes: list[_Node] = []
        losses: list[torch.Tensor] = []

        def train(node: _Node, carry: Carry) -> None:
            began = time.perf_counter()
            carry, loss = node.trainer.stage_step(node.k, carry, y, iteration)
            if self.device.type == "cpu":
                node.seconds.append(time.perf_counter() - began)
            nodes.append(node)
            losses.append(loss.float())
            for child in node.children:
                train(child, carry)

        for root in self.roots:
            train(root, root.trainer.method.start(x, y))
        self._waiting.append((nodes, torch.stack(losses)))
        if len(self._waiting) >= self.interval:
            self.read(iteration + 1)

    def read(self, done: int) -> None:
        """Look at the losses that wait, which are those of the last of `done` iterations."""
        first, waiting = done - len(self._waiting), self._waiting
        self._waiting = []
        reasons: dict[int, str] = {}
        for iteration, (nodes, losses) in enumerate(waiting, start=first):
            for run in self.running:
                run.losses = ()
            for node, loss in zip(nodes, losses.tolist(), strict=True):
                for run in node.runs:
                    run.losses = (*run.losses, loss)
                    if not math.isfinite(loss):
                        reasons.setdefault(
                            run.number, f"the loss of stage {node.k} is {loss} at iteration {iteration}; try a smaller lr"
                        )
            for run in self.running:
                run.worker.epoch_losses.add(run.losses)
            self.mean_loss = float(losses.nanmean())
        self._leave(reasons)

    def _leave(self, reasons: Mapping[int, str]) -> None:
        """These have diverged; the others go on without them."""
        if not reasons:
            return
        for run in self.running:
            if run.number in reasons:
                run.diverged = Diverged(reasons[run.number])
        self.running = [run for run in self.running if run.diverged is None]
        self.roots = _pruned(self.roots)

    def validate(self, validation: Callable[[], Iterator[Batch]], done: int) -> list[tuple[_Run, Epoch]]:
        """What a validation says of every run, and its best weights."""
        scores = self._scores(validation, done)
        for run, exits in scores:
            error, loss = exits[-1]
            if error < run.best.error:
                weights = {name: tensor.detach().clone() for name, tensor in run.weights().items()}
                run.worker.best = Best(error, loss, done, weights)
        self.lowest_error = min((run.best.error for run in self.running), default=math.inf)
        return [(run, run.epoch(done, self.num_batches, exits, exit_errors=self.exit_errors)) for run, exits in scores]

    def look(self, validation: Callable[[], Iterator[Batch]], done: int) -> None:
        """Validate where the runs themselves do not: their best weights stay those that they are."""
        for run, exits in self._scores(validation, done):
            run.looked = Best(*exits[-1], done)

    @torch.no_grad()
    def _scores(self, validation: Callable[[], Iterator[Batch]], done: int) -> list[tuple[_Run, list[tuple[float, float]]]]:
        """Of each run the error and loss of its exits, the last being the network's own; what is not finite has diverged."""
        if self._waiting:
            self.read(done)
        nodes = [node for root in self.roots for node in root.walk()]
        for node in nodes:
            node.trainer.method.eval()
            blocks = node.trainer.method.stages[node.k]
            node.scores = {block: ErrorAndLoss() for block in blocks if self.exit_errors or (node.ends and block == blocks[-1])}
        for x, y in validation():
            for root in self.roots:
                with autocast(y.device, root.trainer.settings.precision):
                    _answer(root, root.trainer.method.start(x), y)
        found = {id(node): [score.read() for score in node.scores.values()] for node in nodes}
        for node in nodes:
            node.trainer.method.train()
        scores = [(run, [score for node in run.path for score in found[id(node)]]) for run in self.running]
        self._leave(
            {
                run.number: f"the validation loss is {exits[-1][1]} after iteration {done - 1}; try a smaller lr"
                for run, exits in scores
                if not math.isfinite(exits[-1][1])
            }
        )
        return [(run, exits) for run, exits in scores if run.diverged is None]

    @property
    def due(self) -> bool:
        """Whether it is time to save: many checkpoints are large, and are written for a twentieth of the time at most."""
        wait = max(checkpoint.SECONDS_BETWEEN, 20 * self._seconds_to_save)
        return any(run.store.path for run in self.running) and time.monotonic() - self._saved_at > wait

    def save(self, done: int) -> None:
        """Write the checkpoint of every run."""
        began = time.monotonic()
        if self._waiting:
            self.read(done)
        for run in self.running:
            run.save(done)
        self._saved_at = time.monotonic()
        self._seconds_to_save = self._saved_at - began


def _answer(node: _Node, carry: Carry, y: torch.Tensor) -> None:
    """Score the exits of a node, and of all below."""
    method = node.trainer.method
    for block in method.stages[node.k]:
        carry = method.run_block(block, carry)
        if block in node.scores:
            node.scores[block].add(method.exit_logits(block, carry), y)
    for child in node.children:
        _answer(child, carry, y)


def _pruned(nodes: Sequence[_Node]) -> list[_Node]:
    """Without what nobody needs any more."""
    for node in nodes:
        node.runs, node.ends = ([run for run in runs if run.diverged is None] for runs in (node.runs, node.ends))
        node.children = _pruned(node.children)
    return [node for node in nodes if node.runs]


def _shared(runs: Sequence[_Run], k: int) -> list[_Node]:
    """The nodes of stage k of runs that share all stages before it."""
    alike: dict[str, list[_Run]] = defaultdict(list)
    for run in runs:
        if run.method.num_stages > k:
            alike[_state_digest(run, k) if len(runs) > 1 else ""].append(run)
    nodes = []
    for members in alike.values():
        node = _Node(members[0].trainer, k, members, [run for run in members if run.method.num_stages == k + 1])
        for run in members:
            run.path.append(node)
        node.children = _shared(members, k + 1)
        nodes.append(node)
    return nodes


def _state_digest(run: _Run, k: int) -> str:
    """Of all that decides what stage k does next: its modules, their tensors, its optimizer's and its scaler's. Its last loss
    tells losses apart whose step, as at a learning rate of 0, left no trace."""
    trainer, method, digest = run.trainer, run.method, hashlib.sha256()
    digest.update(repr([type(method), method.stages[k], method.stage_modules(k)]).encode())
    state: dict[str, Any] = dict(trainer.weights_of(method, range(k, k + 1)))
    optimizer = trainer.optimizers[k].state_dict()["state"]
    state |= {f"{name} of {place}": value for place, held in optimizer.items() for name, value in held.items()}
    state |= {"scaler": sorted(trainer.scalers[k].state_dict().items()), "loss": run.losses[k : k + 1]}
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} ".encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()
