"""A decoupled network as a picture: its blocks, heads, where gradients stop, and what each costs, to scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.charts.words import named
from nas.records.columns import COLUMNS
from nas.report.short_names import short_decoupling, short_head, short_names
from spaces.decoupling import UNCUT, Decoupling

if TYPE_CHECKING:
    from nas.charts.network_costs import Counted
    from nas.charts.results import Given
    from nas.report.fair_tables import ShownLine

CLASSIFIER = "classifier"
MOST = 4  # pictures of one fair table


@dataclass(frozen=True)
class Block:
    """Units `first` to `last`, from 1 on, `last` None where nobody knows how many there are; `head` gives its loss. `units` says
    of each unit what it costs, empty where units are not known."""

    first: int
    last: int | None
    head: str
    units: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """Its units in words."""
        if self.last is None:
            return f"units from {self.first} on"
        return f"unit {self.first}" if self.first == self.last else f"units {self.first}–{self.last}"


@dataclass(frozen=True)
class BlockCosts:
    """One cost of all blocks: of each what it takes itself, and what its head and all else takes that only training needs; None
    where that is not known."""

    label: str
    short: str
    unit: str
    values: tuple[float | None, ...]
    head_values: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Network:
    """What is drawn of one decoupling.

    joint    whether gradients cross the cuts, as of methods that train all blocks at once
    figures  name and value of what is known of the whole
    about    a plain text that says the same as the picture, for captions and screen readers
    unknown  what is not known of it, and so not drawn, a sentence each
    """

    name: str
    kind: str
    title: str
    about: str
    blocks: tuple[Block, ...]
    joint: bool
    costs: tuple[BlockCosts, ...]
    figures: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...] = ()
    command: str = ""
    group: str = ""
    table: str = ""
    note: str = ""


def networks(given: Given, *, timed: bool = False) -> list[Network]:
    """Of each fair table the decouplings with the lowest test error, one a method; `timed` as in `network_of`."""
    found = []
    for table in given.tables:
        best: dict[str, ShownLine] = {}
        for line in sorted(table.lines, key=lambda line: line.line.test_error):
            if line.line.decoupling != UNCUT:
                best.setdefault(line.label, line)
        for place, line in enumerate(list(best.values())[:MOST], start=1):
            name = named("network", table.name, str(place) if len(best) > 1 else "")
            title = f"{line.label} on {short_decoupling(line.line.decoupling)}"
            averaged = {column: getattr(line.line, column) for column in ("step_seconds", "pipeline_speedup_bound")}
            found.append(
                network_of(
                    {**line.rows[0], **averaged},
                    timed=timed,
                    name=name,
                    title=title,
                    group=line.key,
                    table=table.name,
                    note=table.title,
                )
            )
    return found


def network_of(
    row: Mapping[str, object],
    *,
    timed: bool = False,
    name: str = "network",
    title: str = "",
    group: str = "",
    table: str = "",
    note: str = "",
) -> Network:
    """The network of a row of evaluate or search. `timed` takes some training steps of it on this machine, for seconds or so, to
    say how long each block takes."""
    from nas.charts.network_costs import counted, measured_seconds

    known = counted(row)
    method, point = str(row["method"]), Decoupling.parse(str(row["decoupling"]))
    joint = int(str(row["num_blocks"])) == 1 and bool(point.cuts)
    blocks = _blocks(point, known)
    costs = _costs(blocks, known, joint=joint)
    title = title or f"{short_names([method])[method]} on {short_decoupling(str(point))}"
    unknown = [known.why] if known.why else []
    parted = known.cost is not None and len(known.cost.blocks) == len(blocks)
    if parted and timed:
        costs = (*costs, BlockCosts("seconds of a training step, here", "seconds", "s", measured_seconds(row)))
    elif parted:
        unknown.append(NOT_TIMED)
    figures = tuple(
        (label, f"{COLUMNS[column].show(float(str(row[column])))} {COLUMNS[column].shown.unit}".strip())
        for label, column in FIGURES.items()
        if row.get(column) not in (None, "")
    )
    return Network(
        name,
        "networks",
        title,
        _about(title, blocks, costs, figures, joint=joint),
        blocks,
        joint,
        costs,
        figures,
        tuple(unknown),
        str(row.get("command") or ""),
        group,
        table,
        note,
    )


NOT_TIMED = "how long each block takes is not in rows; `profile` measures it"
FIGURES = {
    "blocks that no gradient joins": "num_blocks",
    "MACs a sample at inference": "macs",
    "MACs of heads": "head_macs",
    "peak of activations": "peak_activation_bytes",
    "seconds a step": "step_seconds",
    "pipeline bound": "pipeline_speedup_bound",
}


def _blocks(point: Decoupling, known: Counted) -> tuple[Block, ...]:
    starts, heads = (0, *point.cuts), (*map(short_head, point.heads), CLASSIFIER)
    ends: Sequence[int | None] = (*point.cuts, len(known.unit_macs) or None)
    return tuple(
        Block(
            start + 1,
            end,
            head,
            tuple(f"unit {number}: {_macs(known.unit_macs[number - 1])}" for number in range(start + 1, end + 1))
            if known.unit_macs and end
            else (),
        )
        for start, end, head in zip(starts, ends, heads, strict=True)
    )


def _macs(count: float) -> str:
    return f"{count / 1e6:,.3g} M MACs a sample"


def _costs(blocks: Sequence[Block], known: Counted, *, joint: bool) -> tuple[BlockCosts, ...]:
    """Of the blocks as stages, where each is one; of blocks that learn together their units' MACs."""
    if known.cost is None:
        return ()
    if joint or len(known.cost.blocks) != len(blocks):
        of_blocks = tuple(float(sum(known.unit_macs[one.first - 1 : one.last])) for one in blocks)
        return (BlockCosts("MACs a sample", "MACs", "MACs", of_blocks),)
    stages = known.cost.blocks
    found = [
        BlockCosts(
            "MACs a sample, with its head",
            "MACs",
            "MACs",
            tuple(float(one.macs) for one in stages),
            tuple(float(one.head_macs) for one in stages),
        ),
        BlockCosts(
            "parameters, with its head",
            "parameters",
            "",
            tuple(float(one.params) for one in stages),
            tuple(float(one.head_params) for one in stages),
        ),
    ]
    if not known.why:
        size = known.cost.batch_size
        peaks = tuple(float(one.activation_bytes * size) for one in stages)
        found.append(BlockCosts("activations at its peak", "activations", "bytes", peaks))
    return tuple(found)


