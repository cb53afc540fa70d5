"""`run.py runs`: lists what evaluate and search leave below --runs, and frees the disk by choice."""

import json
from pathlib import Path

import pytest

import run
from nas.records.results import Results

EVALUATE = (
    "evaluate",
    "--space",
    "small(width=0.25)",
    "--decoupling",
    "3:linear",
    "--iterations",
    "3",
    "--methods",
    "dgl",
    "--seeds",
    "2",
)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys):
    def called(*argv):
        code = run.main(list(argv))
        out, err = capsys.readouterr()
        return code, out, err

    return called


def test_what_was_saved_is_listed_and_goes_by_choice(call):
    assert call(*EVALUATE)[0] == 0
    code, out, _ = call("runs", "list")
    names = sorted(path.name for path in Path("runs").iterdir())
    assert code == 0 and all(name in out for name in names) and "finished" in out and "evaluate.csv" in out and "3:linear" in out
    facts = json.loads(call("runs", "list", "--json")[1])
    sizes = sum(path.stat().st_size for path in Path("runs").glob("*/*"))
    assert facts["size_bytes"] == sizes and [one["seed"] for one in facts["runs"]].count("1") == 1
    assert "2 runs, " in call("runs", "clean", "--all", "--dry-run")[1] and Path("runs", names[0]).is_dir()
    assert "0 runs" in call("runs", "clean", "--unfinished")[1]
    Path("results/evaluate.csv").unlink()
    code, out, _ = call("runs", "clean", "--without-row")
    assert code == 0 and "2 runs, " in out and "removed from runs" in out and list(Path("runs").iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["clean"], "got no choice"),
        (["clean", "--all", "--unfinished"], "no effect"),
        (["list", "--all"], "leave it out"),
        (["list", "--dry-run"], "leave it out"),
        (["clean", "--older-than", "-1"], "from 0 on"),
        (["clean", "--older-than", "nan"], "from 0 on"),
    ],
)
def test_what_has_no_effect_is_refused(call, argv, says):
    code, out, err = call("runs", *argv)
    assert (code, out) == (2, "") and says in err and len(err.splitlines()) == 1


def test_a_run_that_a_process_is_at_says_how_far_it_is(call):
    name = "0123456789abcdef"
    Path("runs", name).mkdir(parents=True)
    Path("runs", name, "checkpoint.pt").touch()
    beats = Results("results").beats
    task = {"run": name, "method": "dgl", "since": "now", "done": 40, "total": 100, "figures": {"loss": 0.5}, "seconds_left": 90}
    beats.write("process", json.dumps({"process": 12, "host": "here", "tasks": [task]}))
    try:
        assert "running 40 of 100 iterations, 1 min 30 s left, by process 12 on here" in call("runs", "list")[1]
        (facts,) = json.loads(call("runs", "list", "--json")[1])["runs"]
        assert facts["running"]["iteration"] == 40 and facts["running"]["who"] == "process 12"
    finally:
        beats.remove("process")
    assert "running" not in call("runs", "list")[1]
