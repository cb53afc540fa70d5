"""`run.py export`: writes a trained run as files that other programs load."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from nas.cli.config import Invocation
from nas.commands.export import exported


def run_export(asked: Invocation) -> None:
    """Write the files, and say what they hold and how they compare with the run."""
    found = exported(asked.options)
    if asked.json:
        print(json.dumps(asdict(found) | {"folder": str(found.folder)}))
        return
    for note in found.notes:
        print(note, file=sys.stderr)
    checked = found.checked
    print(f"{', '.join(found.files)} in {found.folder}")
    print(found.held)
    print(
        f"on {checked.samples}: logits differ from the run's by {checked.max_difference:.2g} at most, "
        f"the same class for {checked.same_answers:.2%}"
        + (f", the same exit for {checked.same_depths:.2%}" if asked.options.adaptive else "")
        + (f"; by {checked.rounding:.2g} from those in its own precision" if checked.rounding is not None else "")
    )
