"""Alpha under the constraints of a space: how likely each gap is cut in a decoupling that the space allows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from nas.strategies.sedona.expected_cost import NEVER
from nas.strategies.sedona.relaxation import Architecture
from spaces.space import SearchSpace


@dataclass(frozen=True)
class ConditionedArchitecture(Architecture):
    """Alpha and beta of a space whose constraints hold in the relaxation too.

    If each gap were cut by itself with the probability softmax(alpha_j)[0], then `shares[j, 0]` is the probability that gap
    j is cut given that the decoupling is one of the space: its numbers of blocks and its smallest block. So for K blocks
    the shares of all gaps sum to K - 1, and where the space allows all sets of cuts they are softmax(alpha), SEDONA's.
    """

    space: SearchSpace

    @property
    def shares(self) -> torch.Tensor:
        """(G, 2): cut, and not, given the space; differentiable in alpha."""
        with torch.enable_grad():
            log_odds = self.alpha.cpu().double() @ torch.tensor([1.0, -1.0], dtype=torch.float64)
            if not log_odds.requires_grad:
                log_odds = log_odds.requires_grad_()
            (cut,) = torch.autograd.grad(log_weight(log_odds, self.space), log_odds, create_graph=True)
        cut = cut if self.alpha.requires_grad else cut.detach()
        return torch.stack([cut, 1 - cut], dim=1).to(self.alpha)


def log_weight(log_odds: torch.Tensor, space: SearchSpace) -> torch.Tensor:
    """The logarithm of the sum, over the space's sets of cuts, of the product of their odds: log_odds (G,), float64.

    Its derivatives are the probabilities of the cuts. By dynamic programming: for each gap, and each number of cuts so far,
    the logarithm of all ways to come to a cut there.
    """
    most = space.block_counts[-1]
    start = torch.full((most,), NEVER, dtype=torch.float64)
    ways = [F.pad(torch.zeros(1, dtype=torch.float64), (0, most - 1), value=NEVER)]  # at the input: no cut so far
    ends = (0, *space.gaps, space.num_units)
    for i, stop in enumerate(ends[1:], start=1):
        before = [ways[k] for k in range(i) if stop - ends[k] >= space.min_block]
        arrived = torch.logsumexp(torch.stack(before), dim=0) if before else start
        if stop < space.num_units:
            arrived = F.pad(arrived[:-1], (1, 0), value=NEVER) + log_odds[i - 1]
        ways.append(arrived)
    return torch.logsumexp(ways[-1][[num_blocks - 1 for num_blocks in space.block_counts]], dim=0)
