"""alpha and beta as a distribution over the decouplings of a space, and its expected largest block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from nas.strategies.sedona.relaxation import Architecture
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace

Cost = Callable[[int, int, int | None], float]  # of units start..stop-1 with that head; None: with the classifier

NEVER = -1e300  # the logarithm of nothing, but finite: infinities would make the gradient nan
MAX_LEVELS = 2000


def log_probability(architecture: Architecture, space: SearchSpace, decoupling: Decoupling) -> torch.Tensor:
    """The log score of a point of the space, a float64 scalar, differentiable in alpha and beta.

    Each gap is cut with probability a_j0 = softmax(alpha_j)[0] by itself, and then has head d with softmax(beta_j)[d].
    Over all ways to cut the allowed gaps the probabilities sum to one; over a space that has further constraints, to
    less: they are not conditioned on them, which moves all points alike.
    """
    cut = [space.gaps.index(gap) for gap in decoupling.cuts]
    uncut = [j for j in range(len(space.gaps)) if j not in cut]
    heads = [space.heads.index(head) for head in decoupling.heads]
    log_shares, log_mixture = architecture.alpha.double().log_softmax(dim=1), architecture.beta.double().log_softmax(dim=1)
    return log_shares[cut, 0].sum() + log_mixture[cut, heads].sum() + log_shares[uncut, 1].sum()


class ExpectedLargest:
    """`expected(architecture)`: the mean of a decoupling's largest block cost, differentiable in alpha and beta.

    The decouplings are distributed as in `log_probability`, conditioned on the space: allowed gaps, smallest block,
    numbers of blocks. Exact, by dynamic programming over the gaps. So conditioned, the cuts are a Markov chain whose
    state is the last cut and the number of blocks so far; its transitions follow from one pass backwards, in logarithms.
    One pass forwards then finds P(no block above c) for all distinct costs c_0 < c_1 < ... at once, and the mean is
    c_0 + sum_i (c_(i+1) - c_i) P(some block above c_i).

    Of more than 2000 distinct costs each is rounded up to the next of 2000 equidistant levels, so that the mean is at
    most 1/1999 of their range too high. What does not depend on alpha and beta is made once, here.
    """

    def __init__(self, space: SearchSpace, cost: Cost) -> None:
        last = space.num_units - space.min_block
        self._columns = [j for j, gap in enumerate(space.gaps) if space.min_block <= gap <= last]
        nodes = (0, *(space.gaps[j] for j in self._columns), space.num_units)
        self._num_before = [sum(stop - start >= space.min_block for start in nodes[:i]) for i, stop in enumerate(nodes)]
        costs = []
        for stop, num_before in zip(nodes[1:], self._num_before[1:], strict=True):
            heads = range(len(space.heads)) if stop < space.num_units else (None,)
            costs.append(
                torch.tensor([[cost(start, stop, head) for head in heads] for start in nodes[:num_before]], dtype=torch.float64)
            )
        self._levels = _levels(torch.cat([table.flatten() for table in costs]))
        self._ranks = [torch.searchsorted(self._levels, table) for table in costs]
        most = space.block_counts[-1]
        self._counts = space.block_counts[0] > 1 or space.cut_sets.count(most) > 0  # else all numbers are allowed
        ends = [0.0 if k in space.block_counts else NEVER for k in range(most + 1)] if self._counts else [0.0]
        self._ends = torch.tensor(ends, dtype=torch.float64)

    def __call__(self, architecture: Architecture) -> torch.Tensor:
        """A float64 scalar on the CPU, in the units of the cost; its gradient flows to wherever alpha and beta lie."""
        alpha, beta = (logits.cpu().double()[self._columns] for logits in (architecture.alpha, architecture.beta))
        one = torch.ones(1, dtype=torch.float64)
        chances = self._chances(torch.cat([alpha[:, 0] - alpha[:, 1], one.log()]))
        start = F.pad(one.expand(len(self._levels), 1), (0, len(self._ends) - 1))
        reached = [start]  # for each node (levels, numbers of blocks): P(a block ends here, and none so far is above the level)
        for ranks, mixture, chance in zip(self._ranks, (*beta.softmax(dim=1), one), chances, strict=True):
            num_before = len(ranks)
            within = start.new_zeros(num_before, len(self._levels)).scatter_add(1, ranks, mixture.expand(num_before, -1))
            arrived = torch.einsum("nlk,nl,nk->lk", torch.stack(reached[:num_before]), within.cumsum(dim=1), chance)
            reached.append(F.pad(arrived, (1, -1)) if self._counts else arrived)
        below = reached[-1].sum(dim=1)
        return self._levels[-1] - torch.dot(self._levels.diff(), below[:-1])

    def _chances(self, log_odds: torch.Tensor) -> list[torch.Tensor]:
        """For each node but the first (nodes before it, numbers of blocks): P(the next block ends here) from each of those.

        Nodes are the start, the gaps and the end, and log_odds is log(a_j0 / a_j1) of all but the start, 0 for the end. A
        path's weight is the product of these odds over its cuts: the product of all a_j1 is common to all paths.
        """
        arrivals, onward = list[torch.Tensor](), [self._ends]  # log weights from a node on, the last node first
        for i in reversed(range(len(log_odds))):
            rest = F.pad(onward[-1], (-1, 1), value=NEVER) if self._counts else onward[-1]
            arrivals.append(log_odds[i] + rest)
            num_after = sum(i < num_before for num_before in self._num_before)
            onward.append(torch.logsumexp(torch.stack(arrivals[:num_after]), dim=0))
        arrivals.reverse()
        onward.reverse()
        return [
            (arrival - torch.stack(onward[:num_before])).exp()
            for arrival, num_before in zip(arrivals, self._num_before[1:], strict=True)
        ]


def _levels(costs: torch.Tensor) -> torch.Tensor:
    """The distinct costs, rising; of too many, as many equidistant levels as are allowed."""
    distinct = costs.unique()
    if len(distinct) <= MAX_LEVELS:
        return distinct
    return torch.linspace(float(distinct[0]), float(distinct[-1]), MAX_LEVELS, dtype=torch.float64)
