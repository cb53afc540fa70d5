"""Tests marked `cuda` need a GPU: `make gpu` runs them, and elsewhere they are skipped."""

from __future__ import annotations

import os

import pytest
import torch

DEVICE = os.environ.get("NAS_TEST_DEVICE", "cuda")  # cuda:1 is another GPU, and cpu rehearses what these tests do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DEVICE.startswith("cuda") and not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture
def gpu() -> torch.device:
    """The GPU that tests marked `cuda` use."""
    return torch.device(DEVICE)
