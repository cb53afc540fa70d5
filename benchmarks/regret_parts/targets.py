"""What is printed and written of searches at the end: how long each takes to each target."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import t as student_t

from nas.records.log import Cell

NEAR = 0.005  # of the best: half a point
AFTER = (2.5, 6, 20, 40)  # trainings of random search, at whose seconds regrets are compared


def targets(made: pd.DataFrame) -> pd.DataFrame:
    """Median seconds until each target holds, over the seeds, infinite where fewer than half of the searches come there; mean
    regrets in the end, and after the seconds of so many trainings, where all searches have an answer by then."""
    conditions = {
        "answer_in_top": made["is_top"] == "True",
        "trained_top": made["found_top"] == "True",
        "answer_within_half_a_point": made["regret"] <= NEAR,
    }
    drawn = made[made["strategy"] == "random"].sort_values("seconds").groupby("seed").last()
    one_training = float(drawn["seconds"].sum() / drawn["trainings"].sum())
    lines: list[dict[str, Cell]] = []
    for strategy, group in made.groupby("strategy", sort=False):
        line: dict[str, Cell] = {"strategy": str(strategy), "seeds": group["seed"].nunique()}
        for name, holds in conditions.items():
            firsts = group[holds[group.index]].groupby("seed")["seconds"].min()
            every = firsts.reindex(group["seed"].unique(), fill_value=math.inf)
            line |= {f"{name}_seconds": float(every.median()), f"{name}_share": len(firsts) / len(every)}
        for number in AFTER:
            by_then = group[group["seconds"] <= number * one_training].sort_values("seconds").groupby("seed")["regret"].last()
            regret = by_then.reindex(group["seed"].unique()).mean(skipna=False)
            line |= {f"seconds_of_{number:g}_trainings": number * one_training, f"regret_after_{number:g}_trainings": regret}
        last = group.sort_values("seconds").groupby("seed").last()
        line |= {"seconds": float(last["seconds"].mean()), "regret": float(last["regret"].mean())}
        line |= {"regret_half_interval": half_interval(last["regret"]), "rho": float(last["rho"].mean())}
        line |= {"rho_half_interval": half_interval(last["rho"].dropna())}
        lines.append(line)
    found = pd.DataFrame(lines)
    of_random = found[found["strategy"] == "random"]
    for name in conditions:
        found[f"{name}_of_random"] = found[f"{name}_seconds"] / float(of_random[f"{name}_seconds"].iloc[0])
    return found


def half_interval(values: pd.Series) -> float:
    """Half of the 95 % interval of the mean."""
    n = len(values)
    return float(student_t.ppf(0.975, n - 1) * values.std() / n**0.5) if n > 1 else math.nan
