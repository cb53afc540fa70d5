"""What a network costs uncut and in blocks, and what stopping early saves once it is trained.

    python examples/memory_and_exits.py
"""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from nas.cli.main import main


def peaks() -> dict[str, float]:
    """MiB of activations in one training step, by decoupling."""
    found = {}
    for text in ("uncut", "even(3,head=linear)", "balanced(3,head=linear)"):
        out = StringIO()
        with redirect_stdout(out):
            main(["profile", "--space", "small", "--task", "digits", "--decoupling", text, "--batch-size", "128", "--json"])
        found[text] = json.loads(out.getvalue())["peak_activation_bytes"] / 2**20
    return found


def exits(folder: Path, iterations: int = 100) -> dict[float, float]:
    """Mean multiply-accumulates of an image that leaves at the first exit whose largest probability reaches a threshold."""
    main(["evaluate", "--space", "small", "--task", "digits", "--methods", "dgl", "--decoupling", "even(3,head=linear)",
          "--seeds", "1", "--iterations", str(iterations), "--results", str(folder / "results"), "--runs", str(folder / "runs")])
    run = pd.read_csv(folder / "results" / "evaluate.csv", dtype=str)["run"].iloc[0]
    images = load_digits().images[:100, :, :, None] * (255 / 16)
    np.savez(folder / "new.npz", images=images.astype("uint8"))
    macs = {}
    for threshold in (0.5, 0.9):
        answers = folder / f"answers_{threshold}.csv"
        main(["predict", str(folder / "runs" / run), str(folder / "new.npz"), "--threshold", str(threshold),
              "--out", str(answers)])
        macs[threshold] = pd.read_csv(answers)["macs"].mean()
    return macs


if __name__ == "__main__":
    for text, mebibytes in peaks().items():
        print(f"{text:26}{mebibytes:6.1f} MiB of activations in a step")
    with TemporaryDirectory() as folder:
        for threshold, macs in exits(Path(folder)).items():
            print(f"threshold {threshold}: {macs:,.0f} MACs an image")
