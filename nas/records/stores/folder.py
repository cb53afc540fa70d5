"""A folder of CSV files, shared by the processes of one host."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.notice import notice
from nas.records.beat_files import BeatFiles
from nas.records.beats import Beats
from nas.records.claim import Claim
from nas.records.file_systems import locks_per_host
from nas.records.log import Log
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import RowKind
from nas.records.run_lock import RunLock
from nas.records.stores.store import Store
from spaces.notation.errors import UserError

RUNNING = ".running"  # where processes tell what they are at


@dataclass(frozen=True)
class Folder(Store):
    """A CSV file for each log, a lock file beside each run's folder, and a hidden one for each process at work."""

    path: Path

    def log(self, name: str, kind: RowKind | None = None) -> Log:
        return ResultsLog(self.path / name, kind)

    def claim(self, folder: Path) -> Claim:
        return RunLock(folder)

    def below(self, name: str) -> dict[str, Log]:
        """Also in folders within the folder."""
        return {str(path.relative_to(self.path)): ResultsLog(path) for path in sorted(self.path.rglob(name))}

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("*.csv"))

    def stamp(self) -> object:
        stamps = []
        for name in self.names():
            with suppress(FileNotFoundError):  # removed meanwhile
                status = (self.path / name).stat()
                stamps.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(stamps)

    def check(self, runs: Path | None = None) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--results is a folder, got {self.path}, which is a file; name another")
        for folder in dict.fromkeys(folder for folder in (self.path, runs) if folder):
            if found := locks_per_host(folder):
                notice(
                    f"locks in {folder} hold on this host alone ({found}): processes of other hosts would train the same runs, "
                    "and tear files; to share work with them, give --results postgresql://user@host/database"
                )

    @property
    def beats(self) -> Beats:
        return BeatFiles(self.path / RUNNING)

    @property
    def folder(self) -> Path:
        return self.path
