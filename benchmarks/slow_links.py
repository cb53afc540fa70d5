"""Which engine is fastest over links of several speeds: counted, from what side_by_side.py measured.

    python benchmarks/slow_links.py --engines results/side_by_side/engines.csv --out results/side_by_side/links.csv

A model: milliseconds = max(measured, sent_bytes / bandwidth), with compute and sending overlapping wholly. Stages nearly do
that, since several carries are on their way; of pipelines with backward passes and of DDP, which overlaps with its backward
pass alone, it is more than they reach, so that they look better here than they are. Rows that were measured over a link that
was slowed down are left out.

Appends a row an engine and bandwidth. Takes a second.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.command import benchmark_parser, made_by
from nas.records.log import Cell
from nas.records.results_log import ResultsLog

MEGABITS = (10, 30, 100, 200, 300, 1000, 3000, 10000)  # a second


def main() -> None:
    parser = benchmark_parser(__doc__, "results/side_by_side/links.csv")
    parser.add_argument("--engines", type=Path, default=Path("results/side_by_side/engines.csv"))
    arguments = parser.parse_args()
    measured = [row for row in ResultsLog(arguments.engines).rows() if not row["megabits"]]
    source: dict[str, Cell] = dict(made_by())
    rows: list[dict[str, Cell]] = []
    for (network, cut), engines in groupby(measured, key=lambda row: (row["network"], row["cut"])):
        rows += [{"network": network, "cut": cut, **row} for row in over_links(list(engines))]
    for row in rows:
        if row["engine"] == row["fastest"]:
            print(f"{row['network']} {row['megabits']:>6} Mbit/s: {row['fastest']}, {row['milliseconds']:.1f} ms")
    ResultsLog(arguments.out).append_all([source | row for row in rows])


def over_links(engines: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Cell]]:
    """For links of several speeds, what each engine's iteration would take, and what is fastest."""
    for megabits in MEGABITS:
        found = {row["engine"]: max(float(row["milliseconds"]), int(row["sent_bytes"]) * 8 / megabits / 1000) for row in engines}
        fastest = min(found, key=found.__getitem__)
        for name, milliseconds in found.items():
            yield {"megabits": megabits, "engine": name, "milliseconds": milliseconds, "fastest": fastest}


if __name__ == "__main__":
    main()
