"""How a decoupled network learns: the methods, and the loop that trains them. The public names, imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from methods.method import Method
    from methods.table import METHODS
    from methods.training.loop import train
    from methods.training.settings import TrainingSettings
    from methods.traits import Traits
    from methods.wrapped import WrappedMethod

__all__ = ["METHODS", "Method", "TrainingSettings", "Traits", "WrappedMethod", "train"]
_MODULES = {
    "METHODS": "methods.table",
    "Method": "methods.method",
    "TrainingSettings": "methods.training.settings",
    "Traits": "methods.traits",
    "WrappedMethod": "methods.wrapped",
    "train": "methods.training.loop",
}


def __getattr__(name: str) -> object:
    """Import a public name with the module that it lies in."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
