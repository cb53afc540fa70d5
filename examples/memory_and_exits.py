"""What a network costs uncut and in blocks, and what stopping early saves once it is trained.

python examples/memory_and_exits.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits

import nas


def peaks() -> dict[str, float]:
    """MiB of activations in one training step, by decoupling."""
    decouplings = ("uncut", "even(3,head=linear)", "balanced(3,head=linear)")
    costs = {text: nas.profile("small", "digits", decoupling=text, batch_size=128) for text in decouplings}
    return {text: cost.peak_activation_bytes / 2**20 for text, cost in costs.items()}


def exits(folder: Path, iterations: int = 100) -> dict[float, float]:
    """Mean multiply-accumulates of an image that leaves at the first exit whose largest probability reaches a threshold."""
    table = nas.evaluate(
        "small",
        "digits",
        methods=["dgl"],
        decoupling=["even(3,head=linear)"],
        seeds=1,
        iterations=iterations,
        exits=True,
        results=folder / "results",
        runs=folder / "runs",
    )
    images = load_digits().images[:100, :, :, None] * (255 / 16)
    np.savez(folder / "new.npz", images=images.astype("uint8"))
    run = folder / "runs" / table["run"].iloc[0]
    return {threshold: nas.predict(run, folder / "new.npz", threshold=threshold)["macs"].mean() for threshold in (0.5, 0.9)}


if __name__ == "__main__":
    for text, mebibytes in peaks().items():
        print(f"{text:26}{mebibytes:6.1f} MiB of activations in a step")
    with TemporaryDirectory() as folder:
        for threshold, macs in exits(Path(folder)).items():
            print(f"threshold {threshold}: {macs:,.0f} MACs an image")
