"""A trained run that is given a new input: the blocks before it stay to the bit, the others go on from the run's weights."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_extension import IMAGES, spaced, tensors, texts, trained_run  # noqa: F401

from methods.method import Method
from methods.sides import SIDES, read_side
from methods.training.loop import Trained, train
from nas.data.features import FeatureScale
from nas.evaluation import run_training
from nas.problem import Problem
from nas.runs.trained_run import TrainedRun
from nas.tasks import TASKS
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from tests.nas.evaluation.test_evaluator import make, make_problem

SHORT, LONG = "{space}(depth=1,num_blocks=2,embedding=12)", "{space}(depth=2,embedding=12)"
TEXTS = {  # the run's space, cuts and dim, those of its extension, and how many blocks stay as they are
    "blocks behind a run that has them": (SHORT, "1:{h}", "2-1", LONG, "1:{h} 2:{h}", "2-1-3", 2),
    "a block behind a plain run": (SHORT, "1:{h}", "3", LONG, "1:{h} 2:{h}", "3-0-3", 2),
    "the last block again": (LONG, "1:{h} 2:{h}", "3", LONG, "1:{h} 2:{h}", "3-0-3", 2),
    "all blocks but the first again": (LONG, "1:{h} 2:{h}", "3", LONG, "1:{h} 2:{h}", "3-1-2", 1),
    "one more in the middle": (LONG, "1:{h} 2:{h}", "2-1-0", LONG, "1:{h} 2:{h}", "2-1-3", 2),
}
MAPS = {  # the same of images, with what the run was given and what its extension is
    "an image behind the run": (IMAGES[0], "2:{h}", None, IMAGES[1], "2:{h} 4:{h}", "conv(first=2)", 2),
    "an image further on": (IMAGES[0], "2:{h}", "conv", IMAGES[1], "2:{h} 4:{h}", "conv", 2),
    "an image again": (IMAGES[1], "2:{h} 4:{h}", None, IMAGES[1], "2:{h} 4:{h}", "conv", 1),
    "features behind the run": (IMAGES[0], "2:{h}", None, IMAGES[1], "2:{h} 4:{h}", "features(block=2)", 2),
    "features again": (IMAGES[1], "2:{h} 4:{h}", None, IMAGES[1], "2:{h} 4:{h}", "features", 1),
    "blocks behind features": (IMAGES[0], "2:{h}", "features", IMAGES[1], "2:{h} 4:{h}", "features", 2),
}
HEADS = {"dgl": "linear", "al": "none"}


def of_length(problem: Problem, dim: str, vocabulary: str | None = None, embedding: str = "own") -> Problem:
    """Texts of as many tokens as are given to the blocks, read with the run's vocabulary."""
    parts = tuple(map(int, dim.split("-")))
    known = f",vocabulary='{problem.results.folder / vocabulary}'" if vocabulary else ""
    task = f"texts(root='.',length={sum(parts)}{known})"
    side = f"text(dim={list(parts)},embedding={embedding})" if len(parts) > 1 else None
    return replace(problem, task=task, data=TASKS.build(task, problem.runs.parent), side=side and read_side(side, None))


def with_features(problem: Problem) -> Problem:
    """Each image has its class beside it, and a number that says nothing."""
    scale = FeatureScale(torch.tensor([1.0, 0.0]), torch.tensor([0.8, 1.0]))
    data: Any = problem.data
    parts = {
        name: replace(part, features=scale(torch.stack([part.labels.float(), torch.linspace(-1, 1, len(part))], 1)))
        for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test()))
    }
    read = parts.pop("test")
    return replace(problem, data=replace(data, **parts, read_test=lambda: read, feature_scale=scale))


def given(problem: Problem, side: str | None) -> Problem:
    return replace(with_features(problem) if side and side.startswith("features") else problem, side=read_side(side, None))


