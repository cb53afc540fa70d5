"""balanced(2,by=seconds) and balanced(2) beside all single cuts: what two processes could gain.

    python benchmarks/seconds_cuts.py --out results/side_by_side/seconds_cuts.csv

Every allowed cut is trained in stages and timed (`methods.training.stages.seconds.stage_seconds`), DGL with the head mlp_sr,
batches of 128 images of 32 x 32. `bound` is seconds of both blocks over those of the slower, `foreseen` the same by the sum of
parts (`spaces.block_seconds`) by which the rule decides. `rules` names the rules that come to the cut; by seconds is asked
five times, and a number says how often. `share_of_best` is the bound over that of the best cut.

Appends a row a cut. Takes two minutes.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.stages.seconds import stage_seconds
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.block_seconds import block_seconds
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.rules import read_decoupling

HEAD, BATCH, SHAPE, ASKED = "mlp_sr", 128, (3, 32, 32), 5


def main() -> None:
    parser = benchmark_parser(__doc__, "results/side_by_side/seconds_cuts.csv")
    parser.add_argument("--networks", nargs="+", default=["vgg19", "resnet32"])
    arguments = parser.parse_args()
    source: dict[str, Cell] = {"batch_size": BATCH, "head": HEAD, "threads": 1, **made_by()}
    rows = [row for network in arguments.networks for row in measured(network)]
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def measured(network: str) -> list[dict[str, Cell]]:
    """A row a cut."""
    space = read_space(network, SHAPE, 10)
    x = torch.randn(BATCH, *SHAPE).contiguous(memory_format=torch.channels_last)
    y, settings = torch.arange(BATCH) % 10, TrainingSettings(batch_size=BATCH)
    by_seconds: Counter[int] = Counter()
    for _ in range(ASKED):
        seconds = block_seconds(space, HEAD, batch_size=BATCH)
        found = space.cut_sets.smallest_largest(1, seconds)
        assert found is not None, "every space here may be cut"
        by_seconds[found[0]] += 1
    rules = {cut: [f"balanced(2,by=seconds) {count} of {ASKED}"] for cut, count in by_seconds.items()}
    for rule in ("balanced(2)", "even(2)"):
        rules.setdefault(read_decoupling(rule, space, HEAD).cuts[0], []).append(rule)
    rows: list[dict[str, Cell]] = []
    for cut in space.gaps:
        method = METHODS.build("dgl", space.build(Decoupling((cut,), (HEAD,))))
        bound = stage_seconds(method, settings, x, y, device=torch.device("cpu")).bound
        parts = seconds(0, cut), seconds(cut, space.num_units)
        row: dict[str, Cell] = {"network": network, "cut": cut, "bound": bound, "foreseen": sum(parts) / max(parts)}
        rows.append(row | {"rules": "; ".join(rules.get(cut, []))})
    best = max(float(str(row["bound"])) for row in rows)
    for row in rows:
        row["share_of_best"] = float(str(row["bound"])) / best
        print(f"{network} {row['cut']:>3}  bound {row['bound']:.2f}  foreseen {row['foreseen']:.2f}  {row['rules']}", flush=True)
    return rows


if __name__ == "__main__":
    main()
