"""Texts and labels out of a gzipped CSV file, each with the line that it begins on."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spaces.errors import UserError


class TextRows(NamedTuple):
    """The rows of one file, in order; `lines` is where each begins, from 1 on, `features` the numbers beside each text."""

    path: Path
    texts: list[str]
    labels: list[str]
    lines: list[int]
    features: list[tuple[float, ...]]

    def classes(self) -> tuple[str, ...]:
        """The labels that occur, each once: by size where all are whole numbers, else in alphabetical order."""
        labels = set(self.labels)
        whole = all(label.isascii() and label.removeprefix("-").isdigit() for label in labels)
        return tuple(sorted(labels, key=lambda label: (int(label), label)) if whole else sorted(labels))

    def numbers(self, classes: Sequence[str]) -> list[int]:
        """The place of each row's label among the classes; another label is a UserError that names its line."""
        places = {label: place for place, label in enumerate(classes)}
        for row, label in enumerate(self.labels):
            if label not in places:
                known = ", ".join(classes[:10]) + ", ..." * (len(classes) > 10)
                raise self.error(row, f"labels are the {len(classes)} classes {known}, but {label!r} came")
        return [places[label] for label in self.labels]

    def at(self, index: Sequence[int]) -> TextRows:
        """The rows at these places, in this order."""
        return self._replace(texts=[self.texts[row] for row in index], labels=[self.labels[row] for row in index],
                             lines=[self.lines[row] for row in index], features=[self.features[row] for row in index])

    def error(self, row: int, what: str) -> UserError:
        """That something does not hold in this row."""
        return UserError(f"{self.path}, line {self.lines[row]}: {what}; correct or remove the row")


def read_csv(path: Path, features: Sequence[str] = ()) -> TextRows:
    """The columns `text`, `label` and `features`, which hold numbers, of a UTF-8 CSV file, gzipped; of other columns, and blanks
    around a label, nothing is kept.

    A missing file, column or value, a feature that is no finite number, broken quotes or encoding and an incomplete file are
    UserErrors that name the line.
    """
    rows = TextRows(path, [], [], [], [])
    needed = ("text", "label", *features)
    lines, end = csv.reader(_decoded(path), strict=True), 0
    try:
        header = next(lines, [])
        missing = [name for name in needed if header.count(name) != 1]
        if missing:
            raise UserError(f"{path}, line 1: there is one column {' and one column '.join(missing)}, but the header says "
                            f"{', '.join(header) or 'nothing'}; write them as {','.join(needed)}")
        text, label, *numbers = map(header.index, needed)
        end = lines.line_num
        for cells in lines:
            begin, end = end + 1, lines.line_num
            if not cells:  # a blank line
                continue
            if len(cells) != len(header):
                raise UserError(f"{path}, line {begin}: a row has {len(header)} cells, as the header, but {len(cells)} came; "
                                "put a text that holds commas or quotes in quotes")
            rows.texts.append(cells[text])
            rows.labels.append(cells[label].strip())
            rows.lines.append(begin)
            rows.features.append(tuple(_number(rows, cells[column], header[column]) for column in numbers))
            if not rows.labels[-1]:
                raise rows.error(-1, "the label is empty")
    except csv.Error as error:
        raise UserError(f"{path}, line {end + 1}: no CSV ({error}); write quotes in a quoted text twice") from None
    if not rows.texts:
        raise UserError(f"{path} has a row a text, but there is none below the header; write it again")
    return rows


def _number(rows: TextRows, cell: str, column: str) -> float:
    """The cell of the last row as a number."""
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise rows.error(-1, f"features are finite numbers, but {cell!r} came in the column {column}")
    return number


def _decoded(path: Path) -> Iterator[str]:
    """The lines of the file."""
    number = 0
    try:
        with gzip.open(path) as file:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}: this is no UTF-8 ({error.reason}); write the file in UTF-8") from None
    except FileNotFoundError:
        raise UserError(f"there is no {path}; a task needs train.csv.gz and test.csv.gz with the columns text,label") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not gzipped, or damaged after line {number} ({error!r}); write the file again") from None
