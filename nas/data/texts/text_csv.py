"""Texts out of a CSV file, gzipped or not, each with the line that it begins on: for training and for new texts alike."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from nas.data.opened import opened
from nas.data.texts.tokens import normalised, tokenised
from spaces.notation.errors import UserError

_SEPARATORS = ",;\t|"  # spreadsheets write semicolons where commas are in numbers, and tabs in their Unicode text
_UNPARTED = "\x1f"  # where the header has one cell: what parts cells elsewhere is a sign of the text
_UNDECODED = re.compile("[\ud800-\udfff]")
# A quote is written twice or, by MySQL and R, behind a backslash. Twice, it stands behind one only where it ends its cell.
_ESCAPED = re.compile(r"""\\"(?!["\r\n,;\t|]|$)""")


class TextRows(NamedTuple):
    """The rows of one file, in order; `lines` is where each begins, from 1 on, `labels` are there if they were asked for, and
    `features` are the numbers beside each text."""

    path: Path
    texts: list[str]
    labels: list[str]
    lines: list[int]
    features: list[tuple[float, ...]]

    def classes(self) -> tuple[str, ...]:
        """The labels that occur, each once: by size where all are whole numbers, else in alphabetical order."""
        labels = set(self.labels)
        whole = all(label.isascii() and label.removeprefix("-").isdigit() for label in labels)
        return tuple(sorted(labels, key=lambda label: (Decimal(label), label)) if whole else sorted(labels))

    def numbers(self, classes: Sequence[str]) -> list[int]:
        """The place of each row's label among the classes; another label is a UserError that names its line."""
        places = {label: place for place, label in enumerate(classes)}
        for row, label in enumerate(self.labels):
            if label not in places:
                known = ", ".join(map(_short, classes[:10])) + ", ..." * (len(classes) > 10)
                raise self.error(row, f"labels are the {len(classes)} classes {known}, got {_short(label)!r}")
        return [places[label] for label in self.labels]

    def tokens(self, length: int) -> Iterator[list[str]]:
        """The first `length` tokens of each text; a text without any is a UserError that names its line."""
        for row, text in enumerate(self.texts):
            tokens = tokenised(text, length)
            if not tokens:
                raise self.error(row, "the text is empty")
            yield tokens

    def at(self, index: Sequence[int]) -> TextRows:
        """The rows at these places, in this order."""
        return self._replace(
            texts=[self.texts[row] for row in index],
            labels=[self.labels[row] for row in index],
            lines=[self.lines[row] for row in index],
            features=[self.features[row] for row in index],
        )

    def error(self, row: int, what: str) -> UserError:
        """That something does not hold in this row."""
        return UserError(f"{self.path}, line {self.lines[row]}: {what}; correct or remove the row")


def read_csv(path: Path, features: Sequence[str] = (), *, labelled: bool = True) -> TextRows:
    """The columns `text`, `label`, unless rows are not `labelled`, and `features`, which hold numbers, of a CSV file.

    The file is gzipped or not, UTF-8 or, as its first bytes say, UTF-16 or UTF-32, with line ends of any system; what parts its
    cells (comma, semicolon, tab or bar) is what makes its header hold the columns. Quotes in a cell are written twice, or behind
    a backslash. Labels and names of columns are in their normal form. Of other columns, of blanks around a label or a name, and
    of empty rows at the end nothing is kept. A missing file, column or value, a feature that is no finite number, broken quotes
    or encoding and an incomplete file are UserErrors that name the line.
    """
    features = tuple(map(_name, features))
    rows, needed, blank = TextRows(path, [], [], [], []), ("text", *["label"] * labelled, *features), 0
    with _cells_of_any_size():
        records = _records(path, needed)
        line, header = next(records, (1, []))
        header = [*map(_name, header)]
        _check_header(path, line, header, needed)
        places = [header.index(name) for name in needed]
        for line, cells in records:
            if len(cells) > 1 and not any(cells):  # spreadsheets write such rows below the last
                blank = blank or line
                continue
            rows.lines.append(blank or line)
            if blank:
                raise rows.error(-1, "the text is empty")
            if len(cells) <= max(places) or any(cells[len(header) :]):
                raise UserError(
                    f"{path}, line {line}: a row has {len(header)} cells, as the header, got {len(cells)}; "
                    "put a text that holds separators, line breaks or quotes in quotes"
                )
            text, *others = (cells[place] for place in places)
            rows.texts.append(text)
            if labelled:
                rows.labels.append(_name(others.pop(0)))
                if not rows.labels[-1]:
                    raise rows.error(-1, "the label is empty")
            rows.features.append(tuple(_number(rows, *cell) for cell in zip(others, features, strict=True)))
    if labelled and not rows.texts:
        raise UserError(f"{path} has a row a text, but there is none below the header; write it again")
    return rows


