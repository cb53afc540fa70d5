"""Which files of a folder are images, and what else lies there: the same rule for training and for new images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from spaces.notation.errors import UserError

# Of what Pillow reads, what cameras, phones, scanners and editors write; HEIC where pillow-heif is installed.
_ENDINGS = (
    ".apng",
    ".avif",
    ".bmp",
    ".dib",
    ".gif",
    ".heic",
    ".heif",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".mpo",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
# What file systems, network drives and archivers leave behind; so is every name that begins with a dot.
_LEFTOVERS = {
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@tmp",
    "@__thumb",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "$recycle.bin",
    "recycler",
    "__macosx",
    "__pycache__",
    "lost+found",
    "system volume information",
    "network trash folder",
    "temporary items",
    "thevolumesettingsfolder",
    "@synoresource",
    "_gsdata_",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
}
_LEFTOVER = "hidden or of the system"
_SHOWN = 6  # how many endings or names a message lists


@cache
def image_endings() -> dict[str, str]:
    """The endings of image files, in lower case, and the name that Pillow has for their format."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    formats = Image.registered_extensions()
    return {ending: formats[ending] for ending in _ENDINGS if formats.get(ending) in Image.OPEN}


@dataclass(frozen=True)
class FoundImages:
    """`names` of image files, relative to their folder and in order; of other files `left_out` counts those of each ending
    or kind."""

    names: list[str]
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def below(cls, folder: Path) -> FoundImages:
        """All that lie in the folder and in the folders inside it, also linked ones.

        Hidden files, what systems leave behind (`is_leftover`), empty files, broken links and other endings are left out. A
        folder that cannot be listed is a UserError.
        """
        found = cls([])
        found._walk(folder, "", (os.path.realpath(folder),))
        found.names.sort()
        return found

    def _walk(self, folder: Path, prefix: str, above: tuple[str, ...]) -> None:
        for entry in _entries(folder):
            name = prefix + entry.name
            if is_leftover(entry.name):
                self.left_out[_LEFTOVER] += 1
            elif os.path.isdir(entry):
                real = os.path.realpath(entry)
                if real in above:
                    self.left_out["link to a folder above"] += 1
                else:
                    self._walk(Path(entry), f"{name}/", (*above, real))
            elif (why := _no_image(entry)) is not None:
                self.left_out[why] += 1
            else:
                self.names.append(name)


def _no_image(entry: os.DirEntry[str]) -> str | None:
    """Why this, which is no folder, is no image file."""
    ending = os.path.splitext(entry.name)[1].lower()
    if not os.path.isfile(entry):
        return "broken link" if entry.is_symlink() else "no ordinary file"
    if not is_image(entry.name):
        heic = ", read once pillow-heif is installed" if ending in (".heic", ".heif") else ""
        return f"{shown(ending)}{heic}" or "without ending"
    return None if os.path.getsize(entry) else f"empty {ending}"


def is_image(name: str) -> bool:
    """Whether a file of this name is an image by its ending."""
    return os.path.splitext(name)[1].lower() in image_endings()


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to a file system, a network drive or an archiver."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in it, in order, but leftovers; none where it is no folder."""
    if not os.path.isdir(folder):
        return []
    return sorted(
        entry.name for entry in _entries(folder) if not is_leftover(entry.name) and os.path.isdir(entry) and not _leads_up(entry)
    )


def beside_folders(folder: Path) -> Counter[str]:
    """What lies in a folder beside those of `folders_in`, by kind."""
    return Counter(
        _LEFTOVER if is_leftover(entry.name) else "beside the class folders"
        for entry in _entries(folder)
        if is_leftover(entry.name) or not os.path.isdir(entry) or _leads_up(entry)
    )


def _leads_up(entry: os.DirEntry[str]) -> bool:
    """Whether this is a link to the folder in which it lies, or to one above."""
    return entry.is_symlink() and f"{os.path.realpath(os.path.dirname(entry.path))}/".startswith(f"{os.path.realpath(entry)}/")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"the folder {shown(folder)} cannot be listed ({error.strerror}); make it readable") from None


def left_out_note(folder: Path, left_out: Counter[str]) -> tuple[str, ...]:
    """One line on what was left out of the folder; no line where nothing was."""
    if not left_out:
        return ()
    count = left_out.total()
    return (f"{shown(folder)}: {count} file{'s are' if count > 1 else ' is'} left out ({kinds(left_out)})",)


def kinds(left_out: Counter[str]) -> str:
    """How many of each kind, the most first."""
    said = [f"{number} {kind}" for kind, number in left_out.most_common(_SHOWN)]
    return ", ".join(said + [f"{len(left_out) - _SHOWN} more kinds"] * (len(left_out) > _SHOWN))


def shown(path: Path | str) -> str:
    """A path as text that can be printed: bytes that are no UTF-8 and control characters as \\x.. escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def listed(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    names = list(map(shown, names))
    return ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
