"""One sample of a user's own data, and a batch of them: what they may be, and what people are told of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from spaces.activation import PADDING
from spaces.notation.errors import UserError

Kind = Literal["pixels", "numbers", "ids"]


class Collated(NamedTuple):
    """Some samples, stacked, on the CPU.

    x         (N, C, H, W) uint8 pixels, (N, ...) float32 numbers, or (N, T) int64 ids, `PADDING` behind shorter texts
    y         int64 (N,): the classes
    features  float32 (N, F): the numbers beside each; None without any
    """

    x: torch.Tensor
    y: torch.Tensor
    features: torch.Tensor | None = None

    @property
    def kind(self) -> Kind:
        """What x is."""
        return "pixels" if self.x.dtype == torch.uint8 else "numbers" if self.x.is_floating_point() else "ids"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one x; (T,) of texts."""
        return tuple(self.x.shape[1:])

    @property
    def num_features(self) -> int:
        """How many numbers stand beside each x."""
        return 0 if self.features is None else self.features.shape[1]


class Form(NamedTuple):
    """What all samples of a task are, as its first one shows; `num_classes` is None until it is known."""

    kind: Kind
    shape: tuple[int, ...]
    num_features: int
    num_classes: int | None = None
    num_words: int | None = None

    @classmethod
    def of(cls, samples: Collated) -> Form:
        """That of these."""
        return cls(samples.kind, samples.shape, samples.num_features)

    def is_like(self, samples: Collated) -> bool:
        """Whether these can be stacked with others of the form."""
        same = self.kind == "ids" or samples.shape == self.shape
        return same and samples.kind == self.kind and samples.num_features == self.num_features

    def check(self, samples: Collated, where: str) -> None:
        """A UserError that begins with `where` unless the samples have this form."""
        if samples.kind != self.kind:
            raise UserError(
                f"{where}: all samples hold {self.kind}, as the first of train does, got {samples.kind}; give one type"
            )
        if self.kind != "ids" and samples.shape != self.shape:
            raise UserError(
                f"{where}: all samples have the shape of the first of train, {self.shape}, got {samples.shape}; "
                "resize, crop or pad them in the data set"
            )
        if samples.num_features != self.num_features:
            raise UserError(
                f"{where}: all samples have {self.num_features} features, as the first of train, got {samples.num_features}"
            )
        last = self.num_classes and self.num_classes - 1
        if int(samples.y.min()) < 0 or (last is not None and int(samples.y.max()) > last):
            wrong = next(int(y) for y in samples.y if y < 0 or (last is not None and y > last))
            raise UserError(
                f"{where}: labels lie in 0..{'C-1' if last is None else last}, got {wrong}; number the classes from 0"
            )
        if self.num_words is not None and not 0 <= int(samples.x.min()) <= int(samples.x.max()) < self.num_words:
            raise UserError(
                f"{where}: token ids lie in 0..{self.num_words - 1}, got {int(samples.x.min())}..{int(samples.x.max())}; "
                "give num_words=, one more than the largest id"
            )
        for numbers in (samples.x, samples.features):
            if numbers is None or not numbers.is_floating_point():
                continue
            # The sum, which tells most batches in a tenth of the time, may be too large where no number is.
            if not bool(numbers.sum().isfinite()) and not bool(numbers.isfinite().all()):
                raise UserError(f"{where}: numbers are finite, got NaN or infinity; mend or leave out the sample")


def one_sample(item: Any, where: str) -> Collated:
    """A data set's item as a batch of one: (x, y), or (x, y, features); another is a UserError that begins with `where`."""
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise UserError(f"{where}: a sample is a pair (x, y), or (x, y, features), got {_described(item)}; return such tuples")
    x, y, *others = item
    features = None if not others else _features(others[0], where)[None]
    return Collated(_input(x, where)[None], torch.tensor([_label(y, where)]), features)


