"""Which file systems lock for one host alone, from what the kernel says of mounts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nas.records.file_systems import locks_per_host
from nas.records.results import Results

ROOT = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"


def mount(point: str, kind: str, options: str = "rw", own: str = "rw,relatime") -> str:
    return f"{ROOT}\n36 21 0:30 / {point} {own} shared:2 - {kind} server:/export {options}\n"


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("nfs", "rw,vers=3,nolock,local_lock=all", "nfs, local_lock=all"),
        ("nfs", "rw,vers=3,local_lock=flock", "nfs, local_lock=flock"),
        ("nfs", "rw,vers=3,local_lock=none", None),
        ("nfs4", "rw,vers=4.2,local_lock=none", None),
        ("lustre", "rw,localflock", "lustre, localflock"),
        ("lustre", "rw,flock", None),
        ("gpfs", "rw", "gpfs"),
        ("beegfs", "rw", "beegfs"),
        ("cifs", "rw,nobrl", "cifs, nobrl"),
        ("cifs", "rw", None),
        ("fuse.sshfs", "rw,user_id=0", "fuse.sshfs"),
        ("fuse.glusterfs", "rw", None),
        ("fuseblk", "rw", None),
        ("ext4", "rw,nolock", None),
        ("tmpfs", "rw", None),
    ],
)
def test_kinds_and_options(kind: str, options: str, says: str | None) -> None:
    assert locks_per_host(Path("/shared/not/there/yet"), mount("/shared", kind, options)) == says
    assert locks_per_host(Path("/elsewhere"), mount("/shared", kind, options)) is None
    assert locks_per_host(Path("/sharedness"), mount("/shared", kind, options)) is None


def test_the_innermost_mount_and_the_one_on_top_decide() -> None:
    inner = mount("/shared", "gpfs") + "40 36 0:31 / /shared/local rw - xfs /dev/b rw\n"
    assert locks_per_host(Path("/shared/local/x"), inner) is None and locks_per_host(Path("/shared/x"), inner) == "gpfs"
    over = mount("/shared", "gpfs") + "41 36 0:32 / /shared rw - xfs /dev/b rw\n"
    assert locks_per_host(Path("/shared/x"), over) is None


def test_names_with_spaces_and_lines_that_do_not_read() -> None:
    assert locks_per_host(Path("/my data/x"), "nothing\n\n" + mount(r"/my\040data", "gpfs")) == "gpfs"
    assert locks_per_host(Path("/x"), "") is None


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/shared")
    assert locks_per_host(tmp_path / "link" / "x", mount("/shared", "gpfs")) == "gpfs"


def test_what_is_mounted_here_is_read() -> None:
    assert locks_per_host(Path("/proc")) is None


def test_people_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("nas.records.stores.folder.locks_per_host", {tmp_path / "runs": "gpfs"}.get)
    with caplog.at_level(logging.WARNING):
        Results(tmp_path / "results").check()
        assert not caplog.messages
        Results(tmp_path / "results").check(tmp_path / "runs")
    (line,) = caplog.messages
    assert "(gpfs)" in line and "--results postgresql://" in line and str(tmp_path / "runs") in line
