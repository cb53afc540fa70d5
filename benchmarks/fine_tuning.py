"""Fine-tuning a library network in blocks: torchvision's resnet18, trained here on other classes before.

    NAS_DATA_DIR=... python benchmarks/fine_tuning.py --out results/fine_tuning/evaluate.csv

The first five classes of CIFAR-10 train resnet18 by backprop (25,000 images, 600 steps of 128). Its weights are exported as the
plain network's state dict. From them, and from random weights, 2,500 images of the other five classes train it on, 200 steps of
64: by backprop, and by DGL in four balanced blocks. Three seeds, test error on the 5,000 test images of these classes. Images and
weights are written to the folder of runs, which git ignores. One recipe for all, bfloat16, one thread. Rows are those of
`run.py evaluate`; what is there is not trained again. Takes some 20 minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

import nas
from benchmarks.command import benchmark_parser
from spaces.torchvision_import import torchvision

FOLDER = Path("runs") / "fine_tuning"
FIRST = 5  # classes that the network knows; the others are fine-tuned on
IMAGES = 500  # a class
RECIPE = {"batch_size": 64, "lr": 0.02, "schedule": "cosine(warmup=0.1)", "weight_decay": 5e-4, "precision": "bf16", "threads": 1}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/fine_tuning/evaluate.csv")
    results = parser.parse_args().out.parent
    write_images(FOLDER / "known", range(FIRST), None)
    write_images(FOLDER / "other", range(FIRST, 10), IMAGES)
    weights = FOLDER / "resnet18.pt"
    if not weights.is_file():
        known = nas.evaluate(
            "torchvision(name=resnet18)",
            f"arrays(root='{FOLDER / 'known'}',crop=4,flip=True)",
            methods=["backprop"],
            seeds=1,
            iterations=600,
            data_dir=Path("."),
            results=FOLDER / "results",
            **(RECIPE | {"batch_size": 128, "lr": 0.05}),
        )
        print(known[["method", "iterations", "test_error"]].to_string(index=False), flush=True)
        exported = nas.export(Path("runs") / str(known["run"].iloc[0]), to="torch", out=FOLDER / "exported", data_dir=Path("."))
        shutil.copy(exported / "model.pt", weights)
    tables = [
        nas.evaluate(
            space,
            f"arrays(root='{FOLDER / 'other'}',crop=4,flip=True)",
            methods=["backprop", "dgl"],
            decoupling=["balanced(4,head=mlp_sr)"],
            seeds=3,
            iterations=200,
            data_dir=Path("."),
            results=results,
            discard_weights=True,
            **RECIPE,
        )
        for space in (f"torchvision(name=resnet18,weights='{weights}')", "torchvision(name=resnet18)")
    ]
    found = pd.concat(tables)
    found["start"] = found["backbone"].str.contains("weights").map({True: "trained", False: "random"})
    print((100 * found.groupby(["start", "method", "decoupling"])["test_error"].agg(["mean", "std"])).round(2).to_string())


def write_images(folder: Path, classes: range, most: int | None) -> None:
    """CIFAR-10's images of some classes, numbered from 0, `most` a class for training, as the task `arrays` reads them."""
    if (folder / "test.npz").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        held = torchvision().datasets.CIFAR10(os.environ.get("NAS_DATA_DIR", "data"), train=part == "train")
        labels = np.asarray(held.targets)
        chosen = [np.flatnonzero(labels == c)[: most if part == "train" else None] for c in classes]
        index = np.sort(np.concatenate(chosen))
        np.savez(folder / f"{part}.npz", images=held.data[index], labels=labels[index] - classes[0])


if __name__ == "__main__":
    main()
