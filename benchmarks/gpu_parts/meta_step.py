"""Time and memory of a meta-step of SEDONA by each engine."""

from __future__ import annotations

from benchmarks.gpu_parts.part import Case, Row, Setup, measuring
from nas.device import set_switches, switches_restored

BACKBONES = ("vgg19", "resnet50")
NUM_STEPS = (5, 1, 2, 10, 20)  # the paper's first
TURNS = 5


def cases(setup: Setup) -> list[Case]:
    """A case a backbone and number of inner steps: its engines take turns."""
    wanted = []
    for num_steps in (1,) if setup.rehearse else NUM_STEPS:
        for backbone in ("vgg11",) if setup.rehearse else BACKBONES:
            key = {"backbone": backbone, "num_steps": num_steps}
            wanted.append(Case(key, lambda given=(setup, backbone, num_steps): measured(*given)))
    return wanted


def measured(setup: Setup, backbone: str, num_steps: int) -> list[Row]:
    """The rows of benchmarks/meta_step.py, which says what they hold."""
    from benchmarks import meta_step  # which needs the package higher

    turns, sizes = (1, (2, 2)) if setup.rehearse else (TURNS, None)
    engines = ("unroll", "adjoint, bf16") if setup.rehearse else (*meta_step.META_STEPS, *meta_step.FASTER)
    with switches_restored():
        set_switches("fp32", deterministic=False)
        rows = meta_step.measured(backbone, engines, num_steps, setup.device, turns, live=False, sizes=sizes)
        if num_steps == NUM_STEPS[0]:
            rows += meta_step.measured(backbone, meta_step.TRAINING_STEPS, num_steps, setup.device, 3 * turns, live=False)
    return rows


PART = measuring("meta_step", "a meta-step of SEDONA by each engine", cases)
