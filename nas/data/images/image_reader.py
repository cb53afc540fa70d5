"""An image file as a person sees it: upright, in sRGB, on white, 16 bits as 8."""

from __future__ import annotations

import io
import logging
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError, features

from nas.data.images.image_files import image_endings, shown
from nas.data.images.torchvision_import import torchvision
from spaces.notation.errors import UserError

# What Pillow's readers raise on damaged and foreign files.
_READ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    AttributeError,
    AssertionError,
    RuntimeError,
    ZeroDivisionError,
    OverflowError,
    MemoryError,
    struct.error,
)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
logging.getLogger("PIL").addHandler(logging.NullHandler())  # which else writes what it raises to stderr as well
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR = 258, 262, 284  # tags of TIFF
_LARGE, _PIXELS_A_BYTE = 2**25, 400  # of a file of one colour PNG makes 344, of a photograph no format more than 100
_LONGEST = 64  # times its height, or its width, an image is scaled
_SAME = 2  # a profile that moves no colour by more of 255 is sRGB


class ImageBytes(NamedTuple):
    """The content of an image file, out of a table, and what messages call it."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


ImageSource = Path | ImageBytes  # where an image comes from


def read_image(path: ImageSource, mode: str = "RGB") -> Image.Image:
    """The picture in Pillow's mode `RGB` or `L`; one that cannot be read, or whose white is not fixed, is a UserError.

    It is what a viewer shows: turned as the camera noted (EXIF), its colours brought to sRGB where a profile is embedded, what
    is transparent on white, 16 bits a sample as their upper 8; of several frames or pages the first. An ordinary sRGB image
    comes out as Pillow's `convert` has it, to the bit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, and of notes beside the pixels
            with Image.open(_file(path), formats=(*set(image_endings().values()),)) as file:
                if file.width * file.height > max(_LARGE, _PIXELS_A_BYTE * _size(path)):
                    raise Image.DecompressionBombError
                with _without_messages() if file.format == "TIFF" else nullcontext():
                    file.load()
                fault = _fault(file, path)
                if fault is None:
                    return _seen(file, mode)
    except Image.DecompressionBombError:
        raise UserError(
            f"an image has at most {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, and above {_LARGE:,} at most "
            f"{_PIXELS_A_BYTE} a byte of its file, but {shown(str(path))} has more; scale it down, or remove it if "
            "it is no photograph"
        ) from None
    except UnidentifiedImageError:
        raise UserError(
            f"the image {shown(str(path))} is missing or damaged (no format that is read begins with {_beginning(path)}); "
            "restore it from the original data set, or save it as PNG"
        ) from None
    except _READ_ERRORS as error:
        raise UserError(
            f"the image {shown(str(path))} is missing or damaged ({' '.join(repr(error).split())[:200]}); restore it from "
            "the original data set"
        ) from None
    raise UserError(fault)


def middle(image: Image.Image, height: int, width: int, zoom: float = 1.0) -> Image.Image:
    """The middle of the image, of this size, once its shorter side is scaled to `zoom` times the larger of the two."""
    transforms = torchvision().transforms
    longest = _LONGEST * min(image.size)
    if max(image.size) > longest:  # of a strip only what can be in the middle is scaled, which else may take gigabytes
        image = transforms.CenterCrop((min(image.height, longest), min(image.width, longest)))(image)
    return transforms.CenterCrop((height, width))(transforms.Resize(round(max(height, width) * zoom))(image))


@contextmanager
def _without_messages() -> Iterator[None]:
    """What libtiff writes to the process's stderr itself, beside the error that it returns, is dropped."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _file(source: ImageSource) -> Path | io.BytesIO:
    return source if isinstance(source, Path) else io.BytesIO(source.content)


def _size(source: ImageSource) -> int:
    return os.path.getsize(source) if isinstance(source, Path) else len(source.content)


def _content(source: ImageSource) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source.content


def _fault(file: Image.Image, path: ImageSource) -> str | None:
    """Why the pixels cannot be shown: numbers of 32 bits (16 bits of PGM and PNG come in 32, too), or kinds that Pillow reads
    as other numbers than are there."""
    if file.mode == "F" or (file.mode == "I" and file.format not in ("PPM", "PNG")):
        return (
            f"pixels are whole numbers of 8 or 16 bits, but the image {shown(str(path))} has 32 (mode {file.mode}), where it is "
            "not fixed which value is white; save it with 8 or 16 bits"
        )
    tags = getattr(file, "tag_v2", {})
    planes = tags.get(_PLANAR) == 2 and tags.get(_BITS_PER_SAMPLE, (8,))[0] > 8 and file.info.get("compression") == "raw"
    deep = file.format == "JPEG2000" and not file.mode.startswith("I") and _bits_of_jpeg_2000(_content(path)) > 8
    if planes or deep:
        return (
            f"colours of more than 8 bits are not read out of {'JPEG 2000' if deep else 'TIFF with a plane each'}, as those "
            f"of {shown(str(path))} are; save it with 8 bits, or as PNG"
        )
    return None


def _bits_of_jpeg_2000(data: bytes) -> int:
    """Of the first component, as the codestream's header says."""
    start = data.find(b"\xff\x4f\xff\x51")
    return (data[start + 42] & 127) + 1


def _beginning(path: ImageSource) -> str:
    """A file's first bytes, printable."""
    with path.open("rb") if isinstance(path, Path) else io.BytesIO(path.content) as file:
        return repr(file.read(16)).removeprefix("b")


def _seen(file: Image.Image, mode: str) -> Image.Image:
    image = _eight_bits(file)
    profile = file.info.get("icc_profile")
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        colours = _in_srgb(whole.convert("L" if image.mode.startswith("L") else "RGB"), profile)
        image = Image.new("RGB", whole.size, "white")
        image.paste(colours, mask=whole.getchannel("A"))
    else:
        image = _in_srgb(image.convert("RGB") if profile and image.mode == "P" else image, profile)
    turn = _UPRIGHT.get(_orientation(file))
    image = image if turn is None else image.transpose(turn)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as its upper 8, as Pillow has it of colours; other images as they are."""
    if not image.mode.startswith("I"):
        return image
    values, tags = np.asarray(image).astype(np.int64), getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]  # 12 of some cameras and scanners
    if tags.get(_PHOTOMETRIC) == 0:  # white is 0, as some X-rays have it
        values = 2**bits - 1 - values
    grey = Image.fromarray((values >> (bits - 8)).clip(0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _orientation(file: Image.Image) -> int:
    """How the camera was held, as EXIF has it; 1, upright, where nothing that can be read says so."""
    try:
        return int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except _READ_ERRORS:
        return 1


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of what the profile describes; as it is where there is none, it is sRGB, or it does not fit."""
    transform = _to_srgb(image.mode, profile) if profile or image.mode == "LAB" else None
    return image if transform is None else ImageCms.applyTransform(image, transform) or image


@lru_cache(maxsize=16)
def _to_srgb(mode: str, profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    if not features.check("littlecms2") or mode not in ("RGB", "L", "CMYK", "LAB"):
        return None
    source = ImageCms.createProfile("LAB") if mode == "LAB" else io.BytesIO(profile or b"")
    try:
        transform = ImageCms.buildTransform(ImageCms.ImageCmsProfile(source), ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    if mode in ("CMYK", "LAB"):
        return transform
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3) if mode == "RGB" else levels[None]
    probe = Image.fromarray(grid)
    moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int) - np.asarray(probe.convert("RGB"))
    return None if np.abs(moved).max() <= _SAME else transform
