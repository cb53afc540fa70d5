"""SEDONA's outer level: Adam on alpha and beta, along the hypergradient at weights of the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import nn

from methods.training.checkpoint import Checkpoint
from methods.training.diverged import Diverged
from methods.training.interruption import Interruptions
from methods.training.saved_fields import whole
from nas.problem import Problem, Report
from nas.records.row_kinds import ALPHA_BETA
from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.conditioned import ConditionedArchitecture
from nas.strategies.sedona.cost_penalty import CostPenalty
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.older_folder import notice_undigested_folder
from nas.strategies.sedona.pretraining import ADDS_BETWEEN_SAVES, Pretraining
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.relaxed_training import RelaxedTraining, outer_batches, step_seed
from nas.strategies.sedona.sampling import Sampling
from nas.strategies.sedona.settings import Settings
from nas.strategies.sedona.weight_memory import WeightMemory, bytes_needed
from spaces.notation.errors import UserError


class MetaLearning:
    """One search's state: the relaxed training, the memory, alpha and beta with their optimizer."""

    def __init__(self, settings: Settings, problem: Problem, report: Report) -> None:
        self.settings, self.problem, self.report = settings, problem, report
        space, device = problem.space, problem.device
        self.training = RelaxedTraining(problem, settings.objective, settings.lr, settings.pretrain)
        self.inner_batches = problem.data.train_batches(settings.inner_batch or problem.settings.batch_size)
        self.outer_batches = outer_batches(problem, settings.outer_batch)
        self.architecture = Architecture.zeros(len(space.gaps), len(space.heads), device=device)
        if settings.shares == "conditioned":
            self.architecture = ConditionedArchitecture(**vars(self.architecture), space=space)
        leaves = [self.architecture.alpha, self.architecture.beta]
        self.outer_optimizer = torch.optim.Adam(leaves, settings.meta_lr, (0.5, 0.999), weight_decay=1e-6)
        self.folder = problem.run_folder(self.key)
        self.memory = WeightMemory(self.folder, settings.memory, eviction=settings.eviction, device=device)
        self.penalty = CostPenalty(settings, problem)
        self.trajectory = problem.results.log("alpha_beta.csv", ALPHA_BETA)
        self.meta = 0
        self._check_sampling()
        self._check_disk()

    @cached_property
    def key(self) -> dict[str, Any]:
        """What makes two searches the same."""
        training, problem = self.problem.settings, self.problem
        newer = "meta_precision", "sample_gaps", "sample_heads"  # of which older searches have no word
        settings = {
            name: value
            for name, value in vars(self.settings).items()
            if name != "disk_gb" and (value is not None or name not in newer)
        }
        return {
            "search": "sedona",
            "space": str(problem.space.spec),
            "task": problem.task,
            **problem.data.content,
            "seed": problem.seed,
            "batch_size": training.batch_size,
            "weight_decay": training.weight_decay,
            "precision": training.precision,
            "compile": training.compile,
            "deterministic": training.deterministic,
            "checkpoint_units": training.checkpoint_units,
            **settings,
        }

    def run(self) -> Architecture:
        """All meta-steps; alpha and beta at the end."""
        for _ in self.steps():
            pass
        return self.architecture

    def steps(self) -> Iterator[None]:
        """Pretrain if no search has done so, then one meta-step after the other. The trajectory of alpha and beta goes to
        alpha_beta.csv."""
        store = Checkpoint(self.folder / "search.pt", described=str(sorted(self.key.items())))
        if (saved := store.load(self.problem.device)) is not None:
            store.check_fields(saved, {"meta": whole(0, self.settings.meta_steps)})
            with store.damage_told():
                self.load_state_dict(saved)
            self.memory.collect()
        if self.meta == self.settings.meta_steps:
            return
        if saved is None:
            notice_undigested_folder(self.problem, self.key)
            self.penalty.measure()
            self.memory.adopt(*Pretraining(self.settings, self.problem, self.training, self.report).run())
            store.save(self.state_dict())  # before anything follows from the seconds, which no two measurements share
        added = 0
        while self.meta < self.settings.meta_steps:
            with Interruptions() as interruptions:
                self._meta_step()
                self.meta, added = self.meta + 1, added + 1
                finished = self.meta == self.settings.meta_steps
                if store.due(force=finished or added == ADDS_BETWEEN_SAVES or interruptions.pending):
                    if finished:
                        self.memory.clear()
                    store.save(self.state_dict())
                    self.memory.collect()
                    added = 0
            yield

    def _meta_step(self) -> None:
        settings, seed = self.settings, self.problem.seed
        step = settings.pretrain + self.meta  # of the whole search: what is drawn never repeats
        snapshot = self.memory.sample(torch.Generator().manual_seed(step_seed(seed, step, 0)))
        self.memory.load(snapshot, self.training.relaxation, self.training.optimizer)
        self.training.set_lr(snapshot.step)
        first = settings.pretrain + self.meta * (settings.inner_steps + 1)  # of this meta-step's batches
        inner = [self.inner_batches.batch(seed, first + t) for t in range(settings.inner_steps)]
        torch.manual_seed(step_seed(seed, step, 1))
        problem = Bilevel(
            self.training.relaxation,
            self.training.optimizer,
            self.architecture,
            inner,
            self.outer_batches.batch(seed, self.meta),
            settings.objective,
            settings.meta_precision or "fp32",
            self._sampling(torch.Generator().manual_seed(step_seed(seed, step, 3))),
        )
        with torch.compiler.set_stance("force_eager"):  # what is compiled has no second derivative
            found = ENGINES[settings.engine](problem)
        outer_loss = float(found.outer_loss)
        if not math.isfinite(outer_loss):
            raise Diverged(f"the outer loss is {outer_loss} at meta step {self.meta}; try a smaller sedona(lr=...)")
        penalty, alpha_grad, beta_grad = self.penalty(self.architecture)
        self.architecture.alpha.grad = found.alpha_grad + alpha_grad
        self.architecture.beta.grad = found.beta_grad + beta_grad
        self.outer_optimizer.step()
        batch = self.training.batches.batch(seed, first + settings.inner_steps)
        self.training.step(self.architecture, snapshot.step, batch, seed=step_seed(seed, step, 2))
        self.memory.add(snapshot.step + 1, self.training.relaxation, self.training.optimizer, outer_loss)
        self._record(outer_loss, penalty)
        self.report("sedona: learning alpha and beta", self.meta + 1, settings.meta_steps, outer_loss=outer_loss)

    def _sampling(self, generator: torch.Generator) -> Sampling | None:
        settings, space = self.settings, self.problem.space
        if settings.sample_gaps is None and settings.sample_heads is None:
            return None
        return Sampling(len(space.gaps), len(space.heads), settings.sample_gaps, settings.sample_heads, generator)

    def _record(self, outer_loss: float, penalty: float) -> None:
        """One row a gap: alpha, beta and their softmaxes after this meta step."""
        heads = self.problem.space.heads
        shares, mixture = self.architecture.shares.tolist(), self.architecture.mixture.tolist()
        alpha, beta = self.architecture.alpha.tolist(), self.architecture.beta.tolist()
        label = {
            "run": self.folder.name,
            "seed": self.problem.seed,
            "meta_step": self.meta + 1,
            "outer_loss": outer_loss,
            "penalty": penalty,
        }
        rows = []
        for j, gap in enumerate(self.problem.space.gaps):
            row = {**label, "gap": gap, "cut_share": shares[j][0], "alpha_cut": alpha[j][0], "alpha_uncut": alpha[j][1]}
            row |= {f"share_{head}": mixture[j][i] for i, head in enumerate(heads)}
            row |= {f"beta_{head}": beta[j][i] for i, head in enumerate(heads)}
            rows.append(row)
        there = self.trajectory.find({name: rows[0][name] for name in ("run", "meta_step", "gap")})
        if there is None:  # a search that went on from a checkpoint has some steps twice
            self.trajectory.append_all(rows)

    def _check_sampling(self) -> None:
        """A sample of as many as there are would be no sample."""
        space = self.problem.space
        for name, there in (("sample_gaps", len(space.gaps)), ("sample_heads", len(space.heads))):
            asked = getattr(self.settings, name)
            if asked is not None and asked >= there:
                raise UserError(f"sedona's {name} is below the {there} that there are, got {asked}; leave it out")
        heads = self.training.relaxation.heads
        sampled = self.settings.sample_gaps or self.settings.sample_heads
        if sampled and any(isinstance(part, nn.Dropout) and part.p for part in heads.modules()):
            raise UserError(
                "sedona samples gaps and heads where no head has dropout, got heads with it; leave sample_gaps and "
                "sample_heads out"
            )

    def _check_disk(self) -> None:
        """Two memories, the pretraining's and the search's own, each with what comes between two collections."""
        most = 2 * (self.settings.memory + ADDS_BETWEEN_SAVES) + 1
        needed = bytes_needed(self.training.relaxation, self.training.optimizer, most) / 1e9
        if needed > self.settings.disk_gb:
            raise UserError(
                f"{self.settings.memory} snapshots of this network may take {needed:.1f} GB of disk in all, got "
                f"disk_gb={self.settings.disk_gb}; lower sedona's memory or raise its disk_gb"
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the search goes on from; the weights lie in the memory's files."""
        return {
            "meta": self.meta,
            "memory": self.memory.state_dict(),
            "alpha": self.architecture.alpha,
            "beta": self.architecture.beta,
            "outer_optimizer": self.outer_optimizer.state_dict(),
            "seconds": self.penalty.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.meta = state["meta"]
        self.memory.load_state_dict(state["memory"])
        self.outer_optimizer.load_state_dict(state["outer_optimizer"])
        self.architecture.alpha.copy_(state["alpha"])
        self.architecture.beta.copy_(state["beta"])
        self.penalty.seconds = state["seconds"]
