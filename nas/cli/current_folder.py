"""Nothing of the current folder is imported by accident: received files may lie there.

Comes before all other imports, so it imports only what Python has loaded when it starts, and nothing from `__future__`.
"""

import os
import sys


def leave_out_current_folder(program: str) -> None:
    """No module is found there, unless the program itself lies there. An empty entry of PYTHONPATH, as before a first colon,
    means it, and it would come before Python's own modules."""
    here = os.path.realpath(os.curdir)
    if here != os.path.dirname(os.path.realpath(program)):
        sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != here]


def put_current_folder_last() -> None:
    """Once all is imported that a folder could stand before: where PYTHONPATH names it, modules that are nowhere else are
    found there."""
    named = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    here = os.path.realpath(os.curdir)
    if here in map(os.path.realpath, named) and here not in map(os.path.realpath, sys.path):
        sys.path.append(here)
