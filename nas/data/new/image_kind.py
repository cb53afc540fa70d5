"""Images, as a saved run knows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from methods.training.saved_fields import FINITE, POSITIVE, Field, number, whole
from nas.data.images.image_files import is_image
from nas.data.new.input_kind import InputKind, NewInputs
from nas.data.new.new_images import ImageArray, ImageFiles
from nas.data.new.text_kind import is_csv
from spaces.network import PixelScale


class ImageKind(InputKind):
    """Images: shape (C, H, W), mean and std a channel, and the zoom before the middle is cut out."""

    wanted = "a folder of images or an .npz file"
    fields: ClassVar[Mapping[str, Field]] = {
        "mean": FINITE.listed("a finite number each"),
        "std": POSITIVE.listed("a number above 0 each"),
        "zoom": number("a number in 1..4", lambda held: 1 <= held <= 4),
        "shape": Field(
            "channels, height and width, each in 1..10000",
            lambda held: whole(1, 10_000).listed("").holds(held) and len(held) == 3,
        ),
    }

    def fitting(self, inputs: Mapping[str, Any]) -> Mapping[str, Field]:
        """A mean and a std for each channel."""
        channels = inputs["shape"][0]
        per_channel = Field(f"{channels} numbers, as many as channels", lambda held: len(held) == channels)
        return {"mean": per_channel, "std": per_channel}

    def shape(self, inputs: Mapping[str, Any]) -> tuple[int, ...]:
        """The shape (C, H, W) of the run's images."""
        return tuple(inputs["shape"])

    def pixels(self, inputs: Mapping[str, Any]) -> PixelScale:
        """The constants of the training images."""
        return PixelScale(tuple(inputs["mean"]), tuple(inputs["std"]))

    def takes(self, path: Path) -> bool:
        """A folder or a file, but no CSV file."""
        return not is_csv(path)

    def read(self, path: Path, inputs: Mapping[str, Any]) -> NewInputs:
        """Images of any size in a folder, also in folders in it, or in a file; or the array `images` of an .npz."""
        kind: type[ImageFiles] | type[ImageArray] = ImageFiles if path.is_dir() or is_image(path.name) else ImageArray
        return kind.read(path, inputs)
