"""What lies below the folder of runs: saved weights, unfinished runs, searches; listed, and removed by choice."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.notice import notice
from nas.records.claim import Claim
from nas.records.results import Results
from nas.records.results_log import told_of_path
from nas.records.row_kinds import FILES, HISTORY
from nas.records.running import Running, at_work
from nas.runs.trained_run import FILE, TrainedRun
from spaces.notation.errors import UserError

ABOUT = "run.json"  # of an unfinished run: its key, and the number of its training
CHECKPOINT = "checkpoint.pt"
UNFINISHED = (CHECKPOINT, "checkpoint.part", "trained.part", ABOUT, "run.part")  # what a run leaves beside its weights if killed
SEARCH, PRETRAINING = "search.pt", "pretraining.pt"
OWN = re.compile(
    r"(trained|checkpoint|search|pretraining)\.(pt|part)|checkpoint\.\d+-\d+@\d+\.(pt|part)|run\.(json|part)|\d+\.(snapshot|part)"
)
SHOWN = ("method", "decoupling", "task", "seed")  # of a run, as its row has them
Kind = Literal["run", "search", "pretraining"]
State = Literal["finished", "unfinished"]


@dataclass(frozen=True)
class RunFolder:
    """What one run, or one search, has on disk.

    name        of the folder, which the column `run` of its row names
    kind        a run; a SEDONA search; or its pretraining, which searches share
    state       finished where weights are saved, or a search has its answer; unfinished where a command would go on
    in_use      who has claimed it; None where nobody has
    size_bytes  of our files in it; `changed` is when the youngest was written, in seconds since 1970
    rows        the results files that name it; a history alone is no row of a run
    epoch       that its history has come to; None where there is none
    running     what the process that is at it tells; None where none is
    """

    path: Path
    kind: Kind
    state: State
    in_use: str | None
    size_bytes: int
    changed: float
    method: str = ""
    decoupling: str = ""
    task: str = ""
    seed: str = ""
    rows: tuple[str, ...] = ()
    epoch: float | None = None
    running: Running | None = None

    @property
    def name(self) -> str:
        return self.path.name


def run_folders(runs: Path, results: Results) -> list[RunFolder]:
    """All of the folder `runs`, by name; `results` is where the rows lie that name them. Links and what has none of
    our files are no runs."""
    with told_of_path(f"the folder of runs {runs}", "change the permissions or name another --runs"):
        places = sorted(runs.iterdir()) if runs.is_dir() else []
        locked = {place.with_suffix("") for place in places if place.suffix == ".lock" and not place.is_symlink()}
        places = sorted({place for place in places if place.is_dir() and not place.is_symlink()} | locked)
        named, epochs = _rows(results), _epochs(results)
        found = [_read(place, results, named.get(place.name, []), epochs.get(place.name)) for place in places]
    told = {run.run: run for run in at_work(results.beats.read()).runs if not run.is_killed}
    return [replace(folder, running=told.get(folder.name)) for folder in found if folder]


def _rows(results: Results) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """By run: the files and rows that name it."""
    named: dict[str, list[tuple[str, dict[str, str]]]] = {}
    logs = {called: log for file in FILES if file != "history" for called, log in results.below(f"{file}.csv").items()}
    for called, log in sorted(logs.items()):
        for row in log.rows():
            if row.get("run"):
                named.setdefault(row["run"], []).append((called, row))
    return named


def _epochs(results: Results) -> dict[str, float]:
    """By run: the epoch of the last row in its history."""
    return {row["run"]: float(row["epoch"]) for row in results.log("history.csv", HISTORY).rows()}


def own_files(folder: Path) -> list[Path]:
    """The files in a folder that runs and searches write; no links, and nothing below folders in it."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if OWN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False))


