"""Several evaluations in flight: told in the order of asking, whatever order they end in."""

import pytest

from nas.evaluations import Evaluations, in_order, when_told
from nas.problem import Score
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

POINTS = [Decoupling((cut,), ("linear",)) for cut in range(1, 6)]


def score(point):
    return Score(point.cuts[0] / 10, 0.0, 1, 1.0)


class Log:
    """Evaluations that say what happens to them, in order."""

    def __init__(self, at_once):
        self.events = []
        self.evaluate = Evaluations(self.begin, at_once=at_once, told=lambda point, fidelity, score: self.add("told", point))

    def add(self, what, point):
        self.events.append((what, point.cuts[0]))

    def begin(self, point, fidelity):
        self.add("begun", point)

        def wait():
            self.add("waited", point)
            return score(point)

        return wait


def test_one_at_a_time_is_asked_and_told():
    log = Log(1)
    assert [log.evaluate(point) for point in POINTS[:2]] == [score(point) for point in POINTS[:2]]
    assert log.events == [(what, cut) for cut in (1, 2) for what in ("begun", "waited", "told")]


def test_the_next_begins_when_the_oldest_of_a_full_window_is_told():
    log = Log(2)
    assert dict(in_order(log.evaluate, POINTS)) == {point: score(point) for point in POINTS}
    begun = [("begun", 1), ("begun", 2)]
    for cut in (1, 2, 3):
        begun += [("waited", cut), ("told", cut), ("begun", cut + 2)]
    assert log.events == [*begun, *((what, cut) for cut in (4, 5) for what in ("waited", "told"))]


def test_in_order_asks_at_its_fidelity():
    asked = []
    evaluate = Evaluations(lambda point, fidelity: asked.append((point, fidelity)) or (lambda: score(point)))
    assert dict(in_order(evaluate, POINTS, 0.25)) == {point: score(point) for point in POINTS}
    assert asked == [(point, 0.25) for point in POINTS]


def test_begin_waits_for_the_oldest_where_as_many_are_in_flight():
    log = Log(2)
    asked = [log.evaluate.begin(point) for point in POINTS[:3]]
    assert [event for event in log.events if event[0] == "told"] == [("told", 1)]
    assert asked[2].result() == score(POINTS[2]) and asked[0].result() == score(POINTS[0])
    assert [cut for what, cut in log.events if what == "told"] == [1, 2, 3]


def test_what_is_left_in_flight_is_told_in_the_end():
    log = Log(4)
    for point in POINTS[:3]:
        log.evaluate.begin(point)
    log.evaluate.finish()
    assert [cut for what, cut in log.events if what == "told"] == [1, 2, 3] and log.evaluate.most == 3


def test_at_once_is_one_at_least():
    with pytest.raises(UserError, match="from 1 on, got 0"):
        Evaluations(when_told(score), at_once=0)
