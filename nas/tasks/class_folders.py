"""Folders with one folder of images a class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from nas.data.images.image_files import (
    FoundImages,
    beside_folders,
    folders_in,
    image_endings,
    kinds,
    left_out_note,
    listed,
    shown,
)
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class ClassImages:
    """Image files of all classes: `files` relative to `folder`, class after class, `labels` their classes, and a line about what
    else lies there."""

    folder: Path
    files: list[str]
    labels: list[int]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> tuple[str, ...]:
        return left_out_note(self.folder, self.left_out)


def class_folders(folder: Path) -> list[str]:
    """The names of the classes, in order, leftovers of systems and tools aside; a UserError where there are none."""
    names = folders_in(folder)
    if not names:
        raise UserError(
            f"{shown(folder)} holds one folder of images a class, but there is none; put the unpacked data set "
            "there, or give another data folder"
        )
    return names


def image_files(folder: Path, classes: list[str], inside: str = "") -> ClassImages:
    """The images of each class, in its folder (or in that folder's folder `inside`, if given) and in the folders in it.

    Names are read, no images; a class without an image is a UserError.
    """
    found = ClassImages(folder, [], [], beside_folders(folder))
    for label, name in enumerate(classes):
        place = Path(name, inside)
        images = FoundImages.below(folder / place)
        if not images.names:
            there = f"; it holds {kinds(images.left_out)}" if images.left_out else ""
            raise UserError(
                f"{shown(folder / place)} holds the images of a class, but has none with an ending that is read "
                f"({', '.join(image_endings())}){there}; restore them, or remove the folder"
            )
        found.files.extend(f"{place}/{file}" for file in images.names)
        found.labels.extend([label] * len(images.names))
        found.left_out.update(images.left_out)
    return found


def check_same_classes(one: Path, other: Path) -> None:
    """Refuse two folders that do not hold folders of the same classes, and name those that only one of them has."""
    names = {folder: set(class_folders(folder)) for folder in (one, other)}
    only = {folder: sorted(found - names[other if folder == one else one]) for folder, found in names.items()}
    said = ", ".join(f"only {shown(folder.name)} has {listed(found)}" for folder, found in only.items() if found)
    if said:
        alike = {_alike(name) for name in only[one]} & {_alike(name) for name in only[other]}
        spelt = ", which are spelt in two ways (case, or accents)" if alike else ""
        raise UserError(
            f"{shown(one)} and {shown(other)} hold folders of the same {len(names[one])} classes, but they differ: "
            f"{said}{spelt}; rename, move or remove what differs"
        )


def _alike(name: str) -> str:
    return normalize("NFC", name).casefold()
