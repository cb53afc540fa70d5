"""`run.py report` and `nas.write_report`: one file, of rows alone, and what they refuse."""

import json
import re
import shutil
from pathlib import Path

import pytest

import nas
from nas.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "results" / "digits"


def data_of(path: Path) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return json.loads(found)


def test_the_page_is_one_file_of_what_was_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(RESULTS), "--title", "Digits", "--where", "method=dgl", "--where", "method=backprop"]) == 0
    data = data_of(tmp_path / "report.html")
    assert data["title"] == "Digits"
    assert {line["cells"][0].partition("(")[0] for table in data["tables"] for line in table["lines"]} == {"dgl", "backprop"}
    assert "report.html shows" in capsys.readouterr().out


def test_json_says_what_was_read(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["report", str(RESULTS / "evaluate.csv"), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["out"] == str(out) and list(said["rows"].values()) == [21]


def test_python_writes_the_same_page(tmp_path):
    assert nas.write_report([RESULTS / "evaluate.csv"], out=tmp_path / "one.html", title="One") == tmp_path / "one.html"
    main(["report", str(RESULTS / "evaluate.csv"), "--out", str(tmp_path / "other.html"), "--title", "One"])
    assert (tmp_path / "one.html").read_text("utf-8") == (tmp_path / "other.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere"], "a report is of rows that search or evaluate wrote, got nowhere"),
        (
            [str(RESULTS), "--out", "no_folder/report.html"],
            "--out is a file in a folder that is there, got no_folder/report.html",
        ),
        ([str(RESULTS), "--where", "method=none_such"], "no row is left where method=none_such"),
        (["postgresql://me:secret@127.0.0.1:1/none"], "me"),
    ],
)
def test_what_cannot_be_is_one_line_without_secrets(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *given]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1 and "secret" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_read_is_not_replaced(tmp_path, capsys):
    path = shutil.copy(RESULTS / "evaluate.csv", tmp_path / "evaluate.csv")
    before = Path(path).read_bytes()
    assert main(["report", str(path), "--out", str(path)]) == 2
    assert "which is read; name another file" in capsys.readouterr().err and Path(path).read_bytes() == before
