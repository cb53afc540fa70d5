"""Images of noise as a task: timing and rehearsals need no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def noise_task(folder: Path, num_images: int) -> str:
    """The task `arrays(...)` of so many training images of 3 x 32 x 32 in ten classes, which lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for part, count in (("train", num_images), ("test", max(20, num_images // 10))):
        if not (folder / f"{part}.npz").exists():
            images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            np.savez(folder / f"{part}.npz", images=images, labels=np.arange(count) % 10)
    return f"arrays(root='{folder.absolute()}')"
