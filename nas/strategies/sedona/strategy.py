"""SEDONA (Pyeon, Moon, Hahn and Kim, ICLR 2021): learn where to cut and which head to use by gradient descent."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal

import torch

from methods.checkpoint import Checkpoint
from methods.optimization import cosine
from methods.training import Diverged, stage_seed
from nas.claim import Claim
from nas.images import Augmentation, Batches
from nas.problem import Evaluate, Found, Problem, Report
from nas.results import ResultsLog
from nas.strategies.random_search import best
from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation, discretise
from nas.strategies.sedona.weight_memory import WeightMemory
from spaces.errors import UserError
from spaces.heads import HEADS

MOMENTUM = 0.9
SNAPSHOTS_IN_PRETRAINING = 500  # of which the memory keeps the last: with 50, those of the last tenth of pretraining


class Sedona:
    """Meta-learns alpha (cut or not) and beta (which head) with one search for every K, as the paper describes.

    pretrain      iterations that fill the weight memory, at alpha = beta = 0
    meta_steps    outer steps; in each, `inner_steps` training steps (T) are unrolled from weights of the memory
    objective     validation: the outer gradient is of the validation loss, as in the paper. train: of the last inner
                  training loss, which is what the released code differentiates, and so where the published alphas are
                  from (sedona.md 4.1)
    memory        snapshots held (paper: 50)
    lr            inner learning rate, a cosine over pretraining from lr to lr / 100
    meta_lr       of Adam (0.5, 0.999) on alpha and beta, weight decay 1e-6
    outer_batch   validation images an outer step (paper: 1024), at most the whole validation split

    Batch size and weight decay are the training settings'. The defaults are the released code's. A step is seeded by
    its number, so that a search continues from its checkpoint to the bit.
    """

    def __init__(self, *, pretrain: int = 40_000, meta_steps: int = 2_000, inner_steps: int = 5,
                 engine: Literal["adjoint", "identity", "unroll"] = "adjoint",
                 objective: Literal["validation", "train"] = "validation", memory: int = 50, lr: float = 0.1,
                 meta_lr: float = 0.01, outer_batch: int = 1024) -> None:
        for name, value in (("pretrain", pretrain), ("meta_steps", meta_steps), ("inner_steps", inner_steps),
                            ("memory", memory), ("outer_batch", outer_batch)):
            if value < 1:
                raise UserError(f"sedona's {name} is a whole number from 1 on, but {value} came")
        for name, rate in (("lr", lr), ("meta_lr", meta_lr)):
            if not 0 < rate < math.inf:
                raise UserError(f"sedona's {name} is a number above 0, but {rate} came")
        self.pretrain, self.meta_steps, self.inner_steps, self.objective = pretrain, meta_steps, inner_steps, objective
        self.engine = engine
        self.memory, self.lr, self.meta_lr, self.outer_batch = memory, lr, meta_lr, outer_batch

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """The decoupling that alpha and beta point at; of several K that the space allows, the lowest validation error."""
        if len(problem.objectives) > 1:
            raise UserError(f"sedona learns for one objective, but {' '.join(problem.objectives)} came; trade error against "
                            "cost with sedona(memory_weight=...) or sedona(time_weight=...), or take optuna(sampler=nsga2)")
        if problem.space.block_counts[-1] == 1:
            raise UserError("sedona decides where to cut, but this space allows a single block; raise num_blocks")
        learning = MetaLearning(self, problem, report)
        with Claim(learning.folder):  # a second process of the same search waits, and takes over what the first found
            architecture = learning.run()
        points = (discretise(architecture, problem.space, num_blocks) for num_blocks in problem.space.block_counts)
        return Found(best({point: evaluate(point) for point in points}))


class MetaLearning:
    """One search's state: the relaxation with its optimizer, the memory, alpha and beta with theirs."""

    def __init__(self, strategy: Sedona, problem: Problem, report: Report) -> None:
        self.strategy, self.problem, self.report = strategy, problem, report
        space, settings, device = problem.space, problem.settings, problem.device
        torch.manual_seed(problem.seed)
        backbone = space.build_backbone()
        candidates = [[HEADS.build(head, space.site(gap, backbone)) for head in space.heads] for gap in space.gaps]
        self.relaxation = Relaxation(backbone, space.gaps, candidates)
        self.relaxation.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.relaxation.parameters(), strategy.lr, MOMENTUM, weight_decay=settings.weight_decay)
        self.architecture = Architecture.zeros(len(space.gaps), len(space.heads), device=device)
        self.leaves = [self.architecture.alpha, self.architecture.beta]
        self.outer_optimizer = torch.optim.Adam(self.leaves, strategy.meta_lr, (0.5, 0.999), weight_decay=1e-6)
        self.memory = WeightMemory(strategy.memory, device=None if device.type == "cpu" else device)
        self.schedule = cosine()
        self.batches = Batches(problem.images, settings.batch_size)
        self.outer_batches = Batches(problem.images, min(strategy.outer_batch, len(problem.images.validation)),
                                     split=problem.images.validation, augmentation=Augmentation())
        self.folder = problem.run_folder(self.key)
        self.trajectory = ResultsLog(problem.results / "alpha_beta.csv")
        self.step = 0  # pretraining iterations, then meta steps

    @cached_property
    def key(self) -> dict[str, Any]:
        """What makes two searches the same."""
        space = self.problem.space
        return {"search": "sedona", "space": str(space.spec), "task": self.problem.task, "seed": self.problem.seed,
                "batch_size": self.problem.settings.batch_size, "weight_decay": self.problem.settings.weight_decay,
                **vars(self.strategy)}

    def run(self) -> Architecture:
        """Pretrain, then meta-learn; alpha and beta at the end. Their trajectory goes to alpha_beta.csv."""
        strategy = self.strategy
        store = Checkpoint(self.folder / "search.pt", described=str(sorted(self.key.items())))
        if (saved := store.load(self.problem.device)) is not None:
            self.load_state_dict(saved)
        total = strategy.pretrain + strategy.meta_steps
        self.relaxation.train()
        while self.step < total:
            if self.step < strategy.pretrain:
                self._pretraining_step()
            else:
                self._meta_step()
            self.step += 1
            if store.due(force=self.step == total):
                store.save(self.state_dict())
        return self.architecture

    def _pretraining_step(self) -> None:
        strategy, step = self.strategy, self.step
        loss = self._train(step, stream=0, position=step)
        if (step + 1) % max(1, strategy.pretrain // SNAPSHOTS_IN_PRETRAINING) == 0:
            self.memory.add(step + 1, self.relaxation, self.optimizer)
        self.report("sedona: pretraining the weight memory", step + 1, strategy.pretrain, loss=loss)

    def _meta_step(self) -> None:
        strategy, seed, meta = self.strategy, self.problem.seed, self.step - self.strategy.pretrain
        chooser = torch.Generator().manual_seed(stage_seed(seed, self.step, 0))
        snapshot = self.memory.sample(chooser)
        self.memory.load(snapshot, self.relaxation, self.optimizer)
        self._set_lr(snapshot.step)
        position = strategy.pretrain + meta * (strategy.inner_steps + 1)
        inner = [self.batches.batch(seed, position + t) for t in range(strategy.inner_steps)]
        torch.manual_seed(stage_seed(seed, self.step, 1))
        gradient = ENGINES[strategy.engine](Bilevel(self.relaxation, self.optimizer, self.architecture, inner,
                                                    self.outer_batches.batch(seed, meta), strategy.objective))
        self.architecture.alpha.grad, self.architecture.beta.grad = gradient.alpha_grad, gradient.beta_grad
        outer_loss = float(gradient.outer_loss)
        if not outer_loss < float("inf"):
            raise Diverged(f"the outer loss is {outer_loss} at meta step {meta}; try a smaller sedona(lr=...)")
        self.outer_optimizer.step()
        self._train(snapshot.step, stream=2, position=position + strategy.inner_steps)
        self.memory.add(snapshot.step + 1, self.relaxation, self.optimizer)
        self._record(meta, outer_loss)
        self.report("sedona: learning alpha and beta", meta + 1, strategy.meta_steps, validation_loss=outer_loss)

    def _train(self, lr_step: int, *, stream: int, position: int) -> float:
        """One ordinary step of the relaxation at the present architecture, by the rule of the objective."""
        strategy = self.strategy
        self._set_lr(lr_step)
        torch.manual_seed(stage_seed(self.problem.seed, self.step, stream))
        x, y = self.batches.batch(self.problem.seed, position)
        rule = self.relaxation.inner_loss if strategy.objective == "validation" else self.relaxation.released_inner_loss
        loss = rule(x, y, self.architecture)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        if not value < float("inf"):
            raise Diverged(f"the inner loss is {value} at step {self.step}; try a smaller sedona(lr=...)")
        return value

    def _record(self, meta: int, outer_loss: float) -> None:
        """One row a gap: alpha, beta and their softmaxes after this meta step."""
        heads = self.problem.space.heads
        shares, mixture = self.architecture.shares.tolist(), self.architecture.mixture.tolist()
        alpha, beta = self.architecture.alpha.tolist(), self.architecture.beta.tolist()
        label = {"run": self.folder.name, "seed": self.problem.seed, "meta_step": meta + 1, "outer_loss": outer_loss}
        rows = []
        for j, gap in enumerate(self.problem.space.gaps):
            row = {**label, "gap": gap, "cut_share": shares[j][0], "alpha_cut": alpha[j][0], "alpha_uncut": alpha[j][1]}
            row |= {f"share_{head}": mixture[j][i] for i, head in enumerate(heads)}
            row |= {f"beta_{head}": beta[j][i] for i, head in enumerate(heads)}
            rows.append(row)
        there = self.trajectory.find({name: rows[0][name] for name in ("run", "meta_step", "gap")})
        if there is None:  # a search that went on from a checkpoint has some steps twice
            self.trajectory.append_all(rows)

    def _set_lr(self, lr_step: int) -> None:
        progress = min(1.0, lr_step / self.strategy.pretrain)
        for group in self.optimizer.param_groups:
            group["lr"] = self.strategy.lr * self.schedule(progress)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the search goes on from."""
        return {"step": self.step, "relaxation": self.relaxation.state_dict(), "optimizer": self.optimizer.state_dict(),
                "memory": self.memory.state_dict(), **asdict(self.architecture),
                "outer_optimizer": self.outer_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.step = state["step"]
        self.relaxation.load_state_dict(state["relaxation"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.memory.load_state_dict(state["memory"])
        self.outer_optimizer.load_state_dict(state["outer_optimizer"])
        self.architecture.alpha.copy_(state["alpha"])
        self.architecture.beta.copy_(state["beta"])
