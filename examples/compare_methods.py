"""Search for cuts, train them with two methods, and print one table. Seconds on one core.

python examples/compare_methods.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

import nas


def compare(folder: Path, iterations: int = 60, trials: int = 4, seeds: int = 2) -> pd.DataFrame:
    """Test error over the seeds of what random search found, beside even cuts, with DGL and with greedy's linear heads."""
    settings = {"iterations": iterations, "results": folder / "results", "runs": folder / "runs"}
    found = nas.search("small", "digits(validation=0.4)", strategy=f"random(trials={trials})", **settings)
    table = nas.evaluate(
        "small", "digits", decoupling=[found.decoupling, "even(3)"], methods=["dgl", "greedy"], seeds=seeds, **settings
    )
    return table.groupby(["method", "decoupling"])["test_error"].agg(["mean", "std", "count"]).sort_values("mean")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        print(compare(Path(folder)))
