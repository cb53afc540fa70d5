"""Whatever comes, the answer is one short line: the shortest input of each kind of fault that was once a traceback, a flood or
a hang."""

import os
from pathlib import Path

import pytest

import run
from spaces.named import read_space
from spaces.notation.errors import UserError, one_line
from spaces.notation.plain_yaml import MOST_BYTES, read_yaml

SEVERAL = "\n".join(f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]" for below, name in zip("abcdefg", "bcdefgh", strict=True))
SHORT = "9" * 5000


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Run a command that must be refused, and give its line."""
    monkeypatch.chdir(tmp_path)

    def refuse(*argv: str) -> str:
        assert run.main(list(argv)) == 2
        out, err = capsys.readouterr()
        assert err.startswith("run.py: ") and err.count("\n") == 1 and len(err) < 600 and not out
        return err

    return refuse


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("a: &a [x]\n" + SEVERAL, "alias"),
        ("lr: &a [*a]", "alias"),
        ("<<: *x", "alias"),
        ("[" * 700, "nested too deeply"),
        ("{a: " * 700, "nested too deeply"),
        ("lr: !!python/object/apply:os.system ['touch canary']", "not a YAML file"),
        ("lr: !!int x", "not a YAML file"),
        ("lr: !!bool x", "not a YAML file"),
        ("lr: !!timestamp x", "not a YAML file"),
        ("lr: !!float x", "not a YAML file"),
        ("lr: 2020-13-45", "not a YAML file"),
        ("lr: 2020-01-01", "a date"),
        ("lr: !!binary aGk=", "a bytes"),
        ("lr: !!set {a}", "a set"),
        (f"lr: {SHORT}", "not a YAML file"),
        ("lr: 0x" + "f" * 5000, "more than 18 digits"),
        (r'space: "\0"', "signs"),
        (r'space: "\ud800"', "signs"),
        (r'space: "\e[31m"', "signs"),
        ("{[1]: 2}", "not a YAML file"),
        ("=", "not a YAML file"),
        ("x" * 1_000 + ": 1", "unknown key"),
        (f"seeds: [{'a,' * 2_000}]", "one value"),
        ("lr: -.inf", "--lr"),
        ("1: 2", "unknown key"),
        ("null: 2", "unknown key"),
        ("2020-01-01: 2", "a date"),
        ("#" * (MOST_BYTES + 1), "more than"),
        (b"\xff", "not a YAML file"),
    ],
)
def test_a_configuration_that_its_parser_cannot_take(refused, file, said):
    Path("own.yaml").write_bytes(file if isinstance(file, bytes) else file.encode())
    assert said in refused("evaluate", "--config", "own.yaml")
    with pytest.raises(UserError):
        read_space("own.yaml", (1, 8, 8), 10)
    assert not Path("canary").exists()


def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), tmp_path, tmp_path / "missing", tmp_path / ("a" * 300)):
        with pytest.raises(UserError, match="cannot be read"):
            read_yaml(path, "the file", "give another")


def test_plain_files_are_read_as_before(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("a: 1\nb: [x, 'two\n\n  lines', 1.5, true, null]\nc: {d: é}\n", encoding="utf-8")
    assert read_yaml(path, "", "") == {"a": 1, "b": ["x", "two\nlines", 1.5, True, None], "c": {"d": "é"}}


@pytest.mark.parametrize(
    "argv",
    [
        ("profile", "--space=--"),
        ("evaluate", "--methods=--"),
        ("search", "--seed=--"),
        ("profile", "--space", "--"),
        ("--",),
        ("",),
        ("profile", "--space", "\udcff"),
        ("\udcff",),
        ("compare", "a\udcff.csv"),
        ("search", "--seed", SHORT),
        ("search", "--lr", SHORT + "x"),
        ("search", "--batch-size", "a" * 100_000),
        ("search", "--" + "a" * 100_000),
        ("search", "--json=" + "x," * 20_000),
        ("predict", "a" * 5_000, "b"),
        ("profile", "--space", "a" * 100_000),
        ("profile", "--space", "a(" * 5_000),
        ("profile", "--method", f"dgl({'-' * 100_000}1)"),
        ("profile", "--space", "a\x1b[31m\n\u202e"),
        ("profile", "--device", "a" * 100_000),
        ("compare", "linear(" * 3_000),
        ("profile", "--space", "small(num_blocks=0x" + "f" * 5_000 + ")"),
        ("profile", "--decoupling", SHORT + ":linear"),
        ("profile", "--side-dim=" + SHORT),
        ("profile", "--method", f"al(pooling=grid{SHORT})"),
        ("profile", "--method", f"contsup(context=R{SHORT})"),
    ],
)
def test_an_argument_of_any_kind_is_one_line(refused, argv):
    told = refused(*argv)
    assert told.strip("\n").isprintable()


@pytest.mark.parametrize(
    "argv",
    [
        ("evaluate", "--seeds", "1000000000"),
        ("search", "--seeds", "10001"),
        ("search", "--epochs", "1000000000000"),
        ("search", "--iterations", "1000000000000"),
        ("search", "--batch-size", "1000000000000"),
        ("search", "--strategy", "random(trials=1000000000000)"),
        ("search", "--strategy", "sedona(memory=10000000000)"),
        ("profile", "--space", "small(width=1e9)"),
        ("profile", "--space", "small(width=90000)"),
        ("profile", "--space", "small(width=1e999)"),
        ("profile", "--method", "al(label_dim=1000000000)"),
        ("profile", "--decoupling", "even(1000000000)"),
        ("profile", "--task", "digits(crop=99999999999)"),
    ],
)
def test_a_number_that_is_plainly_a_slip_is_told_before_anything_is_taken(refused, argv):
    said = refused(*argv)
    assert "got " in said or "GiB" in said


def test_a_message_keeps_its_ends():
    assert one_line("short, with 'é' and 漢字") == "short, with 'é' and 漢字"
    told = one_line("the rule, got " + "x" * 10_000 + "; do this")
    assert told.startswith("the rule, got x") and told.endswith("; do this") and len(told) <= 500
    assert one_line("a\x1b[31m\0\u202e\udcff\nb").isprintable()
    assert len(one_line("\x1b" * 10_000)) <= 500
