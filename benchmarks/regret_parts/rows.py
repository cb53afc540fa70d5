"""Rows of searches: as they are written, and as they are read again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.regret_parts.trainings import Answer
from benchmarks.regret_parts.truth import Truth
from nas.records.log import Cell, Log


def rows_of(answers: Sequence[Answer], truth: Truth) -> list[dict[str, Cell]]:
    """Where the answer or `found` changes, and the last."""
    kept = [
        answer
        for n, answer in enumerate(answers)
        if n in (0, len(answers) - 1) or (answer.decoupling, answer.found) != (answers[n - 1].decoupling, answers[n - 1].found)
    ]
    best_rho = truth.best_rho()
    return [
        {
            "seconds": answer.seconds,
            "trainings": answer.trainings,
            "decoupling": answer.decoupling,
            "regret": float(truth.regret[answer.decoupling]),
            "is_top": answer.decoupling in truth.top,
            "found_top": answer.found,
            "rho": answer.rho,
            "best_rho": best_rho,
        }
        for answer in kept
    ]


def measured(log: Log, table: Mapping[str, Cell], wanted: Collection[tuple[str, int]], sedona: pd.DataFrame) -> pd.DataFrame:
    """The rows of these searches, by strategy and seed, and those of `answers_of_sedona`, in the seconds of a quiet machine."""
    rows = [row for row in log.find_all(table) if (row["strategy"], int(row["seed"])) in wanted]
    made = pd.concat([pd.DataFrame(rows), sedona], ignore_index=True)
    for name in ("seed", "seconds", "trainings", "training_seconds", "regret", "rho"):
        made[name] = pd.to_numeric(made[name])
    return made.assign(seconds=quiet_seconds(made))


def quiet_seconds(made: pd.DataFrame) -> pd.Series:
    """Seconds as if all searches had been measured when a training took the least."""
    return made["seconds"] * (made["training_seconds"].min() / made["training_seconds"])


def answers_of_sedona(path: Path, truth: Truth, num_blocks: int | None) -> pd.DataFrame:
    """Those in sedona_truth.csv on a table of as many rows, each with the training of what it recommends; where several numbers
    of blocks are searched, the ones that it recommends itself, after a training of each."""
    if not path.is_file():
        return pd.DataFrame()
    rows = pd.read_csv(path)
    rows = rows[rows["table_rows"] == len(truth.all_rows)]
    rows = rows[rows["num_blocks"] == num_blocks] if num_blocks else rows[rows["recommended"] & rows["rho_num_blocks"].notna()]
    more = rows["equivalent_trainings" if num_blocks else "equivalent_trainings_any"] - rows["seconds"] / rows["training_seconds"]
    top = rows["decoupling"].isin(truth.top).astype(str)
    return pd.DataFrame(
        {
            "strategy": [f"sedona {row.engine}, {row.budget_seconds:.0f} s" for row in rows.itertuples()],
            "seed": rows["seed"],
            "seconds": rows["seconds"] + more * rows["training_seconds"],
            "training_seconds": rows["training_seconds"],
            "decoupling": rows["decoupling"],
            "regret": rows["decoupling"].map(truth.regret),
            "is_top": top,
            "found_top": top,
            "rho": rows["rho"],
        }
    )
