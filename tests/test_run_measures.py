"""The command line measures what is trained: asked for later it prints and writes what it does when asked for at once."""

import json
from pathlib import Path

import pandas as pd
import pytest

import run
from nas.evaluation import run_training
from nas.evaluation.measurements import exits
from nas.exits.timing import ExitSeconds

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
ASKED = ("--exits", "--calibrate", "--ensemble", "2")
PASSING = ["time", "command", "seconds", "step_seconds", "pipeline_speedup_bound"]


@pytest.fixture
def trained(monkeypatch):
    """The seeds that were trained, in order."""
    seeds, train = [], run_training.train

    def counted(*given, seed, **named):
        seeds.append(seed)
        return train(*given, seed=seed, **named)

    monkeypatch.setattr(run_training, "train", counted)
    monkeypatch.setattr(
        exits,
        "exit_seconds",
        lambda method, data, part, size, points, *rest: ExitSeconds([1e-5] * method.net.num_blocks, [1e-5] * len(points), 9),
    )
    return seeds


@pytest.fixture
def call(capsys):
    def called(*argv):
        code = run.main(list(argv))
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    return called


def written(folder):
    tables = {path.name: pd.read_csv(path, dtype=str, keep_default_na=False) for path in Path(folder).glob("*.csv")}
    return {name: table.drop(columns=[column for column in PASSING if column in table]) for name, table in tables.items()}


@pytest.mark.slow
def test_later_is_as_at_once(call, trained, tmp_path, monkeypatch):
    found = []
    for name, commands in (("once", [ASKED]), ("later", [(), ASKED]), ("parts", [("--ensemble", "2"), (), ("--exits",), ASKED])):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        trained.clear()
        for asked in commands:
            call(*EVALUATE, *asked)
        out, _ = call(*EVALUATE, *ASKED, "--json")
        assert trained == [0, 1]
        facts = json.loads(out)
        for line in (*facts["summary"], *facts["ensemble"], *facts["rows"]):
            for column in PASSING:
                line.pop(column, None)
        found.append({key: value for key, value in facts.items() if key not in ("csv", "curves")})
    assert found[0] == found[1] == found[2] and found[0]["ensemble"] and found[0]["exits"]
    once, later, parts = (written(tmp_path / name / "results") for name in ("once", "later", "parts"))
    assert set(once) == {"evaluate.csv", "ensembles.csv", "exits.csv", "curves.csv", "history.csv"} == set(later) == set(parts)
    for name, table in once.items():
        pd.testing.assert_frame_equal(table, later[name])
        calibrated = parts[name]
        if "calibrated" in calibrated:
            calibrated = calibrated[calibrated["calibrated"] == "True"].reset_index(drop=True)
        pd.testing.assert_frame_equal(table, calibrated)


@pytest.mark.slow
def test_what_is_measured_or_trained_again_is_said(call, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(*EVALUATE)
    assert "2 trained runs are measured with saved weights" in call(*EVALUATE, "--ensemble", "2")[1]
    for path in Path("runs").glob("*/trained.pt"):
        path.unlink()
    _, err = call(*EVALUATE, "--exits", "--discard-weights")
    assert "2 runs with a row are trained again: no weights are saved to measure exits with" in err
    assert trained == [0, 1, 0, 1] and not list(Path("runs").glob("*/*"))


@pytest.mark.slow
def test_a_search_saves_weights_where_asked(call, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = (
        "search",
        "--space",
        "small(width=0.25,heads=[linear],num_blocks=2)",
        "--strategy",
        "random(trials=2)",
        "--iterations",
        "2",
    )
    call(*search)
    assert len(trained) == 2 and not list(Path("runs").glob("*/*"))
    call(*search, "--save-weights")
    assert len(trained) == 4 and len(list(Path("runs").glob("*/trained.pt"))) == 2
    call(*search)
    assert len(trained) == 4
