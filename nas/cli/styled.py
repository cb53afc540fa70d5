"""Text in bold, where it may be styled: headings, and nothing that is said by it alone."""

from __future__ import annotations

import sys

from nas.cli.terminal import is_coloured, unfiltered, without_controls


def print_heading(bold: str, rest: str = "") -> None:
    """A line on stdout whose first part is bold in a terminal, past the filter of control characters."""
    if is_coloured(sys.stdout):
        sys.stdout.flush()
        unfiltered(sys.stdout).write(f"\x1b[1m{without_controls(bold)}\x1b[0m{without_controls(rest)}\n")
    else:
        print(bold + rest)
