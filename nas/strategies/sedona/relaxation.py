"""The continuous relaxation of SEDONA: every gap is cut to a degree alpha, with a mixture beta of the candidate heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd

from methods.losses import smoothed_cross_entropy
from spaces.backbone import Backbone
from spaces.decoupling import Decoupling
from spaces.errors import UserError
from spaces.space import SearchSpace

SCALE_EPS = 1e-5  # keeps the released output scale finite where a gap is hardly cut


@dataclass(frozen=True)
class Architecture:
    """What the search decides: alpha (G, 2) and beta (G, H), logits, one row for each of G gaps."""

    alpha: torch.Tensor
    beta: torch.Tensor

    @staticmethod
    def zeros(num_gaps: int, num_heads: int, *, device: torch.device | None = None) -> Architecture:
        """The start of the search: every gap half cut, every head equally likely."""
        return Architecture(torch.zeros(num_gaps, 2, device=device), torch.zeros(num_gaps, num_heads, device=device))

    @property
    def shares(self) -> torch.Tensor:
        """softmax(alpha), (G, 2): how much of the gradient is the local loss's (column 0), how much comes from above."""
        return self.alpha.softmax(dim=1)

    @property
    def mixture(self) -> torch.Tensor:
        """softmax(beta), (G, H): the weight of each candidate head."""
        return self.beta.softmax(dim=1)


class MixedHead(nn.Module):
    """The H candidate heads of one gap."""

    def __init__(self, candidates: Sequence[nn.Module]) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(candidates)

    def forward(self, h: torch.Tensor, weights: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) -> the candidates' logits (N, classes), mixed by weights (H,); with a scale s, s head(h / s)."""
        if scale is not None:
            h = h / scale
        logits = torch.stack([head(h) for head in self.candidates], dim=-1) @ weights
        return logits if scale is None else logits * scale


