"""One training step of each stage: its optimizer, its window, its learning rate and its precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from methods.method import Carry, Method
from methods.training.compilation import compile_stage
from methods.training.growth import stage_windows
from methods.training.optimization import OPTIMIZERS, SCHEDULES, load_optimizer
from methods.training.scoring import autocast
from methods.training.settings import TrainingSettings


class Trainer:
    """The optimizers, the schedule, the windows and the precision of one run; `step` is one iteration of every stage.

    `stages` are those that this process trains, all of them where they are not parted among several. Only these, with their
    optimizers, lie on the device.
    """

    def __init__(
        self,
        method: Method,
        settings: TrainingSettings,
        *,
        seed: int,
        device: torch.device,
        trained_stages: int = 0,
        stages: range | None = None,
    ) -> None:
        self.method, self.stages = method, range(method.num_stages) if stages is None else stages
        self.settings, self.seed, self.device = settings, seed, device
        for module in [method] if self.is_whole else self.modules():
            module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        method.train()
        self.windows = stage_windows(settings.grow, method.num_stages, settings.iterations, trained=trained_stages)
        self.schedule = SCHEDULES.build(settings.schedule)
        # The device's own generator: torch.manual_seed, which looks for every kind of device, takes a hundred times as long.
        self.generator = torch.default_generator
        if device.type == "cuda":
            torch.cuda.init()
            self.generator = torch.cuda.default_generators[device.index or 0]
        self.optimizers = [
            OPTIMIZERS.build(settings.optimizer, method.stage_parameters(k), settings.lr, settings.weight_decay)
            for k in self.stages
        ]
        self.scalers = [torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16") for _ in self.optimizers]
        self.compiled = [None if settings.compile == "no" else compile_stage(method, k, settings.compile) for k in self.stages]

    @property
    def is_whole(self) -> bool:
        """Whether all stages are trained here."""
        return len(self.stages) == self.method.num_stages

    def modules(self) -> list[nn.Module]:
        """All that belongs to the stages that are trained here."""
        return [module for k in self.stages for module in self.method.stage_modules(k)]

    def step(self, x: torch.Tensor, y: torch.Tensor, iteration: int) -> list[torch.Tensor]:
        """Run each stage that has begun on the batch, in order; their losses stay on the device."""
        return self.run_stages(self.method.start(x, y), y, iteration)[1]

    def run_stages(self, carry: Carry, y: torch.Tensor, iteration: int) -> tuple[Carry, list[torch.Tensor]]:
        """Run each of `stages` that has begun, in order: the carry of the last, and their losses, which stay on the device."""
        losses = []
        for k in self.stages[: max(0, self.num_running(iteration) - self.stages.start)]:
            carry, loss = self.stage_step(k, carry, y, iteration)
            losses.append(loss)
        return carry, losses

    def num_running(self, iteration: int) -> int:
        """How many stages of the method have begun."""
        return sum(window.start <= iteration for window in self.windows)

    def decides(self, iteration: int) -> bool:
        """Whether the last stage that has begun, whose exit is validated, is trained here."""
        return self.num_running(iteration) - 1 in self.stages

    def stage_step(self, k: int, carry: Carry, y: torch.Tensor, iteration: int) -> tuple[Carry, torch.Tensor]:
        """Forward, backward and update of stage k alone: its carry for the next stage, and its detached loss.

        The carry was computed before the update, so the stages may as well run side by side, each on its own device.
        A stage whose window is over only runs, in evaluation mode.
        """
        if iteration >= self.windows[k].end:
            return self._frozen_stage(k, carry, y)
        place = k - self.stages.start
        optimizer, scaler = self.optimizers[place], self.scalers[place]
        for group in optimizer.param_groups:
            group["lr"] = self.scheduled_lr(k, iteration)
        self.seed_stage(k, iteration)
        with autocast(self.device, self.settings.precision):
            carry, loss = self.method.isolated_stage(k, carry, y, compiled=self.compiled[place])
        scaler.scale(loss).backward()
        self.average_gradients(k)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return carry, loss.detach()

    def scheduled_lr(self, k: int, iteration: int) -> float:
        """The learning rate of stage k in an iteration of its window."""
        start, end = self.windows[k]
        return self.settings.lr * self.schedule((iteration + 1 - start) / (end - start))

    def seed_stage(self, k: int, iteration: int) -> None:
        """Let what is random in a stage's step depend on nothing but this."""
        self.generator.manual_seed(stage_seed(self.seed, iteration, k))

    def average_gradients(self, k: int) -> None:
        """Over the replicas of the stage, where there are any."""

    def take_buffers_of_first(self) -> None:
        """Of replicas all have the running statistics of the first."""

    @torch.no_grad()
    def _frozen_stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        for module in self.method.stage_modules(k):
            module.eval()  # each time, since a validation leaves the whole method in training mode
        with autocast(self.device, self.settings.precision):
            return self.method.isolated_stage(k, carry, y, compiled=self.compiled[k - self.stages.start])

    def weights(self) -> dict[str, torch.Tensor]:
        """The tensors of `stages`, by their names in the method; not copied."""
        return self.method.state_dict() if self.is_whole else self.weights_of(self.method, self.stages)

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over those of `stages`; a tensor that is missing, or of another shape, raises. What belongs to no stage never
        changes in training, so it may be missing."""
        needed, known = self.stage_names(), self.method.state_dict().keys()
        if wrong := (needed - weights.keys()) | (weights.keys() - known):
            raise ValueError(f"other weights: {sorted(wrong)[0]}")
        copy_weights(self.method, {name: weights[name] for name in (known if self.is_whole else needed) if name in weights})

    @staticmethod
    def weights_of(method: Method, stages: range) -> dict[str, torch.Tensor]:
        """The tensors of these stages of a method, by their names in it; not copied."""
        names = _stage_names(method, stages)
        return {name: tensor for name, tensor in method.state_dict().items() if name in names}

    def stage_names(self) -> set[str]:
        """The names in the method's state dict of all that belongs to `stages`."""
        return _stage_names(self.method, self.stages)

    def state_dict(self) -> dict[str, Any]:
        """All of `stages` that changes in training."""
        return {
            "method": self.weights(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scalers": [scaler.state_dict() for scaler in self.scalers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave for the same stages; what is of another method or optimizer raises."""
        self.load_weights(state["method"])
        for own, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(own, saved)
        for scaler, saved in zip(self.scalers, state["scalers"], strict=True):
            scaler.load_state_dict(saved)


def _stage_names(method: Method, stages: range) -> set[str]:
    modules = [module for k in stages for module in method.stage_modules(k)]
    own = {id(tensor) for module in modules for tensor in (*module.parameters(), *module.buffers())}
    state = method.state_dict().keys()
    return {name for name, tensor in named_tensors(method) if id(tensor) in own and name in state}


@torch.no_grad()
def copy_weights(method: Method, weights: Mapping[str, torch.Tensor]) -> None:
    """Give the method these of its tensors; one of another shape is a ValueError. Modules, which may have no storage here for
    those of other stages, are not asked."""
    state = method.state_dict()
    for name, tensor in weights.items():
        if state[name].shape != tensor.shape:
            raise ValueError(f"{name} has another shape")
        state[name].copy_(tensor)


def named_tensors(module: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    """Every parameter and buffer, under each of its names."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def stage_seed(seed: int, iteration: int, k: int) -> int:
    """A seed of its own for every stage of every iteration of every run, up to 4099 stages and a million iterations."""
    return ((seed * 1_000_003 + iteration) * 4_099 + k) % 2**63
