"""What alpha and beta decide, and how sure they are of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.strategies.sedona.relaxation import Architecture
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

TIE, NEAR_TIE = 1e-6, 0.01  # of a share: equal but for rounding, and too close to mean much


@dataclass(frozen=True)
class Decision:
    """One cut of a discretised architecture and its head.

    cut_share    a_j0, how much the gap is cut
    cut_margin   how much smaller the largest allowed sum of shares is without this cut: where all sets are allowed, its
                 distance to the best gap that was left out; None if every allowed set has it
    head_share   the head's share of softmax(beta_j); head_margin its distance to the second, None for a single candidate
    """

    gap: int
    head: str
    cut_share: float
    cut_margin: float | None
    head_share: float
    head_margin: float | None

    @property
    def certainty(self) -> str:
        """In words: `tie` and `near-tie` where another cut or head would have done as well."""
        margins = [margin for margin in (self.cut_margin, self.head_margin) if margin is not None]
        closest = min(margins, default=1.0)
        return "tie" if closest < TIE else "near-tie" if closest < NEAR_TIE else "decided"

    def __str__(self) -> str:
        def shown(share: float, margin: float | None) -> str:
            return f"{share:.4f}" + ("" if margin is None else f", {margin:.4f} ahead")

        return (
            f"cut {self.gap}: {shown(self.cut_share, self.cut_margin)}; {self.head}: "
            f"{shown(self.head_share, self.head_margin)}; {self.certainty}"
        )


def discretise(architecture: Architecture, space: SearchSpace, num_blocks: int) -> Decoupling:
    """The decoupling of K = `num_blocks` blocks that the architecture points at.

    The cuts are the allowed set with the largest sum of a_j0 (without constraints: the K - 1 largest, as in SEDONA), the
    head of each is the likeliest candidate. In float64, as in float32 gaps that are hardly decided tie at 0.5. A
    UserError where the space allows no K blocks.
    """
    shares, mixture = _shares(architecture, space), _mixture(architecture, space)
    cuts = space.best_cuts(num_blocks - 1, shares.__getitem__)
    if cuts is None:
        raise UserError(f"the space's gaps {space.gaps} and smallest block allow no {num_blocks} blocks; ask for fewer")
    return Decoupling(cuts, tuple(space.heads[max(range(len(space.heads)), key=mixture[cut].__getitem__)] for cut in cuts))


def decisions(architecture: Architecture, space: SearchSpace, decoupling: Decoupling) -> list[Decision]:
    """How sure the architecture is of each cut of the decoupling that `discretise` made of it."""
    shares, mixture = _shares(architecture, space), _mixture(architecture, space)
    total = sum(shares[cut] for cut in decoupling.cuts)
    found = []
    for cut, head in zip(decoupling.cuts, decoupling.heads, strict=True):
        others = space.best_cuts(len(decoupling.cuts), {**shares, cut: shares[cut] - len(shares) - 1}.__getitem__)
        without = None if others is None or cut in others else sum(shares[other] for other in others)
        ranked = sorted(mixture[cut], reverse=True)
        ahead = None if without is None else max(0.0, total - without)  # rounding may put equal sums in either order
        found.append(Decision(cut, head, shares[cut], ahead, ranked[0], ranked[0] - ranked[1] if len(ranked) > 1 else None))
    return found


def _shares(architecture: Architecture, space: SearchSpace) -> dict[int, float]:
    local = replace(architecture, alpha=architecture.alpha.detach().cpu().double()).shares[:, 0].tolist()
    return dict(zip(space.gaps, local, strict=True))


def _mixture(architecture: Architecture, space: SearchSpace) -> dict[int, list[float]]:
    return dict(zip(space.gaps, architecture.beta.detach().cpu().double().softmax(dim=1).tolist(), strict=True))
