"""How well a table of trained decouplings ranks them, and what cheaper rankings agree with it by.

    python benchmarks/rankings.py --table results/tabular/vgg11_cifar10.csv

A row for each figure and each number of blocks of three decouplings or more; what is printed are tables for the page
docs/results/searches.md. Any number of seeds will do, from two on. rho is Spearman's, errors are shares, and the true error is
the mean test error over all seeds (`nas.evaluation.truth`).

split_half     rho between the means of two halves of the seeds
reliability    what Spearman and Brown's formula makes of it for the means over all seeds
best_rho       what a ranking without any error is expected to have with them
std, span      standard deviation over the seeds, the mean over decouplings; the largest true error less the smallest
last_cut       rho of the last cut's position with the true errors: a rule that trains nothing
epoch          rho of the validation errors of one `seed` after so many `epochs`, from the history.csv beside the table, with the
               mean test errors of the other seeds
short          rho of the validation errors of shorter trainings, each with a whole schedule, with the true errors; of each `seed`
               and, without one, of their means. They are rows of fewer iterations in the same table
short_seen     the same of the means over those seeds which the true errors have too, where there are others
short_unseen   of the means over the others: what the rankings are worth to whoever trains with seeds of his own
short_place    of the truly best in that ranking, from 1 on
short_regret   true error of the first in that ranking less the smallest
short_seconds  of all short trainings in one go and one whole training after them, in the seconds of a regret_seconds.csv beside
               --out, where that has searches of the same table with so many blocks

`table_rows` are all that were read. Rows that are there already are not written again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd

from benchmarks.command import benchmark_parser, made_by
from benchmarks.regret_parts.rows import quiet_seconds
from nas.evaluation.truth import by_num_blocks, errors, noise_floor, rank_correlation, regrets, reliability, true_errors
from nas.records.attempts import standing_rows
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.decoupling import Decoupling

Row = dict[str, str]
TABLES = ("results/tabular/vgg11_cifar10.csv", "results/tabular/small_cifar10.csv")
EVERY_TOGETHER = "every decoupling, together"  # of benchmarks/regret_seconds.py
SHOWN = {  # the words of the page for each figure, what it is multiplied with, and its digits behind the point
    "split_half": ("rho of two halves", 1, 2),
    "reliability": ("reliability", 1, 2),
    "best_rho": ("best rho", 1, 2),
    "std": ("deviation, points", 100, 2),
    "span": ("span, points", 100, 2),
    "last_cut": ("rho of the last cut", 1, 2),
    "epoch": ("rho of each seed with the others, after epoch", 1, 2),
    "short": ("rho", 1, 2),
    "short_seen": ("rho of the means, seeds of the true errors", 1, 2),
    "short_unseen": ("rho of the means, other seeds", 1, 2),
    "short_place": ("place of the best", 1, 0),
    "short_regret": ("regret of the first, points", 100, 2),
    "short_seconds": ("seconds, with a whole training", 1, 0),
}


class Figure(NamedTuple):
    """One number of one table and one number of blocks."""

    figure: str
    value: float
    seed: int | None = None
    epochs: float | None = None


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/rankings.csv")
    parser.add_argument("--table", type=Path, nargs="+", default=[Path(name) for name in TABLES], help="which (default: both)")
    arguments = parser.parse_args()
    log, where = ResultsLog(arguments.out), made_by()
    for table in arguments.table:
        found = list(rows_of(table, arguments.out.with_name("regret_seconds.csv")))
        for row in found:
            log.append_once({**row, **where}, row)
        print(f"{table}\n\n{page_tables(found)}")


def rows_of(table: Path, seconds: Path) -> Iterator[dict[str, Cell]]:
    """All figures of the table."""
    rows = standing_rows(ResultsLog(table).rows())
    whole, *shorter = of_equal_iterations(rows)
    epochs = errors_at_epochs(whole, table.with_name("history.csv"))
    for num_blocks, part in by_num_blocks(errors(whole)).items():
        if len(part) < 3:
            continue
        searches = ResultsLog(seconds).find_all({"table": table, "table_rows": part.size, "num_blocks": num_blocks})
        of_short = (chain(short_figures(part, some), seconds_figures(searches, whole, some)) for some in shorter)
        for figure in chain(table_figures(part), epoch_figures(part, epochs), *of_short):
            yield {
                "table": str(table),
                "table_rows": len(rows),
                "num_blocks": num_blocks,
                "decouplings": len(part),
                **figure._asdict(),
            }


def of_equal_iterations(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows parted by their iterations, the most first."""
    numbers = sorted({int(row["iterations"]) for row in rows}, reverse=True)
    return [[row for row in rows if int(row["iterations"]) == number] for number in numbers]


def errors_at_epochs(rows: Sequence[Row], history: Path) -> pd.DataFrame:
    """Validation errors of these trainings: a line for each decoupling, columns of (epoch, seed). Of those that diverged they
    are 1 from there on."""
    trainings = {(row.get("run"), row.get("training") or "1") for row in rows}
    told = [row for row in ResultsLog(history).rows() if (row["run"], row["training"]) in trainings]
    frame = pd.DataFrame(told, columns=["decoupling", "epoch", "seed", "validation_error"])
    frame = frame.astype({"epoch": float, "seed": int, "validation_error": float})
    frame = frame.drop_duplicates(["decoupling", "epoch", "seed"])
    return frame.pivot(index="decoupling", columns=["epoch", "seed"], values="validation_error").fillna(1.0)


