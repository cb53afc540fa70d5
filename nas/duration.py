"""Lengths of time as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """The two largest units that matter: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        whole, rest = divmod(round(seconds / smaller) * smaller, size)
        if whole:
            return f"{whole} {unit}" + (f" {rest // smaller} {name}" if rest else "")
    return f"{round(seconds)} s"
