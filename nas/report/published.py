"""A line of the fair table beside what papers print: which value is the nearest, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from methods.training.optimization import OPTIMIZERS, SCHEDULES
from nas.published.values import PublishedValue, published_values
from nas.report.comparable import Row
from nas.report.short_names import short_cuts, short_heads, short_names
from spaces.decoupling import Decoupling
from spaces.notation.component import Component, Literal
from spaces.notation.table import Table

TELLS_APART = ("loss", "context", "base")  # settings that make another method of one, whose value is not this one's


@dataclass(frozen=True)
class Beside:
    """The published value beside a line, errors in percent.

    `differs` are the settings in which ours differ, as `setting ours (theirs)`; `experiment`, whose file also says how it
    deviates from the paper, repeats the value. Where no paper has a value, `test_error` is None and `why` says so.
    """

    test_error: float | None = None
    std: float | None = None
    source: str = ""
    experiment: str = ""
    differs: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Unmatched:
    """A published value of this backbone and task that is beside no line."""

    method: str
    num_blocks: int
    test_error: float
    source: str


class Papers:
    """What is published for the backbone and the task of a table's rows, whatever their settings."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._backbone, self._task = (Component.parse(rows[0][column]).name for column in ("backbone", "task"))
        names = self._backbone, self._task
        self.values = [one for one in published_values() if (one.experiment.backbone.name, one.experiment.task.name) == names]
        self._taken: list[PublishedValue] = []

    def beside(self, line: Sequence[Row]) -> Beside:
        """Of the values of the method and K of a line's rows, the one that differs least in its settings."""
        row = {str(name): str(cell) for name, cell in line[0].items()}
        row["epochs"] = max(str(one["epochs"]) for one in line)  # empty where a run failed
        method, num_blocks = Component.parse(row["method"]), int(row["num_blocks"])
        of_method = [one for one in self.values if _same_method(method, one.method)]
        if not of_method:
            return Beside(why=f"no value of {method.name}" + self._kind(method))
        nearest = min(
            ((tuple(differences(row, one)), one) for one in of_method if one.num_blocks == num_blocks),
            key=lambda pair: len(pair[0]),
            default=None,
        )
        if nearest is None:
            there = ", ".join(str(count) for count in sorted({one.num_blocks for one in of_method}))
            return Beside(why=f"no value of {method.name} for K={num_blocks}; there is for K={there}")
        differs, value = nearest
        self._taken.append(value)
        std = None if value.std is None else round(100 * value.std, 4)
        return Beside(round(100 * value.test_error, 4), std, value.source, value.experiment.name, differs)

    def unmatched(self) -> tuple[Unmatched, ...]:
        """The values that are beside no line; one that several experiments repeat stands once."""
        names = short_names({str(one.method) for one in self.values})
        told = {_key(one) for one in self._taken}
        found: dict[object, Unmatched] = {}
        for one in self.values:
            if _key(one) not in told:
                error = round(100 * one.test_error, 4)
                found.setdefault(_key(one), Unmatched(names[str(one.method)], one.num_blocks, error, one.source))
        return tuple(sorted(found.values(), key=lambda one: (one.num_blocks, one.test_error)))

    def notes(self) -> list[str]:
        """How the experiments that stand beside lines deviate from their papers themselves; or that there is no value, and what
        has some."""
        if not self.values:
            here = f"nothing is published for {self._backbone} on {self._task}"
            there = dict.fromkeys(
                one.experiment.backbone.name for one in published_values() if one.experiment.task.name == self._task
            )
            return [here + (f"; there is for {', '.join(there)} on it" if there else "")]
        used = {one.experiment.name: one.experiment for one in self._taken}
        return [f"{name} repeats its paper, but: {one.deviates}" for name, one in used.items()]

    def _kind(self, method: Component) -> str:
        """What kind of the method it is, where only others are published."""
        if all(one.method.name != method.name for one in self.values):
            return ""
        return " with " + ", ".join(f"{name}={value}" for name, value in method.settings if name in TELLS_APART)


