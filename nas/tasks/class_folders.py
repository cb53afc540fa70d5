"""Folders with one folder of images a class."""

from __future__ import annotations

import os
from pathlib import Path

from spaces.errors import UserError

_SUFFIXES = (".jpeg", ".jpg", ".png")


def class_folders(folder: Path) -> list[str]:
    """The names of the classes, in order; a UserError where there are none."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else []
    if not names:
        raise UserError(f"{folder} holds one folder of images a class, but there is none; put the unpacked data set there, or "
                        "give another data folder")
    return names


def image_files(folder: Path, classes: list[str], inside: str = "") -> tuple[list[str], list[int]]:
    """The image files of each class (in its folder's folder `inside`, if given), relative to `folder`, and their classes.

    Names are read, no images; a class without an image is a UserError.
    """
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        place = Path(name, inside)
        names = os.listdir(folder / place) if (folder / place).is_dir() else []
        found = sorted(file for file in names if file.lower().endswith(_SUFFIXES))
        if not found:
            raise UserError(f"{folder / place} holds the images of a class, but has no {', '.join(_SUFFIXES)} file; restore it")
        files += [f"{place}/{file}" for file in found]
        labels += [label] * len(found)
    return files, labels
