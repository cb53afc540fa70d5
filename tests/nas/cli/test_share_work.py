"""The same command on two hosts, with a folder of runs each: they share the work through a PostgreSQL store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.records.results import Results

ROOT = Path(__file__).resolve().parents[3]
EVALUATE = ["evaluate", "--space", "small(width=0.25)", "--task", "digits", "--methods", "dgl", "--decoupling", "even(2)"]


@pytest.mark.slow
def test_each_run_is_trained_on_one_host(postgres_url: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run.py"), *EVALUATE, "--seeds", "8", "--iterations", "5", "--results", postgres_url]
    hosts = [
        subprocess.Popen(
            [*command, "--runs", str(tmp_path / name)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "other")
    ]
    told = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], told
    rows = Results(postgres_url).log("evaluate.csv").rows()
    trained = [path.name for name in ("one", "other") for path in (tmp_path / name).iterdir()]
    assert sorted(row["seed"] for row in rows) == list("01234567")
    assert sorted(trained) == sorted(row["run"] for row in rows)
