"""Search for cuts, train them with two methods, and print one table. Seconds on one core.

    python examples/compare_methods.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from nas.cli.main import main


def compare(folder: Path, iterations: int = 60, trials: int = 4, seeds: int = 2) -> pd.DataFrame:
    """Test error over the seeds of what random search found, beside even cuts, with DGL and with greedy's linear heads."""
    settings = ["--iterations", str(iterations), "--results", str(folder / "results"), "--runs", str(folder / "runs")]
    main(["search", "--space", "small", "--task", "digits(validation=0.4)", "--strategy", f"random(trials={trials})", *settings])
    searched = pd.read_csv(folder / "results" / "search.csv")
    found = searched.loc[searched["validation_error"].idxmin(), "decoupling"]
    main(["evaluate", "--space", "small", "--task", "digits", "--decoupling", found, "even(3)", "--methods", "dgl", "greedy",
          "--seeds", str(seeds), *settings])
    rows = pd.read_csv(folder / "results" / "evaluate.csv")
    return rows.groupby(["method", "decoupling"])["test_error"].agg(["mean", "std", "count"]).sort_values("mean")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        print(compare(Path(folder)))
