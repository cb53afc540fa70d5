"""CSV files of every writer: training and `predict` read of each what was written, against the rows themselves."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from nas.data.new.new_inputs import new_inputs
from nas.data.texts.text_csv import read_csv
from nas.data.texts.texts import Texts
from nas.data.texts.tokens import tokenised
from nas.tasks import TASKS
from spaces.activation import PADDING
from spaces.notation.errors import UserError

Row = tuple[str, str]
PIECES = [
    "good",
    "Bad",
    " ",
    "  ",
    ",",
    ";",
    "\t",
    "|",
    '"',
    '""',
    "'",
    "\n",
    "\r\n",
    "\\",
    "\\N",
    "é",
    "cafe\u0301",
    "हिन्दी",
    "😀",
    "\u2028",
    "\x85",
    "NA",
    "null",
    "nan",
    "None",
    "TRUE",
    "1.0",
    "01",
    "#",
    "=1+1",
    "<br />",
    "-",
    "\ufeff",
    "\u00a0",
    "%",
    "x" * 30,
]
LABELS = ["0", "01", "1.0", "NA", "True", "nan", "a b", "é", "null", "-1"]


def made_up(seed: int, count: int = 30) -> list[Row]:
    draw = random.Random(seed)
    return [("w" + "".join(draw.choices(PIECES, k=draw.randrange(8))), draw.choice(LABELS)) for _ in range(count)]


def by_csv(**dialect: object) -> Callable[[list[Row]], str]:
    def write(rows: list[Row]) -> str:
        file = io.StringIO(newline="")
        csv.writer(file, **dialect).writerows([("text", "label"), *rows])  # type: ignore[arg-type]
        return file.getvalue()

    return write


def by_pandas(**settings: object) -> Callable[[list[Row]], str]:
    return lambda rows: pd.DataFrame(rows, columns=["text", "label"], dtype=str).to_csv(lineterminator="\r\n", **settings)  # type: ignore


def in_one_line(rows: list[Row]) -> list[Row]:
    return [(text.replace("\n", " ").replace("\r", " "), label) for text, label in rows]


def by_an_old_mac(rows: list[Row]) -> str:
    """Lines end in a carriage return."""
    return by_csv(lineterminator="\r", quoting=csv.QUOTE_ALL)(rows)


def among_others(rows: list[Row]) -> str:
    """Further columns, two without a name, one name twice, and a blank around the names."""
    file = io.StringIO(newline="")
    csv.writer(file).writerow(("", "x", " label", "x", "text ", "note\nof two lines", ""))
    csv.writer(file).writerows((number, "a", label, "b", text, "", "") for number, (text, label) in enumerate(rows))
    return file.getvalue()


def by_a_spreadsheet(rows: list[Row]) -> str:
    """Empty columns and rows around the table, without their separators where a block of rows has none; texts of one line."""
    lines = by_csv(delimiter=";", quoting=csv.QUOTE_ALL)(rows).split("\r\n")
    return "\r\n".join([f"{line};;" if number < 16 else line for number, line in enumerate(lines[:-1])] + [";;;", ";", ""])


WRITERS = {
    "csv": by_csv(),
    "unix": by_csv(lineterminator="\n"),
    "all quoted": by_csv(quoting=csv.QUOTE_ALL),
    "R": by_csv(quoting=csv.QUOTE_NONNUMERIC),
    "semicolons": by_csv(delimiter=";"),
    "tabs": by_csv(delimiter="\t"),
    "bars": by_csv(delimiter="|", lineterminator="\n"),
    "Windows without newline=''": by_csv(lineterminator="\r\r\n"),
    "pandas": by_pandas(index=False),
    "pandas, index": by_pandas(),
    "pandas, tabs": by_pandas(index=False, sep="\t"),
    "old Mac": by_an_old_mac,
    "others": among_others,
    "spreadsheet": by_a_spreadsheet,
    "backslashes before quotes": by_csv(doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL),
    "MySQL": by_csv(doublequote=False, escapechar="\\", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC),
    "blank behind commas": lambda rows: by_csv(quoting=csv.QUOTE_ALL)(rows).replace('","', '", "'),
    "blank lines": lambda rows: "\n\n" + by_csv(lineterminator="\n\n", quoting=csv.QUOTE_ALL)(rows) + "\n\n",
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-16-le")


@pytest.mark.parametrize("writer", WRITERS)
def test_every_row_is_what_was_written_whatever_wrote_it(tmp_path: Path, writer: str) -> None:
    for seed, encoding in enumerate(ENCODINGS):
        rows = made_up(seed)
        if writer == "spreadsheet":
            rows = in_one_line(rows)
        data = WRITERS[writer](rows).encode(encoding)
        path = tmp_path / f"{seed}.csv.gz"
        path.write_bytes(gzip.compress(data) if seed % 2 else data)
        assert [*zip(*read_csv(path)[1:3], strict=True)] == rows
        assert read_csv(path, labelled=False)[1:4:2] == read_csv(path)[1:4:2]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_text_has_the_same_ids_in_training_and_in_predict(tmp_path: Path, writer: str) -> None:
    rows = [(text, "ab"[number % 2]) for number, (text, _) in enumerate(in_one_line(made_up(9)))]
    for part in ("train", "validation", "test"):
        (tmp_path / f"{part}.csv").write_bytes(WRITERS[writer](rows).encode())
    data = TASKS.build("texts(root='.',num_words=30,length=7)", tmp_path)
    assert isinstance(data, Texts)
    new = tmp_path / ("new.TXT" if writer == "tabs" else "test.csv")  # as a spreadsheet calls it
    new.write_bytes((tmp_path / "test.csv").read_bytes())
    found = new_inputs(new, data.inputs)
    expected = [data.vocabulary.encoded(tokenised(text, 7)) for text, _ in rows]
    asked = {int(place): ids for index, x in found.batches(4) for place, ids in zip(index, x.tolist(), strict=True)}
    for number, ids in enumerate(expected):
        assert [i for i in asked[number] if i != PADDING] == ids
        for split in (data.train, data.validation, data.test()):
            x, y = split.batch(torch.tensor([number]))
            assert x.tolist() == [ids] and int(y) == number % 2
    assert found.names == [str(number) for number in range(len(rows))]


def test_texts_alone_are_read_too(tmp_path: Path) -> None:
    """As pandas writes a column: an empty text is quoted, a blank line is none."""
    texts = [text for text, _ in made_up(3)]
    path = tmp_path / "new.csv"
    path.write_bytes(pd.Series(texts, name="text").to_csv(index=False, lineterminator="\r\n").encode())
    assert read_csv(path, labelled=False).texts == texts


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_signs_that_part_cells_elsewhere_are_text_where_there_is_one_column(tmp_path: Path, line_end: str) -> None:
    """As spreadsheets write a column of new texts where semicolons or tabs part cells: without quotes around commas."""
    path = tmp_path / "new.csv"
    path.write_text(line_end.join(["text", "Hello, world", "a; b\tc | d", '"""quoted"", and"', ""]), newline="")
    assert read_csv(path, labelled=False).texts == ["Hello, world", "a; b\tc | d", '"quoted", and']


