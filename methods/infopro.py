"""InfoPro (Wang et al. 2021): a block keeps what the image holds while it learns what the label needs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from methods.losses import supervised_contrast
from methods.method import Carry, Method
from methods.parts.decoder import Decoder
from methods.parts.lambdas import DEFAULT, loss_weights
from methods.traits import Traits
from spaces.activation import Activation
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.network import DecoupledNet
from spaces.notation.component import Component
from spaces.notation.errors import UserError

TEMPERATURE = 0.07


class ImageCarry(NamedTuple):
    """The activation, and the images (N, C, H, W) that decoders are compared with."""

    h: Activation
    image: torch.Tensor


class InfoPro(Method):
    """A loss of reconstruction beside that of the labels (Wang et al. 2021).

    L_k = lambda1_k BCE(decoder_k(h_k), image) + lambda2_k loss(head_k(h_k), y); the last block has cross-entropy alone.

    loss         softmax: cross-entropy · contrast: supervised contrastive loss, and heads that give embeddings
    decoder      without it L_k = loss(head_k(h_k), y)
    lambdas      the lambdas of the first and of the last block with a head, [5,0.5,0.5,1], or the name of a published
                 set, such as resnet32_cifar10; a term whose lambda is 0 is not computed. Only with a decoder
    temperature  of the contrastive loss, 0.07 unless given

    As released, but for the decoder's target, which is the image whatever the task's normalisation is (the code has its
    own constants), and for weights drawn as everywhere here unless the backbone has init=fan_out, which is the code's draw.
    The carry is the activation and the input.
    """

    def __init__(
        self,
        net: DecoupledNet,
        *,
        loss: Literal["softmax", "contrast"] = "softmax",
        decoder: bool = True,
        lambdas: str | tuple[float, ...] | None = None,
        label_smoothing: float = 0.0,
        temperature: float | None = None,
    ) -> None:
        super().__init__(net, label_smoothing=label_smoothing)
        if lambdas is not None and not decoder:
            raise UserError(
                f"lambdas weigh reconstruction against prediction, got lambdas={lambdas} without a decoder; "
                "leave them out, or take decoder=True"
            )
        if temperature is not None and (loss != "contrast" or not 0 < temperature < math.inf):
            raise UserError(
                f"temperature is a number above 0 and only of loss=contrast, got temperature={temperature} with "
                f"loss={loss}; leave it out"
            )
        self.contrasts = loss == "contrast"
        self.temperature = TEMPERATURE if temperature is None else temperature
        last = self.num_stages - 1
        self.weights = loss_weights(DEFAULT if lambdas is None else lambdas, last + 1) if decoder else [(0.0, 1.0)] * last
        self.decoders = nn.ModuleDict(
            {str(k): Decoder(net.head_shapes[k], net.shapes[0], net.pixels, net.draw) for k in range(last) if self.weights[k][0]}
        )

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """With loss=contrast exits have no logits: every head gives an embedding, and becomes 1c2f where it cannot. The logits
        of a head whose lambda is 0 have learnt nothing."""
        plain = Traits(default_head="1c2f")
        if settings.get("loss") != "contrast":
            return plain
        return replace(
            plain, has_exit_logits=False, rewrite=_with_embeddings, class_labels="its contrastive loss pairs samples of a class"
        )

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """The input twice: as what the first block is given, and as what decoders are compared with."""
        return ImageCarry(x, x)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Block k and its local loss."""
        following = self.run_block(k, carry)
        return following, self.local_loss(k, self.head_input(k, following), following.image, y)

    def local_loss(self, k: int, h: Activation, image: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """L_k for what head and decoder are given of block k."""
        head = self.net.heads[k]
        if k == self.num_stages - 1:
            return self.output_loss(head(h), y)
        of_reconstruction, of_prediction = self.weights[k]
        terms = []
        if of_reconstruction:
            terms.append(of_reconstruction * self.decoders[str(k)].loss(h, image))  # type: ignore[operator]
        if of_prediction:
            terms.append(of_prediction * self.prediction_loss(head(h), y))
        return sum(terms[1:], terms[0])

    def prediction_loss(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of a head's logits or embeddings."""
        return supervised_contrast(output, y, self.temperature) if self.contrasts else self.output_loss(output, y)

    def stage_modules(self, k: int) -> list[nn.Module]:
        """With the decoder, where there is one."""
        own = [self.decoders[str(k)]] if str(k) in self.decoders else []
        return [*super().stage_modules(k), *own]


def _with_embeddings(asked: Decoupling) -> Decoupling:
    return Decoupling(asked.cuts, tuple(map(_embedding, asked.heads)))


def _embedding(spec: str) -> str:
    """The head with embedding=True, or 1c2f with it where the head has no such setting."""
    head = HEADS.resolve(spec)
    if "embedding" not in dict(head.settings):
        head = HEADS.resolve("1c2f")
    return str(Component(head.name, tuple((dict(head.settings) | {"embedding": True}).items())))
