"""A folder that appears whole or not at all, and what killed processes leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.exports.new_folder import new_folder

WRITES = """
import os, sys
from pathlib import Path
from nas.exports.new_folder import new_folder
with new_folder(Path(sys.argv[1])) as inside:
    (inside / "weights").write_text("half")
    print("there", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_gone_with_the_next_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    folder = tmp_path / "out[1]"
    writing = [
        subprocess.Popen([sys.executable, "-c", WRITES, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in writing:
            assert process.stdout is not None and process.stdout.readline() == "there\n"
        living, killed = writing
        killed.kill()
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 2
        with new_folder(tmp_path / "other"):
            assert len(list(tmp_path.iterdir())) == 3, "of another place, which is left alone"
        with pytest.raises(KeyboardInterrupt), new_folder(folder):
            assert len(list(tmp_path.iterdir())) == 3
            raise KeyboardInterrupt
        living.communicate("")
        assert living.returncode == 0
    finally:
        for process in writing:
            process.kill()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out[1]"]
    assert [path.read_text() for path in folder.iterdir()] == ["half"]


def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").touch()
    (tmp_path / ".out.mine.part").symlink_to("mine")
    (tmp_path / ".out.file.part").touch()
    with new_folder(tmp_path / "out") as inside:
        (inside / "weights").touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        ".out.file.part",
        "mine/text",
        "out/weights",
    ]
