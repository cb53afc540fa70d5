"""What a strategy asks: several decouplings may be in flight, and their scores are told in the order of asking."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from nas.problem import Evaluate, Pending, Score
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

Begin = Callable[[Decoupling, float], Callable[[], Score]]  # what begins an evaluation, and gives what waits for its score


def when_told(score: Callable[..., Score]) -> Begin:
    """Of a function that answers at once, such as a table: it is called when the score is told, with a fidelity only where that
    is below 1."""
    return lambda decoupling, fidelity: partial(score, decoupling, *(() if fidelity == 1 else (fidelity,)))


class Evaluations:
    """The `evaluate` of a search: `evaluate(decoupling)` waits for a score; with `evaluate.begin(decoupling)`, whose `result()`
    waits, `at_once` are in flight. Both take a fidelity.

    Whatever order evaluations end in, they are told in the order of asking: `told` hears of each, and a `result()` waits for all
    that was asked for before it. Where `at_once` are in flight, `begin` waits for the oldest. So what a strategy learns, and
    when, depends on scores and on `at_once` alone, and a search that is started again asks the same.
    """

    def __init__(self, begin: Begin, *, at_once: int = 1, told: Callable[[Decoupling, float, Score], None] | None = None) -> None:
        self.at_once, self.asked, self.most = checked_at_once(at_once), 0, 0
        self._begin, self._told = begin, told or (lambda decoupling, fidelity, score: None)
        self._waiting: deque[_Asked] = deque()

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score:
        """The score, once it is there."""
        return self.begin(decoupling, fidelity).result()

    def begin(self, decoupling: Decoupling, fidelity: float = 1.0) -> Pending:
        """Ask for a score, and do not wait for it unless as many are in flight as may be."""
        while len(self._waiting) >= self.at_once:
            self._tell_oldest()
        asked = _Asked(self, decoupling, fidelity, self._begin(decoupling, fidelity))
        self._waiting.append(asked)
        self.asked += 1
        self.most = max(self.most, len(self._waiting))
        return asked

    def finish(self) -> None:
        """Wait for all that is in flight."""
        while self._waiting:
            self._tell_oldest()

    def tell_until(self, asked: _Asked) -> Score:
        """Wait for this one and all before it."""
        while asked.score is None:
            self._tell_oldest()
        return asked.score

    def _tell_oldest(self) -> None:
        asked = self._waiting[0]
        score = asked.wait()
        self._waiting.popleft()
        asked.score = score
        self._told(asked.decoupling, asked.fidelity, score)


class _Asked:
    """One that is in flight, or told."""

    def __init__(self, evaluations: Evaluations, decoupling: Decoupling, fidelity: float, wait: Callable[[], Score]) -> None:
        self._evaluations, self.decoupling, self.fidelity, self.wait = evaluations, decoupling, fidelity, wait
        self.score: Score | None = None

    def result(self) -> Score:
        """The score, once it and all that was asked for before it are there."""
        return self._evaluations.tell_until(self)


def in_order(evaluate: Evaluate, decouplings: Iterable[Decoupling], fidelity: float = 1.0) -> Iterator[tuple[Decoupling, Score]]:
    """Each with its score at this fidelity, as many in flight as may be; the next is drawn when there is room for it."""
    waiting: deque[tuple[Decoupling, Pending]] = deque()
    for decoupling in decouplings:
        waiting.append((decoupling, evaluate.begin(decoupling, fidelity)))
        if len(waiting) == evaluate.at_once:
            oldest, pending = waiting.popleft()
            yield oldest, pending.result()
    for oldest, pending in waiting:
        yield oldest, pending.result()


def checked_at_once(at_once: int) -> int:
    """How many may be in flight."""
    if at_once < 1:
        raise UserError(f"at_once is how many decouplings a search has in flight, from 1 on, got {at_once}")
    return at_once
