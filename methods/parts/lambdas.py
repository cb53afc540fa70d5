"""InfoPro's weights of its two local losses, lambda_1 of reconstruction and lambda_2 of prediction: published and by hand."""

from __future__ import annotations

import math

from spaces.notation.errors import UserError, unknown

Lambdas = tuple[float, ...]  # reconstruction and prediction of the first block, then of the last that has a head

DEFAULT: Lambdas = (5.0, 0.5, 0.5, 1.0)
"""Ours, within what was published: reconstruction matters early, prediction late, and every block has both.
Rows name it by leaving lambdas out, so it stays as it is: a better one gets a name."""

PUBLISHED: dict[str, dict[int, Lambdas]] = {
    "resnet32_cifar10": {2: (5, 1, 0, 0), 4: (6, 0, 1, 2), 8: (5, 0, 0, 2), 16: (5, 0.05, 0.2, 0.5)},
    "resnet110_cifar10": {2: (5, 0.5, 0, 0), 4: (1, 0, 0, 1), 8: (5, 0, 0, 1), 16: (5, 0, 0.5, 1)},
    "resnet110_stl10": {2: (10, 1, 0, 0), 4: (20, 0.2, 5, 2), 8: (20, 0.2, 5, 1), 16: (20, 0.5, 10, 0.1)},
    "resnet110_svhn": {2: (1, 0.1, 0, 0), 4: (5, 0, 0.5, 1), 8: (5, 0, 0.5, 2), 16: (5, 0.2, 0.5, 1)},
    "resnet110_svhn_contsup": {4: (5, 0, 0.5, 0)},  # no block is told the labels
    "resnet32_cifar10_balanced_contsup": {2: (5, 0.1, 0, 0), 3: (5, 0, 5, 0.1), 4: (5, 0, 0, 0.1), 8: (5, 0, 0, 2)},
    "resnet110_cifar10_balanced": {2: (5, 0.1, 0, 0), 3: (5, 0, 5, 0.1), 4: (5, 0, 5, 0.1)},
    "resnet110_cifar10_balanced_contsup": {4: (5, 0, 0, 0.1)},
    "resnet110_stl10_balanced": {2: (20, 1, 0, 0), 3: (20, 0.5, 5, 2), 4: (20, 0.5, 10, 1)},
}
"""By network and task, then K, from the commands of InfoPro's code; `balanced` are those of the cuts that balance memory,
`contsup` those of ContSup's code where InfoPro has other or none."""


def loss_weights(lambdas: str | Lambdas, num_blocks: int) -> list[tuple[float, float]]:
    """The weights (reconstruction, prediction) of each block but the last, which has none.

    `lambdas` are four numbers, between whose pairs the weights go linearly over the blocks (K=2 takes the first pair), or
    the name of a published set, which has four for each of its K. UserError: a K that was not published, numbers that
    are no four or below 0, and a block with two weights of 0, which would not learn.
    """
    chosen = _published(lambdas, num_blocks) if isinstance(lambdas, str) else lambdas
    if len(chosen) != 4 or not all(0 <= value < math.inf for value in chosen):
        raise UserError(
            f"lambdas are four numbers from 0 on, reconstruction and prediction of the first block and of the last "
            f"with a head, got {list(chosen)}; ours are {list(DEFAULT)}"
        )
    first, last, steps = chosen[:2], chosen[2:], max(1, num_blocks - 2)
    weights = [tuple(a + (b - a) * k / steps for a, b in zip(first, last, strict=True)) for k in range(num_blocks - 1)]
    for k, pair in enumerate(weights):
        if not any(pair):
            raise UserError(
                f"the lambdas {list(chosen)} leave block {k} of {num_blocks} without a loss; make one of each pair larger than 0"
            )
    return [(reconstruction, prediction) for reconstruction, prediction in weights]


def _published(name: str, num_blocks: int) -> Lambdas:
    if name not in PUBLISHED:
        raise unknown("set of lambdas:", name, PUBLISHED)
    if num_blocks > 1 and num_blocks not in PUBLISHED[name]:
        known = ", ".join(map(str, PUBLISHED[name]))
        raise UserError(
            f"the lambdas {name} are published for K = {known}, but the decoupling has {num_blocks} blocks; "
            f"give four numbers instead, such as lambdas={list(DEFAULT)}"
        )
    return PUBLISHED[name].get(num_blocks, DEFAULT)  # without a cut none are needed