def table_figures(part: pd.DataFrame) -> Iterator[Figure]:
    """What the test errors of whole trainings say of themselves, and the last cut of them."""
    reliable, true = reliability(part), true_errors(part)
    yield Figure("split_half", reliable.split_half)
    yield Figure("reliability", reliable.whole)
    yield Figure("best_rho", reliable.best_rho)
    yield Figure("std", noise_floor(part).std)
    yield Figure("span", float(true.max() - true.min()))
    last_cuts = {point: Decoupling.parse(point).cuts[-1] for point in part.index}
    if len(set(last_cuts.values())) > 1:
        yield Figure("last_cut", rank_correlation(last_cuts, part))


def epoch_figures(part: pd.DataFrame, epochs: pd.DataFrame) -> Iterator[Figure]:
    """Of each epoch of each seed."""
    for epoch, seed in sorted(epochs.columns):
        yield Figure("epoch", rank_correlation(epochs[epoch, seed], part.drop(columns=seed)), seed, epoch)


def short_figures(part: pd.DataFrame, rows: Sequence[Row]) -> Iterator[Figure]:
    """Of trainings of as many iterations each, fewer than those whose test errors these are; none while some are missing."""
    found, regret = errors(rows, "validation_error").reindex(part.index).dropna(axis="columns"), regrets(part)
    if found.empty:
        return
    epochs = epochs_of(rows)
    rankings: list[tuple[int | None, pd.Series]] = [(int(seed), found[seed]) for seed in found]
    for seed, scores in (*rankings, (None, found.mean(axis=1))):
        yield Figure("short", rank_correlation(scores, part), seed, epochs)
        yield Figure("short_place", 1 + int((scores < scores[regret.idxmin()]).sum()), seed, epochs)
        yield Figure("short_regret", float(regret[scores.idxmin()]), seed, epochs)
    seen = found.columns.isin(part.columns)
    if seen.any() and not seen.all():
        yield Figure("short_seen", rank_correlation(found.loc[:, seen].mean(axis=1), part), epochs=epochs)
        yield Figure("short_unseen", rank_correlation(found.loc[:, ~seen].mean(axis=1), part), epochs=epochs)


def epochs_of(rows: Sequence[Row]) -> float:
    """The epochs of trainings of equal iterations; rows of those that failed have none."""
    return next(float(row["epochs"]) for row in rows if row.get("epochs"))


def seconds_figures(searches: Sequence[Row], whole: Sequence[Row], shorter: Sequence[Row]) -> Iterator[Figure]:
    """What those shorter trainings and a whole one take, where searches among the same decouplings were measured."""
    frame = pd.DataFrame(searches, columns=["strategy", "trainings", "seconds", "training_seconds"]).set_index("strategy")
    frame = frame.astype(float)
    frame["seconds"] = quiet_seconds(frame)
    last = frame.sort_values("trainings").groupby("strategy").last()
    if {"random", EVERY_TOGETHER} <= set(last.index):
        share = int(shorter[0]["iterations"]) / int(whole[0]["iterations"])
        value = share * last["seconds"][EVERY_TOGETHER] + (last["seconds"] / last["trainings"])["random"]
        yield Figure("short_seconds", float(value), epochs=epochs_of(shorter))


def page_tables(rows: Sequence[dict[str, Cell]]) -> str:
    """The figures as the page has them, in Markdown; those of several seeds stand in one cell."""
    tables: dict[str, dict[tuple[str, str], list[str]]] = {}
    for row in rows:
        table, line, column = place(row)
        _, scale, digits = SHOWN[str(row["figure"])]
        cell = f"{scale * float(row['value'] or 0):.{digits}f}"
        tables.setdefault(table, {}).setdefault((line, column), []).append(cell)
    return "\n".join(markdown(*table) for table in tables.items())


def place(row: Mapping[str, Cell]) -> tuple[str, str, str]:
    """What stands in the corner of the figure's table, in its line's first cell and in its column's."""
    heading, epochs, num_blocks = SHOWN[str(row["figure"])][0], row["epochs"], f"K = {row['num_blocks']}"
    if epochs is None:
        return "all seeds", num_blocks, heading
    if row["figure"] == "epoch":
        return heading, num_blocks, f"{epochs:g}"
    return "shorter trainings", f"epochs: {epochs:g}; {heading}" + (", each seed" if row["seed"] is not None else ""), num_blocks


def markdown(corner: str, cells: Mapping[tuple[str, str], Sequence[str]]) -> str:
    """A table of cells by line and column, in the order in which these first come."""
    names, columns = (list(dict.fromkeys(where)) for where in zip(*cells, strict=True))
    lines = [[name, *(", ".join(cells.get((name, column), [])) for column in columns)] for name in names]
    return "".join(f"| {' | '.join(line)} |\n" for line in ([corner, *columns], ["---"] * (1 + len(columns)), *lines))


if __name__ == "__main__":
    main()
