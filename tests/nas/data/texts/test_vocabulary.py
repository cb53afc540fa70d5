"""Tokens and vocabularies, against their definition and against slower ways to find them."""

from __future__ import annotations

import random
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from nas.data.texts.tokens import attached, tokenised
from nas.data.texts.vocabulary import Vocabulary
from spaces.activation import UNKNOWN
from spaces.notation.errors import UserError

LETTERS = "aZéß中٣_09 \t\n\r\u2028.,;:!?-'\"<>/&#$%()[]{}\\`~^|=+*@\0\x85😀"


def made_up(number: int) -> str:
    draw = random.Random(number)
    return "".join(draw.choices(LETTERS, k=draw.randrange(60)))


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("It's a DOG.", ["it", "'s", "a", "dog", "."]),
        ("We don't, can’t & won't!", ["we", "do", "n't", ",", "ca", "n't", "&", "wo", "n't", "!"]),
        ("'quoted' rock'n'roll", ["'", "quoted", "'", "rock", "'", "n", "'", "roll"]),
        ("good<br /><br />bad <b>very</b> 5 < 6 > 4", ["good", "bad", "very", "5", "<", "6", ">", "4"]),
        (" \t<br>\n ", []),
    ],
)
def test_tokens_are_words_and_marks_as_in_the_treebank(text: str, tokens: list[str]) -> None:
    assert tokenised(text, 99) == tokens


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("हिन्दी फिल्म अच्छी है।", ["हिन्दी", "फिल्म", "अच्छी", "है", "।"]),  # Devanagari: vowel signs and virama
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("ภาษา ไทย ที่ดี", ["ภาษา", "ไทย", "ที่ดี"]),
        ("مُحَمَّد كِتَاب، نعم", ["مُحَمَّد", "كِتَاب", "،", "نعم"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("cafe\u0301 tre\u0300s, caf\u00e9", ["caf\u00e9", "tr\u00e8s", ",", "caf\u00e9"]),  # NFD, as macOS writes, and NFC
        ("İstanbul x\u0331y", ["i\u0307stanbul", "x\u0331y"]),  # no single character has these
        ("می\u200cخواهم نرو", ["می\u200cخواهم", "نرو"]),
        ("ന\u0d4d\u200d അവന\u0d4d\u200d", ["ന\u0d4d\u200d", "അവന\u0d4d\u200d"]),
        ("\U00011013\U00011038\U00011013 x", ["\U00011013\U00011038\U00011013", "x"]),  # Brahmi, beyond U+FFFF
        ("I ❤\ufe0f 👍🏽, 👩\u200d👩\u200d👧!", ["i", "❤\ufe0f", "👍🏽", ",", "👩\u200d👩\u200d👧", "!"]),
        ("Donau\u00addampf\u00adschiff \u200fשלום\u200f \ufeffok", ["donaudampfschiff", "שלום", "ok"]),
        ("ភាសា\u200bខ្មែរ", ["ភាសា", "ខ្មែរ"]),
        ("\u00ad\u200b", []),
    ],
)
def test_what_belongs_to_a_letter_stays_with_it(text: str, tokens: list[str]) -> None:
    assert tokenised(text, 99) == tokens
    assert tokenised(unicodedata.normalize("NFD", text), 99) == tokens == tokenised(unicodedata.normalize("NFC", text), 99)


def test_every_mark_of_unicode_stays_with_its_letter_and_nothing_else_is_attached() -> None:
    known = re.compile(f"[{attached(True)}]")
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        is_mark = unicodedata.category(character).startswith("M")
        if is_mark or known.match(character):
            assert is_mark or number in (0x200C, 0x200D) or 0x1F3FB <= number <= 0x1F3FF, hex(number)
            assert tokenised(f"क{character}क", 9) == [unicodedata.normalize("NFC", f"क{character}क".lower())], hex(number)


def test_texts_without_marks_have_the_tokens_that_they_always_had() -> None:
    """So that the vocabularies of tables that are there stay what they are."""
    tag, token = re.compile(r"</?[a-z][^<>]*>"), re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|\w+|[^\w\s]")
    for number in range(1000):
        text = made_up(number) + " Ünïcode’s don't <br> œuvre"
        assert tokenised(text, 999) == token.findall(tag.sub(" ", text.lower().replace("’", "'")))


def test_tokens_are_cut_and_never_their_letters() -> None:
    """The official code of Associated Learning cuts the string to the maximal length instead."""
    text = "extraordinarily incomprehensible sentences, nevertheless"
    assert tokenised(text, 3) == ["extraordinarily", "incomprehensible", "sentences"]
    assert tokenised(text, 4)[:3] == tokenised(text, 3) and len(tokenised(text, 9)) == 5


def test_no_letter_of_any_text_is_lost_and_only_marks_stand_alone() -> None:
    for number in range(1000):
        text = made_up(number).replace("<", "")  # without tags
        tokens = tokenised(text, 99)
        assert "".join(tokens) == "".join(text.lower().split())
        assert all(len(token) == 1 or token.replace("'", "").replace("_", "a").isalnum() for token in tokens)


@pytest.mark.parametrize("num_words", [3, 4, 7, 12, 99])
def test_the_most_frequent_words_are_kept_and_ties_are_alphabetical(num_words: int) -> None:
    draw = random.Random(num_words)
    texts = [draw.choices("abcdefghij", k=draw.randrange(1, 9)) for _ in range(12)]
    vocabulary = Vocabulary.learned(texts, num_words)
    counts = Counter(token for text in texts for token in text)
    by_rank: list[str] = []
    for count in range(max(counts.values()), 0, -1):
        by_rank += [word for word in "abcdefghij" if counts[word] == count]
    assert vocabulary.words == tuple(by_rank[: num_words - 2])
    assert len(vocabulary) == min(num_words, 2 + len(counts))
    expected = [2 + rank if 2 + rank < num_words else UNKNOWN for rank in range(len(by_rank))]
    assert vocabulary.encoded(by_rank) == expected


def test_a_vocabulary_of_no_words_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_words.*3.*got 2"):
        Vocabulary.learned([["a"]], 2)


def test_a_saved_vocabulary_comes_back(tmp_path: Path) -> None:
    vocabulary = Vocabulary.learned([tokenised(made_up(number), 99) for number in range(300)], 1000)
    path = tmp_path / "new" / "words.txt"
    vocabulary.save(path)
    again = Vocabulary.read(path)
    assert again == vocabulary and again.ids == vocabulary.ids and again.digest == vocabulary.digest
    assert path.read_bytes().split(b"\n")[4].decode() == vocabulary.words[4] and vocabulary.ids[vocabulary.words[4]] == 6
    assert Vocabulary(vocabulary.words[::-1]).digest != vocabulary.digest
    assert [entry.name for entry in path.parent.iterdir()] == ["words.txt"]


def test_a_vocabulary_that_an_editor_saved_has_the_same_words(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffgood\r\ncafe\u0301\r\n".encode())
    assert Vocabulary.read(path).words == ("good", "caf\u00e9")


@pytest.mark.parametrize("content", [b"a\nb", b"a\n\nb\n", b"a\nb\na\n", b"\xff\n", b""])
def test_another_file_is_no_vocabulary(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    if not content:
        path.unlink()
    with pytest.raises(UserError, match=r"words\.txt"):
        Vocabulary.read(path)
