"""`run.py plot` and `nas.plot`: a file a chart, called as it is, and what they refuse."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import nas
from benchmarks.report_time import made_up
from nas.cli.main import main
from nas.records.results_log import ResultsLog

RESULTS = Path(__file__).parents[3] / "results"
DIGITS = str(RESULTS / "digits")


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["plot", *argv]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    return err


def test_files_are_called_as_their_charts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "figures"
    assert main(["plot", DIGITS, "--charts", "error_memory", "alpha", "--out", str(out), "--where", "method=dgl"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}/error_memory.svg  Test error against memory",
        f"{out}/alpha.svg  Where to cut, over meta-steps",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["alpha.svg", "error_memory.svg"]


def test_a_single_file_is_asked_for_by_its_name(tmp_path: Path) -> None:
    (figure,) = nas.plot(DIGITS, charts="network-2", out=tmp_path, format="pdf", width=5)
    assert (figure.path, figure.kind) == (tmp_path / "network-2.pdf", "networks") and figure.path.read_bytes()[:4] == b"%PDF"
    assert "No gradient crosses" in figure.caption


def test_programs_are_told_captions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", DIGITS, "--charts", "seeds", "--format", "png", "--out", str(tmp_path), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "seeds.png") and "95 % interval" in told["caption"] and told["kind"] == "seeds"


@pytest.mark.parametrize(("apart", "leaves"), [(0.001, False), (0.2, True)])
def test_the_caption_says_what_an_arrow_is_where_there_is_one(tmp_path: Path, apart: float, leaves: bool) -> None:
    log, chance = ResultsLog(tmp_path / "evaluate.csv"), random.Random(0)
    for line in (0, 1):
        for seed in (0, 1):
            log.append(made_up(line, seed, chance) | {"test_error": 0.3 + 0.05 * line + apart * seed})
    (figure,) = nas.plot(tmp_path, charts="error_memory", out=tmp_path)
    assert ("ends in an arrow, the interval goes on" in figure.caption) == leaves


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", str(tmp_path / "figures"))
    told = refused(capsys, DIGITS, "--charts", "exits", *out)
    assert "got exits, for which" in told and "there is error_blocks, error_memory" in told
    assert "did you mean error_memory" in refused(capsys, DIGITS, "--charts", "eror_memory", *out)
    assert "nothing is there" in refused(capsys, str(tmp_path / "nowhere"), *out)
    assert "has no rows or is not there" in refused(capsys, str(tmp_path / "nowhere.csv"), *out)
    assert "unknown column 'metod'; did you mean method" in refused(capsys, DIGITS, "--where", "metod=dgl", *out)
    assert "no row is left where method=man" in refused(capsys, DIGITS, "--where", "method=man", *out)
    assert "--width is in inches, from 0.5 to 40, got nan" in refused(capsys, DIGITS, "--width", "nan", *out)
    assert "invalid choice: 'gif'" in refused(capsys, DIGITS, "--format", "gif", *out)
    (tmp_path / "file").write_text("mine")
    assert "--out is a folder, got" in refused(capsys, DIGITS, "--out", str(tmp_path / "file"))
    assert not (tmp_path / "figures").exists() and (tmp_path / "file").read_text() == "mine"


def test_a_password_is_not_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.charts import results

    def none(place: str) -> list[object]:
        raise nas.UserError("the database cannot be reached")

    monkeypatch.setattr(results, "_logs", none)
    told = refused(capsys, "postgresql://me:secret@host/results")
    assert "secret" not in told and "postgresql://me@host/results" in told
