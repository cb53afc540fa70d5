"""The checks that built-in components pass, as pytest classes for those who write their own. Needs pytest.

    from nas.testing import MethodContract

    class TestMine(MethodContract):
        method = "my_package.mine(x=1)"    # as on the command line, or the class itself

Each class says by its attributes what is checked on which network; a subclass sets what it needs to.
"""

import pytest

pytest.register_assert_rewrite(*(f"nas.testing.{part}" for part in ("backbones", "heads", "methods", "strategies", "tasks")))

from nas.testing.backbones import BackboneContract
from nas.testing.heads import HeadContract
from nas.testing.methods import MethodCase, MethodContract, SideContract, toy_batch
from nas.testing.strategies import StrategyContract
from nas.testing.tasks import TaskContract

__all__ = [
    "BackboneContract",
    "HeadContract",
    "MethodCase",
    "MethodContract",
    "SideContract",
    "StrategyContract",
    "TaskContract",
    "toy_batch",
]
