"""What may be searched: backbones, heads, and the spaces made of them. The public names, imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spaces.backbone import Backbone, Site
    from spaces.decoupling import Decoupling
    from spaces.named import read_space
    from spaces.network import DecoupledNet
    from spaces.rules import read_decoupling
    from spaces.space import SearchSpace

__all__ = ["Backbone", "DecoupledNet", "Decoupling", "SearchSpace", "Site", "read_decoupling", "read_space"]
_MODULES = {
    "Backbone": "spaces.backbone",
    "Site": "spaces.backbone",
    "DecoupledNet": "spaces.network",
    "Decoupling": "spaces.decoupling",
    "SearchSpace": "spaces.space",
    "read_decoupling": "spaces.rules",
    "read_space": "spaces.named",
}


def __getattr__(name: str) -> object:
    """Import a public name with the module that it lies in."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
