"""A decoupling is data: where the gradient is cut, and which head sits at each cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from spaces.notation.errors import UserError

UNCUT = "uncut"
MOST_CUTS = 10_000  # no backbone has as many units, and ranges that are mistyped, or of a file from outside, fill no memory
RANGE = r"\d{1,9}(?:-\d{1,9})?"
PLACE = re.compile(rf"({RANGE}(?:,{RANGE})*):([^\s(]+(\(.*\))?)")


@dataclass(frozen=True)
class Decoupling:
    """One point of a space: `cuts` are the numbers of units before each cut, `heads` one head spec a cut.

    Written `6:conv(depth=4) 13:mlp_sr`, or `uncut`, which is plain backprop; `Decoupling.parse(str(d)) == d`. Read too is what
    tables print where heads are the same, `1-3,7:linear`.
    """

    cuts: tuple[int, ...] = ()
    heads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.cuts) != len(self.heads):
            raise UserError(f"each cut has one head, got {len(self.cuts)} cuts and {len(self.heads)} heads")
        if any(cut < 1 for cut in self.cuts) or list(self.cuts) != sorted(set(self.cuts)):
            raise UserError(f"cuts are numbers of units before each cut, rising from 1 on, got {self.cuts}")

    @property
    def num_blocks(self) -> int:
        """K: the blocks that are truly gradient-isolated from each other."""
        return len(self.cuts) + 1

    def with_head(self, head: str) -> Decoupling:
        """The same cuts, each with this head."""
        return Decoupling(self.cuts, (head,) * len(self.cuts))

    def blocks(self, num_units: int) -> tuple[range, ...]:
        """The units of each block; a cut outside 1..num_units-1 is a UserError."""
        for cut in self.cuts:
            if cut >= num_units:
                raise UserError(f"cut {cut} is past the last gap of a {num_units}-unit backbone; cuts lie in 1..{num_units - 1}")
        edges = (0, *self.cuts, num_units)
        return tuple(range(start, stop) for start, stop in pairwise(edges))

    @staticmethod
    def parse(text: str) -> Decoupling:
        """Read the written form; anything else is a UserError."""
        if text.strip() == UNCUT:
            return Decoupling()
        places = [PLACE.fullmatch(place) for place in re.split(r"\s+(?=[\d,-]+:)", text.strip())]
        if not all(places):
            raise UserError(
                "a decoupling is written '6:conv(depth=4) 13:mlp_sr' (units before the cut, then its head), '1-3,7:linear' for "
                f"one head at several, or '{UNCUT}', got {text!r}"
            )
        pairs = list(islice(((cut, place[2]) for place in places if place for cut in _units(place[1])), MOST_CUTS + 1))
        if len(pairs) > MOST_CUTS:
            raise UserError(f"a decoupling has at most {MOST_CUTS} cuts, got more in {text[:40]!r}")
        return Decoupling(tuple(cut for cut, _ in pairs), tuple(head for _, head in pairs))

    def __str__(self) -> str:
        return " ".join(f"{cut}:{head}" for cut, head in zip(self.cuts, self.heads, strict=True)) or UNCUT


def _units(text: str) -> Iterator[int]:
    """The numbers that `1-3,7` stands for."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if start > stop:
            raise UserError(f"a range of cuts rises, as in 1-3, got {part}")
        yield from range(start, stop + 1)