def check(run: TrainedRun, new: Problem, decoupling: str, stay: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train as `evaluate` does, and look at all weights before and after."""
    watched: list[tuple[Any, Trained]] = []

    def watch(method: Method, *rest: Any, **named: Any) -> Trained:
        before = copy.deepcopy(method)
        watched.append((before, train(method, *rest, **named)))
        return watched[-1][1]

    monkeypatch.setattr(run_training, "train", watch)
    row = make(new).run(read_decoupling(decoupling, new.space, "linear"))
    assert (row["status"], row["extends"], row["side"]) == ("ok", run.name, new.side)
    ((before, trained),) = watched
    old: Any = run.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    method: Any = trained.method.eval()
    for k in range(old.num_stages):
        begun, source = (getattr(part, "base", part).stage_modules(k) for part in (before, old))
        for own, other in zip(begun, source, strict=False):
            assert all(map(torch.equal, own.state_dict().values(), other.state_dict().values()))
    for k in range(method.num_stages):
        same = [torch.equal(*pair) for pair in zip(tensors(before, k), tensors(method, k), strict=True)]
        assert all(same) if k < stay else not all(same)
        parts = (part.side.parts[k].parameters() for part in (before, method))
        assert k < stay or not any(map(torch.equal, *parts))
    x: Any = next(new.data.eval_batches(new.data.validation, 7))[0]
    known = x if run.inputs["features"] else getattr(x, "x", x)
    with torch.no_grad():
        pairs = list(
            zip(old.exits(known[:, : run.inputs["length"]] if "length" in run.inputs else known), method.exits(x), strict=False)
        )
    assert all(torch.equal(*pair) for pair in pairs[:stay]) and not any(torch.equal(*pair) for pair in pairs[stay:])


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize(
    ("method", "space", "embedding"),
    [("dgl", "transformer", "own"), ("dgl", "lstm", "shared"), ("al", "linear", "own"), ("al", "transformer", "shared")],
)
def test_further_tokens(
    texts: Problem,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    method: str,
    space: str,
    embedding: str,
) -> None:
    old, cuts, dim, new, more, longer, stay = TEXTS[case]
    first, cuts, more = of_length(texts, dim, embedding=embedding), *(text.format(h=HEADS[method]) for text in (cuts, more))
    first.data.facts(first.results.folder)
    run = trained_run(spaced(first, method, old.format(space=space)), cuts)
    second = of_length(texts, longer, str(first.data.content["vocabulary"]), embedding)
    extension = replace(spaced(second, method, new.format(space=space)), extends=run)
    check(run, extension, more, stay, monkeypatch)
    if embedding == "own":
        built: Any = extension.build(extension.adapt(read_decoupling(more, extension.space, "linear")))
        assert torch.equal(built.side.parts[2].embedding.words.weight, built.net.blocks[0][0].words.weight)


@pytest.mark.parametrize("case", MAPS)
@pytest.mark.parametrize("method", HEADS)
def test_images_and_features(problem: Problem, monkeypatch: pytest.MonkeyPatch, case: str, method: str) -> None:
    old, cuts, side, new, more, later, stay = MAPS[case]
    run = trained_run(spaced(given(problem, side), method, old), cuts.format(h=HEADS[method]))
    extension = replace(spaced(given(problem, later), method, new), extends=run)
    settings = replace(extension.settings, optimizer="adam", lr=0.01)
    check(run, replace(extension, settings=settings), more.format(h=HEADS[method]), stay, monkeypatch)


def test_features_begin_without_effect(problem: Problem) -> None:
    run = trained_run(spaced(problem, "dgl", IMAGES[1]), "2:linear 4:linear")
    extension = replace(spaced(given(problem, "features"), "dgl", IMAGES[1]), extends=run)
    method = extension.build(read_decoupling("2:linear 4:linear", extension.space, "linear")).eval()
    x: Any = next(extension.data.eval_batches(extension.data.validation, 7))[0]
    assert extension.trained_stages(method) == 1
    torch.testing.assert_close(method(x), run.build()(x.x))


@pytest.mark.parametrize(
    ("side", "later", "cuts", "says"),
    [
        ("conv", "conv", "2:linear 4:linear", "with a new --side, but there are none"),
        (None, None, "2:linear 4:linear", "with a new --side, but there are none"),
        ("conv", None, "2:linear 4:linear", "gives a block what its run gave it, which is image for block 1, got nothing"),
        ("conv", "conv(first=2)", "2:linear 4:linear", "image for block 1, got nothing; begin with the run's --side, conv"),
        ("conv", "features", "2:linear 4:linear", "image for block 1, got features"),
        (None, "conv", "2:linear 5:linear", "cut after 2, 4, 6 units"),
    ],
)
def test_what_is_no_new_input_is_refused(problem: Problem, side: str | None, later: str | None, cuts: str, says: str) -> None:
    run = trained_run(spaced(given(problem, side), "dgl", IMAGES[1]), "2:linear 4:linear")
    extension = replace(spaced(given(problem, later), "dgl", IMAGES[1]), extends=run)
    with pytest.raises(UserError, match=says):
        extension.build(read_decoupling(cuts, extension.space, "linear"))


def test_the_first_block_and_known_parts_are_given_what_they_were(texts: Problem) -> None:  # noqa: F811
    first = of_length(texts, "2-1")
    first.data.facts(first.results.folder)
    run, words = trained_run(spaced(first, "dgl", LONG.format(space="linear")), "2:linear"), first.data.content["vocabulary"]
    for dim, embedding, says in [
        ("3-1", "own", "given what it was in its run, 2 tokens, got 3"),
        ("2-2", "own", r"which is \(2, 3\) for block 1, got \(2, 4\)"),
        ("2-1", "shared", "with a new --side, but there are none"),
    ]:
        other = replace(spaced(of_length(texts, dim, str(words), embedding), "dgl", LONG.format(space="linear")), extends=run)
        with pytest.raises(UserError, match=says):
            other.build(read_decoupling("2:linear", other.space, "linear"))
    run = trained_run(spaced(of_length(texts, "2-1"), "dgl", SHORT.format(space="linear")), "1:linear")
    other = replace(spaced(of_length(texts, "2-1-1", str(words), "shared"), "dgl", LONG.format(space="linear")), extends=run)
    with pytest.raises(UserError, match="the side input of block 2 cannot be"):
        other.build(read_decoupling("1:linear 2:linear", other.space, "linear"))


def test_every_side_input_says_what_it_gives() -> None:
    assert set(SIDES) == {side.partition("(")[0] for *_, side, _ in MAPS.values()} | {"text"}