def test_quotes_behind_backslashes_are_known_wherever_they_first_come(tmp_path: Path) -> None:
    """And a text that ends in a backslash, as in paths, is none of them."""
    path = tmp_path / "new.csv"
    path.write_text("text,label\n" + "plain,0\n" * 9 + 'a \\"b\\" c\\, d,1\n"e \\\\ \\"f\\" g",0\n', newline="")
    assert read_csv(path).texts[-2:] == ['a "b" c, d', 'e \\ "f" g']
    path.write_text('text,label\n"C:\\",0\n"a\\""b",1\nc\\,0\n', newline="")
    assert read_csv(path).texts == ["C:\\", 'a\\"b', "c\\"]


def test_labels_and_columns_that_read_the_same_are_the_same(tmp_path: Path) -> None:
    """macOS writes an accent behind its letter, and a file is marked twice as UTF-8."""
    for part, form in (("train", "NFC"), ("test", "NFD")):
        content = unicodedata.normalize(form, "text,label,âge\n" + "bon,café,1\nbad,thé,2\n" * 9)
        (tmp_path / f"{part}.csv").write_text("\ufeff" + content, encoding="utf-8-sig")
    for column in ("âge", unicodedata.normalize("NFD", "âge")):
        data = TASKS.build(f"texts(root='.',features=['{column}'])", tmp_path)
        assert isinstance(data, Texts) and data.classes == ("café", "thé") and len(data.test()) == 18
        assert len(new_inputs(tmp_path / "test.csv", data.inputs).names) == 18


