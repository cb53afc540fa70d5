"""Decouplings by rule: even, layer by layer, balanced by activation memory or by seconds, and those that papers published."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from math import prod
from typing import Literal

import torch
from torch import nn

from spaces.activation import input_shape
from spaces.block_seconds import block_seconds
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.memory.peak_memory import Footprint, footprint, likeness
from spaces.network import Block
from spaces.notation.component import Component
from spaces.notation.errors import UserError, unknown
from spaces.notation.table import Table
from spaces.published.al import al_cuts, al_networks
from spaces.published.infopro import infopro_cuts, infopro_networks
from spaces.published.sedona import published_cuts, sedona_networks
from spaces.run_block_bytes import run_block_bytes
from spaces.space import SearchSpace


def uncut(space: SearchSpace, default_head: str | None) -> Decoupling:
    """One block, which is plain backprop."""
    return Decoupling()


def even(space: SearchSpace, default_head: str | None, *, num_blocks: int, head: str | None = None) -> Decoupling:
    """K blocks of as equal numbers of units as can be: the papers' uniform baseline.

    The cuts are floor(linspace(-1, L - 1, K + 1)) + 1, moved to the nearest that the space allows. Rounded exactly: the
    released code's float32 linspace lies one unit lower at some whole numbers, first with 16 units in 14 blocks.
    """
    _check_num_blocks(space, num_blocks)
    positions = [space.num_units * k // num_blocks for k in range(1, num_blocks)]
    return _with_head(space.nearest_cuts(positions), head or default_head)


def balanced(
    space: SearchSpace,
    default_head: str | None,
    *,
    num_blocks: int,
    head: str | None = None,
    checkpoint_units: bool = False,
    by: Literal["bytes", "seconds"] = "bytes",
    batch_size: int | None = None,
) -> Decoupling:
    """K blocks of which the largest, its head counted, has the smallest peak of activation bytes in a training step.

    Or with by=seconds takes the least time, so that the blocks gain most when they train side by side. Optimal (dynamic
    programming over the allowed cuts). Bytes are computed from the network's shapes; seconds are measured, of
    batches of `batch_size`, a run's own where none is given, so they are of this machine, and another one may
    find other cuts.

    by                bytes, of shapes, or seconds, measured
    batch_size        of the steps that by=seconds measures; None for a run's own
    checkpoint_units  as for training that computes activations again
    """
    _check_num_blocks(space, num_blocks)
    if by == "bytes" and batch_size is not None:
        raise UserError(f"batch_size is for balanced(...,by=seconds), got batch_size={batch_size} by bytes; leave it out")
    if batch_size is not None and batch_size < 2:
        raise UserError(f"batch_size is a whole number from 2 on, got {batch_size}")
    spec = head or default_head
    if spec is None or num_blocks == 1:
        return _with_head((), spec)
    if not space.cut_sets.count(num_blocks - 1):
        raise UserError(f"this space allows no {num_blocks} blocks; it allows {space.block_counts}")
    if by == "bytes":
        cost: Callable[[int, int], float] = block_bytes(space, spec, checkpoint_units=checkpoint_units)
    else:
        cost = _measured(space, spec, batch_size or _BATCH_SIZE, checkpoint_units)
    cuts = space.cut_sets.smallest_largest(num_blocks - 1, cost)
    assert cuts is not None, "some cuts are allowed"
    return _with_head(cuts, spec)


@lru_cache(maxsize=8)  # runs of one command have the same cuts
def _measured(space: SearchSpace, head: str, batch_size: int, checkpoint_units: bool) -> Callable[[int, int], float]:
    return block_seconds(space, head, batch_size=batch_size, checkpoint_units=checkpoint_units)


def layerwise(space: SearchSpace, default_head: str | None, *, last: int = 1, head: str | None = None) -> Decoupling:
    """Every unit a block, but for the last `last` units, which are one: AugLocal's K = L and depth d is last = d + 1.

    last  units of the last block
    """
    if not 1 <= last <= space.num_units:
        raise UserError(f"{space.num_units} units have a last block of 1..{space.num_units}, got last={last}")
    return _with_head(space.nearest_cuts(range(1, space.num_units - last + 1)), head or default_head)


def published(
    space: SearchSpace, default_head: str | None, *, num_blocks: int, memory_balanced: bool = False, head: str | None = None
) -> Decoupling:
    """SEDONA's released decoupling for K blocks, with its heads, or the cuts of InfoPro, ContSup and Associated Learning.

    SEDONA's are refused where the released numbers tie. InfoPro's and ContSup's, of resnet32 and resnet110, are cuts of
    equal numbers of layers, or `memory_balanced` for the space's image size; Associated Learning's are those of its own
    image networks. All these have this head or the method's.

    memory_balanced  InfoPro's cuts of equal memory, and not of equal numbers of layers
    """
    name = space.backbone.name
    if name in al_networks():
        if memory_balanced:
            raise UserError(f"Associated Learning publishes no cuts of {name} by memory; leave memory_balanced out")
        return _with_head(al_cuts(name, num_blocks), head or default_head)
    if name in infopro_networks():
        cuts = infopro_cuts(name, num_blocks, memory_balanced=memory_balanced, input_shape=space.input_shape)
        return _with_head(cuts, head or default_head)
    if name not in sedona_networks():
        raise unknown("backbone with a published decoupling:", name, (*sedona_networks(), *infopro_networks(), *al_networks()))
    cuts, depths = published_cuts(name, num_blocks)
    if memory_balanced or head is not None:
        raise UserError(f"SEDONA published the heads of {name} too, and no cuts by memory; leave memory_balanced and head out")
    return Decoupling(cuts, tuple(str(HEADS.resolve(f"conv(depth={depth})")) for depth in depths))


def block_bytes(space: SearchSpace, head: str, *, checkpoint_units: bool = False) -> Callable[[int, int], int]:
    """`bytes(start, stop)`: peak activation bytes an image of a training step of units start..stop-1 and their head.

    While unit u runs its backward pass, the batch's images, the block's input and output and what the units before u
    kept are alive beside it; so the peak is the largest of these sums, the head's included (the classifier's in the
    last block). It is the figure that `Cost` finds in the whole network, but for what does not grow with the batch and
    the few numbers that the loss keeps. A few small runs on the meta device, one for each kind of unit and head, serve
    all pairs. Where inputs or activations are no plain tensors, as of texts, each block is run.
    """
    if not _is_plain(space):
        return run_block_bytes(space, head, checkpoint_units=checkpoint_units)
    with torch.device("meta"):
        backbone = space.build_backbone()
    space.keep_head_apart(backbone.classifier, space.num_units)
    shapes, units = space.template.shapes, backbone.units
    sizes = [_BYTES * prod(shape) for shape in shapes]
    known: dict[tuple[object, ...], Footprint] = {}

    def of(module: nn.Module, shape: tuple[int, ...], **how: bool) -> Footprint:
        key = (likeness(module), shape, *how.items())
        if key not in known:
            known[key] = footprint(module, shape, **how)
        return known[key]

    @cache
    def of_unit(i: int, first: bool, last: bool, spread: bool) -> Footprint:
        unit: nn.Module = units[i]
        if checkpoint_units:
            space.keep_unit_apart(backbone, i)
            unit = Block([unit] if last else [unit, nn.Identity()], checkpoint_units=True)
        elif first and space.template.overwrites(i, i + 1):
            unit = space.block(range(i, i + 1), backbone)
        return of(unit, shapes[i], first=first, last=last, spread=spread)

    @cache
    def of_head(gap: int) -> Footprint:
        if gap == space.num_units:
            return of(backbone.classifier, shapes[gap], held=True)
        with torch.device("meta"):
            return of(space.head(head, space.site(gap)), shapes[gap], held=True)

    def peak(start: int, stop: int) -> int:
        """`alive` is beside the unit's input, which its own peak counts for as long as the unit itself needs it."""
        alive, largest, kept_before = sizes[0] if start > 0 else 0, 0, True
        for i in range(start, stop):
            last = i == stop - 1
            unit = of_unit(i, i == start, last, last and of_head(stop).spreads_gradient)
            given = sizes[i] if kept_before and not (unit.keeps_input or i == start) else 0
            output = 0 if last else sizes[stop]
            largest = max(largest, alive + given + unit.peak + output)
            alive += unit.kept + (sizes[i] if kept_before or unit.keeps_input else 0)
            kept_before = unit.keeps_output
        return max(largest, alive + of_head(stop).peak)

    return peak