def _key(one: PublishedValue) -> tuple[object, ...]:
    return str(one.method), one.num_blocks, one.rule, one.test_error


def _same_method(ours: Component, theirs: Component) -> bool:
    """Whether both are one method, of one kind where there are several, such as the two losses of InfoPro."""
    if ours.name != theirs.name:
        return False
    own, other = dict(ours.settings), dict(theirs.settings)
    return all(_kind(own.get(name)) == _kind(other.get(name)) for name in TELLS_APART)


def _kind(value: Literal) -> Literal:
    return Component.parse(value).name if isinstance(value, str) else value


def differences(row: Mapping[str, str], value: PublishedValue) -> Iterator[str]:
    """What differs between the row and the experiment, as `setting ours (theirs)`, the larger matters first."""
    experiment = value.experiment
    training = experiment.training
    yield from _settings(Component.parse(row["backbone"]), experiment.backbone)
    unit, length = experiment.length
    yield from _number(unit, row.get(unit, ""), length)
    yield from _number("scale", row.get("scale") or "1", 1)
    yield from _number("batch_size", row["batch_size"], training.batch_size)
    yield from _settings(Component.parse(row["task"]), experiment.task)
    yield from _decoupling(Decoupling.parse(row["decoupling"]), value.decoupling)
    yield from _settings(Component.parse(row["method"]), value.method)
    yield from _number("lr", row["lr"], training.lr)
    yield from _component("schedule", row["schedule"], training.schedule, SCHEDULES)
    yield from _number("weight_decay", row["weight_decay"], training.weight_decay)
    yield from _component("optimizer", row["optimizer"], training.optimizer, OPTIMIZERS)
    yield from _text("precision", row["precision"], training.precision)
    yield from _text("checkpoint_units", row["checkpoint_units"], str(training.checkpoint_units))
    for name in ("class_batches", "grow", "side"):
        yield from _text(name, row.get(name) or "none", getattr(training, name, None) or "none")


def _text(name: str, ours: str, theirs: str) -> Iterator[str]:
    if ours != theirs:
        yield f"{name} {ours} ({theirs})"


def _number(name: str, ours: str, theirs: float) -> Iterator[str]:
    """An empty cell, as of a run that failed, differs from nothing."""
    if ours and float(ours) != theirs:
        yield f"{name} {float(ours):g} ({theirs:g})"


def _settings(ours: Component, theirs: Component) -> Iterator[str]:
    own, other = dict(ours.settings), dict(theirs.settings)
    for name in dict.fromkeys([*own, *other]):
        if own.get(name) != other.get(name):
            yield f"{name} {_literal(own.get(name))} ({_literal(other.get(name))})"


def _literal(value: Literal) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(_literal, value)) + "]"
    return "default" if value is None else str(value)


def _component(name: str, ours: str, theirs: str, known: Table[Any]) -> Iterator[str]:
    """Its settings where both have the same name, else all of both."""
    own, other = Component.parse(ours), Component.parse(theirs)
    if own.name != other.name:
        yield f"{name} {_short(own, known)} ({_short(other, known)})"
    else:
        yield from _settings(own, other)


def _short(one: Component, known: Table[Any]) -> str:
    """Without the settings that have their defaults."""
    if one.name not in known:
        return str(one)
    defaults = {name: parameter.default for name, parameter in known.parameters(one.name).items()}
    return str(Component(one.name, tuple(pair for pair in one.settings if pair[1] != defaults.get(pair[0]))))


def _decoupling(ours: Decoupling, theirs: Decoupling) -> Iterator[str]:
    if ours.cuts != theirs.cuts:
        yield f"cuts {short_cuts(ours) or 'none'} ({short_cuts(theirs) or 'none'})"
    if ours.heads != theirs.heads and set(ours.heads) != set(theirs.heads):
        yield f"heads {short_heads(ours) if ours.heads else 'none'} ({short_heads(theirs) if theirs.heads else 'none'})"