def test_a_long_document_is_one_cell_and_readers_elsewhere_keep_their_limit(tmp_path: Path) -> None:
    limit, path = csv.field_size_limit(), tmp_path / "long.csv"
    text = "word " * 100_000
    path.write_text(by_csv()([(text, "0"), ("short\0text", "1")]), newline="")
    assert read_csv(path).texts == [text, "short\0text"] and csv.field_size_limit() == limit
    path.write_text("text,label\ngood\n")
    with pytest.raises(UserError):
        read_csv(path)
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    "content, says",
    [
        ("text,label\ngood,0\n<br>,1\n", "line 3: the text is empty"),
        ("text,label\ngood,0\n,\nbad,1\n", "line 3: the text is empty"),
        ('text,label\n"two\r\nlines",0\r\n"",1\n', "line 4: the text is empty"),
        ('text,label\n"a "b" c",0\n', "line 2: no CSV.*quotes twice"),
        ("text,label\na\rb,0\n", "line 2: no CSV .a cell without"),
        ("text^label\ngood^0\n", "parted by comma, semicolon, tab or bar"),
        ("Text,Label\ngood,0\n", r"says Text, Label; .*rename Text to text, Label to label"),
        ("texts;label\ngut;0\n", "rename texts to text"),
        ("id,text,label\n1,good, really,0\n", "line 2: a row has 3 cells.* got 4"),
        (b"text,label\ngood,0\ncaf\xe9,1\n", "line 3: this is no UTF-8.*CSV UTF-8"),
        (b"\xff\xfe" + "text\tlabel\ngood\t0\nbad\t1\n".encode("utf-16-le")[:-1], "line [34]: this is no UTF-8, nor UTF-16"),
        (b"PK\3\4\x14\0\6\0", "an Excel workbook; .*save it as plain text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (gzip.compress(b"text,label\ngood,0\nbad,1\n", mtime=0)[:-9], "damaged"),
        (bz2.compress(b"text,label\ngood,0\n"), "a bzip2 archive"),
        (gzip.compress(b"PK\3\4\x14\0\6\0", mtime=0), "an Excel workbook"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzipped twice"),  # the time would be in the test's name
        ("a" * 100_000 + ",text\n", "there is one column label"),
        ("text,label\n" + "x" * 200_000 + "\n", "got 1"),
    ],
)
def test_training_and_predict_say_the_same_of_a_file_that_is_not_read(tmp_path: Path, content: str | bytes, says: str) -> None:
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text("text,label\n" + "good,0\nbad,1\n" * 9)
    inputs = TASKS.build("texts(root='.')", tmp_path).inputs
    (tmp_path / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=rf"train\.csv.*{says}") as trained:
        TASKS.build("texts(root='.',validation=0.5)", tmp_path)
    messages = [str(trained.value)]
    if says != "there is one column label" and "got 1" not in says and "parted" not in says:
        with pytest.raises(UserError) as asked:
            new_inputs(tmp_path / "train.csv", inputs)
        messages.append(str(asked.value))
        if "rename" not in says:
            assert messages[0] == messages[1]
    assert all("\n" not in message and len(message) < 400 + len(str(tmp_path)) for message in messages)


def test_what_unpacks_to_more_than_text_does_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.opened._LARGE", 2**17)
    path = tmp_path / "train.csv.gz"
    for row in (b"x" * 2**20, b"good,0\n" * 2**17):  # one endless line, or many
        path.write_bytes(gzip.compress(b"text,label\n" + row))
        with pytest.raises(UserError, match="unpacks to more than 200 times its size"):
            read_csv(path)
    path.write_bytes(gzip.compress(b"text,label\n" + b"".join(b"word%d,0\n" % n for n in range(30_000))))
    assert len(read_csv(path).texts) == 30_000


def test_a_part_is_plain_or_gzipped_but_not_both(tmp_path: Path) -> None:
    content = b"text,label\n" + b"good,0\nbad,1\n" * 9
    (tmp_path / "train.csv").write_bytes(content)
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(content))
    assert len(TASKS.build("texts(root='.')", tmp_path).test()) == 18
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=r"train\.csv\.gz and train\.csv beside it.*move one away"):
        TASKS.build("texts(root='.')", tmp_path)


def test_labels_of_any_number_of_digits_are_ordered_by_size(tmp_path: Path) -> None:
    labels = ["9" * 5000, "10", "9", "-1", "1" + "0" * 5000]
    path = tmp_path / "long.csv"
    path.write_text(by_csv()([("text", label) for label in labels]), newline="")
    rows = read_csv(path)
    assert rows.classes() == ("-1", "9", "10", labels[0], labels[4])
    with pytest.raises(UserError) as caught:
        rows.numbers(("9",))
    assert len(str(caught.value)) < 400 + len(str(path))
