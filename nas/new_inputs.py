"""Inputs that no task holds, for a trained run to answer: a folder of images, an .npz of images, a CSV file of texts."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from nas.augmentation import normalised, row_constants
from nas.folder_split import opened
from nas.text_split import TextSplit
from nas.torchvision_import import torchvision
from nas.vocabulary import Vocabulary, tokenised
from spaces.errors import UserError

SUFFIXES = (".jpeg", ".jpg", ".png")
_NPZ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
_CSV_ERRORS = (OSError, ValueError, EOFError, zlib.error)  # pandas' own are ValueErrors


class NewInputs(Protocol):
    """Inputs in the order of `names`, a file's name or the number of a row, from 0 on."""

    @property
    def names(self) -> list[str]: ...

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Places among `names` (N,) and inputs (N, *input_shape), or token ids (N, T), of up to `size` inputs."""


def new_inputs(path: Path, inputs: Mapping[str, Any]) -> NewInputs:
    """What lies at `path`, as the run's own inputs were made (`inputs` is `TaskData.inputs`).

    A folder of .jpeg, .jpg and .png files, also in folders in it, and an .npz with `images` uint8 (N, H, W) or (N, H, W, C)
    are for runs on images, a CSV file with a column `text`, gzipped or not, is for runs on texts. Images in files of
    another size are scaled until their shorter side fits, and the middle is cut out. What is missing, damaged, empty or not for
    this run is a UserError.
    """
    of_texts = inputs["kind"] == "texts"
    wanted = "a CSV file of texts" if of_texts else "a folder of images or an .npz file"
    if not path.exists():
        raise UserError(f"there is no {path}; this run answers {wanted}")
    if of_texts != path.name.endswith((".csv", ".csv.gz")):
        raise UserError(f"this run answers {wanted}, but {path} came")
    if of_texts:
        return NewTexts.read(path, Vocabulary(tuple(inputs["words"])), inputs["length"])
    return (ImageFiles if path.is_dir() else ImageArray).read(path, inputs)


@dataclass(frozen=True, eq=False)
class NewTexts:
    """Texts of a CSV file."""

    names: list[str]
    texts: TextSplit

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary, length: int) -> NewTexts:
        """The column `text`; a text without a token is a UserError that names its row."""
        try:
            column = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["text"])["text"]
        except _CSV_ERRORS as error:
            raise UserError(f"{path} is read as UTF-8 CSV with a column text, but: {' '.join(str(error).split())}") from None
        ids = [vocabulary.encoded(tokenised(text, length)) for text in column]
        if not all(ids):
            raise UserError(f"a text has one token at least, but row {ids.index([])} of {path} (from 0 on) has none; remove it")
        _check_some(ids, path)
        return cls([str(row) for row in range(len(ids))], TextSplit.of(ids, [0] * len(ids)))

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The longest texts first, so that batches have little padding."""
        for index in self.texts.lengths.argsort(descending=True, stable=True).split(size):
            yield index, self.texts.batch(index)[0]


@dataclass(frozen=True, eq=False)
class ImageArray:
    """Images of an .npz file, which have the run's size."""

    names: list[str]
    pixels: torch.Tensor  # uint8 (N, H, W, C)
    inputs: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> ImageArray:
        """The array `images`; another type or shape is a UserError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                images = file["images"]
        except _NPZ_ERRORS as error:
            raise UserError(f"{path} is read as .npz with the array images, but: {error!r}; write it with numpy.savez") from None
        channels, height, width = inputs["shape"]
        fits = images.dtype == np.uint8 and images.ndim in (3, 4) and (*images.shape, 1)[1:4] == (height, width, channels)
        if not fits:
            raise UserError(f"this run answers uint8 images (N, {height}, {width}, {channels}), but {path} holds {images.dtype} "
                            f"{images.shape}; scale and convert them")
        _check_some(images, path)
        names = [str(row) for row in range(len(images))]
        return cls(names, torch.from_numpy(images.reshape(len(images), height, width, channels)), inputs)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """In order."""
        for index in torch.arange(len(self.names)).split(size):
            yield index, _normalised(self.pixels[index], self.inputs)


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images of any size in a folder's files; opened batch by batch."""

    names: list[str]
    folder: Path
    inputs: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> ImageFiles:
        """The names of the files, in alphabetical order; no image is opened yet."""
        names = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        _check_some(names, path)
        if inputs["shape"][0] not in (1, 3):
            raise UserError(f"this run answers images of {inputs['shape'][0]} channels, which no image file has; give an .npz")
        return cls(names, path, inputs)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """In order; a damaged image is a UserError that names it."""
        for index in torch.arange(len(self.names)).split(size):
            pixels = np.stack([self._pixels(self.folder / self.names[place]) for place in index.tolist()])
            yield index, _normalised(torch.from_numpy(pixels), self.inputs)

    def _pixels(self, path: Path) -> np.ndarray:
        """uint8 (H, W, C): the middle of the image, its shorter side scaled to the run's (times the zoom of its evaluation)."""
        channels, height, width = self.inputs["shape"]
        image = opened(path, "L" if channels == 1 else "RGB")
        if image.size != (width, height) or self.inputs["zoom"] != 1:
            transforms = torchvision().transforms
            scaled = transforms.Resize(round(max(height, width) * self.inputs["zoom"]))(image)
            image = transforms.CenterCrop((height, width))(scaled)
        return np.asarray(image).reshape(height, width, channels)


def _normalised(pixels: torch.Tensor, inputs: Mapping[str, Any]) -> torch.Tensor:
    return normalised(pixels, row_constants(inputs["mean"], inputs["std"], inputs["shape"][2], pixels.device))


def _check_some(found: Any, path: Path) -> None:
    if not len(found):
        raise UserError(f"there is nothing to answer in {path}; give at least one input")
