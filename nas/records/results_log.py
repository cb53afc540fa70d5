"""The results log: an append-only CSV file, one row an evaluation, that many processes may share."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile

from nas.notice import notice
from nas.records.announcement import Announcement, Stamp, new_chain
from nas.records.log import Log, check_columns
from nas.records.row_kinds import RowKind
from spaces.notation.errors import UserError

# Errors of a path that a person chose; any other OSError (a full disk, a failing one) keeps its own type.
_PATH_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


@contextmanager
def told_of_path(what: str, way_out: str) -> Iterator[None]:
    """Turn the OSError of a path that cannot be used into a UserError that names it and says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _PATH_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{what} must be readable and writable, but {place}{error.strerror}; {way_out}") from None


def check_folder(folder: Path) -> None:
    """Raise OSError unless files can be written there, or where the folder would be made; nothing is left."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        TemporaryFile(dir=there).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(there)) from None


def open_lock(path: Path) -> int:
    """The lock file, made where it is missing. What is no ordinary file is a UserError: nobody is to write through a link."""
    with suppress(FileNotFoundError):  # one look: whoever held it may remove it at any time
        if not stat.S_ISREG(path.lstat().st_mode):
            raise UserError(f"a lock file is an ordinary file, got {path}, which is none; remove it")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)


class ResultsLog(Log):
    """A log in a CSV file, rows under one header; the header holds the columns in the order in which they first came.

    One line is one record. Before an append, `.NAME.lock` beside the file is told what will be written and where
    (`Announcement`). So a last line without a line break is known for what it is: the beginning of an append that was cut short,
    which readers ignore and the next append cuts off, or a whole record that an editor left so. Empty lines at the end, as
    spreadsheets leave them, are none.

    What was read is not read again as long as all that came since are appends, each to the file as the one before had left
    it, which its inode, size and time of change tell. Any other change shows in these, and then the whole is read; only one
    of equal size is not noticed within the tick of the file system's clock (milliseconds) in which an append ends.

    Every method raises UserError when the path cannot be used or the file is not such a CSV. Writers take turns on the
    lock file, which outlives the file's replacement; readers wait for them only where the last line is not complete. POSIX
    only.
    """

    def __init__(self, path: Path, kind: RowKind | None = None) -> None:
        self.path = path.resolve()  # replacing a symbolic link would cut it off from its file
        super().__init__(kind)

    @property
    def where(self) -> str:
        return str(self.path)

    def row_at(self, number: int) -> str:
        return f"{self.path}, line {number + 2}"

    def _append(self, choose: Callable[[], Sequence[Mapping[str, str]]]) -> int:
        with self._usable(), self._locked() as lock:
            self._refresh(lock)
            if not (rows := choose()):
                return 0
            if self._rest.strip(b",\r\n"):
                notice(f"{self.path}: the last {len(self._rest)} bytes, of an append that was cut short, are cut off")
            old = self._lines[0] if self._lines else []
            header = list(dict.fromkeys([*old, *(column for row in rows for column in row)]))
            self._check_header(header)
            records = [[row.get(column, "") for column in header] for row in rows]
            if header == old:
                self._extend(records, lock)
            else:
                lines = [line + [""] * (len(header) - len(old)) for line in self._lines[1:]]
                self._replace([header, *lines, *records], lock)
            return len(rows)

    def _read(self) -> None:
        with self._usable():
            self._refresh()

    def check_ready(self) -> None:
        """Raise UserError unless what is there can be read and rows can be appended."""
        with self._usable():
            self._refresh()
            check_folder(self.path.parent)
            if self.path.exists():
                os.close(os.open(self.path, os.O_WRONLY | os.O_APPEND))
            if os.path.lexists(self._sibling("lock")):
                os.close(open_lock(self._sibling("lock")))

    def _forget(self) -> None:
        super()._forget()
        self._stamp: Stamp | None = None  # of the file when it was read,
        self._chain: str | None = None  # the series of appends that it then belonged to,
        self._end, self._hash = 0, blake2b()  # the bytes of the complete lines that were parsed,
        self._rest = b""  # and what came behind them

    def _refresh(self, lock: int | None = None) -> None:
        """Parse what is new in the file; all of it if it does not go on from what was read before."""
        try:
            with open(self.path, "rb") as file:
                stamp = Stamp.of(file.fileno())
                if stamp == self._stamp:
                    return
                last = self._last_append(lock)
                if last.after == stamp and last.chain == self._chain:
                    file.seek(self._end)
                    new = file.read(stamp.size - self._end)
                    if self._end + len(new) == stamp.size and new.endswith(b"\n"):
                        self._take_over(new)
                        self._stamp = stamp
                        return
                    file.seek(0)
                data = file.read()
        except FileNotFoundError:
            return self._forget()
        if data and not data.endswith(b"\n") and lock is None:  # unless someone is just writing, what is it?
            with self._undisturbed() as lock:
                return self._refresh(lock)
        whole = self._whole(data, last)
        if blake2b(whole[: self._end]).digest() != self._hash.digest():
            self._forget()
        self._take_over(whole[self._end :])
        self._rest = data[len(whole) :]
        is_whole = len(whole) == len(data)
        self._stamp = stamp if is_whole else None  # a torn line may yet become one of equal size
        self._chain = last.chain if is_whole and last.after == stamp else None

    def _last_append(self, lock: int | None) -> Announcement:
        """What the lock file says; nothing where there is none that may be read."""
        if lock is not None:
            return Announcement.read(lock)
        try:
            file = os.open(self._sibling("lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return Announcement()
        try:
            return Announcement.read(file)
        finally:
            os.close(file)

    def _take_over(self, text: bytes) -> None:
        self._lines += self._parse(text)
        self._end += len(text)
        self._hash.update(text)

    def _whole(self, data: bytes, last: Announcement) -> bytes:
        """The complete lines of `data`, each with a line break."""
        written = data[last.start :]
        if not data.endswith(b"\n") and len(written) < len(last.text) - 1 and last.text.startswith(written):
            data = data[: last.start]  # what is appended together is there together
        end = data.rfind(b"\n") + 1
        if data and not end:  # the header is never torn, since _replace writes it
            raise self._damaged(1, "the header does not end with a line break")
        if _is_record(data[end:], data[: data.find(b"\n")]):
            return data + b"\n"
        content = len(data[:end].rstrip(b",\r\n"))
        return data[: data.index(b"\n", content) + 1] if content else data[:end]

    def _parse(self, text: bytes) -> list[list[str]]:
        """The cells of the lines that follow `self._lines`, each line checked against the header."""
        lines: list[list[str]] = []
        for number, line in enumerate(text.split(b"\n")[:-1], start=len(self._lines) + 1):
            try:
                cells = _cells(line, first=number == 1)
            except (UnicodeDecodeError, csv.Error) as error:
                raise self._damaged(number, str(error)) from None
            header = (self._lines or lines or [cells])[0]
            if number == 1:
                self._check_header(header)
            elif len(cells) != len(header):
                raise self._damaged(number, f"the header has {len(header)} cells, got {len(cells)}")
            elif self.kind:
                if lacks := self.kind.lacks(header):
                    raise self._damaged(1, f"every {self.kind.name} has {', '.join(lacks[:4])}, got no such column")
                try:
                    cells = list(self.kind.read(dict(zip(header, cells, strict=True))).values())
                except ValueError as error:
                    raise self._damaged(number, str(error), "mend the file there, delete the line") from None
            lines.append(cells)
        return lines

    def _check_header(self, header: Sequence[str]) -> None:
        if len(header) == 1 and re.search(r"\w[;\t]\w", header[0]):
            raise self._damaged(
                1,
                "cells stand between commas, got semicolons or tabs, as spreadsheets in some languages "
                "write them; save the file as CSV with commas",
            )
        try:
            check_columns(header)
        except ValueError as error:
            raise self._damaged(1, str(error)) from None

    def _damaged(self, number: int, reason: str, way_out: str = "mend that line, delete it") -> UserError:
        return UserError(f"{self.path}, line {number}: {reason}; {way_out}, or name another file")

    @contextmanager
    def _usable(self) -> Iterator[None]:
        with told_of_path(f"the results file {self.path} and its folder", "change the permissions or name another file"):
            if self.path.exists() and not self.path.is_file():
                raise UserError(f"results go to a regular file, which {self.path} is not; name a file")
            yield

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the lock file inside the block, alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _holding(open_lock(self._sibling("lock")), fcntl.LOCK_EX) as lock:
            self._sibling("tmp").unlink(missing_ok=True)  # of a killed replacement
            yield lock

    @contextmanager
    def _undisturbed(self) -> Iterator[int | None]:
        """The lock file while no one writes; None where there is none that may be read, and so no one who writes."""
        try:
            file = os.open(self._sibling("lock"), os.O_RDONLY)
        except (FileNotFoundError, PermissionError):
            file = os.open(os.devnull, os.O_RDONLY)
        with _holding(file, fcntl.LOCK_SH) as lock:
            yield lock

    def _sibling(self, suffix: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{suffix}")

    def _extend(self, records: Sequence[Sequence[str]], lock: int) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            before = Stamp.of(file)
            end = min(before.size, self._end)
            text = b"\n" * (self._end - end) + _text(records)
            if end < before.size:
                os.ftruncate(file, end)
            announced = Announcement(end, text)
            announced.write(lock)
            try:
                _write(file, text)
            except BaseException:
                os.ftruncate(file, end)
                raise
            undisturbed = before == self._stamp
            chain = self._chain if undisturbed and self._chain else new_chain()
            replace(announced, chain=chain, after=Stamp.of(file)).write_after(lock)
            self._chain = chain if undisturbed else None
        finally:
            os.close(file)

    def _replace(self, lines: Sequence[Sequence[str]], lock: int) -> None:
        """Write the whole file anew, so that a reader sees the old one or the new one and nothing between."""
        temporary = self._sibling("tmp")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write(file, _text(lines))
            if self.path.exists():
                os.fchmod(file, self.path.stat().st_mode & 0o777)
            os.replace(temporary, self.path)
            stamp = Stamp.of(file)
            Announcement(stamp.size, b"", new_chain(), stamp).write(lock)
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


def _cells(line: bytes, *, first: bool = False) -> list[str]:
    """The cells of one line; the first line may begin with a byte order mark."""
    (cells,) = csv.reader([line.decode("utf-8-sig" if first else "utf-8")], strict=True)
    return cells


def _is_record(line: bytes, header: bytes) -> bool:
    """Whether the line has a cell for each of the header's, all of them whole; of a single cell nobody can tell."""
    try:
        cells = _cells(line)
        return len(cells) > 1 and any(cells) and len(cells) == len(_cells(header, first=True))
    except (UnicodeDecodeError, csv.Error, ValueError):
        return False


def _text(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode("utf-8")


def _write(file: int, text: bytes) -> None:
    """Write in one piece and wait for the disk; the rest of a short write follows, or raises why not."""
    while text:
        text = text[os.write(file, text) :]
    os.fsync(file)


@contextmanager
def _holding(lock: int, how: int) -> Iterator[int]:
    """Hold flock's lock on the open file inside the block, and close the file at its end."""
    try:
        fcntl.flock(lock, how)
        yield lock
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough if a child process inherited the descriptor
        os.close(lock)
