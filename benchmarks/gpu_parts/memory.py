"""Peak memory of a training step of every method, measured by the allocator and predicted from shapes."""

from __future__ import annotations

import torch

from benchmarks.gpu_parts.part import Case, Row, Setup, measuring
from benchmarks.local_methods import SPECS, Loop
from benchmarks.step_time import INPUT_SHAPE, NUM_CLASSES
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost
from nas.device import set_switches, switches_restored
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

EVERY = (*SPECS, "al", "early_exit", "cooperative")
NETWORKS = (  # backbone, images a step, rules; the papers' batches
    ("resnet110", 1024, ("published(4)", "published(16)", "balanced(4)")),
    ("vgg19", 128, ("even(4)", "balanced(4)")),
    ("resnet50(width=4)", 128, ("even(4)", "balanced(4)")),
)


def cases(setup: Setup) -> list[Case]:
    """A case a network, method and decoupling; backprop, without and with checkpointed units, first."""
    networks = (("resnet32", 4, ("published(4)",)),) if setup.rehearse else NETWORKS
    wanted = []
    for backbone, batch_size, rules in networks:
        for method, rule, again in (
            ("backprop", "uncut", False),
            ("backprop", "uncut", True),
            *((spec, rule, False) for rule in rules for spec in EVERY),
        ):
            full = str(METHODS.resolve(method))
            key = {"backbone": backbone, "batch_size": batch_size, "method": full, "rule": rule, "checkpoint_units": again}
            wanted.append(Case(key, lambda given=(setup, backbone, batch_size, full, rule, again): [measured(*given)]))
    return wanted


def measured(setup: Setup, backbone: str, batch_size: int, method: str, rule: str, again: bool) -> Row:
    """The row of a step that is not the first one.

    `measured_bytes` is what the step adds at its peak to what was there, by torch.cuda.max_memory_allocated: activations,
    gradients and the workspaces of kernels; `predicted_bytes` the same from shapes, without workspaces;
    `peak_activation_bytes` what `evaluate` and `profile` say, without gradients. Without a GPU tensors are counted.
    """
    space = SearchSpace(backbone, ["linear"], input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    asked = Decoupling() if rule == "uncut" else read_decoupling(rule, space, traits(method).default_head)
    loop = Loop(method, traits(method).adapt(asked), again)
    predicted = predicted_bytes(loop, space, batch_size)
    with switches_restored():
        set_switches("fp32", deterministic=False)
        trainer = Trainer(loop.build(space), TrainingSettings(batch_size=batch_size), seed=0, device=setup.device)
        x = torch.randn(batch_size, *INPUT_SHAPE, device=setup.device).contiguous(memory_format=torch.channels_last)
        y = torch.arange(batch_size, device=setup.device) % NUM_CLASSES
        for _ in range(2):  # the first makes the momentum and chooses kernels
            trainer.step(x, y, iteration=0)
        here, total = peak(trainer, x, y)
    activations = cost(lambda: loop.build(space), INPUT_SHAPE, NUM_CLASSES, batch_size).peak_activation_bytes
    print(
        f"  {backbone}, {batch_size} images: {method} {rule}{' checkpointed' * again}: {here / 2**20:,.0f} MiB measured, "
        f"{predicted / 2**20:,.0f} predicted",
        flush=True,
    )
    return {
        "decoupling": str(loop.decoupling),
        "num_blocks": 1 if traits(method).end_to_end else loop.decoupling.num_blocks,
        "measured_bytes": here,
        "predicted_bytes": predicted,
        "measured_ratio": here / predicted,
        "allocated_bytes": total,
        "peak_activation_bytes": activations,
    }


def peak(trainer: Trainer, x: torch.Tensor, y: torch.Tensor) -> tuple[int, int | None]:
    """What a step adds at its peak, and all that is allocated then (None without a GPU)."""
    if x.device.type != "cuda":
        with PeakMemory() as counted:
            trainer.step(x, y, iteration=0)
        return counted.peak, None
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    trainer.step(x, y, iteration=0)
    torch.cuda.synchronize(x.device)
    total = torch.cuda.max_memory_allocated(x.device)
    return total - before, total


def predicted_bytes(loop: Loop, space: SearchSpace, batch_size: int) -> int:
    """What a step adds at its peak, gradients included, from shapes alone; an optimizer in place adds nothing."""
    with torch.device("meta"):
        method = loop.build(space).train()
        x = torch.zeros(batch_size, *INPUT_SHAPE).contiguous(memory_format=torch.channels_last)
        y = torch.zeros(batch_size, dtype=torch.long)
        with PeakMemory() as counted:
            carry = method.start(x, y)
            for k in range(method.num_stages):
                carry, loss = method.isolated_stage(k, carry, y)
                loss.backward()
                del loss
                for parameter in method.stage_parameters(k):
                    parameter.grad = None
    return counted.peak


PART = measuring("memory", "peak memory of every method, measured and predicted", cases)
