"""The kinds of names that there are, and the table of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from methods.sides import SIDES
from methods.table import METHODS
from methods.training.class_limit import CLASS_LIMITS
from methods.training.growth import GROWTHS
from methods.training.optimization import OPTIMIZERS, SCHEDULES
from nas.evaluation.evaluators import EVALUATORS
from nas.evaluation.figures import FIGURES
from nas.executors import EXECUTORS
from nas.exits.confidence import CONFIDENCES
from nas.exports.formats import FORMATS
from nas.published.experiments import experiments, what_it_is
from nas.side_by_side import PARALLELS
from nas.strategies import STRATEGIES
from nas.tasks import TASKS
from spaces.backbones import BACKBONES
from spaces.heads import HEADS
from spaces.named import named_spaces
from spaces.notation.errors import UserError, unknown
from spaces.notation.table import Table
from spaces.rules import RULES


@dataclass(frozen=True)
class Kind:
    """One kind: what it is called, of one and of several; what its names are for, and the flag that takes them; its table, None
    for spaces and experiments, which are files."""

    name: str
    one: str
    about: str
    flag: str
    table: Table[Any] | None = None

    def names(self) -> list[str]:
        """All names, in the order of the table."""
        return list(self.table) if self.table is not None else list(_files(self))

    def describe(self, name: str) -> str:
        """What the name is, in a line."""
        return self.table.describe(name) if self.table is not None else _files(self)[name]


def _files(kind: Kind) -> Mapping[str, str]:
    if kind.name == "spaces":
        return named_spaces()
    return {name: what_it_is(path) for name, path in experiments().items()}


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("spaces", "space", "what may be searched: a backbone, heads and limits", "--space"),
        Kind("backbones", "backbone", "networks that spaces cut", "--space 'space(backbone=...)'", BACKBONES),
        Kind("heads", "head", "what sits at a cut, and gives its block a loss", "--decoupling 3:HEAD", HEADS),
        Kind("rules", "rule", "ways to choose cuts", "--decoupling", RULES),
        Kind("methods", "method", "how a decoupled network learns", "--methods", METHODS),
        Kind("side inputs", "side input", "what blocks are given beside the activation", "--side", SIDES),
        Kind("strategies", "strategy", "how a space is searched", "--strategy", STRATEGIES),
        Kind("evaluators", "evaluator", "where a search gets scores from", "--evaluator", EVALUATORS),
        Kind("executors", "executor", "who does the runs", "--executor", EXECUTORS),
        Kind("tasks", "task", "data, and its parts", "--task", TASKS),
        Kind("confidence rules", "confidence rule", "how sure an exit is", "predict --rule", CONFIDENCES),
        Kind("figures", "figure", "what is measured beside, while a run trains", "--measure", FIGURES),
        Kind("export formats", "export format", "files for other programs", "export --to", FORMATS),
        Kind("optimizers", "optimizer", "how weights follow gradients", "--optimizer", OPTIMIZERS),
        Kind("schedules", "schedule", "how the learning rate changes", "--schedule", SCHEDULES),
        Kind("growths", "growth", "training block by block", "--grow", GROWTHS),
        Kind("class limits", "class limit", "which classes a batch may hold", "--class-batches", CLASS_LIMITS),
        Kind("parallels", "parallel", "the stages of a run side by side", "--parallel", PARALLELS),
        Kind("experiments", "experiment", "published ones, as options of evaluate", "--config"),
    )
}


def read_kinds(texts: Sequence[str]) -> list[Kind]:
    """The kinds of these names, of one or of several, with blanks, - or _; all where there are none."""
    return [read_kind(text) for text in texts] or list(KINDS.values())


def read_kind(text: str) -> Kind:
    """The kind of this name; one that there is not is a UserError with the nearest."""
    plain = " ".join(text.lower().replace("-", " ").replace("_", " ").split())
    for kind in KINDS.values():
        if plain in (kind.name, kind.one):
            return kind
    raise unknown("kind:", text, [kind.name.replace(" ", "-") for kind in KINDS.values()])


def kinds_of(name: str) -> list[tuple[Kind, str]]:
    """Every kind that has this name, which may be written `kind:name`. One that none has is a UserError with the nearest."""
    begin, colon, rest = name.partition(":")
    if colon and rest:
        kind = read_kind(begin)
        if rest not in kind.names():
            raise unknown(kind.one, rest, kind.names())
        return [(kind, rest)]
    if found := [(kind, name) for kind in KINDS.values() if name in kind.names()]:
        return found
    if "(" in name:
        raise UserError(f"show takes a name alone, got {name}; leave the settings out")
    raise unknown("name", name, {one for kind in KINDS.values() for one in kind.names()})
