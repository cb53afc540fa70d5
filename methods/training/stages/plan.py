"""Which methods can be parted among processes, and which of their stages go where."""

from __future__ import annotations

from collections.abc import Sequence

from methods.method import Method
from methods.training.stages.contiguous import contiguous
from spaces.notation.errors import UserError


def check_parted(method: Method, processes: int, name: str) -> None:
    """A UserError where the stages of the method, which is called `name`, cannot train in so many processes side by side."""
    for k in range(method.num_stages):
        if read := method.reads(k):
            raise UserError(
                f"stages side by side cannot read each other's weights of the same iteration, but stage {k} of {name} reads "
                f"those of stage {', '.join(map(str, read))}; train in one process, or take another method, such as dgl"
            )
    if method.num_stages < processes:
        stages = "one stage, which gradients join" if method.num_stages == 1 else f"{method.num_stages} stages"
        raise UserError(
            f"each process trains a stage at least, got {processes} processes for {name} with {stages}; give fewer processes, "
            "cut more, or train in one process"
        )


def planned(method: Method, seconds: Sequence[float], processes: int, name: str) -> tuple[range, ...]:
    """The stages of each process, the slowest of which is as fast as can be when stage k takes `seconds[k]`; a UserError as
    `check_parted`."""
    check_parted(method, processes, name)
    return contiguous(seconds, processes)