def one_batch(made: Any, count: int, where: str) -> Collated:
    """What a user's collate function makes of `count` items: x (N, ...), y (N,), and features (N, F) if there are any."""
    tensors = isinstance(made, tuple | list) and all(isinstance(part, torch.Tensor) for part in made)
    if not tensors or len(made) not in (2, 3):
        raise UserError(f"{where}: a collate function gives tensors (x, y), or (x, y, features), got {_described(made)}")
    x, y, *others = made
    if y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool or {len(part) for part in made if part.dim()} != {count}:
        raise UserError(
            f"{where}: of {count} samples x is ({count}, ...) and y whole numbers ({count},), got {_described(x)} and "
            f"{_described(y)}"
        )
    inputs = torch.stack([_input(row, where) for row in x])
    return Collated(inputs, y.long(), torch.stack([_features(row, where) for row in others[0]]) if others else None)


def stacked(samples: Sequence[Collated]) -> Collated:
    """Some batches behind each other; of texts, padded to the longest."""
    longest = max(part.x.shape[1] for part in samples) if samples[0].kind == "ids" else 0
    x = torch.cat([_padded(part.x, longest) if longest else part.x for part in samples])
    features = [part.features for part in samples if part.features is not None]
    return Collated(x, torch.cat([part.y for part in samples]), torch.cat(features) if features else None)


def _padded(ids: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(ids, (0, length - ids.shape[1]), value=PADDING)


def _input(x: Any, where: str) -> torch.Tensor:
    """uint8 (C, H, W), float32 of any shape, or int64 (T,)."""
    if isinstance(x, Image.Image):
        pixels = np.array(x if x.mode in ("L", "RGB") else x.convert("L" if x.mode == "1" else "RGB"))
        return torch.from_numpy(pixels).view(*pixels.shape[:2], -1).permute(2, 0, 1)
    if not isinstance(x, torch.Tensor):
        raise UserError(f"{where}: an input is a tensor or a PIL image, got {_described(x)}; make a tensor of it in the data set")
    x = x.detach().as_subclass(torch.Tensor)  # of a class of torchvision's every operation would ask that
    image = x.dim() == 3 and (x.dtype == torch.uint8 or x.is_floating_point())
    if image and x.shape[2] in (1, 3, 4) and x.shape[0] > 4 and x.shape[1] > 4:
        raise UserError(f"{where}: an image has its channels first, (C, H, W), got {tuple(x.shape)}; give x.permute(2, 0, 1)")
    if 0 in x.shape:
        raise UserError(f"{where}: an input is not empty, got {_described(x)}; leave the sample out")
    if image and x.dtype == torch.uint8:
        return x
    if x.is_floating_point() and x.dim() > 0:
        return x.float()
    if x.dtype in (torch.int64, torch.int32, torch.int16) and x.dim() == 1:
        return x.long()
    raise UserError(
        f"{where}: an input is a uint8 image (C, H, W), floats, or whole token ids (T,), got {_described(x)}; convert it in "
        "the data set"
    )


def _label(y: Any, where: str) -> int:
    if isinstance(y, torch.Tensor) and y.dim() == 0 and not y.is_floating_point() and y.dtype != torch.bool:
        return int(y)
    if isinstance(y, int | np.integer) and not isinstance(y, bool):
        return int(y)
    raise UserError(f"{where}: a label is a whole number, the place of the class from 0 on, got {_described(y)}")


def _features(values: Any, where: str) -> torch.Tensor:
    """float32 (F,)."""
    try:
        features = torch.as_tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        features = torch.zeros(0)
    if features.dim() != 1 or not len(features):
        raise UserError(f"{where}: features are numbers (F,), got {_described(values)}; give a tensor of them")
    return features


def _described(value: Any) -> str:
    """What people call a value: a type, and the shape of a tensor or the keys of a dict."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, list(value)[:6]))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, bool | int | float | str):
        return f"the {type(value).__name__} {str(value)[:40]!r}"
    return f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")