def _read(path: Path, results: Results, rows: list[tuple[str, dict[str, str]]], epoch: float | None) -> RunFolder | None:
    files = {file.name: file for file in own_files(path)}
    in_use = results.claim(path).holder()
    if not files and in_use is None and not path.with_suffix(".lock").is_file():
        return None
    sizes, times = [], [0.0]
    for file in (*files.values(), path.with_suffix(".lock")):
        with suppress(FileNotFoundError):  # of a run that ends just now
            status = file.lstat()
            sizes.append(status.st_size)
            times.append(status.st_mtime)
    kind: Kind = "pretraining" if PRETRAINING in files else "search" if SEARCH in files else "run"
    decided = any(Path(name).stem == "decisions" for name, _ in rows)
    state: State = "finished" if FILE in files or kind == "pretraining" or (kind == "search" and decided) else "unfinished"
    about = next((row for _, row in rows if row.get("method")), None) or _about(files)
    shown: dict[str, Any] = {name: _plain(about.get(name)) for name in SHOWN}
    return RunFolder(
        path,
        kind,
        state,
        in_use,
        sum(sizes),
        max(times),
        **shown,
        rows=tuple(dict.fromkeys(name for name, _ in rows)),
        epoch=epoch,
    )


def _about(files: Mapping[str, Path]) -> Mapping[str, object]:
    """The key of a run without a row; empty where its files do not tell."""
    with suppress(OSError, ValueError, UserError):
        if ABOUT in files:
            about = json.loads(files[ABOUT].read_text(encoding="utf-8"))
            return about if isinstance(about, dict) else {}
        if FILE in files:
            return TrainedRun.load(files[FILE]).key
    return {}


def _plain(cell: object) -> str:
    """Of a file that others may have written: one line."""
    return "".join(character for character in str("" if cell is None else cell)[:400] if character.isprintable())


def chosen(
    folders: Iterable[RunFolder],
    *,
    unfinished: bool = False,
    without_row: bool = False,
    older_than: float | None = None,
    everything: bool = False,
) -> list[RunFolder]:
    """Those for which every choice holds: unfinished ones; those that no row names, which a pretraining never counts as; those
    last written before the time `older_than`, in seconds since 1970; or `everything`. No choice is a UserError."""
    if not (unfinished or without_row or everything or older_than is not None):
        raise UserError(
            "clean removes what is chosen, got no choice; give --unfinished, --without-row, --older-than DAYS or --all"
        )
    if everything and (unfinished or without_row or older_than is not None):
        raise UserError("--all chooses every run, got another choice beside it, which would have no effect; leave one out")
    return [
        folder
        for folder in folders
        if not (
            (unfinished and folder.state != "unfinished")
            or (without_row and (folder.rows or folder.kind == "pretraining"))
            or (older_than is not None and folder.changed >= older_than)
        )
    ]


def remove(
    folders: Iterable[RunFolder], results: Results, *, others: Iterable[RunFolder] = (), dry_run: bool = False
) -> list[RunFolder]:
    """Remove our files in these, and each folder that has nothing else; those that are gone (or would be), with their sizes.

    What a process has is left, and so is what it may read: a pretraining as long as an unfinished search is there, among
    `folders` or the `others`. Each is told.
    """
    folders = sorted(folders, key=lambda folder: folder.kind == "pretraining")
    gone: list[RunFolder] = []
    for folder in folders:
        searches = [
            other
            for other in (*folders, *others)
            if other.kind == "search" and other not in gone and (other.in_use or other.state == "unfinished")
        ]
        if folder.kind == "pretraining" and searches:
            notice(f"{folder.path} stays: the search {searches[0].name} goes on from it")
        elif folder.in_use:
            notice(f"{folder.path} stays: {folder.in_use} has it")
        elif dry_run or _removed(folder, results.claim(folder.path)):
            gone.append(folder)
    return gone


def _removed(folder: RunFolder, claim: Claim) -> bool:
    """Whether it could be removed, under its claim."""
    if not claim.try_take():
        notice(f"{folder.path} stays: {claim.holder() or 'another process'} has it")
        return False
    try:
        with told_of_path(f"the folder {folder.path} of a run", "change the permissions"):
            for file in own_files(folder.path):
                file.unlink(missing_ok=True)
            try:
                folder.path.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                notice(f"the folder {folder.path} stays: it holds files of others")
    finally:
        claim.release()
    return True
