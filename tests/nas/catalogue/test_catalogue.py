"""Every registered name says what it is, what its settings mean, and how it is used, in a command that parses; some are run."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import nas
from nas.catalogue.examples import example
from nas.catalogue.kinds import KINDS, Kind, kinds_of, read_kinds
from nas.catalogue.settings import Setting, settings_of, told_in, type_of
from nas.catalogue.shown import shown
from nas.catalogue.size import size_of
from nas.cli.config import parse
from nas.cli.main import main
from spaces.notation.component import Component
from spaces.notation.errors import UserError

ROOT = Path(__file__).parent.parent.parent.parent
NAMES = [(kind, name) for kind in KINDS.values() for name in kind.names()]


def test_every_setting_has_a_meaning() -> None:
    found = [(kind.name, name, one) for kind, name in NAMES for one in settings_of(kind, name)]
    assert len(found) > 200
    assert [(kind, name, one.name) for kind, name, one in found if len(one.meaning) < 5] == []
    assert [(kind, name, one.name) for kind, name, one in found if not one.type and kind != "spaces"] == []


def test_what_is_shown_names_nothing_that_only_the_code_has() -> None:
    """No class, and no function of two words, but those of the public API: whoever reads `show` has not read the code. Settings,
    options and attributes of the reader's own modules may have the same names."""
    public = {one.name for kind, name in NAMES for one in settings_of(kind, name)} | {"data_dir", "num_classes", *nas.__all__}
    trees = [ast.parse(file.read_text()) for root in ("nas", "methods", "spaces") for file in (ROOT / root).rglob("*.py")]
    defined = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    private = {node.name for node in defined if isinstance(node, ast.ClassDef) or "_" in node.name}
    private -= {*public, *(name for _, name in NAMES)}
    found = []
    for kind, name in NAMES:
        one = shown(kind, name)
        for word in re.findall(r"`([A-Za-z_][\w.]*)`", " ".join([one.about, one.text, *(each.meaning for each in one.settings)])):
            if word.split(".")[-1] in private or word.startswith(("methods.", "spaces.")):
                found.append((name, word))
    assert found == []


def test_every_example_parses_and_names_its_name() -> None:
    for kind, name in NAMES:
        words = example(kind, name)
        assert name in " ".join(words), (kind.name, name)
        parse(words)  # an unknown option or a value of another kind is a UserError


