"""The longest part of a search, done once for all searches that it serves: training that fills the weight memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from methods.training.checkpoint import Checkpoint
from methods.training.interruption import Interruptions
from methods.training.saved_fields import whole
from nas.problem import Problem, Report
from nas.strategies.sedona.older_folder import notice_undigested_folder
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from nas.strategies.sedona.relaxed_training import RelaxedTraining, outer_batches, step_seed
from nas.strategies.sedona.settings import Settings
from nas.strategies.sedona.weight_memory import WeightMemory
from spaces.network import frozen_statistics

SNAPSHOTS_IN_PRETRAINING = 500  # of which the memory keeps some: with 50, and the oldest dropped, those of the last tenth
ADDS_BETWEEN_SAVES = 10  # a memory's folder holds at most so many snapshots more than the memory


class Pretraining:
    """Training with every gap half cut, whatever the space allows, and every head alike: alpha = beta = 0 as in SEDONA.
    `run` gives the folder of its snapshots and their index.

    Its folder depends on nothing but what it depends on: searches that differ in their meta-learning, in K or in the
    smallest block share it as long as the same gaps may be cut, also while they run at the same time. It stays when they
    have ended, until someone removes it.
    """

    def __init__(self, settings: Settings, problem: Problem, training: RelaxedTraining, report: Report) -> None:
        self.settings, self.problem, self.training, self.report = settings, problem, training, report
        self.folder = problem.run_folder(self.key)
        self.memory = WeightMemory(self.folder, settings.memory, eviction=settings.eviction, device=problem.device)
        self._every = max(1, settings.pretrain // SNAPSHOTS_IN_PRETRAINING)

    @property
    def key(self) -> dict[str, Any]:
        """What makes two pretrainings the same."""
        problem, settings = self.problem, self.settings
        space, training = problem.space, problem.settings
        judged_by = {"outer_batch": settings.outer_batch} if settings.eviction == "worst" else {}
        return {
            "search": "sedona's pretraining",
            "backbone": str(space.backbone),
            "gaps": str(space.gaps),
            "heads": str(space.heads),
            "task": problem.task,
            **problem.data.content,
            "seed": problem.seed,
            "batch_size": training.batch_size,
            "weight_decay": training.weight_decay,
            "precision": training.precision,
            "compile": training.compile,
            "deterministic": training.deterministic,
            "objective": settings.objective,
            "pretrain": settings.pretrain,
            "memory": settings.memory,
            "eviction": settings.eviction,
            "lr": settings.lr,
            **judged_by,
        }

    def run(self) -> tuple[Path, dict[str, Any]]:
        """Train what is left to train."""
        with self.problem.results.claim(self.folder):
            store = Checkpoint(self.folder / "pretraining.pt", described=str(sorted(self.key.items())))
            step = 0
            if (saved := store.load(self.problem.device)) is not None:
                store.check_fields(saved, {"step": whole(0, self.settings.pretrain)})
                step = saved["step"]
                with store.damage_told():
                    self.memory.load_state_dict(saved["memory"])
                    if step < self.settings.pretrain:
                        self.training.relaxation.load_state_dict(saved["relaxation"])
                        self.training.optimizer.load_state_dict(saved["optimizer"])
                self.memory.collect()
                if step == self.settings.pretrain:
                    return self.folder, saved["memory"]
            else:
                notice_undigested_folder(self.problem, self.key)
            self._train(step, store)
        return self.folder, self.memory.state_dict()

    def _train(self, step: int, store: Checkpoint) -> None:
        total, training = self.settings.pretrain, self.training
        space, device = self.problem.space, self.problem.device
        undecided = Architecture.zeros(len(space.gaps), len(space.heads), device=device)
        added = 0
        while step < total:
            with Interruptions() as interruptions:
                batch = training.batches.batch(self.problem.seed, step)
                loss = training.step(undecided, step, batch, seed=step_seed(self.problem.seed, step, 0))
                step += 1
                if step % self._every == 0 and self._will_stay(step):
                    self.memory.add(step, training.relaxation, training.optimizer, self._error(step, loss))
                    added += 1
                self.report("sedona: pretraining the weight memory", step, total, loss=loss)
                if store.due(force=step == total or added == ADDS_BETWEEN_SAVES or interruptions.pending):
                    state = {"step": step, "memory": self.memory.state_dict()}
                    if step < total:
                        state |= {"relaxation": training.relaxation.state_dict(), "optimizer": training.optimizer.state_dict()}
                    store.save(state)
                    self.memory.collect()
                    added = 0

    def _will_stay(self, step: int) -> bool:
        """Whether a snapshot of now is still held at the end; writing one that is not would be for nothing."""
        to_come = (self.settings.pretrain - step) // self._every
        return self.settings.eviction == "worst" or to_come < self.settings.memory

    def _error(self, step: int, loss: float) -> float:
        """What `worst` is told by: the validation loss of a batch; the training loss where nobody asks."""
        if self.settings.eviction != "worst":
            return loss
        relaxation = self.training.relaxation
        batch = outer_batches(self.problem, self.settings.outer_batch).batch(self.problem.seed, step)
        with torch.no_grad(), frozen_statistics(relaxation):
            return float(relaxation(Relaxation.outer_loss, *batch))
