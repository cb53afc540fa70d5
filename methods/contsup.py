"""ContSup (Yu et al. 2023): blocks are also given encoded contexts, which local learning would else have thrown away."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import nn

from methods.infopro import InfoPro
from methods.method import Carry
from methods.parts.context import Context, ContextForm
from spaces.activation import Activation, combined
from spaces.network import DecoupledNet


class ContextCarry(NamedTuple):
    """InfoPro's carry, and the activations that the last blocks were given, the latest first, as contexts of the next."""

    h: Activation
    image: torch.Tensor
    sources: tuple[Activation, ...]


class ContSup(InfoPro):
    """InfoPro whose blocks are also given encoded contexts (Yu et al. 2023).

    Block k is given sg(h_{k-1}) + sum_r Res_{k,r}(sg(c_r)) + Enc_k(sg(image)).

    context  R0: nothing is added · Rn: c_1..c_n, the inputs of the n blocks before, their own contexts included, as far as
             there are so many; the first block's is the image · E: the image · RnE: both, the image only through Enc
             (released as R1E; a larger n is ours)

    The encoders of block k belong to stage k: its loss trains them, and inference runs them. `decoder` is off unless asked
    for, as in the released code; the other settings are InfoPro's. The carry is InfoPro's and a tuple of the inputs that
    the next blocks are given.
    """

    def __init__(
        self,
        net: DecoupledNet,
        *,
        context: str = "R1E",
        loss: Literal["softmax", "contrast"] = "softmax",
        decoder: bool = False,
        lambdas: str | tuple[float, ...] | None = None,
        label_smoothing: float = 0.0,
        temperature: float | None = None,
    ) -> None:
        super().__init__(
            net, loss=loss, decoder=decoder, lambdas=lambdas, label_smoothing=label_smoothing, temperature=temperature
        )
        self.form = ContextForm.parse(context)
        self.contexts = nn.ModuleDict(
            {
                str(k): Context(
                    net.shapes[k],
                    net.shapes[0],
                    [net.shapes[j] for j in self.form.sources(k)],
                    net.draw,
                    encodes_image=self.form.image,
                )
                for k in range(1, self.num_stages)
                if self.form.image or self.form.blocks
            }
        )

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """InfoPro's carry, and no contexts yet."""
        return ContextCarry(x, x, ())

    def run_block(self, k: int, carry: Carry) -> Carry:
        """Add the contexts to the activation, run block k, and keep what it was given for the next blocks."""
        h, image, sources = carry.h, carry.image, carry.sources
        if str(k) in self.contexts:
            context = self.contexts[str(k)](image, sources)
            h = combined(lambda part: part + context, h)
        following = (h, *sources)[: len(self.form.sources(k + 1))]
        return ContextCarry(self.net.blocks[k](h), image, following)

    def inference_modules(self, k: int) -> list[nn.Module]:
        """With the context encoders, where there are any."""
        own = [self.contexts[str(k)]] if str(k) in self.contexts else []
        return [*own, *super().inference_modules(k)]
