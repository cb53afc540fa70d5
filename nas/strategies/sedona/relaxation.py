"""The continuous relaxation of SEDONA: every gap is cut to a degree alpha, with a mixture beta of the candidate heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from methods.losses import smoothed_cross_entropy
from nas.strategies.sedona.lockstep import Kinds, kinds, lockstep
from nas.strategies.sedona.sampling import Sample, curved
from spaces.activation import Activation, combined
from spaces.backbone import Backbone
from spaces.memory.in_place import keep_apart, traced_at

SCALE_EPS = 1e-5  # keeps the released output scale finite where a gap is hardly cut

Gate = Callable[[int, Activation], Activation]  # (j, activation at gap j) -> what the units above are given
Gradients = MutableMapping[tuple[int, int], torch.Tensor]  # by gap j and place in `spaces.activation.numbers` of its activation


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


@dataclass(frozen=True)
class Weights:
    """What the relaxation computes with: an architecture's shares (G, 2) and mixture (G, H), as tensors of their own."""

    shares: torch.Tensor
    mixture: torch.Tensor


class Relaxation(nn.Module):
    """A backbone with all candidate heads at all allowed gaps, and the losses that train it and judge it.

    gaps             rising, each in 1..L-1: gap g lies after g units
    head_candidates  the H candidate heads of each gap, in the order of beta's columns
    label_smoothing  the target is 1 - e, and e / (C - 1) for each other class; training losses only

    The architecture is handed to each loss, so that it is never among the parameters that the inner optimizer updates.
    """

    def __init__(
        self,
        backbone: Backbone,
        gaps: Sequence[int],
        head_candidates: Sequence[Sequence[nn.Module]],
        *,
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        self.units = backbone.units
        self.heads = nn.ModuleList(map(nn.ModuleList, head_candidates))
        self.classifier = backbone.classifier
        self.gaps = tuple(gaps)
        self.label_smoothing = label_smoothing
        self._keep_apart(backbone)
        self.kinds = [[kinds(head) for head in candidates] for candidates in self._heads]

    def _keep_apart(self, backbone: Backbone) -> None:
        """Units and heads that write into their input are given copies: at a gap all read one activation, and the engines
        read a batch again."""
        for i, unit in enumerate(self.units):
            if backbone.overwrites(i, i + 1):
                keep_apart(unit)
        at = zip((*self.gaps, len(self.units)), (*self.heads, [self.classifier]), strict=True)
        for head, gap in [(head, gap) for gap, heads in at for head in heads]:
            if traced_at(f"a head after {gap} units", head, backbone.example(gap))[1]:
                keep_apart(head)

    def forward(self, loss: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
        """`relaxation(Relaxation.inner_loss, x, y, architecture)` is `relaxation.inner_loss(x, y, architecture)`.

        A functional copy of this module uses its own weights inside `forward` only, so each loss must pass through here.
        """
        return loss(self, *arguments)

    def inner_loss(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        architecture: Architecture | Weights,
        gradients: Gradients | None = None,
        known: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """sum_j a_j0 L_j + L_n: the training loss whose gradient is SEDONA's greedy rule.

        a = softmax(alpha), L_j is the loss of gap j's mixed logits, L_n the classifier's, for x (N, *input_shape), or token
        ids (N, T), and y (N,). Since what comes from above is scaled by a_j1 where it crosses gap j, each unit's gradient
        is the nested loss's divided by P_j, the product of a_k1 below it, but without the division, which is 0/0 once a P
        underflows. Only the first backward pass from the returned scalar gives that gradient (see `_scale_gradient_once`);
        it also leaves what comes from above at gap j, not yet scaled, in `gradients[j, i]`, i counting the activation's
        tensors, and all candidates' logits (N, classes, H) of each gap in `known`.
        """
        return self._greedy_sum(x, y, architecture, None, gradients, known)

    def released_inner_loss(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        architecture: Architecture | Weights,
        gradients: Gradients | None = None,
        known: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """`inner_loss` with the released code's output scale: its gradient is that of `nested_loss` divided by P_j."""
        return self._greedy_sum(x, y, architecture, released_scales(architecture), gradients, known)

    def nested_loss(self, x: torch.Tensor, y: torch.Tensor, architecture: Architecture | Weights) -> torch.Tensor:
        """E_1 of E_j = a_j0 L_j + a_j1 E_(j+1), E_n = L_n: the scalar that the released code differentiates for alpha.

        L_j is taken of s_j head(h / s_j), s_j = 1 / (a_j0 + 1e-5) held constant. This is not the paper's outer loss.
        """
        candidates, logits = self.logits(x, lambda j, h: h, released_scales(architecture))
        local_losses, loss = self.local_losses(candidates, y, architecture), self.cross_entropy(logits, y)
        for (local, above), local_loss in zip(architecture.shares.flip(0), local_losses.flip(0), strict=True):
            loss = local * local_loss + above * loss
        return loss

    def outer_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the whole network on validation data, which is what SEDONA's outer level minimises.

        With batch statistics and without dropout, whatever the mode. The released code uses running statistics here;
        those are constants to autograd, so part of the derivative would be lost. As in any training-mode pass, the
        running statistics move: call this on a copy of a network that is to be kept.
        """
        with outer_mode(self):
            h: Activation = x
            for unit in self.units:
                h = unit(h)
            return F.cross_entropy(self.classifier(h), y)

    def sampled_loss(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        architecture: Architecture | Weights,
        scales: torch.Tensor | None,
        sample: Sample,
        known: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """A scalar whose first and second derivatives are, over all samples that may be drawn, those of `inner_loss`, or of
        `released_inner_loss` where it has its scales.

        `known` are all candidates' logits of the same step, as `inner_loss` leaves them.
        """
        shares, mixture = architecture.shares, architecture.mixture
        candidates, logits = self.logits(x, lambda j, h: _scale_gradient_once(h, shares[j, 1], j, None), scales, sample.heads)
        total = self.cross_entropy(logits, y)
        for j in sample.gaps:
            if sample.all_heads:
                loss = self.cross_entropy(candidates[j] @ mixture[j], y)
            else:
                mixed = (known[j] * mixture[j]).sum(2).detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self.cross_entropy(mixed, y), mixed)
                terms = candidates[j] * mixture[j][list(sample.heads[j])]
                loss = curved(gradient, mixed.detach().softmax(1), terms.to(mixed.dtype), sample)
            total = total + sample.of_gap * shares[j, 0] * loss
        return total

    def logits(
        self, x: torch.Tensor, gate: Gate, scales: torch.Tensor | None, chosen: Sequence[Sequence[int]] | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Each gap's candidates' logits (N, classes, H), and the classifier's; with scales (G,), those of s head(h / s).

        Each unit and each head runs once, heads that are alike in lockstep; with `chosen`, only those heads of each gap.
        """
        at_gaps: list[Activation] = []
        h: Activation = x
        for gap, unit in enumerate(self.units, start=1):
            h = unit(h)
            if gap in self.gaps:
                at_gaps.append(h)
                h = gate(len(at_gaps) - 1, h)
        logits = self.classifier(h)
        if scales is None:
            return self._candidates(at_gaps, chosen), logits
        shrunk = [combined(lambda part, s=s: part / s, h) for h, s in zip(at_gaps, scales, strict=True)]
        return [s * made for s, made in zip(scales, self._candidates(shrunk, chosen), strict=True)], logits

    def _candidates(self, at_gaps: Sequence[Activation], chosen: Sequence[Sequence[int]] | None) -> list[torch.Tensor]:
        """The logits (N, classes, H) of all heads of each gap, or of those chosen, of the activations there."""
        chosen = [range(len(heads)) for heads in self._heads] if chosen is None else chosen
        found: dict[tuple[int, int], torch.Tensor] = {}
        alike: list[tuple[tuple[int, int], nn.Sequential, Kinds, torch.Tensor]] = []
        for j, (heads, h) in enumerate(zip(self._heads, at_gaps, strict=True)):
            for d in chosen[j]:
                head, own = heads[d], self.kinds[j][d]
                if own is not None and isinstance(head, nn.Sequential) and isinstance(h, torch.Tensor):
                    alike.append(((j, d), head, own, h))
                else:
                    found[j, d] = head(h)
        if alike:
            places, *given = zip(*alike, strict=True)
            found |= dict(zip(places, lockstep(*given), strict=True))
        none = at_gaps[0].new_zeros(0) if isinstance(at_gaps[0], torch.Tensor) else torch.zeros(0)
        return [torch.stack([found[j, d] for d in own], dim=-1) if own else none for j, own in enumerate(chosen)]

    @property
    def _heads(self) -> list[list[nn.Module]]:
        """The candidates of each gap."""
        return [list(heads) for heads in self.heads]  # type: ignore[call-overload]

    def local_losses(
        self, candidates: Sequence[torch.Tensor], y: torch.Tensor, architecture: Architecture | Weights
    ) -> torch.Tensor:
        """L_j (G,) of the candidates' logits, mixed by softmax(beta)."""
        mixed = zip(candidates, architecture.mixture, strict=True)
        return torch.stack([self.cross_entropy(logits @ weights, y) for logits, weights in mixed])

    def cross_entropy(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The training loss of one head, smoothed."""
        return smoothed_cross_entropy(logits, y, self.label_smoothing)

    def _greedy_sum(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        architecture: Architecture | Weights,
        scales: torch.Tensor | None,
        gradients: Gradients | None,
        known: list[torch.Tensor] | None,
    ) -> torch.Tensor:
        shares = architecture.shares
        candidates, logits = self.logits(x, lambda j, h: _scale_gradient_once(h, shares[j, 1], j, gradients), scales)
        if known is not None:
            known += [own.detach().to(shares.dtype) for own in candidates]
        return torch.dot(shares[:, 0], self.local_losses(candidates, y, architecture)) + self.cross_entropy(logits, y)


def released_scales(architecture: Architecture | Weights) -> torch.Tensor:
    """s (G,), constant: s_j = 1 / (a_j0 + 1e-5)."""
    return 1 / (architecture.shares[:, 0].detach() + SCALE_EPS)


def _scale_gradient_once(h: Activation, factor: torch.Tensor, j: int, gradients: Gradients | None) -> Activation:
    """h, whose gradient is kept in `gradients[j, i]` and multiplied by `factor`, in the first backward pass only.

    That of each of its tensors, an LSTM's states too: all that a cut would detach.

    The first pass makes the inner gradient. A second one differentiates it, and there it must find the plain network:
    what the units above learn depends on h in full, however little of their gradient comes back. So neither a mixture
    with `h.detach()` nor a custom autograd function would do: each would scale the second pass too.
    """
    place = count()

    def scaled(part: torch.Tensor) -> torch.Tensor:
        part, i = part.view_as(part), next(place)
        if part.requires_grad:

            def scale(gradient: torch.Tensor) -> torch.Tensor:
                handle.remove()
                if gradients is not None:
                    gradients[j, i] = gradient.detach()
                return gradient * factor

            handle = part.register_hook(scale)
        return part

    return combined(scaled, h)


@contextmanager
def outer_mode(module: nn.Module) -> Iterator[None]:
    """Inside, layers with running statistics are in training mode, and all others, attention's own dropout too, are not."""
    modes = {part: part.training for part in module.modules()}
    try:
        for part in modes:
            part.training = isinstance(part, _NormBase)
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