def _is_plain(space: SearchSpace) -> bool:
    """Whether inputs and all activations are plain tensors."""
    gaps = range(space.num_units + 1)
    return input_shape(space.input_shape).plain and all(isinstance(space.template.example(gap), torch.Tensor) for gap in gaps)


_BYTES = 4  # of a float32
_BATCH_SIZE = 32  # of steps that are timed


def _check_num_blocks(space: SearchSpace, num_blocks: int) -> None:
    if not 1 <= num_blocks <= space.num_units:
        raise UserError(f"{space.num_units} units make 1..{space.num_units} blocks, got {num_blocks}")


def _with_head(cuts: tuple[int, ...], head: str | None) -> Decoupling:
    spec = str(HEADS.resolve(head)) if head else ""
    if cuts and not spec:
        return Decoupling()  # a method without heads has no use for cuts either
    return Decoupling(cuts, (spec,) * len(cuts))


RULES: Table[Decoupling] = Table(
    "rule", {"uncut": uncut, "even": even, "layerwise": layerwise, "balanced": balanced, "published": published}, makes=Decoupling
)


def read_decoupling(text: str, space: SearchSpace, default_head: str | None, *, batch_size: int | None = None) -> Decoupling:
    """The decoupling that `text` names: its written form, or a rule such as `even(4)` or `balanced(4,head=linear)`.

    Heads come back with all their settings; what does not fit the backbone is a UserError. `batch_size` is that of the training
    that is meant, for rules that measure it and are given none.
    """
    if not text.strip()[:1].isidentifier():  # no name, so it is the written form or nothing
        given = Decoupling.parse(text)
        given.blocks(space.num_units)
        return Decoupling(given.cuts, tuple(str(HEADS.resolve(head)) for head in given.heads))
    rule = RULES.resolve(text)
    settings = dict(rule.settings)
    if batch_size is not None and settings.get("by") == "seconds" and "batch_size" not in settings:
        rule = Component(rule.name, (*rule.settings, ("batch_size", batch_size)))
    return RULES.build(rule, space, default_head)
