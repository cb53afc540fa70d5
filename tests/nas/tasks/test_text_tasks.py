"""The text tasks: what is read of CSV files, how it is split, and what people are told when it cannot be."""

from __future__ import annotations

import csv
import gzip
import io
import pickle
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from nas.data.texts.samples import TextSplit
from nas.data.texts.text_csv import read_csv
from nas.data.texts.texts import Texts
from nas.data.texts.tokens import tokenised
from nas.tasks import TASKS
from nas.tasks.text_sets import TEXT_SETS
from spaces.activation import PADDING, UNKNOWN, TextShape
from spaces.notation.errors import UserError

Row = tuple[str, str]


def rows(part: str, count: int) -> list[Row]:
    """Texts of words of their own and of the part, each with a class of four."""
    return [(f"Common, {part}word {part}{number} " + "more " * (number % 5), str(number % 4)) for number in range(count)]


def as_csv(content: list[Row]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([("text", "label"), *content])
    return file.getvalue()


def write(path: Path, content: str | bytes | list[Row]) -> None:
    if isinstance(content, list):
        content = as_csv(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content if isinstance(content, bytes) else content.encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "mine" / "train.csv.gz", rows("train", 40))
    write(tmp_path / "mine" / "test.csv.gz", rows("test", 12))
    return tmp_path


def mine(folder: Path, settings: str = "") -> Texts:
    data = TASKS.build(f"texts(mine{',' * bool(settings)}{settings})", folder)
    assert isinstance(data, Texts)
    return data


def read(data: Texts, split: TextSplit) -> Counter[tuple[str, ...]]:
    """The texts of a split, in the words of the vocabulary, and their classes."""
    words = {number: word for word, number in data.vocabulary.ids.items()} | {UNKNOWN: "?"}
    x, y = split.batch(torch.arange(len(split)))
    return Counter(
        (*(words[i] for i in ids if i != PADDING), str(label)) for ids, label in zip(x.tolist(), y.tolist(), strict=True)
    )


def expected(content: list[Row], data: Texts, length: int = 99) -> Counter[tuple[str, ...]]:
    known = set(data.vocabulary.words)
    return Counter((*(token if token in known else "?" for token in tokenised(text, length)), label) for text, label in content)


# ---- splits and vocabulary


def test_validation_is_held_out_of_the_training_file_unless_there_is_a_file_of_it(folder: Path) -> None:
    data = mine(folder)
    assert (len(data.train), len(data.validation), len(data.test())) == (36, 4, 12)
    assert data.num_classes == 4 and data.input_shape == TextShape(256, len(data.vocabulary))
    assert data.pixels is None and data.vectors is None and data.coverage is None
    assert read(data, data.train) + read(data, data.validation) == expected(rows("train", 40), data)
    assert read(data, data.test()) == expected(rows("test", 12), data)
    again, other = mine(folder, "split_seed=0"), mine(folder, "split_seed=1")
    assert read(again, again.validation) == read(data, data.validation) != read(other, other.validation)
    write(folder / "mine" / "validation.csv.gz", rows("held", 8))
    given = mine(folder)
    assert (len(given.train), len(given.validation)) == (40, 8)
    assert read(given, given.train) == expected(rows("train", 40), given)
    assert read(given, given.validation) == expected(rows("held", 8), given)
    for setting in ("validation=0.2", "split_seed=1"):
        with pytest.raises(UserError, match=r"no effect"):
            mine(folder, setting)


def test_the_vocabulary_is_learned_from_what_is_trained_on_alone(folder: Path) -> None:
    data = mine(folder, "validation=0.5")
    words = {word for text in read(data, data.train) for word in text[:-1]}
    assert set(data.vocabulary.words) == words and len(words) == 4 + 20, "common , trainword more, and a word of each text"
    assert all("?" in text for text in read(data, data.validation)), "each has a word of its own"
    write(folder / "mine" / "validation.csv.gz", rows("held", 8))
    write(folder / "mine" / "test.csv.gz", rows("other", 5))
    assert not {word for word in mine(folder).vocabulary.words if word.startswith(("held", "other", "test"))}


def test_texts_are_cut_to_tokens_and_words_to_the_most_frequent(folder: Path) -> None:
    data = mine(folder, "length=4,num_words=5,validation=0.5")
    assert data.vocabulary.words == (",", "common", "trainword") and data.input_shape == (4, 5)
    assert set(read(data, data.train)) == {("common", ",", "trainword", "?", str(label)) for label in range(4)}


def test_training_and_validation_never_touch_the_test_file(folder: Path) -> None:
    (folder / "mine" / "test.csv.gz").write_bytes(b"unreadable")
    data = mine(folder).scaled(0.5).to(torch.device("cpu"))
    data.train_batches(8).batch(0, 0)
    assert sum(len(y) for _, y in data.eval_batches(data.validation, 3)) == 2
    with pytest.raises(UserError, match=r"test\.csv\.gz"):
        data.test()


def test_a_task_travels_to_another_process(folder: Path) -> None:
    data: Texts = pickle.loads(pickle.dumps(mine(folder)))
    assert read(data, data.test()) == expected(rows("test", 12), data)


@pytest.mark.parametrize(
    "labels, classes",
    [
        (["b", "a", "é", "B"], ["B", "a", "b", "é"]),
        (["10", "9", "-1", "2"], ["-1", "2", "9", "10"]),
        (["1", "x", "10", "2"], None),
    ],
)
def test_own_labels_are_words_or_whole_numbers(tmp_path: Path, labels: list[str], classes: list[str] | None) -> None:
    content = [(f"w{number}", labels[number % 4]) for number in range(20)]
    for part in ("train", "test"):
        write(tmp_path / "mine" / f"{part}.csv.gz", content)
    data = mine(tmp_path)
    order = classes or sorted(labels)
    assert read(data, data.train) + read(data, data.validation) == expected(
        [(text, str(order.index(label))) for text, label in content], data
    )


def test_word_vectors_of_a_file_here_or_in_the_data_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = mine(folder).vocabulary.words
    known = words[::2]
    (folder / "vectors.txt").write_text("".join(f"{word} {len(word)} {words.index(word)}\n" for word in reversed(known)))
    for path in ("vectors.txt", str(folder / "vectors.txt")):
        data = mine(folder, f"embeddings={path!r}")
        assert data.vectors is not None and data.vectors.shape == (len(data.vocabulary), 2) and data.coverage is not None
        for word in known:
            assert data.vectors[data.vocabulary.ids[word]].tolist() == [len(word), words.index(word)]
        tokens = [token for text in read(data, data.train).elements() for token in text[:-1]]
        assert data.coverage == pytest.approx((len(known) / len(words), sum(t in known for t in tokens) / len(tokens)))
        assert data.scaled(0.5).vectors is data.vectors
    with pytest.raises(UserError, match="nowhere"):
        mine(folder, "embeddings='nowhere.txt'")


# ---- what is refused


@pytest.mark.parametrize(
    "content, says",
    [
        ("text,label\ngood,0\n ,1\n", "line 3: the text is empty"),
        ("text,label\n<br /> ,0\ngood,1\n", "line 2: the text is empty"),
        ("text,label\ngood,0\nbad,\n", "line 3: the label is empty"),
        ('text,label\n"two\nlines",0\nbad,\n', "line 4: the label is empty"),
        ("text,label\ngood,0\ngood, bad,1\n", "line 3: a row has 2 cells.* got 3"),
        ("text,label\ngood,0\n\nbad\n", "line 4: .* got 1"),
        ("text,class\ngood,0\n", "line 1: .*column label.*text, class"),
        ("x,y\n", "one column text and one column label"),
        ("text,text,label\na,b,0\n", "line 1: .*column text"),
        ("", "line 1: .*nothing"),
        ("text,label\n", "none below the header"),
        ('text,label\ngood,0\n"bad,1\nbetter,1\n', "line 3: no CSV"),
        ('text,label\n"a"b,0\n', "line 2: no CSV"),
        (b"text,label\ngood,0\n\xe9t\xe9,1\n", "line 3: this is no UTF-8"),
        (b"\xff\xfetext,label\n", "line 1: this is no UTF-8"),
        ("text,label\na,0\nb,0\n", "at least 2 classes"),
        ("text,label\na,0\nb,1\nc,0\nd\re,1\n", "line 5: no CSV"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(folder: Path, content: str | bytes, says: str) -> None:
    write(folder / "mine" / "train.csv.gz", content)
    with pytest.raises(UserError, match=rf"train\.csv\.gz.*{says}|{says}.*train\.csv\.gz") as caught:
        mine(folder, "validation=0.5")
    assert "\n" not in str(caught.value)


def test_a_label_that_training_lacks_is_named_by_line(folder: Path) -> None:
    write(folder / "mine" / "validation.csv.gz", [("a", "0"), ("two\nlines", "1"), ("b", "7")])
    with pytest.raises(UserError, match=r"validation\.csv\.gz, line 5: labels are the 4 classes 0, 1, 2, 3, got '7'"):
        mine(folder)
    (folder / "mine" / "validation.csv.gz").unlink()
    write(folder / "mine" / "test.csv.gz", [("a", "-1")])
    data = mine(folder)
    with pytest.raises(UserError, match=r"test\.csv\.gz, line 2: .*got '-1'"):
        data.test()


def test_an_incomplete_file_is_never_taken_for_a_whole_one(folder: Path) -> None:
    path = folder / "mine" / "train.csv.gz"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"train\.csv\.gz"):
            mine(folder)


@pytest.mark.parametrize(
    "settings, says",
    [
        ("length=0", "length.* got 0"),
        ("num_words=2", "num_words.* got 2"),
        ("validation=0", "validation"),
        ("validation=1.0", "validation"),
        ("split_seed=-1", "split_seed"),
    ],
)
def test_a_wrong_setting_is_named(folder: Path, settings: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        mine(folder, settings)


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.train\.csv\.gz"):
        TASKS.build("texts(nowhere)", folder)
    (folder / "mine" / "test.csv.gz").unlink()
    with pytest.raises(UserError, match=r"mine.test\.csv\.gz"):
        mine(folder)


# ---- any text


def test_any_text_comes_through_a_file_unchanged_with_its_line(tmp_path: Path) -> None:
    draw, letters = random.Random(1), "ab,\"'\n\t;é😀中\\ \u2028\x85\0"
    content = [("".join(draw.choices(letters, k=draw.randrange(1, 30))), str(draw.randrange(3))) for _ in range(500)]
    write(tmp_path / "any.csv.gz", "\ufeff" + as_csv(content))
    read_rows = read_csv(tmp_path / "any.csv.gz")
    assert list(zip(read_rows.texts, read_rows.labels, strict=True)) == content
    for place, line in enumerate(read_rows.lines):
        assert line == 2 + sum(1 + text.count("\n") for text, _ in content[:place])


# ---- the sets by name


def test_every_shared_set_reads_its_folder_and_counts_its_classes(tmp_path: Path) -> None:
    counts = {
        "ag_news": 4,
        "dbpedia_14": 14,
        "imdb": 2,
        "sst2": 2,
        "emotion": 6,
        "rotten_tomatoes": 2,
        "banking77": 77,
        "clinc_oos": 151,
        "trec": 6,
        "yelp_review_full": 5,
    }
    assert set(counts) == set(TEXT_SETS)
    for name, num_classes in counts.items():
        count = 10 * num_classes
        content = [(f"word{number}", str(number % num_classes)) for number in range(count)]
        for part in ("train", "test"):
            write(tmp_path / name / f"{part}.csv.gz", content)
        data = TASKS.build(name, tmp_path)
        assert data.num_classes == num_classes and len(data.test()) == count
        write(tmp_path / name / "train.csv.gz", content[: num_classes - 1])
        with pytest.raises(UserError, match=rf"train\.csv\.gz.*{num_classes} classes.*none of class {num_classes - 1}"):
            TASKS.build(name, tmp_path)
        write(tmp_path / name / "train.csv.gz", [*content, ("more", str(num_classes))])
        with pytest.raises(UserError, match=rf"train\.csv\.gz, line {count + 2}.*got '{num_classes}'"):
            TASKS.build(name, tmp_path)
