"""The tokens of a text, of which texts that read the same have the same. Nothing but Python is needed: exported networks for
texts have a copy of this file."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby

# Characters that nobody sees and that part no words: soft hyphens, directions of writing, byte order marks.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_BLANK_WITHOUT_WIDTH = "\u200b"  # between words of Thai, Khmer and others
_TAG = re.compile(r"</?[a-z][^<>]*>")
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


def _pattern(word: str, symbol: str) -> re.Pattern[str]:
    return re.compile(rf"{word}(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|{word}|{symbol}")


_TOKEN = _pattern(r"\w+", r"[^\w\s]")


@cache
def _token_with_marks(wide: bool) -> re.Pattern[str]:
    """`_TOKEN` for any script; emoji with a joiner between them are one symbol."""
    symbol = rf"[^\w\s][{attached(wide)}]*"
    return _pattern(rf"\w[\w{attached(wide)}]*", rf"{symbol}(?:(?<=\u200d){symbol})*")


def tokenised(text: str, length: int) -> list[str]:
    """The first `length` tokens of a text: words in lower case, and punctuation marks each by itself.

    English short forms are cut as in the Penn Treebank (it 's, do n't), which GloVe's vectors were made from; HTML tags
    count for nothing. Texts that read the same have the same tokens (`normalised`), and what Unicode attaches to a letter
    (accents, vowel signs, joiners) stays with it. A text of blanks and tags has no token.
    """
    text = normalised(text.lower().replace("’", "'"))
    token = _TOKEN if text.isascii() else _token_with_marks(max(text) > "\uffff")
    return token.findall(_TAG.sub(" ", text))[:length]
