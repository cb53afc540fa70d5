"""What the units and blocks of a row's network cost, counted anew from shapes: rows have the totals alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spaces.decoupling import Decoupling
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.own_modules import names_of_a_file

if TYPE_CHECKING:
    from nas.cost import Cost

IMAGES = {  # the shape of inputs and the number of classes of tasks that have one only
    "digits": ((1, 8, 8), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "svhn": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "stl10": ((3, 96, 96), 10),
    "tiny_imagenet": ((3, 64, 64), 200),
}
USED = ("method", "backbone", "decoupling", "task", "side", "batch_size", "checkpoint_units", "num_words")
TOTALS = ("params", "head_params", "macs", "head_macs")


@dataclass(frozen=True)
class Counted:
    """MACs of a sample in each unit, and the costs of each stage; `why` says what is not known, where something is not."""

    unit_macs: tuple[int, ...] = ()
    cost: Cost | None = None
    why: str = ""


def counted(row: Mapping[str, object]) -> Counted:
    """The costs of the row's network, if their totals are the row's own. Nothing that a row names is imported, and nothing is
    computed: shapes are enough."""
    cells = tuple(str(row.get(name) or "") for name in USED)
    found = _counted(cells)
    if found.cost is None:
        return found
    totals = [int(str(row[name])) for name in TOTALS]
    if totals != [getattr(found.cost, name) for name in TOTALS]:
        return Counted(
            why="counted anew, this network has other totals than the row, which another version of it may have written"
        )
    if found.cost.peak_activation_bytes != int(str(row["peak_activation_bytes"])):
        return Counted(
            found.unit_macs, found.cost, "memory, counted anew, is not what the row says, and so not parted among the blocks"
        )
    return found


@lru_cache(maxsize=64)
def _counted(cells: tuple[str, ...]) -> Counted:
    import torch

    from methods.table import METHODS, traits
    from nas.cost import cost, macs_of
    from spaces.activation import TextShape
    from spaces.space import SearchSpace
    from spaces.traced.start_weights import without_weights

    row = dict(zip(USED, cells, strict=True))
    task = Component.parse(row["task"])
    shape: tuple[int, ...]
    if task.name in IMAGES:
        shape, num_classes = IMAGES[task.name]
    elif row["num_words"] and (classes := _text_classes(task.name)) and (length := dict(task.settings).get("length")):
        shape, num_classes = TextShape(int(str(length)), int(row["num_words"])), classes
    else:
        return Counted(why=f"the shape of inputs of the task {task.name} is in no row, so what each block costs is not known")
    if row["side"]:
        return Counted(why="with a side input, what each block costs is not known from the row")
    try:
        with names_of_a_file(), torch.device("meta"):
            point = Decoupling.parse(row["decoupling"])
            space = SearchSpace(
                str(without_weights(Component.parse(row["backbone"]))),
                point.heads or ("linear",),
                input_shape=shape,
                num_classes=num_classes,
            )
            kept = row["checkpoint_units"] == "True"
            lookahead = traits(row["method"]).head_lookahead

            def build() -> object:
                return METHODS.build(row["method"], space.build(point, checkpoint_units=kept, head_lookahead=lookahead))

            units = tuple(macs_of(2, unit, space.template.example(gap))[0] for gap, unit in enumerate(space.template.units))
            return Counted(units, cost(build, shape, num_classes, int(row["batch_size"])))  # type: ignore[arg-type]
    except (UserError, RuntimeError) as error:
        return Counted(why=f"this network cannot be counted here: {UserError(str(error))}")


def _text_classes(name: str) -> int | None:
    from nas.tasks.text_sets import CLASSES

    return CLASSES.get(name)
