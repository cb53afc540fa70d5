"""What a network costs uncut and in blocks, and what stopping early costs once it is trained.

    python examples/memory_and_exits.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits

import nas


def main(folder: Path, iterations: int = 100) -> None:
    for decoupling in ("uncut", "even(3,head=linear)", "balanced(3,head=linear)"):
        cost = nas.profile("small", "digits", decoupling=decoupling, batch_size=128)
        print(f"{decoupling:26} {cost.peak_activation_bytes / 2**20:5.1f} MiB of activations in a step")

    table = nas.evaluate("small", "digits", methods=["dgl"], decoupling=["balanced(3,head=linear)"], seeds=1, exits=True,
                         iterations=iterations, results=folder / "results", runs=folder / "runs")
    images = load_digits().images[:100, :, :, None] * (255 / 16)
    np.savez(folder / "new.npz", images=images.astype("uint8"))
    for threshold in (0.5, 0.9):
        answers = nas.predict(folder / "runs" / table["run"].iloc[0], folder / "new.npz", threshold=threshold)
        print(f"threshold {threshold}: {answers['macs'].mean():,.0f} MACs an image, depth {answers['depth'].mean():.2f} of 3")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(Path(folder))
