"""Names for content: of data, of weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import torch


def digest(*parts: Any) -> str:
    """16 hexadecimal digits that name exactly these parts in this order: tensors, wherever they lie, and plain data.

    Of a tensor type, shape and values count. About a gigabyte a second.
    """
    found = blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, torch.Tensor):
            found.update(f"{part.dtype} {list(part.shape)}\n".encode())
            found.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        else:
            found.update(f"{json.dumps(part)}\n".encode())
    return found.hexdigest()


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Of a state_dict: its names and its tensors."""
    return digest(*(part for pair in weights.items() for part in pair))
