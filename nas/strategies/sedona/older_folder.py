"""What an older version left unfinished of a search, which is not taken up."""

from __future__ import annotations

from collections.abc import Mapping

from nas.notice import notice
from nas.problem import Problem
from nas.records.log import Cell


def notice_undigested_folder(problem: Problem, key: Mapping[str, Cell]) -> None:
    """Say where an older version left a part of a search whose key had no digests; it is not taken up."""
    old = problem.run_folder({name: cell for name, cell in key.items() if name not in problem.data.content})
    if old.is_dir():
        notice(
            f"what an older version left in {old} is not taken up: without a digest of the data, it may be of other data; "
            "remove it"
        )
