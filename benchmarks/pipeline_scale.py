"""On paper: K stages on K processes, K = 2..48, a pipeline without backward passes beside GPipe and 1F1B.

    python benchmarks/pipeline_scale.py --out results/side_by_side/pipeline_scale.csv

A step of every unit and of a head at every gap is timed once (`spaces.block_seconds`, batches of 128 images of 32 x 32), and
the cuts are those of balanced(K,by=seconds). Nothing is trained, and sending is taken to cost nothing.

bound           seconds of all K blocks with their heads over those of the slowest
whole_speed_up  seconds of the uncut network, which has no heads, over those of the slowest block
border_bytes    that the widest border passes on an iteration, one way; pipelines with backward passes send as much back
filling         (K - 1) / (iterations + K - 1): the share of all time in which a block pipeline fills, once, in a run of 50,000
bubble          (K - 1) / (M + K - 1): the share in which GPipe and 1F1B wait in every iteration, of M = 4, 16 microbatches and
                M = 4 K, which with a batch of 128 leaves few images each
pipeline_speed_up  bound of the same blocks without heads, times 1 - bubble at M = 16

Appends a row a K. Takes a minute.
"""

from __future__ import annotations

import sys
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from benchmarks.command import benchmark_parser, made_by
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.block_seconds import PartSeconds, part_seconds
from spaces.named import read_space
from spaces.space import SearchSpace

COUNTS, BATCH, ITERATIONS, SHAPE, HEAD = (2, 4, 8, 16, 32, 48), 128, 50_000, (3, 32, 32), "mlp_sr"


def main() -> None:
    parser = benchmark_parser(__doc__, "results/side_by_side/pipeline_scale.csv")
    parser.add_argument("--networks", nargs="+", default=["resnet110", "resnet152"])
    arguments = parser.parse_args()
    source: dict[str, Cell] = {"batch_size": BATCH, "head": HEAD, "iterations": ITERATIONS, "threads": 1, **made_by()}
    rows = [row for network in arguments.networks for row in scaled(network)]
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def scaled(network: str) -> list[dict[str, Cell]]:
    """A row a number of blocks."""
    space = read_space(network, SHAPE, 10)
    parts = part_seconds(space, HEAD, batch_size=BATCH)
    rows = [on_paper(space, parts, num_blocks) for num_blocks in COUNTS if space.cut_sets.count(num_blocks - 1)]
    for row in rows:
        cells = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items())
        print(network, *cells, flush=True)
    return [{"network": network} | row for row in rows]


def on_paper(space: SearchSpace, parts: PartSeconds, num_blocks: int) -> dict[str, Cell]:
    """What so many blocks would gain, send and wait."""
    inner = list(accumulate(parts.inner, initial=0.0))

    def units(start: int, stop: int) -> float:
        return parts.first[start] + inner[stop] - inner[start + 1]

    def with_head(start: int, stop: int) -> float:
        return units(start, stop) + parts.heads[stop]

    def without(start: int, stop: int) -> float:
        return inner[stop] - inner[start] + (parts.heads[stop] if stop == space.num_units else 0.0)

    cuts = space.cut_sets.smallest_largest(num_blocks - 1, with_head)
    plain = space.cut_sets.smallest_largest(num_blocks - 1, without)
    assert cuts is not None and plain is not None, "so many blocks are allowed"
    blocks, halves = (
        [of(start, stop) for start, stop in pairwise((0, *chosen, space.num_units))]
        for of, chosen in ((with_head, cuts), (without, plain))
    )
    whole = without(0, space.num_units)

    def bubble(microbatches: int) -> float:
        return (num_blocks - 1) / (microbatches + num_blocks - 1)

    return {
        "num_blocks": num_blocks,
        "cuts": " ".join(map(str, cuts)),
        "bound": sum(blocks) / max(blocks),
        "whole_speed_up": whole / max(blocks),
        "border_bytes": max(4 * BATCH * prod(space.template.shapes[cut]) for cut in cuts),
        "filling": (num_blocks - 1) / (ITERATIONS + num_blocks - 1),
        "bubble_4": bubble(4),
        "bubble_16": bubble(16),
        "bubble_4K": bubble(4 * num_blocks),
        "pipeline_speed_up": whole / max(halves) * (1 - bubble(16)),
    }


if __name__ == "__main__":
    main()
