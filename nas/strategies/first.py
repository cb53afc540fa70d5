"""Warm starts: decouplings by rule, which a search evaluates before any that it samples."""

from __future__ import annotations

from collections.abc import Sequence

from methods.table import traits
from nas.problem import Problem
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.notation.errors import UserError
from spaces.rules import RULES, read_decoupling


def first_decouplings(rules: Sequence[str] | None, problem: Problem, most: int, *, setting: str = "trials") -> list[Decoupling]:
    """The decouplings that the rules name, each once, in their order.

    A rule is written as for `--decoupling`, such as even(4) or "3:linear", and one that the space does not have is a UserError
    with the reason. A rule's name alone, such as even, stands for all numbers of blocks from 2 on for which the space has it, one
    at least. Heads are the method's, or the space's first where that has no such head. More than `most`, the value of the
    strategy's `setting`, are a UserError.
    """
    found: dict[Decoupling, None] = {}
    for rule in rules or ():
        name = rule.strip()
        if name in RULES and "num_blocks" in RULES.parameters(name):
            found |= dict.fromkeys(_of_each_count(name, problem))
        else:
            found[_inside(name, name, problem)] = None
    if len(found) > most:
        raise UserError(
            f"first is part of the budget, got {len(found)} decouplings for {setting}={most}; give fewer, or more {setting}"
        )
    return list(found)


def _of_each_count(name: str, problem: Problem) -> list[Decoupling]:
    found, reasons = [], []
    for num_blocks in (count for count in problem.space.block_counts if count > 1):
        try:
            found.append(_inside(name, f"{name}({num_blocks})", problem))
        except UserError as error:
            reasons.append(error)
    if not found:
        raise reasons[0] if reasons else UserError(f"first={name} cuts a network, got a space of one block alone; leave it out")
    return found


def _inside(rule: str, text: str, problem: Problem) -> Decoupling:
    space, head = problem.space, traits(problem.method).default_head
    if space.heads and (head is None or head not in HEADS or str(HEADS.resolve(head)) not in space.heads):
        head = space.heads[0]
    try:
        with problem.device:
            decoupling = read_decoupling(text, space, head, batch_size=problem.settings.batch_size)
        space.check(decoupling)
    except UserError as error:
        raise UserError(f"first={rule} is no decoupling of this space: {error}") from None
    return decoupling
