"""Of searches without evaluations: an answer for each set of rows that compares, which narrows nothing else on the page."""

import csv
from pathlib import Path

from nas.charts.results import Given
from nas.page.answers import answers_of
from nas.page.pool import Pool

RESULTS = Path(__file__).parents[3] / "results"


def read_row() -> dict[str, str]:
    with open(RESULTS / "adaptive" / "search" / "search.csv", newline="", encoding="utf-8") as file:
        return next(row for row in csv.DictReader(file) if row["status"] == "ok")


def test_trials_of_other_lengths_have_answers_of_their_own() -> None:
    row = read_row()
    longer = row | {"iterations": str(2 * int(row["iterations"])), "validation_error": "0.01"}
    pool = Pool()
    answers = answers_of(Given(search=(row, longer)), pool)
    errors = {answer["figures"][0][1] for answer in answers}
    assert errors == {"1.00 %", f"{100 * float(row['validation_error']):.2f} %"}
    assert [pool.texts[answer["group"]] for answer in answers] == ["", ""], "they are lines of no table"


def test_a_short_training_of_a_search_is_no_answer() -> None:
    """It has a schedule of its own, so its row is one of a whole run; the trial says that it was a share."""
    whole = read_row()
    short = whole | {"run": "short", "iterations": "1", "validation_error": "0.01"}
    trials = ({"run": whole["run"], "fidelity": ""}, {"run": "short", "fidelity": "0.1"})
    pool, given = Pool(), Given(search=(short, whole), trials=trials)
    (answer,) = answers_of(given, pool)
    assert answer["figures"][0][1] == f"{100 * float(whole['validation_error']):.2f} %"
    as_a_whole = Given(search=(short, whole), trials=(*trials, {"run": "short", "fidelity": ""}))
    assert len(answers_of(as_a_whole, pool)) == 2, "another search has asked for it as a whole"
