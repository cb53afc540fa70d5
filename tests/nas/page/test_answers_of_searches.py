"""Of searches without evaluations: an answer for each set of rows that compares, which narrows nothing else on the page."""

import csv
from pathlib import Path

from nas.charts.results import Given
from nas.page.answers import answers_of
from nas.page.pool import Pool

RESULTS = Path(__file__).parents[3] / "results"


def test_trials_of_other_lengths_have_answers_of_their_own() -> None:
    with open(RESULTS / "adaptive" / "search" / "search.csv", newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["status"] == "ok")
    longer = row | {"iterations": str(2 * int(row["iterations"])), "validation_error": "0.01"}
    pool = Pool()
    answers = answers_of(Given(search=(row, longer)), pool)
    errors = {answer["figures"][0][1] for answer in answers}
    assert errors == {"1.00 %", f"{100 * float(row['validation_error']):.2f} %"}
    assert [pool.texts[answer["group"]] for answer in answers] == ["", ""], "they are lines of no table"
