"""Every test runs on one thread and finds the packages from the root."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = str(Path(__file__).parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def short_timing() -> Iterator[None]:
    """Exits are timed on few samples in few rounds, since no test is about how exact the seconds are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.exits.timing.BUDGET", 1e-9)
        yield


class OperatorCalls(TorchDispatchMode):
    """`with OperatorCalls() as calls:` counts in `calls.of` how often each operator runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[Any] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.of[function.overloadpacket] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def operator_calls() -> type[OperatorCalls]:
    """The class, since a test may count more than once."""
    return OperatorCalls