def _about(
    title: str, blocks: Sequence[Block], costs: Sequence[BlockCosts], figures: Sequence[tuple[str, str]], *, joint: bool
) -> str:
    """The picture in words."""
    told = []
    for number, block in enumerate(blocks):
        own = [f"{cost.short} {_short(cost, number)}" for cost in costs if cost.values[number] is not None]
        told.append(f"Block {number + 1}, {block.range}, ends in {block.head}" + (f": {', '.join(own)}" if own else "") + ".")
    between = (
        "Gradients cross the cuts."
        if joint
        else "No gradient crosses from a block to the one before it."
        if len(blocks) > 1
        else ""
    )
    return " ".join(
        [f"{title}.", *told, between, "Of the whole: " + ", ".join(f"{name} {value}" for name, value in figures) + "."]
    )


def _short(cost: BlockCosts, number: int) -> str:
    value = (cost.values[number] or 0.0) + ((cost.head_values[number] or 0.0) if cost.head_values else 0.0)
    return shown(value, "" if cost.unit == cost.short else cost.unit)


def shown(value: float, unit: str) -> str:
    """A cost as people read it."""
    if unit == "s":
        return f"{1000 * value:,.3g} ms"
    if unit == "bytes":
        return f"{value / 2**20:,.3g} MiB"
    for over, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= over:
            return f"{value / over:,.3g} {prefix} {unit}".strip().replace("  ", " ")
    return f"{value:,.3g} {unit}".strip()
