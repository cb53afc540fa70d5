"""What the units and blocks of a row's network cost, counted anew from shapes: rows have the totals alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spaces.decoupling import Decoupling
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.own_modules import names_of_a_file

if TYPE_CHECKING:  # with torch, which charts do without
    from methods.method import Method
    from nas.cost import Cost
    from spaces.space import SearchSpace

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

    from nas.cost import cost, macs_of

    try:
        with names_of_a_file(), torch.device("meta"):
            made = _Made.of(dict(zip(USED, cells, strict=True)))
            template = made.space.template
            units = tuple(macs_of(2, unit, template.example(gap))[0] for gap, unit in enumerate(template.units))
            return Counted(units, cost(made.build, made.space.input_shape, made.space.num_classes, made.batch_size))
    except (UserError, RuntimeError) as error:
        return Counted(why=f"what each block costs is not known: {UserError(str(error))}")


def measured_seconds(row: Mapping[str, object]) -> tuple[float, ...]:
    """Seconds of a training step of each stage of the row's network, of new weights and of inputs that are zeros, on this
    machine's processor and now, as `profile` measures them. What the row does not say enough of is a UserError."""
    import torch

    from methods.training.settings import TrainingSettings
    from methods.training.stages.seconds import stage_seconds
    from spaces.activation import example_input

    cells = {name: str(row.get(name) or "") for name in USED}
    with names_of_a_file():
        made = _Made.of(cells)
        method = made.build()
        settings = TrainingSettings(batch_size=made.batch_size, lr=RATE, checkpoint_units=cells["checkpoint_units"] == "True")
        x = example_input(made.space.input_shape, made.batch_size, "cpu")
        y = torch.zeros(made.batch_size, dtype=torch.long)
        return stage_seconds(method, settings, x, y, device=torch.device("cpu")).seconds


RATE = 1e-4  # of steps that are only timed, so that nothing diverges


@dataclass(frozen=True)
class _Made:
    """The space of a row's one decoupling, and what builds its method."""

    space: SearchSpace
    build: Callable[[], Method]
    batch_size: int

    @classmethod
    def of(cls, row: Mapping[str, str]) -> _Made:
        """A UserError where the row does not say enough, or what it says cannot be built."""
        from methods.table import METHODS, traits
        from spaces.space import SearchSpace
        from spaces.traced.start_weights import without_weights

        shape, num_classes = _inputs(row)
        if not 0 < int(row["batch_size"] or 0) < 2**31:
            raise UserError("no batch size is in the row")
        if row["side"]:
            raise UserError("what a side input adds is in no row")
        point = Decoupling.parse(row["decoupling"])
        backbone, heads = str(without_weights(Component.parse(row["backbone"]))), point.heads or ("linear",)
        space = SearchSpace(backbone, heads, input_shape=shape, num_classes=num_classes)
        kept, lookahead = row["checkpoint_units"] == "True", traits(row["method"]).head_lookahead

        def build() -> Method:
            return METHODS.build(row["method"], space.build(point, checkpoint_units=kept, head_lookahead=lookahead))

        return cls(space, build, int(row["batch_size"]))


def _inputs(row: Mapping[str, str]) -> tuple[tuple[int, ...], int]:
    """The shape of the task's inputs and how many classes it has."""
    from spaces.activation import TextShape

    task = Component.parse(row["task"])
    if task.name in IMAGES:
        return IMAGES[task.name]
    if row["num_words"] and (classes := _text_classes(task.name)) and (length := dict(task.settings).get("length")):
        return TextShape(int(str(length)), int(row["num_words"])), classes
    raise UserError(f"the shape of inputs of the task {task.name} is in no row")


def _text_classes(name: str) -> int | None:
    from nas.tasks.text_sets import CLASSES

    return CLASSES.get(name)
