"""Costs of attention against numbers worked out by hand, and against real training steps on tokens."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from methods.dgl import DGL
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost, macs_of
from spaces.memory.attention import FUSED_ON_CPU, fused_attention
from spaces.memory.peak_memory import PeakMemory
from spaces.rules import block_bytes, read_decoupling
from spaces.space import SearchSpace
from spaces.torchvision_import import torchvision

SHAPE, CLASSES = (3, 16, 16), 4
NETWORKS = {
    "vit": "tests.token_networks.tiny_vit(depth=4)",
    "masked_vit": "tests.token_networks.tiny_vit(depth=4,masked=True)",
    "mixer": "tests.token_networks.tiny_mixer(depth=4)",
}


def space_of(network: str, head: str = "linear") -> SearchSpace:
    return SearchSpace(NETWORKS[network], [head], input_shape=SHAPE, num_classes=CLASSES)


@pytest.mark.slow
def test_a_vision_transformers_macs_and_parameters_by_hand() -> None:
    """ViT-B/16 at 224 x 224: T = 197 tokens of D = 768, 12 layers, each 4 D x D and 2 D x 4 D maps a token, and T x T shares."""
    tokens, width, layers, classes = 14 * 14 + 1, 768, 12, 1000
    each = 12 * tokens * width**2 + 2 * tokens**2 * width
    patches = 14 * 14 * width * (3 * 16**2)
    with torch.device("meta"):
        model = torchvision().models.vit_b_16()
        found, _ = macs_of(2, model, torch.zeros(2, 3, 224, 224))
    assert found == layers * each + patches + width * classes == 17_563_828_224
    of_layer = 12 * width**2 + 13 * width
    around = (3 * 16**2 + 1) * width + tokens * width + width + 2 * width + (width + 1) * classes
    assert sum(p.numel() for p in model.parameters()) == layers * of_layer + around == 86_567_656


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("checkpoint_units", [False, True])
@pytest.mark.parametrize("method", ["dgl", "predsim", "contsup", "man", "al"])
def test_memory_from_shapes_is_that_of_a_real_step(network: str, method: str, checkpoint_units: bool) -> None:
    space, kind, size = space_of(network), traits(method), 8
    point = kind.adapt(read_decoupling("even(3)", space, kind.default_head))

    def build() -> DGL:
        net = space.build(point, checkpoint_units=checkpoint_units, head_lookahead=kind.head_lookahead)
        return METHODS.build(method, net)  # type: ignore[return-value]

    counted = cost(build, SHAPE, CLASSES, size).peak_activation_bytes
    x, y = torch.randn(size, *SHAPE).to(memory_format=torch.channels_last), torch.arange(size) % CLASSES
    trainer = Trainer(build(), TrainingSettings(batch_size=size), seed=0, device=torch.device("cpu"))
    trainer.step(x, y, 0)
    with PeakMemory(leave_out=trainer.method.parameters()) as memory:
        trainer.step(x, y, 1)
    assert memory.peak + x.nbytes == pytest.approx(counted, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("checkpoint_units", [False, True])
@pytest.mark.parametrize("head", ["linear", "mlp_sr", "conv", "1c2f", "predsim"])
def test_a_blocks_bytes_are_those_of_its_stage(network: str, head: str, checkpoint_units: bool) -> None:
    space = space_of(network, head)
    of_block = block_bytes(space, head, checkpoint_units=checkpoint_units)
    for cuts in ("2:{0}", "1:{0} 4:{0}"):
        point = read_decoupling(cuts.format(head), space, None)

        def build() -> DGL:
            return DGL(space.build(point, checkpoint_units=checkpoint_units))  # noqa: B023

        stages = [block.activation_bytes for block in cost(build, SHAPE, CLASSES, 2048).blocks]
        ends = (0, *point.cuts, space.num_units)
        assert stages == pytest.approx([of_block(*pair) for pair in pairwise(ends)], rel=0.02)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_inside_torchs_own_layers_is_fused_where_training_fuses_it(dropout: float, operator_calls: type) -> None:
    """In the forward pass, and again where a checkpoint computes it in the backward pass; nothing stays registered."""
    counts = []
    for device in ("cpu", "meta"):
        with torch.device(device), fused_attention(), fused_attention(), operator_calls() as calls:
            layer = nn.TransformerEncoderLayer(8, 2, 8, dropout, batch_first=True)
            x = torch.zeros(2, 5, 8, requires_grad=True)
            torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False).sum().backward()
        counts.append(calls.of[FUSED_ON_CPU])
    assert counts == [2, 2] if dropout == 0 else counts == [0, 0]
    with torch.device("meta"), operator_calls() as calls:
        layer(torch.zeros(2, 5, 8))
    assert calls.of[FUSED_ON_CPU] == 0
