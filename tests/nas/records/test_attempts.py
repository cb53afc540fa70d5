"""Rows of failed attempts stand until another attempt follows."""

from nas.records.attempts import attempts_made, is_repeatable, standing, standing_rows

FIRST = {"method": "dgl", "seed": "0", "run": "a", "status": "out of memory: 1 GiB"}  # of an older version
SECOND = {**FIRST, "status": "killed: SIGKILL", "attempts": "2", "host": "there"}
FINE = {**FIRST, "status": "ok", "weights_digest": "abc", "attempts": "3", "lr": ""}
OTHER = {**FIRST, "seed": "1", "run": "b"}
DIVERGED = {**FIRST, "seed": "2", "run": "c", "status": "diverged: nan"}


def test_which_failures_another_attempt_might_not_have():
    assert is_repeatable(FIRST) and is_repeatable(SECOND)
    assert not is_repeatable(FINE) and not is_repeatable(DIVERGED)


def test_how_many_attempts_were_made():
    assert [attempts_made(rows) for rows in ([], [FINE], [FIRST], [SECOND, FIRST])] == [0, 0, 1, 2]


def test_the_last_attempt_stands_and_what_ended_otherwise_before_all():
    assert standing([]) == [] and standing([FIRST]) == [FIRST]
    assert standing([SECOND, FIRST]) == [SECOND]
    assert standing([FINE, SECOND, FIRST, DIVERGED]) == [FINE, DIVERGED]


def test_of_several_runs_each_has_what_stands():
    assert standing_rows([FIRST, OTHER, SECOND, DIVERGED, FINE]) == [OTHER, DIVERGED, FINE]
    assert standing_rows([FIRST, SECOND, OTHER]) == [SECOND, OTHER]
    assert standing_rows([FINE, FINE]) == [FINE, FINE]


def test_rows_without_a_name_all_stand():
    unnamed = {**FIRST, "run": ""}
    assert standing_rows([unnamed, {**unnamed, "seed": "1"}, {**unnamed, "status": "ok"}]) == [
        unnamed,
        {**unnamed, "seed": "1"},
        {**unnamed, "status": "ok"},
    ]
