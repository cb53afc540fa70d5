"""How a training fails that learns nothing any more."""

from __future__ import annotations


class Diverged(Exception):
    """A local loss was not finite; says which stage at which iteration."""
