"""Associated Learning (Kao and Chen 2021; Wu et al. 2022): a network and its labels meet at every depth."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from methods.method import Carry, Method
from methods.parts.bridge import ACTIVATIONS, RANGES, ActivationName, Pool, bridge, num_features
from methods.traits import Traits
from spaces.activation import Activation
from spaces.heads import NO_HEAD
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError


class AssociatedCarry(NamedTuple):
    """s_k, and the label's code t_k (N, label_dim), t_0 (N, classes) of the first; None at inference, which has no labels."""

    h: Activation
    code: torch.Tensor | None


class AL(Method):
    """Associated Learning (Kao and Chen 2021; Wu et al. 2022): block k meets a code of the label of its own depth.

    s_k = f_k(sg(s_{k-1})), t_k = g_k(sg(t_{k-1})), s_0 = x, t_0 = onehot(y); f_k is the block, g_k encodes the label.
    L_k = d(b_k(s_k), sg(t_k)) + D(h_k(t_k), t_{k-1}): the associated loss trains f_k and the bridge b_k, the autoencoder
    loss g_k and the decoder h_k. D is cross-entropy for k = 1, d after. The network is h_1 .. h_K b_K f_K .. f_1, exit
    k h_1 .. h_k b_k f_k .. f_1. It has no use for heads, nor for the backbone's classifier: the bridges take their place
    in the network that it is given. The carry is (s, t).

    label_dim         width of the codes t_k
    code_error        d: half_norm, half the squared norm of the difference, or mean, the mean of its squares, which is
                      2 / label_dim times as much
    bridge_gain       times the first weights of a bridge's last layer; 1 leaves them as drawn. With a small one a bridge has
                      little to unlearn before it comes near codes, which differ by 0.2 or less
    bridge_depth      1, or 2: with a hidden layer of 5 label_dim
    pooling           what a bridge is given of s_k: quarters, mean, grid2, flatten, state
    activation        at the end of bridges and label encoders
    bounded_decoders  the decoders h_k after the first end in it too
    first_decoder     logits: h_1 is linear. bounded: it ends in the activation, as in most released codes, so that its
                      cross-entropy cannot fall below log(1 + (C - 1) exp(-r)), r = 2 for tanh and 1 for sigmoid. sigmoid: it
                      ends in a sigmoid where the activation is tanh, as in the thesis's text networks
    detach_target     without it the associated loss trains g_k too, as in the code of 2022

    Both losses have weight 1 and one learning rate (released in 2021: twice the rate for the autoencoder's; in 2022 twice
    the weight for the last LSTM layer). The released image networks flatten, and their bridges hold 88 to 99 % of all
    parameters; the default, pooled, is of the size of a head. Weights of the new layers are Xavier-uniform, biases 0.
    All released codes train with Adam on code_error=mean, bridge_gain=1. Adam sees no scale of a loss; SGD does, and a
    mean over label_dim of codes that differ by 0.2 leaves it next to nothing.
    """

    def __init__(
        self,
        net: DecoupledNet,
        *,
        label_smoothing: float = 0.0,
        label_dim: int = 128,
        bridge_depth: Literal[1, 2] = 2,
        pooling: str = "quarters",
        activation: ActivationName = "tanh",
        bounded_decoders: bool = False,
        first_decoder: Literal["logits", "bounded", "sigmoid"] = "logits",
        detach_target: bool = True,
        code_error: Literal["half_norm", "mean"] = "half_norm",
        bridge_gain: float = 0.01,
    ) -> None:
        super().__init__(net, label_smoothing=label_smoothing)
        if label_dim < 1:
            raise UserError(f"label_dim is a number of features from 1 on, got {label_dim}; try 128")
        if first_decoder == "sigmoid" == activation:
            raise UserError("first_decoder=sigmoid goes with activation=tanh; with sigmoid take first_decoder=bounded")
        if not 0 <= bridge_gain < math.inf:
            raise UserError(f"bridge_gain multiplies weights that were drawn, so it is from 0 on, got {bridge_gain}; try 0.01")
        self.detach_target = detach_target
        self.code_weight = label_dim / 2 if code_error == "half_norm" else 1.0
        ends: list[ActivationName | None] = [activation if bounded_decoders else None] * self.num_stages
        ends[0] = {"logits": None, "bounded": activation, "sigmoid": "sigmoid"}[first_decoder]
        self.logit_range = RANGES[ends[0]] if ends[0] else None
        widths = [net.num_classes] + [label_dim] * self.num_stages  # of t_0 .. t_K
        pool = Pool(pooling)
        net.heads = nn.ModuleList(
            nn.Sequential(pool, *bridge(features, label_dim, bridge_depth, activation)) for features in num_features(net, pool)
        )
        self.encoders = nn.ModuleList(_layer(*pair, activation) for pair in pairwise(widths))
        self.decoders = nn.ModuleList(
            _layer(outputs, inputs, end) for (inputs, outputs), end in zip(pairwise(widths), ends, strict=True)
        )
        for layer in (*net.heads.modules(), *self.encoders.modules(), *self.decoders.modules()):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for head in net.heads:
                *_, last_weight, _ = head.parameters()
                last_weight.mul_(bridge_gain)

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """What AL is: its bridges take the place of heads, so cuts have none."""
        return Traits(
            default_head=NO_HEAD,
            rewrite=lambda asked: asked.with_head(NO_HEAD),
            class_labels="blocks learn from codes of one-hot labels",
        )

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """s_0 and t_0, which is None where there are no labels."""
        return AssociatedCarry(x, None if y is None else F.one_hot(y, self.net.num_classes).float())

    def run_block(self, k: int, carry: Carry) -> Carry:
        """s_k, and no label: inference encodes none."""
        return AssociatedCarry(self.net.blocks[k](carry.h), None)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """s_k and t_k; the sum of the associated and the autoencoder loss."""
        given = carry.code
        s, code = self.run_block(k, carry).h, self.encoders[k](given)
        return AssociatedCarry(s, code), self.associated_loss(k, s, code) + self.autoencoder_loss(k, code, given, y)

    def associated_loss(self, k: int, s: Activation, code: torch.Tensor) -> torch.Tensor:
        """A_k = d(b_k(s_k), t_k)."""
        return self.code_distance(self.net.heads[k](s), code.detach() if self.detach_target else code)

    def autoencoder_loss(self, k: int, code: torch.Tensor, given: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """E_k = D(h_k(t_k), t_{k-1})."""
        decoded = self.decoders[k](code)
        return self.code_distance(decoded, given) if k else self.output_loss(decoded, y)

    def code_distance(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """d of two codes (N, label_dim), the mean over the batch."""
        return self.code_weight * F.mse_loss(one, other)

    def exit_logits(self, k: int, carry: Carry) -> torch.Tensor:
        """The logits of exit k: h_1(... h_k(b_k(s_k)))."""
        code = super().exit_logits(k, carry)
        for decoder in reversed(self.decoders[: k + 1]):
            code = decoder(code)
        return code

    def inference_modules(self, k: int) -> list[nn.Module]:
        """The block and its decoder; encoders and all bridges but the last, which is the network's, are for training."""
        return [*super().inference_modules(k), self.decoders[k]]

    def stage_modules(self, k: int) -> list[nn.Module]:
        """The autoencoder of stage k, and for the first stage the label's encoder."""
        return [*super().stage_modules(k), self.encoders[k]]


def _layer(inputs: int, outputs: int, activation: ActivationName | None) -> nn.Sequential:
    """A linear layer, and the activation if there is one."""
    return nn.Sequential(nn.Linear(inputs, outputs), *([ACTIVATIONS[activation]()] if activation else []))
