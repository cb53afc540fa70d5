"""The first units of another backbone, as a network of its own."""

from __future__ import annotations

from torch import nn

from spaces.backbone import Backbone, Site
from spaces.notation.errors import UserError
from spaces.notation.nested import Nested

SMALL, LINEAR = Nested[Backbone]("small"), Nested[nn.Module]("linear")


def prefix(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    of: Nested[Backbone] = SMALL,
    units: int = 3,
    head: Nested[nn.Module] = LINEAR,
) -> Backbone:
    """The first `units` units of the backbone `of`, and a head as the classifier.

    What stopping after so many units can reach when nothing else is asked of them, and what a run can be extended from:
    the units are those of the whole backbone. A number of units outside 1..L is a UserError.

    of     the whole backbone
    units  how many of its units
    head   the classifier behind them
    """
    whole = of.build(input_shape, num_classes)
    if not 1 <= units <= len(whole.units):
        raise UserError(f"prefix takes 1..{len(whole.units)} units of {of}, got units={units}")
    site = Site(whole.shapes[units], num_classes, units, whole, whole.example(units))
    return Backbone(
        list(whole.units[:units]),
        head.build(site),
        input_shape=input_shape,
        num_classes=num_classes,
        width=whole.width,
        draw=whole.draw,
    )
