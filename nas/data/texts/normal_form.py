"""One form for texts that read the same, and what belongs to the character before it, as Unicode has them."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby

# Characters that nobody sees and that part no words: soft hyphens, directions of writing, byte order marks.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_BLANK_WITHOUT_WIDTH = "\u200b"  # between words of Thai, Khmer and others
_JOINERS, _COLOURS_OF_SKIN = (0x200C, 0x200D), range(0x1F3FB, 0x1F400)


def normalised(text: str) -> str:
    """The text in Unicode's normal form C, where a letter and its accents are one, and without invisible characters."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text).replace(_BLANK_WITHOUT_WIDTH, " "))


@cache
def attached(wide: bool) -> str:
    """What belongs to the character before it, as ranges for the brackets of a regular expression: combining marks (accents,
    vowel signs), the joiners of letters and of emoji, colours of skin. `wide` adds those beyond U+FFFF, slow to match."""
    numbers = [number for number in range(0x300, 0x10000) if _is_mark(number) or number in _JOINERS]
    if wide:  # planes 1 and 14 have the other marks
        numbers += [
            number
            for number in (*range(0x10000, 0x20000), *range(0xE0100, 0xE01F0))
            if _is_mark(number) or number in _COLOURS_OF_SKIN
        ]
    runs = ([number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]))
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


def _is_mark(number: int) -> bool:
    return unicodedata.category(chr(number))[0] == "M"