class Relaxation(nn.Module):
    """A backbone with all candidate heads at all allowed gaps, and the losses that train it and judge it.

    gaps             rising, each in 1..L-1: gap g lies after g units
    head_candidates  the H candidate heads of each gap, in the order of beta's columns
    label_smoothing  the target is 1 - e, and e / (C - 1) for each other class; training losses only

    The architecture is handed to each loss, so that it is never among the parameters that the inner optimizer updates.
    """

    def __init__(self, backbone: Backbone, gaps: Sequence[int], head_candidates: Sequence[Sequence[nn.Module]], *,
                 label_smoothing: float = 0.1) -> None:
        super().__init__()
        self.units = backbone.units
        self.heads = nn.ModuleList(MixedHead(candidates) for candidates in head_candidates)
        self.classifier = backbone.classifier
        self.gaps = tuple(gaps)
        self.label_smoothing = label_smoothing

    def forward(self, loss: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
        """`relaxation(Relaxation.inner_loss, x, y, architecture)` is `relaxation.inner_loss(x, y, architecture)`.

        A functional copy of this module uses its own weights inside `forward` only, so each loss must pass through here.
        """
        return loss(self, *arguments)

    def inner_loss(self, x: torch.Tensor, y: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """sum_j a_j0 L_j + L_n: the training loss whose gradient is SEDONA's greedy rule.

        a = softmax(alpha), L_j is the loss of gap j's mixed logits, L_n the classifier's, for x (N, *input_shape) and
        y (N,). Since what comes from above is scaled by a_j1 where it crosses gap j, each unit's gradient is the nested
        loss's divided by P_j, the product of a_k1 below it, but without the division, which is 0/0 once a P underflows.
        Only the first backward pass from the returned scalar gives that gradient (see `_scale_gradient_once`).
        """
        return self._greedy_sum(architecture, *self._losses(x, y, architecture, scaled=False, gated=True))

    def released_inner_loss(self, x: torch.Tensor, y: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """`inner_loss` with the released code's output scale: its gradient is that of `nested_loss` divided by P_j."""
        return self._greedy_sum(architecture, *self._losses(x, y, architecture, scaled=True, gated=True))

    def nested_loss(self, x: torch.Tensor, y: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """E_1 of E_j = a_j0 L_j + a_j1 E_(j+1), E_n = L_n: the scalar that the released code differentiates for alpha.

        L_j is taken of s_j head(h / s_j), s_j = 1 / (a_j0 + 1e-5) held constant. This is not the paper's outer loss.
        """
        local_losses, loss = self._losses(x, y, architecture, scaled=True, gated=False)
        for (local, above), local_loss in zip(architecture.shares.flip(0), local_losses.flip(0), strict=True):
            loss = local * local_loss + above * loss
        return loss

    def outer_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the whole network on validation data, which is what SEDONA's outer level minimises.

        With batch statistics and without dropout, whatever the mode. The released code uses running statistics here;
        those are constants to autograd, so part of the derivative would be lost. As in any training-mode pass, the
        running statistics move: call this on a copy of a network that is to be kept.
        """
        with _outer_mode(self):
            for unit in self.units:
                x = unit(x)
            return F.cross_entropy(self.classifier(x), y)

    @staticmethod
    def _greedy_sum(architecture: Architecture, local_losses: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
        return torch.dot(architecture.shares[:, 0], local_losses) + loss

    def _losses(self, x: torch.Tensor, y: torch.Tensor, architecture: Architecture, *, scaled: bool,
                gated: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The local losses (G,) and the classifier's; each unit, each head and the classifier run once."""
        shares, mixture, local_losses = architecture.shares, architecture.mixture, []
        for gap, unit in enumerate(self.units, start=1):
            x = unit(x)
            if gap not in self.gaps:
                continue
            j = self.gaps.index(gap)
            scale = 1 / (shares[j, 0].detach() + SCALE_EPS) if scaled else None
            local_losses.append(self._cross_entropy(self.heads[j](x, mixture[j], scale), y))
            if gated:
                x = _scale_gradient_once(x, shares[j, 1])
        return torch.stack(local_losses), self._cross_entropy(self.classifier(x), y)

    def _cross_entropy(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return smoothed_cross_entropy(logits, y, self.label_smoothing)


def _scale_gradient_once(h: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """h, whose gradient is multiplied by `factor` in the first backward pass only.

    The first pass makes the inner gradient. A second one differentiates it, and there it must find the plain network:
    what the units above learn depends on h in full, however little of their gradient comes back. So neither a mixture
    with `h.detach()` nor a custom autograd function would do: each would scale the second pass too.
    """
    h = h.view_as(h)
    if h.requires_grad:
        def scale(gradient: torch.Tensor) -> torch.Tensor:
            handle.remove()
            return gradient * factor

        handle = h.register_hook(scale)
    return h


@contextmanager
def _outer_mode(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    try:
        for part in modes:
            part.training = not isinstance(part, _DropoutNd)
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def discretise(architecture: Architecture, space: SearchSpace, num_blocks: int) -> Decoupling:
    """The decoupling of K = `num_blocks` blocks that the architecture points at.

    The cuts are the allowed set with the largest sum of a_j0 (without constraints: the K - 1 largest, as in SEDONA), the
    head of each is the likeliest candidate. In float64, as in float32 gaps that are hardly decided tie at 0.5. A
    UserError where the space allows no K blocks.
    """
    local = torch.softmax(architecture.alpha.detach().cpu().double(), dim=1)[:, 0].tolist()
    best_heads = architecture.beta.argmax(dim=1).tolist()
    cuts = space.best_cuts(num_blocks - 1, dict(zip(space.gaps, local, strict=True)).__getitem__)
    if cuts is None:
        raise UserError(f"the space's gaps {space.gaps} and smallest block allow no {num_blocks} blocks; ask for fewer")
    return Decoupling(cuts, tuple(space.heads[best_heads[space.gaps.index(cut)]] for cut in cuts))
