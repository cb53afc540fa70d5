"""Texts of a batch one behind the other, as recurrent layers want them: without padding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.utils.rnn import PackedSequence

Unpack = Callable[[torch.Tensor], torch.Tensor]


def packed(values: torch.Tensor, mask: torch.Tensor) -> tuple[PackedSequence, Unpack]:
    """The tokens (N, T, D) of `mask` (N, T) without padding, and what brings outputs (tokens, F) back to (N, T, F), 0 at padding.

    What torch's pack_padded_sequence and pad_packed_sequence do, but in steps that have a forward mode.
    """
    order = mask.sum(1).argsort(descending=True)
    back = order.argsort()
    at_step = mask[order].t()  # (T, N)
    rows = values[order].transpose(0, 1).masked_select(at_step[..., None]).view(-1, values.shape[-1])
    num_at_step = at_step.sum(1).cpu()

    def unpack(outputs: torch.Tensor) -> torch.Tensor:
        padded = outputs.new_zeros(*at_step.shape, outputs.shape[-1]).masked_scatter(at_step[..., None], outputs)
        return padded.transpose(0, 1)[back]

    return PackedSequence(rows, num_at_step[num_at_step > 0], order, back), unpack