def test_examples_resolve_to_the_name_with_settings_that_it_has() -> None:
    flags = {"methods": "methods", "strategies": "strategy", "tasks": "task", "side inputs": "side", "executors": "executor"}
    for title, flag in flags.items():
        kind = KINDS[title]
        for name in kind.names():
            value = getattr(parse(example(kind, name)).options, flag)
            text = value[0] if isinstance(value, tuple) else value
            assert kind.table is not None and kind.table.resolve(text).name == name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [("methods", "predsim"), ("heads", "mlp"), ("rules", "balanced"), ("strategies", "random"), ("growths", "frozen")],
)
def test_a_sample_of_the_examples_runs(
    kind: str, name: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    words = example(KINDS[kind], name)
    shorter = ["20" if words[place - 1] == "--iterations" else word for place, word in enumerate(words)]
    assert main([*shorter, "--quiet"]) == 0
    assert capsys.readouterr().out


def test_a_docstring_is_read_in_one_way() -> None:
    def made(*, depth: int = 1, width: float = 2.0, long_name: str = "a") -> None:
        """What it is.

        depth      how deep it is, which
                   goes on here
        width      how wide
        long_name one blank, in the same column
        other      is no setting

        width is in this sentence no item.
        """

    assert told_in(made, {"depth", "width", "long_name"}) == {
        "depth": "how deep it is, which goes on here", "width": "how wide",
    }  # fmt: skip


def test_types_and_defaults_are_as_people_write_them() -> None:
    found = {one.name: one for one in settings_of(KINDS["methods"], "infopro")}
    assert found["loss"] == Setting("loss", "softmax or contrast", "softmax", found["loss"].meaning)
    assert (found["lambdas"].type, found["lambdas"].default) == ("a text or a list of numbers", "None")
    assert type_of(tuple[int, ...]) == "a list of whole numbers"
    of_space = {one.name: one.default for one in settings_of(KINDS["spaces"], "small")}
    assert of_space["min_block"] == "1" and "width" in of_space
    assert settings_of(KINDS["rules"], "even")[0].default is None


def test_what_is_shown_can_be_given_back() -> None:
    for title in ("methods", "heads", "strategies", "schedules"):
        kind = KINDS[title]
        for name in kind.names():
            text = shown(kind, name).written
            assert kind.table is not None and kind.table.resolve(Component.parse(text)) == kind.table.resolve(name)


def test_papers_and_experiments_are_found() -> None:
    one = shown(KINDS["methods"], "al")
    assert one.papers[:2] == ("Kao and Chen 2021", "Wu et al. 2022") and "al_cifar10_cnn" in one.experiments
    assert "label_dim  " not in one.text and "released" in one.text
    assert shown(KINDS["strategies"], "random").experiments == () and shown(KINDS["rules"], "layerwise").experiments
    experiment = shown(KINDS["experiments"], "dgl_cifar10")
    assert experiment.about.endswith("50 epochs") and "Deviates: weights are drawn" in experiment.text


@pytest.mark.parametrize(("kind", "name"), [("spaces", "small"), ("backbones", "lstm"), ("heads", "conv")])
def test_networks_are_counted_where_they_can_be_built(kind: str, name: str) -> None:
    size = size_of(KINDS[kind], name)
    assert size is not None and size.parameters > 1000
    assert size_of(KINDS["methods"], "dgl") is None and size_of(KINDS["backbones"], "module") is None


@pytest.mark.parametrize("text", ["side inputs", "side-inputs", "Side_Input", "side-input"])
def test_kinds_are_called_as_people_do(text: str) -> None:
    assert read_kinds([text]) == [KINDS["side inputs"]]


def test_a_name_of_several_kinds_shows_all_or_the_one_that_is_meant() -> None:
    def found(text: str) -> list[tuple[str, str]]:
        return [(kind.name, name) for kind, name in kinds_of(text)]

    assert found("conv") == [("heads", "conv"), ("side inputs", "conv")]
    assert found("head:conv") == [("heads", "conv")] and found("vgg11") == [("spaces", "vgg11"), ("backbones", "vgg11")]
    for text, said in (
        ("predsym", "did you mean predsim"),
        ("head:convv", "conv"),
        ("dgl(label_smoothing=0)", "leave the settings"),
    ):
        with pytest.raises(UserError, match=said):
            kinds_of(text)


def test_list_and_show_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    def out(*argv: str) -> str:
        assert main(list(argv)) == 0
        return capsys.readouterr().out

    assert out("list", "methods", "rules").count("\n\n") == 2 and "sedona" not in out("list", "methods")
    searched = json.loads(out("list", "--search", "LAMBDAS", "--json"))
    assert {name.partition("(")[0] for name in searched["methods"]} == {"infopro", "contsup"} and searched["heads"] == {}
    told = out("show", "predsim")
    assert "similarity" in told and "Nøkland and Eidnes 2019" in told and "head predsim" in told
    assert "run.py evaluate" in told and max(map(len, told.splitlines())) <= 80
    facts = json.loads(out("show", "method:dgl", "--json"))
    assert [(one["kind"], one["name"], one["written"]) for one in facts] == [("methods", "dgl", "dgl(label_smoothing=0.1)")]
    for argv, said in (
        (["list", "stratgies"], "strategies"),
        (["list", "--search", "zzz"], "got 'zzz'"),
        (["show", "dlg"], "dgl"),
    ):
        assert main(argv) == 2
        assert said in capsys.readouterr().err


def test_kinds_say_what_their_names_are_for() -> None:
    assert all(isinstance(kind, Kind) and kind.about and kind.flag for kind in KINDS.values())
