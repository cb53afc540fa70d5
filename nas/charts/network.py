"""A decoupled network as a picture: its blocks, heads, where gradients stop, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Units `first` to `last`, from 1 on; `head` is what gives its loss. Figures are None where nobody knows them: `units` are
    the MACs of each unit, `macs` and `params` those of the block at inference, `head_macs` and `head_params` of what only
    training needs, all of one sample; `bytes` the peak of activations of its stage in a training step, at the row's batch size;
    `seconds` those of a training step."""

    first: int
    last: int | None
    head: str
    units: tuple[int, ...] | None = None
    macs: int | None = None
    head_macs: int | None = None
    params: int | None = None
    head_params: int | None = None
    bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Network:
    """What is drawn of one decoupling.

    joint    whether gradients cross the cuts, as of methods that train all blocks at once
    about    a plain text that says the same, for screen readers
    unknown  what is not known of it and so not drawn, a sentence each
    """

    name: str
    title: str
    about: str
    method: str
    decoupling: str
    backbone: str
    blocks: tuple[Block, ...]
    joint: bool
    figures: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...] = ()
    command: str = ""
    group: str = ""
    table: str = ""
    note: str = ""
