"""What lies in the current folder is imported by accident in no case: run.py and nas.cli.main see to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import run

PAYLOAD = "open({canary!r}, 'w').close()\n"
NAMES = ("__future__", "argparse", "contextlib", "signal", "threading", "json", "random", "methods", "nas", "own_here")


@pytest.mark.parametrize(
    ("python_path", "is_last"), [(":", False), ("no_such:", False), ("", False), (".", True), (":{here}", True)]
)
def test_run_py_takes_no_module_of_the_current_folder(tmp_path, python_path, is_last):
    here, program = tmp_path / "here", tmp_path / "program"
    for folder in (here, program):
        folder.mkdir()
    for name in NAMES:
        (here / f"{name}.py").write_text(PAYLOAD.format(canary=str(tmp_path / "canary")))
    source = Path(run.__file__)
    for name in (
        "run.py",
        "nas/__init__.py",
        "nas/cli/__init__.py",
        "nas/cli/main.py",
        "nas/cli/current_folder.py",
        "nas/cli/process.py",
    ):
        (program / name).parent.mkdir(parents=True, exist_ok=True)
        (program / name).write_text((source.parent / name).read_text(encoding="utf-8"))
    (program / "methods").symlink_to(source.parent / "methods")
    (program / "nas/cli/running.py").write_text(
        "import argparse, json, os, random, sys\ndef run(argv):\n    print([os.path.realpath(folder) for folder in sys.path])\n"
    )
    environment = {"PYTHONPATH": python_path.format(here=here), "PATH": os.environ["PATH"]}
    # Without what is installed, which would import some of these names before the program begins.
    answer = subprocess.run([sys.executable, "-S", program / "run.py"], cwd=here, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    folders = eval(answer.stdout, {})
    assert not (tmp_path / "canary").exists()
    assert [place for place, folder in enumerate(folders) if folder == str(here)] == ([len(folders) - 1] if is_last else [])
