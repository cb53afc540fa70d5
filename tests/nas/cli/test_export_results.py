"""Rows go from a folder to a PostgreSQL store and back: the same bytes, and nothing twice; and commands read the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nas
from nas.cli.main import main
from nas.records.results import Results

RESULTS = Path(__file__).resolve().parents[3] / "results"
SECRET = "geheim"


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["adaptive/search", "digits", "texts", "fine_tuning"])
def test_files_come_back_to_the_byte(folder: str, postgres_url: str, tmp_path: Path) -> None:
    nas.export_results(RESULTS / folder, postgres_url)
    found = nas.export_results(postgres_url, tmp_path / "back")
    files = {path.name: path.read_bytes() for path in (RESULTS / folder).glob("*.csv")}
    assert files and {path.name: path.read_bytes() for path in (tmp_path / "back").glob("*.csv")} == files
    assert [(one.name, one.new) for one in found] == [(one.name, one.rows) for one in found]


def test_rows_that_are_there_are_not_doubled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = Results(tmp_path / "one"), Results(tmp_path / "other")
    one.log("toy.csv").append_all([{"a": 1, "b": ""}, {"a": 2}, {"a": 2}])
    other.log("toy.csv").append_all([{"c": 3}, {"b": "", "a": 2}])
    command = ["export-results", str(one), str(other), "--json"]
    assert main(command) == main(command) == 0
    first, again = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(said["name"], said["rows"], said["new"]) for said in (*first, *again)] == [("toy.csv", 3, 2), ("toy.csv", 3, 0)]
    assert [list(row.values()) for row in other.log("toy.csv").rows()] == [
        ["3", "", ""], ["", "", "2"], ["", "", "1"], ["", "", "2"],
    ]  # fmt: skip
    assert main(["export-results", str(one), str(tmp_path / "new")]) == 0
    assert "3 new of 3 rows in " in capsys.readouterr().out


@pytest.mark.parametrize(("source", "target", "says"), [("a", "a", "got a twice"), ("nowhere", "b", "which has none")])
def test_what_cannot_be_copied_is_one_line(source: str, target: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export-results", source, target]) == 2
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1


@pytest.mark.slow
def test_commands_work_on_a_store_and_say_no_password(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    url = postgres_url.replace("postgres:@", f"postgres:{SECRET}@")
    assert SECRET in url
    evaluate = ["evaluate", "--space", "small", "--task", "digits", "--methods", "dgl", "--decoupling", "even(2)"]
    evaluate += ["--seeds", "2", "--iterations", "1", "--exits"]
    monkeypatch.setattr("sys.argv", ["run.py", *evaluate, "--results", url])
    assert main([*evaluate, "--results", url]) == main([*evaluate, "--results", url]) == 0
    assert main(["compare", url]) == main(["runs", "list", "--results", url]) == 0
    assert main([*evaluate, "--results", url, "--print-config"]) == 0
    assert main([*evaluate, "--resluts", url]) == 2
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err and "2 of 2 runs are in postgresql://postgres@/" in told.err
    assert "plot results/exits.png" in told.out and (tmp_path / "results" / "exits.png").is_file()
    frame = nas.read_results(url)
    assert len(frame) == 2 and not frame["command"].str.contains(SECRET).any()
    assert frame["command"].str.contains("--results 'postgresql://postgres@/").all()
    assert nas.read_results(url.replace("/postgres?", "/postgres/exits.csv?")).shape[0] == 4
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["exits.png"]
    task, table = "digits(validation=0.1)", url.replace(f":{SECRET}@", "@")
    search = ["search", "--space", "small", "--task", task, "--iterations", "1", "--results", "searched", "--strategy"]
    assert main([*search, "random(trials=1)", "--evaluator", f"tabular(path='{url}')"]) == 2
    assert "has no password" in (told := capsys.readouterr().err) and SECRET not in told
    assert main([*search, "random(trials=1)", "--evaluator", f"tabular(path='{table}')"]) == 2
    assert "the table postgresql://postgres@/" in capsys.readouterr().err  # which has no such point
