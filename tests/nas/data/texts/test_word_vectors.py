"""Word vectors against the file they come from."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.texts.vocabulary import Vocabulary
from nas.data.texts.word_vectors import read_vectors
from spaces.activation import PADDING, UNKNOWN
from spaces.notation.errors import UserError

WORDS = ("the", "of", "cat", ",", "n't", "é", "zebra")
VOCABULARY = Vocabulary(WORDS)
IN_FILE = ("é", ",", "the", "dog", "The", "n't", "cat")  # in another order, with others, without `of` and `zebra`
NUMBERS = np.random.default_rng(2).normal(3, 0.5, (len(IN_FILE), 4)).round(5)


def lines(words: tuple[str, ...] = IN_FILE) -> list[str]:
    return [f"{word} {' '.join(map(str, numbers))}" for word, numbers in zip(words, NUMBERS, strict=True)]


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.txt", "\n".join(lines()) + "\n")


def test_each_word_has_its_own_row(glove: Path) -> None:
    """In the official code of Associated Learning row k holds the vector of the word k + 2."""
    rows, known = read_vectors(glove, VOCABULARY)
    assert rows.shape == (len(VOCABULARY), 4) and rows.dtype == torch.float32
    for word in set(WORDS) & set(IN_FILE):
        np.testing.assert_array_equal(rows[VOCABULARY.encoded([word])[0]], NUMBERS[IN_FILE.index(word)].astype(np.float32))
        assert known[VOCABULARY.ids[word]]
    assert not rows[PADDING].any()
    assert known.nonzero().flatten().tolist() == [VOCABULARY.ids[word] for word in WORDS if word in IN_FILE]


def test_what_the_file_lacks_is_random_of_its_scale_and_always_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = tuple(f"w{number}" for number in range(400))
    numbers = random.normal(-1, 0.3, (100, 50))
    path = write(tmp_path / "v.txt", "".join(f"w{4 * i} {' '.join(map(str, row))}\n" for i, row in enumerate(numbers)))
    rows, known = read_vectors(path, Vocabulary(words))
    assert torch.equal(rows, read_vectors(path, Vocabulary(words)).rows)
    missing = rows[UNKNOWN:][~known[UNKNOWN:]]
    assert missing.shape == (301, 50) and len(missing.unique(dim=0)) == 301
    deviation = 0.3 / missing.numel() ** 0.5
    assert abs(missing.mean() - numbers.mean()) < 5 * deviation and abs(missing.std() - numbers.std()) < 5 * deviation


def test_coverage_counts_words_once_and_tokens_as_often_as_they_come(glove: Path) -> None:
    vectors = read_vectors(glove, VOCABULARY)
    ids = VOCABULARY.encoded(["the", "the", "of", "cat", "what"])
    assert vectors.coverage(torch.tensor([*ids, PADDING, PADDING], dtype=torch.int32)) == pytest.approx((5 / 7, 3 / 5))


@pytest.mark.parametrize("name", ["vectors.vec", "vectors.vec.gz"])
def test_fasttext_files_and_words_with_blanks_are_read_too(glove: Path, tmp_path: Path, name: str) -> None:
    """fastText: the number of words and of numbers first, a blank at each end. GloVe 840B: words such as `. . .`."""
    content = [f"{len(IN_FILE) + 2} 4", lines()[0], ". . . 1 2 3 4", *lines()[1:], "the 9 9 9 9"]
    fasttext = read_vectors(write(tmp_path / name, "".join(f"{line} \n" for line in content)), VOCABULARY)
    for one, other in zip(fasttext, read_vectors(glove, VOCABULARY), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "line, says",
    [
        ("dog 1 2 3", "line 4, has 4 fields"),
        ("dog 1 2 3 4 5", "line 4, has 6 fields"),
        ("", "line 4, has 1 fields"),
        ("cat 1 2 x 4", "finite.*line 4"),
        ("cat 1 2 nan 4", "finite.*line 4"),
        ("cat 1  3 4", "finite.*line 4"),
        (b"\xff 1 2 3 4", "line 4.*UnicodeDecodeError"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str | bytes, says: str) -> None:
    content = [text.encode() for text in lines()]
    content[3] = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(UserError, match=says):
        read_vectors(write(tmp_path / "v.txt", b"\n".join(content)), VOCABULARY)


def test_files_that_end_early_are_missing_or_of_another_language_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="promises 9 .* 7 follow"):
        read_vectors(write(tmp_path / "a.txt", "9 4\n" + "\n".join(lines())), VOCABULARY)
    cut = write(tmp_path / "b.gz", "\n".join(lines() * 50))
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"b\.gz.*damaged"):
        read_vectors(cut, VOCABULARY)
    with pytest.raises(UserError, match=r"no file.*nowhere"):
        read_vectors(tmp_path / "nowhere", VOCABULARY)
    for content in ("hund 1 2\nkatze 3 4\n", ""):
        with pytest.raises(UserError, match="none of the 7 words"):
            read_vectors(write(tmp_path / "c.txt", content), VOCABULARY)


# ---- files as they are published, and files that are something else


def rows_of(path: Path) -> list[list[float]]:
    return read_vectors(path, VOCABULARY).rows.tolist()


@pytest.mark.parametrize(
    "content",
    [
        "".join(line.replace(" ", "\t") + "\n" for line in lines()),
        "".join(line.replace(" ", "\t", 1) + " \r\n" for line in lines()),
        "\ufeff" + "\n".join(lines()) + "\n\n",
        f"\ufeff{len(IN_FILE)} 4\n" + "\n".join(lines()) + "\n",
        "\n".join([". . . 1 2 3 4", *lines()]),
        "\n".join([lines()[0], "1\u00a0000 1 2 3 4", "a\tb 1 2 3 4", " 1 2 3 4", *lines()[1:]]) + "\n",
        "\n".join(line.replace("é", "e\u0301") for line in [*lines(), "\u00e9 9 9 9 9"]) + "\n",
        "\n".join([*lines(), "cat 9 9 9 9", "dog nan x inf 1e999"]) + "\n",
        "\n".join(line.replace(" ", "  ") for line in lines()),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_published_form_gives_the_same_rows(glove: Path, tmp_path: Path, content: str, packed: bool) -> None:
    """Tabs, CR LF, a byte order mark, blank lines at the end, words with blanks or of a blank, NFD, doubled words, gzip by
    another name."""
    path = tmp_path / "other.vec"
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert rows_of(path) == rows_of(glove)


def test_numbers_of_vectors_of_one_dimension_are_no_promise(tmp_path: Path) -> None:
    rows, known = read_vectors(write(tmp_path / "v.txt", "2000 5\nthe 1\ncat 2\n"), Vocabulary(("2000", "cat")))
    assert rows[2:].tolist() == [[5], [2]] and known[2:].all()
    rows, known = read_vectors(write(tmp_path / "v.txt", "2 1\nthe 1\ncat 2\n"), Vocabulary(("2", "cat")))
    assert rows[3].tolist() == [2] and known.tolist() == [False, False, False, True]


@pytest.mark.parametrize("promised", [len(IN_FILE) - 1, len(IN_FILE) + 1, 1_000_000])
def test_a_promise_that_is_not_kept_is_told_and_the_vectors_are_used(glove: Path, tmp_path: Path, promised: int) -> None:
    told: list[str] = []
    path = write(tmp_path / "v.vec", f"{promised} 4\n" + "\n".join(lines()) + "\n")
    assert torch.equal(read_vectors(path, VOCABULARY, told.append).rows, read_vectors(glove, VOCABULARY).rows)
    assert len(told) == 1 and f"promises {promised} word vectors in its first line, but 7 follow" in told[0]


def test_words_that_word2vec_cut_within_a_letter_are_left_out(glove: Path, tmp_path: Path) -> None:
    told: list[str] = []
    content = "\n".join(lines()).encode() + b"\n" + "ca\u00f1on".encode()[:3] + b" 9 9 9 9\n" + b"\xe0\xa4 9 9 9 9\n"
    assert torch.equal(
        read_vectors(write(tmp_path / "v.txt", content), VOCABULARY, told.append).rows, read_vectors(glove, VOCABULARY).rows
    )
    assert len(told) == 1 and told[0].startswith("2 words of")


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_column_that_counts_the_words_is_told(tmp_path: Path, place: int) -> None:
    told: list[str] = []
    counted = [line.split() for line in lines()]
    for number, fields in enumerate(counted):
        fields.insert(1 + place, str(1000 - number))
    read_vectors(write(tmp_path / "v.txt", "".join(" ".join(fields) + "\n" for fields in counted)), VOCABULARY, told.append)
    assert len(told) == 1 and f"number {1 + place} of each vector" in told[0] and "up to 1000:" in told[0]


def test_a_file_that_keeps_its_promise_is_not_spoken_of(glove: Path, tmp_path: Path) -> None:
    told: list[str] = []
    for path in (glove, write(tmp_path / "v.vec", f"{len(IN_FILE)} 4\n" + "\n".join(lines()) + "\n")):
        read_vectors(path, VOCABULARY, told.append)
    assert not told


def test_a_torn_last_line_is_told_at_every_length(glove: Path, tmp_path: Path) -> None:
    """Cut between two lines nothing is torn; with a header less vectors than promised are told."""
    header, whole = f"{len(IN_FILE)} 4\n".encode(), glove.read_bytes()
    for length in range(len(whole) - 60, len(whole)):
        for begin in (b"", header):
            path, told = write(tmp_path / "v.txt", begin + whole[:length]), []
            try:
                read_vectors(path, VOCABULARY, told.append)
            except UserError as error:
                told.append(str(error))
            assert len(told) == (0 if whole[:length].endswith(b"\n") and not begin else 1), (length, told)
            assert all("\n" not in note and len(note) < 300 + len(str(path)) for note in told)


def test_what_is_no_text_is_said_as_what_it_is(tmp_path: Path) -> None:
    binary = b"7 4\n" + b"".join(
        f"{word} ".encode() + numbers.astype(np.float32).tobytes() for word, numbers in zip(IN_FILE, NUMBERS, strict=True)
    )
    whole = gzip.compress(("\n".join(lines()) + "\n").encode() * 50)
    for content, says in [
        (binary, "word2vec's binary form"),
        (gzip.compress(binary), "word2vec's binary form"),
        (bytes.fromhex("ba164f2f0c000000"), r"fastText's \.bin"),
        ("the 1 2\n".encode("utf-16"), "UTF-16"),
        (b"PK\3\4" + bytes(30), "a zip archive.*unpack"),
        (whole[:-8], "gzipped, but without its end"),
        (whole[:100], "gzipped, but without its end"),
        (b"the 0,1 0,2\ncat 0,3 0,4\n", "numbers such as 0.5.* has none"),
        (b"the 1 2\n\ncat 1 2\n", "line 2, has 1 fields"),
        (b"the 1 2\n" + b"x" * 100_000 + b"\xff 1 2\n", "line 2.*UnicodeDecodeError"),
        (b"the " + b"9" * 5000 + b" 2\n", "finite"),
    ]:
        path = tmp_path / "v.vec"
        path.write_bytes(content)
        with pytest.raises(UserError, match=says) as caught:
            read_vectors(path, VOCABULARY)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(path))
