"""What the commands asked for, of the rows that they wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nas.records.columns import COLUMNS
from nas.report.short_names import short_names, short_space
from spaces.notation.component import Component

Row = Mapping[str, str]
FEW = 6  # values that a fact names
FACTS = {  # columns, and what their values are called
    "task": "Task",
    "backbone": "Network",
    "space": "Searched",
    "strategy": "Strategy",
    "objectives": "Objectives",
    "epochs": "Epochs",
    "iterations": "Iterations",
    "batch_size": "Batch size",
    "optimizer": "Optimizer",
    "lr": "Learning rate",
    "precision": "Precision",
    "grow": "Grown",
    "side": "Side inputs",
}


def what_was_asked(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The commands with how many rows each wrote, and what they were about, as pairs of texts; None where there are no rows."""
    if not rows:
        return None
    commands = Counter(row["command"] for row in rows if row.get("command"))
    names = short_names(dict.fromkeys(row["method"] for row in rows if row.get("method")))
    facts = [("Methods", _listed(names[row["method"]] for row in rows if row.get("method")))]
    facts += [(title, _listed(_shown(name, row[name]) for row in rows if row.get(name))) for name, title in FACTS.items()]
    decouplings = {row["decoupling"] for row in rows if row.get("decoupling")}
    facts.append(("Decouplings", f"{len(decouplings):,}" if len(decouplings) > FEW else ", ".join(sorted(decouplings))))
    seeds = sorted({int(row["seed"]) for row in rows if row.get("seed", "").isdigit()})
    facts.append(("Seeds", ", ".join(map(str, seeds)) if len(seeds) <= 2 * FEW else f"{len(seeds)}, {seeds[0]} to {seeds[-1]}"))
    return {
        "commands": [{"command": command, "rows": count} for command, count in commands.items()],
        "facts": [(title, text) for title, text in facts if text],
    }


def headline(rows: Sequence[Row]) -> str:
    """What the rows are about, in a line."""
    tasks, networks = ([*dict.fromkeys(_name(row[name]) for row in rows if row.get(name))] for name in ("task", "backbone"))
    methods = {_name(row["method"]) for row in rows if row.get("method")}
    counted = [(len(rows), "run", "runs"), (len(methods), "method", "methods")]
    parts = [" of ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in counted if count)]
    parts += [", ".join(names[:3]) + (" and more" if len(names) > 3 else "") for names in (networks, tasks) if names]
    return " · ".join(parts)


def _listed(values: Iterable[str]) -> str:
    """The values by how often they came."""
    found = [value for value, _ in Counter(values).most_common()]
    return ", ".join(found[:FEW]) + (f" and {len(found) - FEW:,} more" if len(found) > FEW else "")


def _shown(name: str, cell: str) -> str:
    if name == "space":
        return short_space(cell)  # without its backbone, since the network has been said
    if name not in COLUMNS or not COLUMNS[name].type.is_number:
        return cell
    try:
        return f"{float(cell):g}"
    except ValueError:
        return cell


def _name(cell: str) -> str:
    """The name of a component; a cell that is none stays as it is."""
    try:
        component = Component.parse(cell)
    except ValueError:
        return cell
    named = dict(component.settings).get("name")
    return str(named) if component.name in ("torchvision", "timm") and named else component.name
