"""What was received, a saved run, a table, a space or a configuration, is read: nothing that it names is imported or called."""

from __future__ import annotations

import csv
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import run
from methods.sides import SIDES
from methods.table import METHODS
from methods.training.class_limit import CLASS_LIMITS
from methods.training.growth import GROWTHS
from methods.training.optimization import OPTIMIZERS, SCHEDULES
from nas.charts.drawn import figure
from nas.cli.terminal import plain_output
from nas.evaluation.evaluators import EVALUATORS
from nas.exits.confidence import CONFIDENCES
from nas.records.spreadsheet import as_text
from nas.runs.trained_run import TrainedRun
from nas.strategies import STRATEGIES
from nas.tasks import TASKS
from spaces.backbones import BACKBONES
from spaces.heads import HEADS
from spaces.named import OWN_SPACES, read_space
from spaces.notation.errors import UserError
from spaces.notation.own_modules import names_of_a_file, only_allowed
from spaces.rules import RULES

TABLES = (
    METHODS,
    BACKBONES,
    HEADS,
    RULES,
    SIDES,
    STRATEGIES,
    EVALUATORS,
    TASKS,
    CONFIDENCES,
    OPTIMIZERS,
    SCHEDULES,
    GROWTHS,
    CLASS_LIMITS,
    OWN_SPACES,
)
OWN = """
from pathlib import Path
from methods.dgl import DGL
from spaces.backbones.small import small as net
from spaces.heads.linear import linear as head

Path({canary!r}).write_text("imported")


class Mine(DGL):
    pass
"""
SMALL = ("--space", "small(width=0.25)", "--seeds", "1", "--iterations", "1", "--batch-size", "16")


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A module of a user's that can be imported, and the file that it leaves where it was."""
    canary = tmp_path / "canary"
    (tmp_path / "own_payload.py").write_text(OWN.format(canary=str(canary)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("own_payload", None)
    yield canary
    sys.modules.pop("own_payload", None)


def call(capsys, *argv):
    code = run.main([str(word) for word in argv])
    return code, *capsys.readouterr()


def refused(capsys, *argv) -> str:
    code, out, err = call(capsys, *argv)
    lines = [line for line in err.splitlines() if line.startswith("run.py: ")]
    assert (code, len(lines)) == (2, 1), (out, err)
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The file of a saved run."""
    folder = tmp_path_factory.mktemp("trained")
    argv = (
        "evaluate",
        *SMALL,
        "--methods",
        "dgl",
        "--decoupling",
        "2:linear 4:linear",
        "--results",
        folder / "results",
        "--runs",
        folder / "runs",
    )
    assert run.main([str(word) for word in argv]) == 0
    return next(folder.glob("runs/*/trained.pt"))


def received(trained: Path, **key: str) -> Path:
    """A run as somebody else would write it."""
    saved = torch.load(trained, weights_only=True)
    saved["key"] |= key
    torch.save(saved, "trained.pt")
    np.savez("new.npz", images=np.zeros((2, 8, 8), np.uint8))
    return Path("trained.pt")


NAMED = [
    ("method", "own_payload.Mine"),
    ("method", "man(base='own_payload.Mine')"),
    ("backbone", "own_payload.net"),
    ("backbone", "prefix(of='own_payload.net',units=2,head=linear)"),
    ("backbone", "prefix(head='own_payload.head')"),
    ("decoupling", "2:own_payload.head 4:linear"),
    ("side", "own_payload:Mine"),
    ("backbone", "builtins.print(sep='CALLED')"),
]


@pytest.mark.parametrize(("cell", "name"), NAMED)
def test_a_saved_run_imports_nothing(trained, own, capsys, cell, name):
    file = received(trained, **{cell: name})
    told = refused(capsys, "predict", file, "new.npz")
    assert f"--allow {'builtins' if 'builtins' in name else 'own_payload'}" in told and len(told) < 400
    extending = ("evaluate", "--extend", file, *SMALL, "--methods", "dgl", "--decoupling", "2:mlp_sr 4:linear")
    assert "--allow" in refused(capsys, *extending)
    with pytest.raises(UserError, match="--allow"):
        TrainedRun.load(file).build()
    assert not own.exists() and "own_payload" not in sys.modules


def test_what_the_command_line_allows_is_imported(trained, own, capsys):
    file = received(
        trained, method="own_payload.Mine", decoupling="2:own_payload.head 4:linear", backbone="own_payload.net(width=0.25)"
    )
    for other in ("own_payloa", "own_payload.Mine", "own", "payload"):
        refused(capsys, "predict", file, "new.npz", "--allow", other)
    assert not own.exists(), "packages are allowed by their whole name"
    assert "package" in refused(capsys, "predict", file, "new.npz", "--allow", "own-payload")
    code, out, err = call(capsys, "predict", file, "new.npz", "--allow", "other", "--allow", "own_payload")
    assert code == 0 and len(out.splitlines()) == 3 and own.exists(), err


def test_a_space_and_a_configuration_are_files_too(own, capsys):
    Path("space.yaml").write_text("backbone: small(width=0.25)\nheads: [own_payload.head]\nnum_blocks: 3\n")
    Path("config.yaml").write_text("methods: [own_payload.Mine]\n")
    Path("sly.yaml").write_text("methods: [own_payload.Mine, --allow, own_payload]\n")
    Path("slyer.yaml").write_text("methods: [own_payload.Mine]\nallow: own_payload\n")
    rest = SMALL[2:]
    assert "--allow own_payload" in refused(capsys, "evaluate", "--space", "space.yaml", *rest)
    assert "--allow own_payload" in refused(capsys, "evaluate", "--config", "config.yaml", *SMALL)
    assert "not options" in refused(capsys, "evaluate", "--config", "sly.yaml", *SMALL)
    assert "'allow'" in refused(capsys, "evaluate", "--config", "slyer.yaml", *SMALL)
    assert not own.exists()
    code, _, err = call(
        capsys,
        "evaluate",
        "--space",
        "space.yaml",
        "--config",
        "config.yaml",
        *rest,
        "--allow",
        "own_payload",
        "--decoupling",
        "2:own_payload.head",
    )
    assert code == 0 and own.exists(), err


def test_a_space_file_that_is_typed_may_name_what_is_on_the_path(own, tmp_path_factory, monkeypatch, capsys):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "own_elsewhere.py").write_text(
        "from spaces.backbones.small import small\ndef net(shape, classes):\n    return small(shape, classes, width=0.25)\n"
    )
    Path("space.yaml").write_text("backbone: own_elsewhere.net\nheads: linear\n")
    Path("config.yaml").write_text("space: space.yaml\n")
    assert "cannot be imported" in refused(capsys, "profile", "--space", "space.yaml", "--allow", "own_elsewhere")
    monkeypatch.syspath_prepend(elsewhere)
    assert "--allow own_elsewhere" in refused(capsys, "profile", "--config", "config.yaml")
    assert call(capsys, "profile", "--space", "space.yaml", "--decoupling", "2:linear")[0] == 0


def test_what_is_typed_needs_no_leave_and_its_rows_import_nothing(own, capsys):
    argv = ("evaluate", *SMALL, "--methods", "own_payload.Mine", "--decoupling", "2:own_payload.head")
    code, out, err = call(capsys, *argv)
    assert code == 0, err
    assert call(capsys, *argv)[2].startswith("1 of 1 runs") or "1 of 1" in call(capsys, *argv)[2]
    (line,) = (line for line in out.splitlines() if "run.py predict" in line)  # behind the Python that runs this
    own.unlink()
    sys.modules.pop("own_payload")
    code, table, err = call(capsys, "compare", "results/evaluate.csv")
    assert code == 0 and "own_payload.Mine" in table and not own.exists(), err
    np.savez("new.npz", images=np.zeros((2, 8, 8), np.uint8))
    words = shlex.split(line.replace("INPUTS", "new.npz"))[2:]
    assert call(capsys, *words)[0] == 0 and own.exists(), "the printed line carries what it needs"


@pytest.mark.parametrize("method", ["own_payload.Mine", "man(base='own_payload.Mine')", "man('own_payload.Mine')"])
def test_compare_imports_nothing_that_a_row_names(trained, own, capsys, method):
    with open(trained.parents[2] / "results" / "evaluate.csv", newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows:
        row[header.index("method")], row[header.index("num_blocks")] = method, "1"
    with open("table.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    call(capsys, "compare", "table.csv")
    assert not own.exists()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
@pytest.mark.parametrize("name", ["own_payload.Mine", "own_payload:Mine", "os.getcwd", "builtins.print(sep='CALLED')"])
def test_no_table_imports_a_name_of_a_file(table, name, own, capsys):
    with pytest.raises(UserError, match="--allow"), names_of_a_file():
        table.resolve(name)
    assert not own.exists() and capsys.readouterr().out == ""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
@pytest.mark.parametrize(
    "name",
    [
        "os.getcwd",
        "os.abort",
        "os.removedirs",
        "shutil.rmtree",
        "subprocess.Popen",
        "collections.OrderedDict",
        "builtins.print",
        "builtins.exec",
        "antigravity.fly",
        "torch.load",
        "torch.relu",
        "torch.nn.Linear",
        "torch.optim.SGD",
        "numpy.load",
        "nas.evaluation.run_training.replace",
        "spaces.notation.own_modules.only_allowed",
    ],
)
def test_functions_of_another_kind_are_refused_uncalled(table, name, own):
    with pytest.raises(UserError) as told:
        table.build(name, *range(table._takes))
    assert name in str(told.value) and len(str(told.value)) < 600


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("def net(input_shape, num_classes):\n    return 3", "must make a Backbone, but it makes an int"),
        ("def net(input_shape, num_classes) -> int:\n    raise SystemExit", "must make a Backbone, but it makes an int"),
        ("def net(input_shape, num_classes, width=3):\n    raise SystemExit", r"2 values by position, and settings behind a \*"),
        ("def net(*shapes):\n    raise SystemExit", "2 values by position"),
        ("def net(shape):\n    raise SystemExit", "2 values"),
        ("from __future__ import annotations\ndef net(shape: Nothing, num):\n    raise SystemExit", "'Nothing' is not defined"),
        ("net = max", "which Python's own library has not"),
        ("from shutil import rmtree as net", "which Python's own library has not"),
    ],
)
def test_what_is_made_is_of_the_kind(own, written, says):
    Path("own_payload.py").write_text(written)
    with pytest.raises(UserError, match=says):
        BACKBONES.build("own_payload.net", (1, 8, 8), 10)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero.* line 1"),
        ("import no_such", "No module named 'no_such'.* line 1"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = (", r"SyntaxError.* line 1"),
        ("def net(x): return y\nnet(3)", "'y' .*line 1"),
        ("raise RuntimeError('operator is not there')", "operator is not there"),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(own, text, says):
    Path("own_payload.py").write_text(text)
    with pytest.raises(UserError, match=f"backbone 'own_payload.net' cannot be imported .*{says}"):
        BACKBONES.resolve("own_payload.net")


def test_a_backbone_of_ones_own_may_import_torchvision(own):
    Path("own_payload.py").write_text(
        "from torchvision.models import resnet18\ndef net(input_shape, num_classes):\n    raise AssertionError(resnet18)\n"
    )
    assert str(BACKBONES.resolve("own_payload.net")) == "own_payload.net"


def test_who_is_allowed_what(own):
    Path("space.yaml").write_text("backbone: own_payload.net(width=0.25)\nheads: [linear]\n")
    for allowed, fine in [
        ({"packages": ["own_payload"]}, True),
        ({"names": ["own_payload.Mine"]}, True),
        ({"names": ["own_payload"]}, False),
        ({"names": ["own_payload.sub.Mine"]}, False),
        ({"packages": ["own_payload.sub"]}, False),
        ({}, False),
    ]:
        with only_allowed(**allowed):
            if fine:
                assert read_space("space.yaml", (1, 8, 8), 10).num_units == 6
            else:
                with pytest.raises(UserError, match="--allow"):
                    read_space("space.yaml", (1, 8, 8), 10)


def test_weights_of_another_size_build_no_network(trained, own, capsys):
    for changes in ({"backbone": "small(width=64.0)"}, {"backbone": "small(width=1.0)"}, {"method": "man"}):
        told = refused(capsys, "predict", received(trained, **changes), "new.npz")
        assert "not the weights of the network" in told


FORMULAS = ["=cmd|' /C calc'!A0", "+1+cmd|'x'", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1", "%x"]


def test_no_text_of_a_file_is_a_formula(trained, own, capsys):
    saved = torch.load(trained, weights_only=True)
    saved["inputs"]["classes"] = [*FORMULAS, "-3", "1e-5"]
    torch.save(saved, "trained.pt")
    Path("in").mkdir()
    for name in ("=1+1.png", "a.png", "-x.png"):
        Image.new("L", (8, 8)).save(Path("in") / name)
    shown = call(capsys, "predict", "trained.pt", "in")[1]
    assert call(capsys, "predict", "trained.pt", "in", "--out", "out.csv")[0] == 0
    for text in (shown, Path("out.csv").read_text()):
        names = [row[0] for row in csv.reader(text.splitlines())][1:]
        assert sorted(names) == ["'-x.png", "'=1+1.png", "a.png"]
    for cell in (*FORMULAS, "\uff1d1+1"):
        assert as_text(cell) == f"'{cell}"
    for cell in ("-0.5", "+3", "-1e-05", "-inf", "3:linear", "dgl(a=-1)", "uncut", "", -0.5, None, "a=1", "1-2", "a;b"):
        assert as_text(cell) is cell
    assert as_text("a;=1+1;b; -x") == "a;'=1+1;b; '-x" and as_text("=1;@x") == "'=1;'@x"


def test_a_cell_of_a_table_is_no_formula_in_another(trained, own, capsys):
    rows = list(csv.reader((trained.parents[2] / "results" / "evaluate.csv").open(newline="")))
    place = rows[0].index("precision")
    with open("table.csv", "w", newline="") as file:
        csv.writer(file).writerows([rows[0], *([*row[:place], "=1+1", *row[place + 1 :]] for row in rows[1:])])
    assert call(capsys, "compare", "table.csv", "--out", "fair.csv")[0] == 0
    with open("fair.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["precision"] == "'=1+1" and line["decoupling"].startswith("2:linear")


def test_no_control_sequence_reaches_a_terminal(trained, own, capsys):
    evil = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e"
    saved = torch.load(trained, weights_only=True)
    saved["inputs"]["classes"] = [f"{evil}{k}" for k in range(10)]
    torch.save(saved, "trained.pt")
    Path("in").mkdir()
    Image.new("L", (8, 8)).save(Path("in") / f"{evil}.png")
    for argv in (
        ("predict", "trained.pt", "in"),
        ("predict", evil, "in"),
        ("predict", "trained.pt", evil),
        ("compare", evil),
        ("predict", "trained.pt", "in", "--rule", evil, "--threshold", "1"),
        ("evaluate", "--space", f"{evil}.yaml"),
    ):
        code, out, err = call(capsys, *argv)
        assert not set(evil[:1] + "\x07\x9b\u202e") & set(out + err), argv
        assert "\\x1b]0;owned" in out + err or "\\x1b]0;owned" in repr(out + err)
    assert code == 2


def test_no_cell_begins_a_formula_however_a_spreadsheet_cuts_the_line():
    for cell, text in [("a;=1+1", "a;'=1+1"), ("a; @x", "a; '@x"), ("a;b=1", "a;b=1"), ("＝1+1", "'＝1+1"), ("＠x", "'＠x")]:
        assert as_text(cell) == text


def table_with(trained: Path, *rows: dict[str, str]) -> None:
    """`table.csv`: the row of the run, once with each of these cells instead."""
    with open(trained.parents[2] / "results" / "evaluate.csv", newline="") as file:
        (whole,) = csv.DictReader(file)
    with open("table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(whole))
        writer.writeheader()
        writer.writerows({**whole, **row} for row in rows)


@pytest.mark.parametrize("cell", ["x'; touch canary #", "$(touch canary)", "`touch canary`", "x'$(touch canary)'" + "y" * 700])
def test_what_a_message_has_to_be_pasted_is_quoted(trained, own, capsys, cell):
    table_with(trained, {"precision": cell}, {"precision": cell}, {"precision": "fp32", "seed": "1"})
    told = refused(capsys, "compare", "table.csv").partition("narrow with ")[2]
    assert shlex.split(told) in (["--where", f"precision={cell}"], ["--where", "precision=..."]), told


@pytest.mark.parametrize(
    ("cell", "says"),
    [*((cell, "without a path") for cell in ("../../elsewhere", "..", "/elsewhere", "x/")), ("", "column run is empty")],
)
def test_a_run_is_named_after_no_folder(trained, own, capsys, cell, says):
    Path("results").mkdir()
    table_with(trained, {"run": cell})
    Path("table.csv").rename("results/evaluate.csv")
    argv = ("evaluate", *SMALL, "--methods", "dgl", "--decoupling", "2:linear 4:linear", "--runs", "k")
    assert says in refused(capsys, *argv)
    assert not list(Path().glob("trained.pt")) and not Path("../elsewhere").exists()


def test_nothing_is_written_through_links(trained, own, capsys):
    mine, other = Path("mine"), Path("other")
    argv = ("evaluate", "--exits", *SMALL, "--methods", "dgl", "--decoupling", "2:linear 4:linear")
    assert call(capsys, *argv, "--results", "r", "--runs", "k")[0] == 0
    (name,) = (path.name for path in Path("k").iterdir())
    mine.write_text("mine")
    for folder in ("other", "runs", "results"):
        Path(folder).mkdir()
    for link, way_out in [
        (f"runs/{name}.lock", "lock file"),
        ("results/.evaluate.csv.lock", "lock file"),
        (f"runs/{name}", "is a link"),
        ("results/exits.png", None),
    ]:
        Path(link).symlink_to((mine if "." in link else other).absolute())
        if way_out:
            assert way_out in refused(capsys, *argv)
        else:
            assert call(capsys, *argv)[0] == 0
        assert mine.read_text() == "mine" and not any(other.iterdir())
        Path(link).unlink()


def test_a_carriage_return_writes_over_nothing(capsys):
    with plain_output():
        print("a note\rspoofed", file=sys.stderr)
        sys.stderr.write("\ra bar")
    assert capsys.readouterr().err == "a note\\rspoofed\n\ra bar"


def test_a_matplotlibrc_of_the_current_folder_is_not_read(own, monkeypatch):
    folders = []

    class Watching:
        @staticmethod
        def find_spec(name, path=None, target=None):
            folders.append((name, os.getcwd()))

    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Watching, *sys.meta_path])
    here = os.getcwd()
    with figure._matplotlib():
        pass
    assert "matplotlib.figure" in dict(folders) and here not in dict(folders).values() and os.getcwd() == here
