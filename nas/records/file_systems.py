"""File systems that several hosts may share, but whose locks hold between the processes of one host only."""

from __future__ import annotations

import re
from pathlib import Path

# What their clients do with flock: nothing of it reaches the other hosts, whatever they are mounted with.
_ALWAYS = {"gpfs", "beegfs", "vboxsf"}
_FUSE = {"sshfs", "rclone", "s3fs", "gcsfuse", "goofys", "mount-s3", "blobfuse", "blobfuse2", "smbnetfs", "curlftpfs"}
# Of others it depends on how they are mounted.
_OPTIONS = {
    "nfs": {"nolock", "local_lock=all", "local_lock=flock"},
    "nfs4": {"nolock", "local_lock=all", "local_lock=flock"},
    "lustre": {"localflock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
    "gfs2": {"localflocks", "lockproto=lock_nolock"},
}


def locks_per_host(path: Path, mounts: str | None = None) -> str | None:
    """The file system where the path lies or would be made, and the option, if another host would not see locks on it; else
    None. `mounts` is what stands in /proc/self/mountinfo; where there is no such file, None."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:  # not Linux
            return None
    there = path.resolve()
    found: tuple[int, str, set[str]] | None = None
    for line in mounts.splitlines():
        before, _, behind = line.partition(" - ")
        fields, kind = before.split(" "), behind.split(" ")
        if len(fields) < 6 or len(kind) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if there.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):  # of equals the last lies on top
            found = len(point.parts), kind[0], {*fields[5].split(","), *kind[2].split(",")}
    if found is None:
        return None
    _, name, options = found
    family, _, program = name.partition(".")
    if name in _ALWAYS or (family == "fuse" and program in _FUSE):
        return name
    local = sorted(_OPTIONS.get(name, set()) & options)
    return f"{name}, {local[0]}" if local else None
