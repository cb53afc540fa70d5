"""`run.py export`: what it writes, loads without this project and answers as the run; what it refuses leaves nothing."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nas
import run
from nas.exports import tensors
from nas.exports.formats.torch_file import TorchFile
from nas.runs.trained_run import TrainedRun
from spaces import torchvision_import
from spaces.notation.own_modules import only_allowed
from tests.nas.exports.conftest import IMAGES, TEXTS

MAKE = Callable[..., TrainedRun]
ROOT = Path(nas.__file__).parents[1]
WITHOUT_US = "import sys; sys.modules.update(dict.fromkeys(('nas', 'methods', 'spaces')))\n"  # None: an import fails


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = run.main(["export", *map(str, argv)])
    return code, *capsys.readouterr()


def alone(folder: Path, code: str, *arguments: str) -> str:
    """What a program prints in the folder that can import nothing of this project."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_US + code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def snippet(folder: Path) -> str:
    """The lines of the model card that load the files."""
    found = re.search(r"```python\n(.*?)```", (folder / "model_card.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_weights_with_their_names_and_a_card(saved_run: MAKE, capsys: pytest.CaptureFixture[str]) -> None:
    saved = saved_run()
    code, out, err = call(capsys, "run", "--to", "torch")
    folder = Path("exports") / f"{saved.name}-torch"
    assert code == 0 and str(folder) in out and "all 38 tensors" in out and "take --to onnx" in out
    assert "random inputs" in err and err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.json", "model.pt", "model_card.md"]
    held = torch.load(folder / "model.pt", weights_only=True)
    plain = saved.build().net.backbone.model.state_dict()
    assert list(held["state_dict"]) == list(plain)
    assert all(torch.equal(held["state_dict"][name], plain[name]) for name in plain)
    assert held["metadata"]["classes"] == IMAGES["classes"] and held["metadata"]["inputs"]["mean"] == [0.3]
    assert json.loads((folder / "metadata.json").read_text())["run"] == saved.name
    assert "exit 1" not in (folder / "model_card.md").read_text()


def test_an_exit_has_its_own_tensors_beside_those_of_the_network(saved_run: MAKE) -> None:
    saved = saved_run("al")
    folder = nas.export("run", to="torch", exit=2)
    names = list(torch.load(folder / "model.pt", weights_only=True)["state_dict"])
    plain = [name for name in names if not name.startswith(tensors.OF_THE_EXIT)]
    assert plain == [name for name in saved.build().net.backbone.model.state_dict() if re.match(r"units\.[0-3]\.", name)]
    assert {name.split(".")[1] for name in names if name not in plain} == {"net", "decoders"}
    assert "strict=False" in (folder / "model_card.md").read_text()


def test_metadata_lie_in_each_file(saved_run: MAKE) -> None:
    import safetensors

    saved = saved_run()
    with safetensors.safe_open(nas.export("run", to="safetensors") / "model.safetensors", "pt") as file:
        held = file.metadata()
    assert held["run"] == saved.name and json.loads(held["classes"]) == IMAGES["classes"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "safetensors", "onnx", "torch_export"])
def test_the_lines_of_the_card_run_without_this_project(name: str, saved_run: MAKE) -> None:
    saved_run()
    folder = nas.export("run", to=name)
    shown = "len(state_dict)" if name in ("torch", "safetensors") else "tuple(logits.shape)"
    assert alone(folder, snippet(folder) + f"print({shown})") == ("38\n" if shown.startswith("len") else "(2, 10)\n")
    assert not any(str(ROOT).encode() in path.read_bytes() for path in folder.iterdir()), "folders of this machine stay here"


@pytest.mark.slow
def test_a_cascade_in_one_graph_is_run_by_onnxruntime_alone(saved_run: MAKE) -> None:
    saved_run()
    folder = nas.export("run", to="onnx(one_file=True)", adaptive="margin:0.999")
    assert alone(folder, snippet(folder) + "print(logits.shape, depth)") == "(1, 10) [3]\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "torch_export"])
def test_a_cascade_answers_new_images_as_predict_does(name: str, saved_run: MAKE, tmp_path: Path) -> None:
    saved_run("al")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez("new.npz", images=pixels)
    first = nas.predict("run", "new.npz", threshold=0.01, calibrate=True)["probability"].sort_values()
    threshold = float(first.iloc[18:20].mean())
    wanted = nas.predict("run", "new.npz", threshold=threshold, calibrate=True)
    folder = nas.export("run", to=name, adaptive=f"max_softmax:{threshold}", calibrate=True)
    program = "import runpy; runpy.run_path('answer.py', run_name='__main__')"
    lines = [line.split(",") for line in alone(folder, program, str(tmp_path / "new.npz")).splitlines()[1:]]
    assert [line[0] for line in lines] == list(wanted["answer"]) and [int(line[2]) for line in lines] == list(wanted["depth"])
    assert {1} < set(wanted["depth"])
    np.testing.assert_allclose([float(line[1]) for line in lines], wanted["probability"], atol=2e-6)
    assert tuple(map(int, alone(folder, snippet(folder) + "print(*logits.shape)").split())) == (2, 10)


@pytest.mark.slow
def test_texts_are_cut_into_tokens_and_answered(saved_run: MAKE) -> None:
    saved_run("dgl", "linear(depth=2,embedding=8,hidden=8)", (1, 2), head="linear", inputs=TEXTS)
    folder = nas.export("run", to="torch_export")
    texts = ["w1 W2, w3!", "w29", " ".join(["w7"] * 30)]
    Path("new.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in texts), encoding="utf-8")
    wanted = nas.predict("run", "new.csv")
    code = f"from answer import Network; n = Network('.'); print(*n(n.inputs(texts={texts!r}))[0].argmax(1))"
    assert [TEXTS["classes"][int(answer)] for answer in alone(folder, code).split()] == list(wanted["answer"])


OWN = """
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor(2.0), persistent=False)  # of no state dict

    def forward(self, x):
        return self.factor * x


def net(num_classes=5):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), Scaled(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, num_classes)
    )
"""
# torchvision's operators need not fit this torch (`spaces.torchvision_import`)
WITH_TORCHVISION = f"import runpy; runpy.run_path({str(Path(torchvision_import.__file__))!r})['torchvision']()\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "cuts", "line"),
    [
        ("torchvision(name=resnet18)", (3, 6), "torchvision.models.get_model('resnet18', weights=None, num_classes=10)"),
        ("timm(name=resnet10t)", (2,), "timm.create_model('resnet10t', num_classes=10, in_chans=1)"),
        ("module(path=own_net.net)", (1,), "own_net.net(num_classes=10)"),
    ],
)
@pytest.mark.parametrize("name", ["torch", "safetensors"])
def test_a_library_loads_the_weights_strictly_and_answers_alike(
    backbone: str, cuts: tuple[int, ...], line: str, name: str, saved_run: MAKE, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("own_net.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    saved = saved_run(backbone=backbone, cuts=cuts, head="linear")
    folder = nas.export("run", to=name, allow=["own_net"])
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with only_allowed(["own_net"]), torch.no_grad():
        torch.save({"x": x, "wanted": saved.build()(x)}, "x.pt")
    lines = snippet(folder)
    assert f"model = {line}\n" in lines and "model.load_state_dict(state_dict)\n" in lines
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
{lines}
import torch
held = torch.load({str(tmp_path / "x.pt")!r}, weights_only=True)
torch.testing.assert_close(model(held["x"]), held["wanted"])
print("alike")
"""
    assert alone(folder, (WITH_TORCHVISION if "own" not in backbone else "") + code) == "alike\n"


UNTRACED = """
import torch
from torch import nn


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(len(x), -1).reshape(x.shape)


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.i1e(x)


def fixed(num_classes=10):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Fixed(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, num_classes))


def bessel(num_classes=10):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Bessel(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, num_classes))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "format", "says"),
    [
        ("fixed", "torch_export", "batches of any size, got a network whose code makes a constant of the size, as len(x)"),
        ("bessel", "onnx", "got one without (No ONNX function found for <OpOverload(op='prims.bessel_i1e'"),
    ],
)
def test_a_network_without_such_a_graph_is_told_why(
    name: str,
    format: str,
    says: str,
    saved_run: MAKE,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    Path("untraced.py").write_text(UNTRACED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    saved_run(backbone=f"module(path=untraced.{name})", cuts=(1,), head="linear")
    code, _, err = call(capsys, "run", "--to", format, "--allow", "untraced")
    assert code == 2 and says in err and err.count("\n") == 1
    assert list(Path("exports").iterdir()) == []


def test_a_format_of_ones_own(saved_run: MAKE, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run()
    code, out, err = call(capsys, "run", "--to", "tests.nas.exports.own_format.NumpyFile", "--out", "own")
    assert code == 0, err
    assert "model.npz" in out and len(np.load("own/model.npz").files) == 38
    assert "```python" not in Path("own/model_card.md").read_text(), "nobody here knows how it is loaded"


def test_what_lies_there_is_not_written_over(saved_run: MAKE, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run()
    Path("mine").mkdir()
    assert call(capsys, "run", "--out", "mine")[0] == 0, "an empty folder is taken"
    before = {path: path.read_bytes() for path in Path("mine").iterdir()}
    Path("file").touch()
    for out in ("mine", "file", "run"):
        code, _, err = call(capsys, "run", "--out", out)
        assert code == 2 and f"got {out}, where something lies; remove it, or name another --out" in err
    assert {path: path.read_bytes() for path in Path("mine").iterdir()} == before


def test_files_that_answer_otherwise_are_refused_and_gone(
    saved_run: MAKE, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_run()
    save = TorchFile.save

    def damaged(self: TorchFile, tensors: dict[str, torch.Tensor], *given: Any) -> None:
        save(self, {name: tensor + 1 for name, tensor in tensors.items()}, *given)

    monkeypatch.setattr(TorchFile, "save", damaged)
    code, out, err = call(capsys, "run")
    assert code == 2 and out == "" and "logits that differ by" in err
    assert list(Path("exports").iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--to", "onx"], "did you mean onnx"),
        (["--exit", "4"], "1 to 3 in this run, got 4"),
        (["--exit", "0"], "1 to 3 in this run, got 0"),
        (["--exit", "1", "--adaptive", "margin:0.5"], "not allowed with"),
        (["--to", "onnx", "--adaptive", "margin"], "such as max_softmax:0.9, got margin"),
        (["--to", "onnx", "--adaptive", "mine.rule:0.5"], "max_softmax, margin, entropy, agreement, sigmoid, got mine.rule"),
        (["--to", "onnx", "--adaptive", "margin:2"], "at most 1, or inf"),
        (["--to", "onnx", "--adaptive", "margin:inf"], "got inf; give --exit"),
        (["--adaptive", "margin:0.5"], "--to torch holds weights alone; take onnx or torch_export"),
        (["--calibrate"], "got no --adaptive; leave it out"),
    ],
)
def test_what_has_no_meaning_is_refused(flags: list[str], says: str, saved_run: MAKE, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run()
    code, out, err = call(capsys, "run", *flags)
    assert code == 2 and out == "" and says in err and err.count("\n") == 1
    assert not Path("exports").exists() or list(Path("exports").iterdir()) == []


def test_an_uncut_run_and_one_without_logits_have_no_cascade(saved_run: MAKE, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run("backprop", cuts=())
    assert "this run has one block" in call(capsys, "run", "--to", "onnx", "--adaptive", "margin:0.5")[2]
    with_all = saved_run()
    replace(with_all, exits=with_all.exits[-1:]).save()
    assert "at depth 3 alone" in call(capsys, "run", "--to", "onnx", "--adaptive", "margin:0.5")[2]
    assert "that give logits are 3, got --exit 1" in call(capsys, "run", "--exit", "1")[2]


def test_a_missing_package_is_named_with_its_extra(
    saved_run: MAKE, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_run()
    find = importlib.util.find_spec
    monkeypatch.setattr("nas.exports.formats.export_format.find_spec", lambda name: None if name == "onnxscript" else find(name))
    code, _, err = call(capsys, "run", "--to", "onnx")
    assert code == 2 and "--to onnx needs onnxscript, which is not installed; pip install '.[export]'" in err


def test_the_run_is_tried_on_the_test_split_and_the_card_cites_its_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nas.evaluate("small(width=0.25)", "digits", decoupling="even(2)", methods="dgl", seeds=2, iterations=3, precision="bf16")
    monkeypatch.setattr("nas.exports.samples.MOST", 100)
    row = nas.read_results("results/evaluate.csv").iloc[0]
    code, out, err = call(capsys, f"runs/{row['run']}", "--json")
    found = json.loads(out)
    assert code == 0 and err == "" and found["checked"]["samples"] == "the first 128 of 360 test inputs of digits"
    assert found["checked"]["max_difference"] == 0 < found["checked"]["rounding"]
    card = (Path(found["folder"]) / "model_card.md").read_text(encoding="utf-8")
    for said in (
        f"| test | {100 * row['test_error']:.2f} % |",
        "of 360 | the run's row |",
        f"| validation | {100 * row['validation_error']:.2f} % |",
        "Over the 2 seeds 0, 1",
        row["commit"],
        row["command"],
        "the run computed in bf16",
    ):
        assert said in card, said
