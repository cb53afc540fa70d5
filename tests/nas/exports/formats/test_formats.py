"""Files of every format answer as the run that they are of, at every exit, for every method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from methods.method import Method
from methods.table import METHODS
from nas.exits.adaptive import adaptive
from nas.exits.confidence import CONFIDENCES
from nas.exports.export_run import _write_json
from nas.exports.exported import Adaptive, Exported
from nas.exports.formats import FORMATS
from nas.exports.functions import Tree, input_noise
from nas.exports.metadata import metadata_of
from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError
from tests.nas.exports.conftest import FEATURES, IMAGES, TEXTS

SMALL = 10  # samples
LINEAR, TRANSFORMER, LSTM = (
    "linear(depth=2,embedding=8,hidden=8)",
    "transformer(depth=2,embedding=8,attention_heads=2,ffn=8)",
    "lstm(depth=2,embedding=8,hidden=8)",
)
MAKE = Callable[..., TrainedRun]
WEIGHTS = [name for name in FORMATS if not FORMATS.build(name).holds_a_program]
GRAPHS = [name for name in FORMATS if FORMATS.build(name).holds_a_program]


def answers(
    run: TrainedRun, name: str, folder: Path, *, longest: int | None = None, **asked: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the files answer, and what the run does; texts have `longest` tokens."""
    exported = Exported.of(run, **({"depth": None, "adaptive": None, "calibrated": False} | asked))
    written, method = FORMATS.build(name), exported.method
    folder.mkdir()
    metadata = metadata_of(exported, name, {})
    _write_json(folder / "metadata.json", metadata | dict(written.write(exported, metadata, folder)))
    x = input_noise(method, exported.num_features, SMALL)
    x = x if longest is None else x[:, :longest]
    found = written.answers(exported, folder, Tree.of(x)[1])
    wanted = expected(exported, method, x)
    assert torch.equal(found.depths, wanted[1])
    return found.logits, wanted[0]


@torch.no_grad()
def expected(exported: Exported, method: Method, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if exported.adaptive is None:
        return method.exit(exported.depth - 1, x), torch.full((SMALL,), exported.depth)
    return adaptive(
        method,
        x,
        CONFIDENCES[exported.adaptive.rule],
        exported.adaptive.threshold,
        temperatures=exported.temperatures,
        max_depth=exported.depth,
    )


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("depth", [1, 3])
def test_weights_answer_to_the_bit(name: str, depth: int, saved_run: MAKE, tmp_path: Path) -> None:
    for number, method in enumerate(("dgl", "al", "man(base=dgl)")):
        found, wanted = answers(saved_run(method), name, tmp_path / str(number), depth=depth)
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "onnx"])
def test_texts_are_padded_for_a_graph_of_one_length(name: str, saved_run: MAKE, tmp_path: Path) -> None:
    run = saved_run("dgl", LSTM, (1,), head="linear", inputs=TEXTS)
    found, wanted = answers(run, name, tmp_path / "files", longest=5)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "onnx"])
def test_a_graph_answers(name: str, saved_run: MAKE, tmp_path: Path) -> None:
    found, wanted = answers(saved_run(cuts=(3,)), name, tmp_path / "files")
    torch.testing.assert_close(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("method", [*(name for name in METHODS if name not in ("man", "backprop")), "man(base=dgl)"])
def test_every_method_at_its_first_and_its_last_exit(method: str, name: str, saved_run: MAKE, tmp_path: Path) -> None:
    run = saved_run(method)
    for depth in (1, 3):
        found, wanted = answers(run, name, tmp_path / f"exit{depth}", depth=depth)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_an_uncut_network(name: str, saved_run: MAKE, tmp_path: Path) -> None:
    found, wanted = answers(saved_run("backprop", cuts=()), name, tmp_path / "files")
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("method", ["al", "man(base=dgl)"])
def test_inputs_leave_a_cascade_where_they_leave_the_run(method: str, name: str, saved_run: MAKE, tmp_path: Path) -> None:
    run = saved_run(method)
    with torch.no_grad():
        built = run.build()
        first = CONFIDENCES["max_softmax"](built.exit(0, input_noise(built, 0, SMALL)) / 1.5, None)
    threshold = Adaptive("max_softmax", float(first.sort().values[4:6].mean()))  # at none of them, where rounding would decide
    found, wanted = answers(run, name, tmp_path / "files", adaptive=threshold, calibrated=True)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["max_softmax", "agreement", "sigmoid"])
def test_one_graph_decides_by_the_rule(rule: str, saved_run: MAKE, tmp_path: Path) -> None:
    run = saved_run("al")
    found, wanted = answers(run, "onnx(one_file=True)", tmp_path / "files", adaptive=Adaptive(rule, 0.101), calibrated=True)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_one_graph_is_of_a_cascade(saved_run: MAKE, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got no --adaptive; leave one of them out"):
        answers(saved_run(), "onnx(one_file=True)", tmp_path / "files")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "method", "side", "name", "adaptive"),
    [
        (LINEAR, "dgl", None, "torch", None),
        (LINEAR, "dgl", None, "torch_export", Adaptive("max_softmax", 0.4)),
        (LINEAR, "al", None, "onnx", None),
        (TRANSFORMER, "dgl", None, "onnx", Adaptive("max_softmax", 0.4)),
        (TRANSFORMER, "dgl", "text(dim=[6,6,0])", "onnx", None),
        (TRANSFORMER, "dgl", "text(dim=[6,6,0])", "torch_export", Adaptive("max_softmax", 0.4)),
        (LSTM, "al(pooling=state)", None, "onnx", None),
        (LSTM, "dgl", None, "torch_export", Adaptive("max_softmax", 0.4)),
    ],
)
def test_texts(
    backbone: str, method: str, side: str | None, name: str, adaptive: Adaptive | None, saved_run: MAKE, tmp_path: Path
) -> None:
    run = saved_run(method, backbone, (1, 2), head=None if method.startswith("al") else "linear", inputs=TEXTS, side=side)
    found, wanted = answers(run, name, tmp_path / "files", adaptive=adaptive)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["torchvision(name=squeezenet1_1)", "timm(name=vit_tiny_patch16_224)"])
@pytest.mark.parametrize(("name", "adaptive"), [("onnx", None), ("torch_export", Adaptive("max_softmax", 0.2))])
def test_networks_of_libraries(backbone: str, name: str, adaptive: Adaptive | None, saved_run: MAKE, tmp_path: Path) -> None:
    inputs = IMAGES | {"shape": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
    run = saved_run(backbone=backbone, cuts=(2, 4), head="linear", inputs=inputs)
    found, wanted = answers(run, name, tmp_path / "files", adaptive=adaptive)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_features_beside_images(name: str, saved_run: MAKE, tmp_path: Path) -> None:
    run = saved_run(inputs=IMAGES | {"features": FEATURES}, side="features(block=1)")
    found, wanted = answers(run, name, tmp_path / "files")
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_no_cascade(name: str, saved_run: MAKE, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--to {name} holds weights alone; take onnx or torch_export"):
        answers(saved_run(), name, tmp_path / "files", adaptive=Adaptive("margin", 0.5))
