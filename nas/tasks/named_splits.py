"""Splits that people call what they like, or that are shares of the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from nas.data.trial_parts import Divisible
from nas.tasks.hold_out import parts
from spaces.notation.errors import UserError

VALIDATION, SPLIT_SEED = 0.1, 0
TEST_SEED = 0  # of a test split that is a share of train, whatever split_seed is

P = TypeVar("P", bound=Divisible)


class NamedSplits(NamedTuple, Generic[P]):
    """The samples for training and for validation, how those for testing are read, and what to say of them, a line each."""

    train: P
    validation: P
    read_test: Callable[[], P]
    notes: tuple[str, ...]


def named_splits(
    pool: P,
    read: Callable[[str, str], P],
    check: Callable[[str, str], str],
    classes: Sequence[str],
    *,
    train: str,
    validation: float | str,
    test: float | str,
    split_seed: int,
) -> NamedSplits[P]:
    """`pool` is the split called `train`; `validation` and `test` are names of others, or shares of it.

    `read(name, part)` reads a split, and `check(name, part)` refuses one that is not there and gives what tells two apart. A
    share for validation is drawn by `split_seed`; one for testing is always the same, and is taken first.
    """
    places, notes = {"train": check(train, "train")}, list[str]()
    for part, given in (("validation", validation), ("test", test)):
        if isinstance(given, str):
            places[part] = check(given, part)
            if places[part] == places["train"]:
                raise UserError(f"{part} is another split than train, or a share of it, got {part}={given}; give {part}=0.2, say")
        elif not 0 < given < 1:
            raise UserError(f"{part} is a split's name, or a share of train between 0 and 1, got {given}; try {part}=0.1")
    if isinstance(test, str):
        read_test = partial(read, test, "test")
    else:
        drawn = parts(pool.labels, validation=test, split_seed=TEST_SEED, names=classes)
        read_test = partial(_given, pool.at(drawn.validation))
        pool = pool.at(drawn.train)
        notes.append(f"the test split is a share of {train}, the same for every split_seed")
    if isinstance(validation, str):
        if split_seed != SPLIT_SEED:
            raise UserError(
                f"split_seed draws a share for validation, got split_seed={split_seed} with the split {validation}; leave it out"
            )
        if places["validation"] == places.get("test"):
            notes.append(f"validation and test are one split, {test}: the test error is that of samples which chose the weights")
        return NamedSplits(pool, read(validation, "validation"), read_test, tuple(notes))
    drawn = parts(pool.labels, validation=validation, split_seed=split_seed, names=classes)
    return NamedSplits(pool.at(drawn.train), pool.at(drawn.validation), read_test, (*notes, *drawn.notes))


def _given(part: P) -> P:
    return part
