"""SEDONA with units and heads that write into what they are given: at a gap all read one activation, and batches come again."""

from typing import Any

import pytest
import torch
from torch import nn

from nas.strategies.sedona.bilevel import Bilevel, Objective
from nas.strategies.sedona.block_cost import block_seconds
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from spaces.backbone import Backbone, Site
from spaces.space import SearchSpace


class Scales(nn.Module):
    """x 1.5, in place or not."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(1.5) if self.inplace else x * 1.5


def maps(input_shape: tuple[int, ...], num_classes: int, *, inplace: bool = False) -> Backbone:
    units = [nn.Sequential(Scales(inplace), nn.Conv2d(inputs, 3, 3, padding=1), nn.BatchNorm2d(3)) for inputs in (2, 3, 3)]
    classifier = nn.Sequential(Scales(inplace), nn.Flatten(), nn.Linear(48, num_classes))
    return Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes)


def head(site: Site, *, inplace: bool = False) -> nn.Module:
    return nn.Sequential(Scales(inplace), nn.Flatten(), nn.Linear(48, site.num_classes))


def relaxed(inplace: bool) -> tuple[SearchSpace, Relaxation]:
    space = SearchSpace(
        f"{__name__}.maps(inplace={inplace})",
        [f"{__name__}.head(inplace={inplace})", "linear"],
        input_shape=(2, 4, 4),
        num_classes=3,
    )
    torch.manual_seed(0)
    backbone = space.build_backbone()
    return space, Relaxation(
        backbone, space.gaps, [[head(space.site(gap, backbone), inplace=inplace) for _ in range(2)] for gap in space.gaps]
    )


@pytest.mark.parametrize("objective", ["validation", "train"])
@pytest.mark.parametrize("engine", ENGINES)
def test_in_place_or_not_the_same_hypergradient(engine: str, objective: Objective) -> None:
    found: list[list[Any]] = []
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(6, 2, 4, 4, generator=generator), torch.arange(6) % 3) for _ in range(4)]
    given = [x.clone() for x, _ in batches]
    for inplace in (False, True):
        _, relaxation = relaxed(inplace)
        optimizer = torch.optim.SGD(relaxation.parameters(), 0.1, momentum=0.9)
        architecture = Architecture(torch.linspace(-1, 1, 4).view(2, 2), torch.linspace(1, -1, 4).view(2, 2))
        result = ENGINES[engine](Bilevel(relaxation, optimizer, architecture, batches[:3], batches[3], objective))
        found.append([result.alpha_grad, result.beta_grad, result.outer_loss, *result.inner_losses])
        assert all(torch.equal(x, before) for (x, _), before in zip(batches, given, strict=True))
    assert all(map(torch.equal, *found)) and found[0][0].any()


def test_the_seconds_of_units_that_write_into_their_input_are_measured() -> None:
    tables = block_seconds(relaxed(True)[0], 2, torch.device("cpu"))
    assert all(seconds > 0 for row in tables.values() for seconds in row)
