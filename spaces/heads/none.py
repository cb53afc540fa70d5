"""The head of methods that learn without heads."""

from __future__ import annotations

from torch import nn

from spaces.backbone import Site

NO_HEAD = "none"


def none(site: Site) -> nn.Module:
    """No head, for the cuts of methods that have no use for one, such as al; the others refuse it."""
    return nn.Identity()
