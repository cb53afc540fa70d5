"""What contexts cost at inference, against the figures worked out from the released code."""

from functools import cache

import pytest
from torch import nn

from methods.table import METHODS
from nas.cost import Cost, cost
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.space import SearchSpace

# The cuts of InfoPro and ContSup with equal numbers of layers: behind block [stage, block]; unit 0 is the stem.
EQUAL_LAYERS = {
    "resnet32": {
        2: [(2, 1)],
        4: [(1, 2), (2, 1), (3, 0)],
        8: [(1, 0), (1, 2), (1, 4), (2, 1), (2, 3), (3, 0), (3, 2)],
        16: [(0, 0), *((stage, block) for stage in (1, 2) for block in range(5)), (3, 0), (3, 1), (3, 2), (3, 3)],
    },
    "resnet110": {
        2: [(2, 8)],
        4: [(1, 11), (2, 7), (3, 3)],
        8: [(1, 4), (1, 11), (2, 0), (2, 7), (2, 14), (3, 3), (3, 10)],
        16: [
            *((1, block) for block in range(1, 17, 3)),
            (2, 1),
            (2, 4),
            (2, 7),
            (2, 11),
            (2, 15),
            (3, 1),
            (3, 5),
            (3, 9),
            (3, 13),
        ],
    },
}
BLOCKS_A_STAGE = {"resnet32": 5, "resnet110": 18}
PLAIN = {"resnet32": (466_906, 69.1), "resnet110": (1_730_714, 253.2)}  # parameters, million MACs
EXTRA = {  # percent more parameters and MACs than the plain network, by K
    ("resnet32", "E"): {2: (0.8, 5.6), 4: (2.9, 19.4), 8: (6.2, 41.8), 16: (13.3, 89.1)},
    ("resnet32", "R1"): {2: (0.0, 0.1), 4: (0.6, 1.6), 8: (1.9, 3.1), 16: (4.7, 6.1)},
    ("resnet32", "R1E"): {2: (0.8, 5.6), 4: (3.5, 20.9), 8: (8.1, 44.8), 16: (18.0, 95.2)},
    ("resnet110", "E"): {2: (0.2, 1.5), 4: (0.8, 5.3), 8: (1.8, 12.1), 16: (3.6, 24.3)},
    ("resnet110", "R1E"): {2: (0.2, 1.5), 4: (0.9, 5.7), 8: (2.3, 12.9), 16: (4.9, 26.0)},
}
CASES = [(name, context, num_blocks) for name, context in EXTRA for num_blocks in EXTRA[name, context]]


@cache
def space_of(name: str) -> SearchSpace:
    return read_space(name, (3, 32, 32), 10)


def cost_of(name: str, context: str, num_blocks: int) -> Cost:
    cuts = [
        1 if stage == 0 else 1 + (stage - 1) * BLOCKS_A_STAGE[name] + block + 1 for stage, block in EQUAL_LAYERS[name][num_blocks]
    ]
    space, point = space_of(name), Decoupling(tuple(cuts), ("1c2f",) * len(cuts))
    assert point.num_blocks == num_blocks
    return cost(lambda: METHODS.build(f"contsup(context={context})", space.build(point)), (3, 32, 32), 10, 2)


@pytest.fixture(autouse=True)
def free_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """BatchNorm counts nothing, but is most of the time that counting takes."""
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: x.clone())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "context", "num_blocks"), CASES)
def test_contexts_cost_at_inference_what_the_released_code_costs(name: str, context: str, num_blocks: int) -> None:
    """MACs are those of convolutions and linear layers; BatchNorm, pools, biases and the sum count nothing on either side."""
    params, million_macs = PLAIN[name]
    costs = cost_of(name, context, num_blocks)
    more_params, more_macs = EXTRA[name, context][num_blocks]
    assert 100 * (costs.params / params - 1) == pytest.approx(more_params, abs=0.06)
    assert 100 * (costs.macs / (million_macs * 1e6) - 1) == pytest.approx(more_macs, abs=0.1)


@pytest.mark.parametrize("name", PLAIN)
def test_without_contexts_inference_costs_what_the_plain_network_costs(name: str) -> None:
    params, million_macs = PLAIN[name]
    costs = cost_of(name, "R0", 4)
    assert (costs.params, costs.macs / 1e6) == (params, pytest.approx(million_macs, abs=0.06))
