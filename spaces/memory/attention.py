"""Attention on the meta device by the kernel that training takes, so that costs which are computed from shapes are its."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.library import Library

FUSED_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@contextmanager
def fused_attention() -> Iterator[None]:
    """Inside, scaled dot-product attention of tensors without storage is the CPU's fused kernel wherever the CPU would take it.

    Left alone, torch takes the one that keeps all T x T shares there. Attention lies too deep inside torch's own layers for a
    function mode to meet it, so the kernel is registered for as long as this lasts.
    """
    if _registered:
        yield
        return
    library = Library("aten", "IMPL")
    library.impl("scaled_dot_product_attention", _attention, "AutogradMeta")
    _registered.append(library)
    try:
        yield
    finally:
        _registered.remove(library)
        library._destroy()


_registered: list[Library] = []


def _attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """As torch's, of queries (N, H, T, D): the fused kernel has neither dropout nor a mask that learns."""
    same_size = queries.shape[:2] == keys.shape[:2] and queries.shape[-1] == values.shape[-1]
    if dropout_p or queries.dim() != 4 or not same_size or (attn_mask is not None and attn_mask.requires_grad):
        return torch.ops.aten._scaled_dot_product_attention_math(
            queries, keys, values, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )[0]
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.where(attn_mask, 0.0, -math.inf).to(queries.dtype)
    return FUSED_ON_CPU(queries, keys, values, 0.0, is_causal, attn_mask=attn_mask, scale=scale)[0]
