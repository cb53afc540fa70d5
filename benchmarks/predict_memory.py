"""What `predict` holds: peak bytes of the tensors it makes, with and without a threshold, and if it kept an autograd graph.

    python benchmarks/predict_memory.py --out results/benchmarks/predict_memory.csv

A network of 256 images of 3 x 32 x 32, with random weights, since memory does not depend on them; the network's own weights
are among the tensors. `graph_bytes` is the same call with torch.inference_mode taken out. Appends one row a network and way.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.command import benchmark_parser, made_by
from methods.table import METHODS, traits
from nas.exits.confidence import max_softmax
from nas.exits.predict import predict
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.runs.trained_run import SavedExit, TrainedRun
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.network import PixelScale
from spaces.rules import read_decoupling

CPU, SHAPE, CLASSES, COUNT = torch.device("cpu"), (3, 32, 32), 10, 256
NETWORKS = (("resnet50", "backprop", "uncut"), ("resnet50", "dgl", "even(4)"))


class Noise:
    """As many new images as one batch of `predict` holds."""

    names = tuple(map(str, range(COUNT)))

    def fault(self, place: int) -> None:
        """None."""

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield torch.arange(COUNT), torch.randn(COUNT, *SHAPE)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/predict_memory.csv")
    arguments = parser.parse_args()
    for network, method, decoupling in NETWORKS:
        run = run_of(network, method, decoupling)
        for threshold in (None, 0.9)[: len(run.exits)]:
            own = peak(run, threshold)
            with mock.patch("torch.inference_mode", contextlib.nullcontext):
                graph = peak(run, threshold)
            print(
                f"{network}, {method} {run.decoupling}, threshold {threshold}: {own / 2**20:,.0f} MiB, with a graph "
                f"{graph / 2**20:,.0f}"
            )
            ResultsLog(arguments.out).append(
                {
                    "network": network,
                    "method": run.key["method"],
                    "decoupling": str(run.decoupling),
                    "images": COUNT,
                    "threshold": threshold,
                    "peak_bytes": own,
                    "graph_bytes": graph,
                    "threads": 1,
                    "device": device_name(CPU),
                    **made_by(),
                }
            )


def run_of(network: str, method: str, decoupling: str) -> TrainedRun:
    """A saved run that nobody trained."""
    space, spec = read_space(network, SHAPE, CLASSES), str(METHODS.resolve(method))
    point = read_decoupling(decoupling, space, traits(spec).default_head)
    pixels = PixelScale((0.5,) * 3, (0.5,) * 3)
    weights = METHODS.build(spec, space.build(point, pixels=pixels)).state_dict()
    inputs: dict[str, Any] = {
        "kind": "images",
        "shape": list(SHAPE),
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "zoom": 1.0,
        "classes": list(map(str, range(CLASSES))),
        "features": None,
    }
    exits = tuple(SavedExit(depth, depth, depth, 0.5) for depth in range(1, point.num_blocks + 1))
    key = {"method": spec, "backbone": str(space.backbone), "decoupling": str(point), "precision": "fp32"}
    return TrainedRun(Path("nowhere"), key, inputs, exits, weights)


def peak(run: TrainedRun, threshold: float | None) -> int:
    """Bytes of the tensors that `predict` makes and that are alive at once."""
    with PeakMemory() as memory:
        predict(run, Noise(), max_softmax, threshold=threshold, device=CPU)  # type: ignore[arg-type]
    return memory.peak


if __name__ == "__main__":
    main()
