"""Tokens and vocabularies, against their definition and against slower ways to find them."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from nas.vocabulary import Vocabulary, tokenised
from spaces.errors import UserError
from spaces.tokens import UNKNOWN

LETTERS = "aZéß中٣_09 \t\n\r\u2028.,;:!?-'\"<>/&#$%()[]{}\\`~^|=+*@\0\x85😀"


def made_up(number: int) -> str:
    draw = random.Random(number)
    return "".join(draw.choices(LETTERS, k=draw.randrange(60)))


@pytest.mark.parametrize("text, tokens", [
    ("It's a DOG.", ["it", "'s", "a", "dog", "."]),
    ("We don't, can’t & won't!", ["we", "do", "n't", ",", "ca", "n't", "&", "wo", "n't", "!"]),
    ("'quoted' rock'n'roll", ["'", "quoted", "'", "rock", "'", "n", "'", "roll"]),
    ("good<br /><br />bad <b>very</b> 5 < 6 > 4", ["good", "bad", "very", "5", "<", "6", ">", "4"]),
    (" \t<br>\n ", []),
])
def test_tokens_are_words_and_marks_as_in_the_treebank(text: str, tokens: list[str]) -> None:
    assert tokenised(text, 99) == tokens


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
    assert vocabulary.words == tuple(by_rank[:num_words - 2])
    assert len(vocabulary) == min(num_words, 2 + len(counts))
    expected = [2 + rank if 2 + rank < num_words else UNKNOWN for rank in range(len(by_rank))]
    assert vocabulary.encoded(by_rank) == expected


def test_a_vocabulary_of_no_words_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_words.*3.*but 2 came"):
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


@pytest.mark.parametrize("content", [b"a\nb", b"a\n\nb\n", b"a\nb\na\n", b"\xff\n", b""])
def test_another_file_is_no_vocabulary(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    if not content:
        path.unlink()
    with pytest.raises(UserError, match=r"words\.txt"):
        Vocabulary.read(path)
