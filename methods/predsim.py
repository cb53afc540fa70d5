"""Prediction and similarity-matching losses (Nøkland and Eidnes 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from methods.losses import full_precision
from methods.method import Carry, Method
from methods.traits import Traits
from spaces.activation import Activation, deviation, values_of
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError


class PredSim(Method):
    """Per block (1 - similarity) CE(head(h), y) + similarity MSE(S(conv(h)), S(onehot y)); similarity is the paper's beta.

    The similarity matching loss of Nøkland and Eidnes 2019.

    The final classifier has plain CE, unscaled, as in SEDONA's comparison: the original's factor
    1 - beta there relies on Adam's scale invariance and would starve SGD. No label smoothing unless asked for, as in
    both codes. Every cut gets the `predsim` head, whatever head the decoupling names.

    similarity  the share of the similarity loss, the paper's beta, in 0..1
    """

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.0, similarity: float = 0.99) -> None:
        super().__init__(net, label_smoothing=label_smoothing)
        if not 0 <= similarity <= 1:
            raise UserError(f"similarity is a loss's share in [0, 1], got {similarity}; the paper has 0.99")
        self.similarity = similarity

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """What PredSim is: its own head at every cut."""
        return Traits(
            default_head="predsim",
            rewrite=lambda asked: asked.with_head("predsim"),
            class_labels="it compares activations with one-hot labels",
        )

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """h_k = block_k(h_{k-1}) and its local loss; the last stage has the classifier's cross-entropy alone."""
        carry = self.run_block(k, carry)
        head, h = self.net.heads[k], self.head_input(k, carry)
        logits = head(h)
        prediction = self.output_loss(logits, y)
        if k == self.num_stages - 1:
            return carry, prediction
        target = similarity_matrix(F.one_hot(y, logits.shape[-1]))
        matching = F.mse_loss(similarity_matrix(head.similarity(h)), target)  # type: ignore[operator]
        return carry, (1 - self.similarity) * prediction + self.similarity * matching


def similarity_matrix(h: Activation) -> torch.Tensor:
    """S of the paper, (N, N) in [-1, 1]: cosines between samples, each centred over its own features.

    An activation (N, C, H, W) is first reduced to the standard deviation over space of each channel, (N, C); a map of
    1 x 1, which has none, to its values. Tokens are reduced to that over each text's own tokens, which is ours. In
    float32 also under autocast, since it is a difference of nearly equal numbers.
    """
    with full_precision(values_of(h).device):
        v = deviation(h, _LEAST_VARIANCE)
        v = F.normalize(v - v.mean(dim=1, keepdim=True), dim=1)
        return (v @ v.T).clamp(-1, 1)


_LEAST_VARIANCE = 1e-8
