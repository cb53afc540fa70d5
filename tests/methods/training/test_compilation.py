"""--compile: every stage is one graph, all of it, and computes what it computes without."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from methods.dgl import DGL
from methods.method import Carry, Method
from methods.sides import with_side
from methods.table import METHODS, traits
from methods.training import compilation
from methods.training.batches import Batch
from methods.training.compilation import compile_stage
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from spaces.activation import PADDING, TextShape
from spaces.backbone import Backbone
from spaces.backbones.vgg import conv_units
from spaces.layers.layers import kaiming, pooled_linear
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace


def tiny(input_shape: tuple[int, ...], num_classes: int) -> Backbone:
    """Three units of one convolution each, since what takes time here is torch's reading of the layers."""
    return kaiming(
        Backbone(
            conv_units(3, [(4, 2), (8, 1)]),
            pooled_linear(8, num_classes),
            input_shape=input_shape,
            num_classes=num_classes,
            width=1.0,
        )
    )


SPACE = SearchSpace(f"{__name__}.tiny", ("conv(depth=1)",), input_shape=(3, 8, 8), num_classes=4, num_blocks=2)
TEXTS = TextShape(12, 14)
TEXT_SPACES = {
    "lstm": read_space("lstm(depth=2,embedding=6,hidden=4)", TEXTS, 4),
    "linear": read_space("linear(depth=3,embedding=6,hidden=4)", TEXTS, 4),
}
CPU = torch.device("cpu")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Counts the graphs, and runs them as they are."""
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(compilation, "BACKEND", counter)
    yield counter
    torch._dynamo.reset()


def build(name: str, split: str = "even(2)") -> Method:
    name, _, side = name.partition(" with ")
    name, _, texts = name.partition(" on ")
    kind, space = traits(name), TEXT_SPACES[texts] if texts else SPACE
    torch.manual_seed(0)
    point = traits(name).adapt(read_decoupling(split, space, kind.default_head))
    method = METHODS.build(name, space.build(point, head_lookahead=kind.head_lookahead))
    return with_side(method, side) if side else method


def images(step: int) -> Batch:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(step)), torch.arange(6) % 4


def texts(step: int) -> Batch:
    """As long as the longest of the batch, which another batch's is not."""
    length = (5, 9, 12, 7)[step]
    ids = torch.randint(1, 14, (6, length), generator=torch.Generator().manual_seed(step))
    return ids.masked_fill(torch.arange(length) >= torch.tensor([length, 3, 3, 3, 3, 3])[:, None], PADDING), torch.arange(6) % 4


def losses(method: Method, compile: Any, batches: Any = images, steps: int = 2) -> torch.Tensor:
    trainer = Trainer(method, TrainingSettings(iterations=4, batch_size=6, lr=0.05, compile=compile), seed=0, device=CPU)
    return torch.stack([loss for step in range(steps) for loss in trainer.step(*batches(step), step)])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*sorted(METHODS), "contsup(decoder=True)", "dgl with conv"])
def test_a_stage_is_one_graph_and_computes_the_same(name: str, graphs: CompileCounter) -> None:
    method = build(name)
    torch.testing.assert_close(losses(method, "default"), losses(build(name), "no"))
    assert graphs.frame_count == method.num_stages


def test_there_are_as_many_graphs_as_stages_however_many(graphs: CompileCounter) -> None:
    """Torch gives up after some recompilations of one function, and then says nothing."""
    with torch._dynamo.config.patch(recompile_limit=1):
        losses(build("dgl", "even(3,head=linear)"), "default", steps=1)
        assert torch._dynamo.config.recompile_limit == 1
    assert graphs.frame_count == 3


def test_texts_of_all_lengths_share_a_graph(graphs: CompileCounter) -> None:
    method = build("dgl on linear", "1:linear 2:linear")
    trainer = Trainer(method, TrainingSettings(iterations=4, batch_size=6, compile="default"), seed=0, device=CPU)
    after = [(trainer.step(*texts(step), step), graphs.frame_count)[1] for step in range(4)]
    assert len(set(after)) == 1 and after[0] >= method.num_stages


class Breaks(DGL):
    """Prints, which no graph holds."""

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        torch._dynamo.graph_break()
        return super().stage(k, carry, y)


@pytest.mark.parametrize("name", [f"{__name__}.Breaks", "dgl on lstm"])
def test_what_is_no_single_graph_is_refused_and_not_half_compiled(name: str, graphs: CompileCounter) -> None:
    with pytest.raises(UserError, match=r"--compile makes one graph of each stage, which torch cannot of stage \d of .*leave"):
        losses(build(name, "1:linear"), "default", texts if "lstm" in name else images)


def test_checkpoints_and_the_compiler_are_either_or() -> None:
    with pytest.raises(UserError, match="got checkpoint_units and compile=default"):
        TrainingSettings(checkpoint_units=True, compile="default")


@pytest.mark.parametrize(("mode", "stays"), [("reduce-overhead", True), ("default", False)])
def test_what_a_replay_overwrites_is_copied(mode: Any, stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for CUDA graphs, whose outputs lie in the same place each time."""
    place = torch.zeros(6, 2), torch.zeros(())

    def replays(stage: Any, **how: Any) -> Any:
        def run(carry: Carry, y: torch.Tensor) -> Any:
            return place[0].add_(1), place[1].add_(1)

        return run

    monkeypatch.setattr(torch, "compile", replays)
    run = compile_stage(build("dgl"), 0, mode)
    (first, loss), _ = run(*images(0)), run(*images(1))
    assert (bool((first == 1).all()) and float(loss) == 1) == stays


@pytest.mark.cuda
@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_gpu_computes_the_same(gpu: torch.device, name: str, mode: Any) -> None:
    found = []
    for compile in ("no", mode):
        trainer = Trainer(build(name), TrainingSettings(iterations=9, batch_size=6, lr=0.01, compile=compile), seed=0, device=gpu)
        batches = [tuple(part.to(gpu) for part in images(step)) for step in range(6)]
        found.append(torch.stack([loss for step, (x, y) in enumerate(batches) for loss in trainer.step(x, y, step)]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
