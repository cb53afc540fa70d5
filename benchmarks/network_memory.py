"""Peak memory of one training step of library networks: decoupled, with checkpointed units, both, and backprop.

    python benchmarks/network_memory.py --out results/any_network/memory.csv

Three networks at 224 x 224, 1000 classes, batches of 16, SGD with momentum, the head linear at every cut, cuts by balanced(K).
In bytes, counted as the tensors that are alive at once in a real step on the CPU, which is not the first one:

activations  the most at once of what the step makes, the batch included, gradients of parameters not
gradients    of the parameters of the block with the most
parameters, optimizer   of the whole network with its heads
peak         the most at once of all that
foreseen     the peak that `nas.memory` says, from shapes

`ratio` and `activations_ratio` are to backprop. Appends a row a case to the CSV, and leaves out those that it holds. Takes
minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from benchmarks.command import benchmark_parser, made_by
from nas.own_loop.decouple import decouple
from nas.own_loop.step_memory import StepMemory, step_memory
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.torchvision_import import torchvision
from spaces.traced.tracer import on_meta

SIDE, CLASSES, BATCH, NUM_BLOCKS = 224, 1000, 16, (2, 4, 8)


def networks() -> dict[str, Callable[[], nn.Module]]:
    """A residual network, a slim one, and a vision transformer."""
    models = torchvision().models
    import timm

    return {
        "torchvision(name=resnet50)": models.resnet50,
        "torchvision(name=efficientnet_b0)": models.efficientnet_b0,
        "timm(name=vit_small_patch16_224)": lambda: timm.create_model("vit_small_patch16_224"),
    }


def cases() -> list[tuple[str, str, bool]]:
    """The name of a way, its decoupling, and whether units are checkpointed."""
    found = [("backprop", "uncut", False), ("checkpointing", "uncut", True)]
    found += [("decoupled", f"balanced({k})", False) for k in NUM_BLOCKS]
    found += [("both", f"balanced({k},checkpoint_units=True)", True) for k in NUM_BLOCKS]
    return found


def main() -> None:
    parser = benchmark_parser(__doc__, "results/any_network/memory.csv")
    arguments = parser.parse_args()
    log = ResultsLog(arguments.out)
    for name, make in networks().items():
        backprop: StepMemory | None = None
        for way, rule, again in cases():
            case: dict[str, Cell] = {"network": name, "way": way, "rule": rule, "batch_size": BATCH}
            held = log.find(case)
            if held is None:
                measured, foreseen, cuts = of_case(make, rule, again)
            else:
                measured = StepMemory(*(int(str(held[field])) for field in StepMemory.__dataclass_fields__))
            backprop = backprop or measured
            row: dict[str, Cell] = {
                **case,
                **asdict(measured),
                "ratio": measured.peak / backprop.peak,
                "activations_ratio": measured.activations / backprop.activations,
            }
            if held is None:
                log.append_all([row | {"foreseen": foreseen.peak, "decoupling": cuts, **made_by()}])
            print(f"{name:36}{way:15}{rule:40}{measured.peak / 1e6:9.0f} MB{float(str(row['ratio'])):7.2f}", flush=True)


def of_case(make: Callable[[], nn.Module], rule: str, again: bool) -> tuple[StepMemory, StepMemory, str]:
    """What a step on the CPU holds, what one from shapes does, and the decoupling."""
    torch.manual_seed(0)
    model, x, y = make(), torch.randn(BATCH, 3, SIDE, SIDE), torch.arange(BATCH)
    x = x.to(memory_format=torch.channels_last)
    shapes = on_meta(model)
    found, decoupling = [], rule
    for network, images, labels in ((shapes, x.to("meta"), y.to("meta")), (model, x, y)):
        method = "backprop" if decoupling == "uncut" else "dgl"
        head = "linear" if decoupling == rule != "uncut" else None
        net = decouple(network, decoupling, example=images, method=method, head=head, checkpoint_units=again)
        found.append(step_memory(net, images, labels, momentum))
        decoupling = str(net.decoupling)
    return found[1], found[0], decoupling


def momentum(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """As in most recipes for images."""
    return torch.optim.SGD(parameters, 0.01, momentum=0.9)


if __name__ == "__main__":
    main()
