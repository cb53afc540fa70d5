"""The results log: an append-only CSV file, one row an evaluation, that many processes may share."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from spaces.errors import UserError

Cell = str | int | float | bool | None

# Errors of a path that a person chose; any other OSError (a full disk, a failing one) keeps its own type.
_PATH_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


class ResultsLog:
    """Rows of text cells under one header; the header holds the columns in the order in which they first came.

    A record is complete once its newline is on disk, and `append` returns only then. A line without one is a torn
    append: readers ignore it and the next append cuts it off. Cells are written raw: `repr` of a float, nothing for
    None; a line break inside a cell becomes a space, so that one line is one record.

    Every method raises UserError when the path cannot be used or the file is not such a CSV. Reading takes no lock;
    writers take turns on `.NAME.lock` beside the file, which outlives the file's replacement. POSIX only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # replacing a symbolic link would cut it off from its file
        self._forget()

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add one row durably. Columns that the header lacks go to its end; columns that the row lacks stay empty.

        A failed write (OSError, as on a full disk) leaves the complete records as they were.
        """
        self.append_all([row])

    def append_all(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """`append` for several rows that come together: in one write, all of them or none."""
        cells = [{_written(column): _written(value) for column, value in row.items()} for row in rows]
        with self._usable(), self._locked():
            self._refresh()
            old = self._lines[0] if self._lines else []
            header = list(dict.fromkeys([*old, *(column for row in cells for column in row)]))
            self._check_header(header)
            records = [[row.get(column, "") for column in header] for row in cells]
            if header == old:
                self._extend(records)
            else:
                lines = [line + [""] * (len(header) - len(old)) for line in self._lines[1:]]
                self._replace([header, *lines, *records])

    def rows(self) -> list[dict[str, str]]:
        """All complete rows, oldest first; none if the file is missing."""
        with self._usable():
            self._refresh()
        return [self._row(number) for number in range(1, len(self._lines))]

    def find(self, key: Mapping[str, object]) -> dict[str, str] | None:
        """The first row whose cells equal the written form of every item in `key`; an absent column counts as empty.

        The first call with a set of columns indexes them; a later one costs a look-up and what was appended since.
        """
        with self._usable():
            self._refresh()
        columns = tuple(_written(column) for column in key)
        first, indexed = self._indexes.get(columns, ({}, 1))
        for number in range(indexed, len(self._lines)):
            row = self._row(number)
            first.setdefault(tuple(row.get(column, "") for column in columns), number)
        self._indexes[columns] = first, max(indexed, len(self._lines))
        found = first.get(tuple(_written(value) for value in key.values()))
        return None if found is None else self._row(found)

    def find_all(self, key: Mapping[str, object]) -> list[dict[str, str]]:
        """All rows that `find` would take, oldest first; a look at every row."""
        wanted = {_written(column): _written(value) for column, value in key.items()}
        return [row for row in self.rows() if all(row.get(column, "") == cell for column, cell in wanted.items())]

    def _row(self, number: int) -> dict[str, str]:
        return dict(zip(self._lines[0], self._lines[number], strict=True))

    def _forget(self) -> None:
        self._stamp: tuple[int, int, int] | None = None
        self._data = b""  # the complete lines that were parsed,
        self._lines: list[list[str]] = []  # their cells, the header first,
        self._indexes: dict[tuple[str, ...], tuple[dict[tuple[str, ...], int], int]] = {}  # and what find() looked up

    def _refresh(self) -> None:
        """Parse what is new in the file; all of it if it does not go on from what was read before."""
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
                if stamp == self._stamp:
                    return
                data = file.read()
        except FileNotFoundError:
            return self._forget()
        complete = data[: data.rfind(b"\n") + 1]
        if data and not complete:  # the header is never torn, since _replace writes it
            raise self._damaged(1, "the header does not end with a line break")
        if not complete.startswith(self._data):
            self._forget()
        self._lines += self._parse(complete[len(self._data) :])
        self._data = complete
        self._stamp = stamp if len(complete) == len(data) else None  # a torn line may yet become one of equal size

    def _parse(self, text: bytes) -> list[list[str]]:
        """The cells of the lines that follow `self._lines`, each line checked against the header."""
        lines: list[list[str]] = []
        for number, line in enumerate(text.split(b"\n")[:-1], start=len(self._lines) + 1):
            try:
                (cells,) = csv.reader([line.decode("utf-8-sig" if number == 1 else "utf-8")], strict=True)
            except (UnicodeDecodeError, csv.Error) as error:
                raise self._damaged(number, str(error)) from None
            header = (self._lines or lines or [cells])[0]
            if number == 1:
                self._check_header(header)
            elif len(cells) != len(header):
                raise self._damaged(number, f"the header has {len(header)} cells, but {len(cells)} came")
            lines.append(cells)
        return lines

    def _check_header(self, header: Sequence[str]) -> None:
        if not header:
            raise self._damaged(1, "a header names at least one column, but none came")
        for column in header:
            if not re.match(r"[^\W\d]", column) or header.count(column) > 1:
                raise self._damaged(1, f"a column's name starts with a letter and comes once, but {column!r} came")

    def _damaged(self, number: int, reason: str) -> UserError:
        return UserError(f"{self.path}, line {number}: {reason}; mend that line, delete it, or name another file")

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            if self.path.exists() and not self.path.is_file():
                raise UserError(f"results go to a regular file, which {self.path} is not; name a file")
            yield
        except OSError as error:
            if error.errno not in _PATH_ERRORS:
                raise
            raise UserError(
                f"the results file {self.path} and its folder must be readable and writable, but "
                f"{error.filename or self.path}: {error.strerror}; change the permissions or name another file"
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._sibling("lock"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough if a child process inherited the descriptor
            os.close(lock)

    def _sibling(self, suffix: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{suffix}")

    def _extend(self, records: Sequence[Sequence[str]]) -> None:
        end = len(self._data)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            if os.fstat(file).st_size > end:  # a torn line
                os.ftruncate(file, end)
            try:
                _write(file, records)
            except BaseException:
                os.ftruncate(file, end)
                raise
        finally:
            os.close(file)

    def _replace(self, lines: Sequence[Sequence[str]]) -> None:
        """Write the whole file anew, so that a reader sees the old one or the new one and nothing between."""
        temporary = self._sibling("tmp")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write(file, lines)
            if self.path.exists():
                os.fchmod(file, self.path.stat().st_mode & 0o777)
            os.replace(temporary, self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _written(value: object) -> str:
    """The cell that holds `value`. `float.__repr__` also strips NumPy's type name from its float64."""
    if value is None:
        return ""
    text = float.__repr__(value) if isinstance(value, float) else str(value)
    cell = re.sub(r"[\r\n]+", " ", text).encode("utf-8", "backslashreplace").decode("utf-8")
    if len(cell) > csv.field_size_limit():
        raise ValueError(f"a cell holds {csv.field_size_limit()} characters, or csv cannot read it; {len(cell)} came")
    return cell


def _write(file: int, lines: Sequence[Sequence[str]]) -> None:
    """Write the lines in one piece and wait for the disk; the rest of a short write follows, or raises why not."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    left = text.getvalue().encode("utf-8")
    while left:
        left = left[os.write(file, left) :]
    os.fsync(file)