def _name(cell: str) -> str:
    """A label or a column's name as it is compared."""
    return normalised(cell).strip()


def _records(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The cells of the header and of each row, without blank lines, and the line on which they begin."""
    escaped = any('\\"' in line and _ESCAPED.search(line) for line in _decoded(path))
    lines = _decoded(path)
    skipped, first = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, ""))
    end, separator = skipped, _separator(first, needed)
    blank_behind = all(name.startswith(" ") for name in first.split(separator)[1:])
    try:
        reader = csv.reader(
            chain([first], lines),
            delimiter=separator,
            escapechar="\\" if escaped else None,
            skipinitialspace=blank_behind,
            strict=True,
        )
        for cells in reader:
            begin, end = end + 1, skipped + reader.line_num
            if cells:
                yield begin, cells
    except csv.Error as error:
        said = "a cell without quotes has a line break" if "new-line" in str(error) else error
        raise UserError(
            f"{path}, line {end + 1}: no CSV ({said}); put a text that holds quotes or line breaks in quotes, and "
            "write its own quotes twice"
        ) from None


def _separator(line: str, needed: Sequence[str]) -> str:
    """That under which the header has the most of the columns, and then the most cells."""

    def fit(separator: str) -> tuple[int, int]:
        cells = [*map(_name, next(csv.reader([line], delimiter=separator, skipinitialspace=True), []))]
        return sum(name in cells for name in needed), len(cells)

    best = max(_SEPARATORS, key=fit)
    return _UNPARTED if fit(best) == (1, 1) else best


def _check_header(path: Path, line: int, header: Sequence[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if header.count(name) != 1]
    if missing:
        near = [f"{_short(came)} to {name}" for name in missing if (came := _near(name, header))]
        raise UserError(
            f"{path}, line {line}: there is one column {' and one column '.join(missing)}, but the header says "
            f"{_short(', '.join(header)) or 'nothing'}; give the file a column {' and a column '.join(needed)}"
            + ", parted by comma, semicolon, tab or bar" * (len(header) == 1 < len(needed))
            + f" (rename {', '.join(near)})" * bool(near)
        )


def _near(name: str, header: Sequence[str]) -> str | None:
    """The column that may be meant by a name that none has."""
    of_lower = {column.lower(): column for column in header}
    near = difflib.get_close_matches(name.lower(), of_lower, n=1, cutoff=0.75) if name not in header else ()
    return next((of_lower[column] for column in near), None)


def _number(rows: TextRows, cell: str, column: str) -> float:
    """The cell of the last row as a number."""
    try:
        number = math.nan if "_" in cell else float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise rows.error(-1, f"features are finite numbers, got {_short(cell)!r} in the column {_short(column)}")
    return number


def _decoded(path: Path) -> Iterator[str]:
    """The lines of the file."""
    number = 0
    try:
        with opened(path) as file:
            begin = file.peek(4096)
            encoding = _encoding(begin)
            line_end = "\r" if "\r" in begin.decode(encoding, "ignore").partition("\n")[0].rstrip("\r") else "\n"
            for number, line in enumerate(io.TextIOWrapper(file, encoding, "surrogateescape", newline=line_end), start=1):
                if not line.isascii() and _UNDECODED.search(line):
                    raise _no_utf8(path, number)
                yield line
    except UnicodeDecodeError:
        raise _no_utf8(path, number + 1) from None
    except FileNotFoundError:
        raise UserError(f"there is no {path}; a task needs train.csv.gz and test.csv.gz with the columns text,label") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read after line {number} ({error}); it may be damaged: write the file again") from None


def _encoding(begin: bytes) -> str:
    """By the mark at the begin of a file; without one, by the zero bytes of UTF-16's first letters."""
    if begin[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if begin[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = begin[:4:2], begin[1:4:2]
    return "utf-16-be" if zeros[0] == b"\0\0" else "utf-16-le" if zeros[1] == b"\0\0" else "utf-8-sig"


def _no_utf8(path: Path, line: int) -> UserError:
    return UserError(
        f"{path}, line {line}: this is no UTF-8, nor UTF-16 with its mark; save the file in UTF-8, which "
        "spreadsheets call CSV UTF-8"
    )


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    """A document may be longer than what Python's reader takes by itself."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
