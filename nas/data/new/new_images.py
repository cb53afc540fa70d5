"""New images: an .npz file of them, or files of any size in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data.features import FeatureScale, beside
from nas.data.images.augmentation import normalised, row_constants
from nas.data.images.image_files import FoundImages, left_out_note, listed, shown
from nas.data.images.image_reader import middle, read_image
from nas.data.images.npz import read_npz
from spaces.notation.errors import UserError


@dataclass(frozen=True, eq=False)
class ImageArray:
    """Images of an .npz file, which have the run's size."""

    names: list[str]
    pixels: torch.Tensor  # uint8 (N, H, W, C)
    features: torch.Tensor | None  # float32 (N, F), standardised
    inputs: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    fault = None

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> ImageArray:
        """The array `images`, and `features` where the run has any; another type or shape is a UserError."""
        names = ["images", *(["features"] if inputs.get("features") else [])]
        images, *numbers = read_npz(path, names)
        channels, height, width = inputs["shape"]
        fits = images.dtype == np.uint8 and images.ndim in (3, 4) and (*images.shape, 1)[1:4] == (height, width, channels)
        if not fits:
            swapped = images.ndim == 4 and images.dtype == np.uint8 and images.shape[1:] == (channels, height, width)
            mend = "save images.transpose(0, 2, 3, 1)" if swapped else "scale and convert them"
            raise UserError(
                f"this run answers uint8 images (N, {height}, {width}, {channels}), but {path} holds "
                f"{str(images.dtype)[:40]} {images.shape}{', channels first' * swapped}; {mend}"
            )
        features = (
            standardised_features(numbers[0], len(images), FeatureScale.read(inputs["features"]), path) if numbers else None
        )
        pixels = torch.from_numpy(images.reshape(len(images), height, width, channels))
        return cls([str(row) for row in range(len(images))], pixels, features, inputs)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, Any]]:
        """Batches of up to `size` images, in the order of `names`."""
        for index in torch.arange(len(self.names)).split(size):
            yield index, beside(_normalised(self.pixels[index], self.inputs), self.features, index)


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images of any size in a folder's files; opened batch by batch. Of those that cannot be read, `unread` comes to hold the
    name and why."""

    files: list[str]
    folder: Path
    inputs: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    unread: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> ImageFiles:
        """The images below the folder, in alphabetical order, or the one image file; none is opened yet. A run with features is a
        UserError."""
        if inputs.get("features"):
            raise UserError(
                "this run answers images with features beside them, which a folder has not; give an .npz with the "
                f"arrays images and features, got {path}"
            )
        if inputs["shape"][0] not in (1, 3):
            raise UserError(f"this run answers images of {inputs['shape'][0]} channels, which no image file has; give an .npz")
        if not path.is_dir():
            return cls([path.name], path.parent, inputs)
        found = FoundImages.below(path)
        return cls(found.names, path, inputs, left_out_note(path, found.left_out))

    @property
    def names(self) -> list[str]:
        return list(map(shown, self.files))

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """In order, without those that cannot be read."""
        for places in torch.arange(len(self.files)).split(size):
            read = {place: pixels for place in places.tolist() if (pixels := self._read(self.files[place])) is not None}
            if read:
                yield torch.tensor(list(read)), _normalised(torch.from_numpy(np.stack(list(read.values()))), self.inputs)

    @property
    def fault(self) -> str | None:
        """What is to be said of the images that could not be read."""
        if not self.unread:
            return None
        which = f" ({listed(self.unread)})" if len(self.unread) > 1 else ""
        return f"no answer for {len(self.unread)} of {len(self.files)} images{which}: {next(iter(self.unread.values()))}"

    def _read(self, file: str) -> np.ndarray | None:
        try:
            return self._pixels(self.folder / file)
        except UserError as error:
            self.unread[file] = str(error)
            return None

    def _pixels(self, path: Path) -> np.ndarray:
        """uint8 (H, W, C): the middle of the image, its shorter side scaled to the run's (times the zoom of its evaluation)."""
        channels, height, width = self.inputs["shape"]
        image = read_image(path, "L" if channels == 1 else "RGB")
        if image.size != (width, height) or self.inputs["zoom"] != 1:
            image = middle(image, height, width, self.inputs["zoom"])
        return np.asarray(image).reshape(height, width, channels)


def _normalised(pixels: torch.Tensor, inputs: Mapping[str, Any]) -> torch.Tensor:
    return normalised(pixels, row_constants(inputs["mean"], inputs["std"], inputs["shape"][2], pixels.device))


def standardised_features(values: np.ndarray, num_images: int, scale: FeatureScale, path: Path) -> torch.Tensor:
    """The features (N, F), standardised as in training."""
    shape = (num_images, len(scale.mean))
    if values.dtype.kind not in "iuf" or values.shape != shape or not np.isfinite(values).all():
        raise UserError(
            f"this run answers finite features {shape}, a row an image, but {path} holds {values.dtype} "
            f"{values.shape}, or some that are not finite; convert them"
        )
    return scale(torch.from_numpy(values.astype(np.float64)))
