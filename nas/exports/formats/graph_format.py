"""Formats that hold graphs: the network up to an exit, or a cascade of its blocks, each a file."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from nas.exits.adaptive import Answers
from nas.exits.confidence import CONFIDENCES
from nas.exports import answer
from nas.exports.exported import Exported
from nas.exports.formats.export_format import ExportFormat
from nas.exports.functions import (
    DecidingStage,
    ExitFunction,
    Probe,
    StageFunction,
    input_names,
    input_probe,
    length_is_fixed,
    stage_probes,
)
from nas.exports.graph import graph_of
from nas.exports.tensors import names_of, without_others

RUNNER = Path(answer.__file__)


@dataclass(frozen=True)
class Stage:
    """A graph, the depth of the exit whose logits it gives first, and the probe of what it is given."""

    depth: int
    graph: ExportedProgram
    probe: Probe
    given: tuple[str, ...]
    gives: tuple[str, ...]


class GraphFormat(ExportFormat):
    """model.* where one exit answers; stage1.*, stage2.*, ... of a cascade, each of which gives the logits of its exit and what
    the next stage is given. answer.py beside them runs either."""

    holds_a_program = True
    suffix: str

    @abstractmethod
    def save(self, stage: Stage, metadata: Mapping[str, Any], path: Path) -> None:
        """Write one graph."""

    def write(self, exported: Exported, metadata: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """A file a graph, and answer.py."""
        stages = stages_of(exported)
        files = [
            f"stage{number}.{self.suffix}" if exported.adaptive else f"model.{self.suffix}"
            for number in range(1, len(stages) + 1)
        ]
        known = {
            **metadata,
            "files": files,
            "inputs": {**metadata["inputs"], "padded": padded(exported, stages)},
            "stages": [
                {"file": file, "depth": stage.depth, "temperature": temperature, "batch_axes": list(stage.probe.batch_axes)}
                for file, stage, temperature in zip(files, stages, exported.temperatures, strict=True)
            ],
        }
        for file, stage in zip(files, stages, strict=True):
            self.save(stage, known, folder / file)
        copy_runner(folder)
        return known

    def answers(self, exported: Exported, folder: Path, tensors: Sequence[torch.Tensor]) -> Answers:
        """What answer.py says."""
        network = answer.Network(folder)
        first, *others = (tensor.numpy() for tensor in tensors)
        return Answers(*map(torch.from_numpy, network([network.fitting(first), *others])))


def copy_runner(folder: Path) -> None:
    """Put answer.py beside the files."""
    shutil.copyfile(RUNNER, folder / RUNNER.name)


def stages_of(exported: Exported, *, deciding: bool = False) -> list[Stage]:
    """One graph of the network up to the exit, or one a block of a cascade. Those of a cascade that are `deciding` say themselves
    whether inputs leave (`DecidingStage`)."""
    method, last = exported.another_method(), exported.depth - 1
    names, any_length = names_of(method), not length_is_fixed(method)
    functions: list[nn.Module]
    if exported.adaptive:
        probes = stage_probes(method, exported.num_features, exported.depth)
        stages = [StageFunction(method, k, probe.given, last=k == last) for k, probe in enumerate(probes)]
        functions = [*stages]
    else:
        probes = [input_probe(method, exported.num_features)]
        functions = [ExitFunction(method, last, probes[0].given)]
    given = [input_names(method, exported.num_features)]
    given += [tuple(f"carry{place}" for place in range(len(probe.tensors))) for probe in probes[1:]]
    gives = [("logits", *(f"next_{name}" for name in following)) for following in (*given[1:], ())]
    if deciding:
        assert exported.adaptive is not None, "only a cascade decides"
        rule, threshold = CONFIDENCES[exported.adaptive.rule], exported.adaptive.threshold
        functions = [
            DecidingStage(stage, temperature, rule=rule, threshold=threshold)
            for stage, temperature in zip(stages, exported.temperatures, strict=True)
        ]
        probes = [probes[0], *(probe.with_logits(method.net.num_classes) for probe in probes[1:])]
        given = [given[0], *((*names_given, "before") for names_given in given[1:])]
        gives = [*((logits, "leaves", *others) for logits, *others in gives[:-1]), gives[-1]]
    without_others(method, range(exported.depths[0] - 1, exported.depth))
    traced = [graph_of(*each, names, any_length=any_length) for each in zip(functions, probes, strict=True)]
    return [
        Stage(depth, graph, probe, *ends)
        for depth, (graph, probe), *ends in zip(exported.depths, traced, given, gives, strict=True)
    ]


def padded(exported: Exported, stages: Sequence[Stage]) -> bool:
    """Whether texts have to be padded to full length, since some graph takes no other."""
    if not any("length" in sizes.values() for sizes in input_probe(exported.method, exported.num_features).sizes):
        return False
    return any("length" not in sizes.values() for stage in stages for sizes in stage.probe.sizes)
