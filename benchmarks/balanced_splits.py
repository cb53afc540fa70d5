"""balanced(K) beside the cuts that InfoPro and ContSup published for the CIFAR ResNets: bytes of the largest block.

    python benchmarks/balanced_splits.py --out results/benchmarks/balanced_splits.csv

The measure is that of spaces.rules.block_bytes: peak activation bytes an image of a block's training step, its head
counted, every cut with the same head. From shapes alone, so the device does not matter. `ratio` is to balanced(K). Appends
a row a split to the CSV. Takes about a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from benchmarks.command import benchmark_parser, made_by
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.named import read_space
from spaces.rules import block_bytes, read_decoupling
from spaces.space import SearchSpace

HEADS = ("linear", "mlp_sr")
BALANCED = {("resnet32", 32): (2, 4, 8, 16), ("resnet110", 32): (2, 3, 4), ("resnet110", 96): (2, 3, 4)}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/balanced_splits.csv")
    arguments = parser.parse_args()
    source: dict[str, Cell] = dict(made_by())
    rows = []
    print(f"KiB an image in the largest block (ratio)\n{'':44}{'balanced':>22}{'published balanced':>22}{'published equal':>22}")
    for (name, side), counts in BALANCED.items():
        space = read_space(name, (3, side, side), 10)
        for head in HEADS:
            for measured in compared(space, head, counts):
                rows += [source | row for row in measured]
                show(measured)
    ResultsLog(arguments.out).append_all(rows)


def compared(space: SearchSpace, head: str, counts: tuple[int, ...]) -> Iterator[list[dict[str, Cell]]]:
    """The rows of each number of blocks: balanced, published as memory-balanced, published as equal layers."""
    bytes_of = block_bytes(space, head)
    for num_blocks in counts:
        splits = [f"balanced({num_blocks})", f"published({num_blocks},memory_balanced=True)", f"published({num_blocks})"]
        cuts = [read_decoupling(split, space, head).cuts for split in splits]
        largest = [max(bytes_of(start, stop) for start, stop in pairwise((0, *chosen, space.num_units))) for chosen in cuts]
        yield [
            {
                "backbone": str(space.backbone),
                "input_shape": "x".join(map(str, space.input_shape)),
                "num_blocks": num_blocks,
                "head": head,
                "split": split,
                "cuts": " ".join(map(str, chosen)),
                "largest_block_bytes": size,
                "ratio": size / largest[0],
            }
            for split, chosen, size in zip(splits, cuts, largest, strict=True)
        ]


def show(rows: list[dict[str, Cell]]) -> None:
    """Print a line of the table."""
    row = rows[0]
    label = f"{row['backbone']} {row['input_shape']} K={row['num_blocks']} {row['head']}"
    cells = [f"{float(str(r['largest_block_bytes'])) / 1024:.1f} ({float(str(r['ratio'])):.3f})" for r in rows]
    print(f"{label:44}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
