"""What the bars say, in as many columns and lines as there are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from nas.cli.progress.tracker import COUNTS, TOGETHER, Activity, Tracker
from nas.cli.terminal import without_controls
from nas.duration import duration

GAP = "  "
LEAST_NAME = 16  # columns of what runs, before anything else beside it is left out
WIDEST_BAR = 30
ONE = {"searches": "search", "runs": "run", "trials": "trial", "iterations": "iteration"}
WORDS = {"validation_error": "val error", "outer_loss": "outer loss", "validation_loss": "val loss"}


def layout(tracker: Tracker, columns: int, lines: int, *, ascii_only: bool = False) -> list[Text]:
    """The lines: the whole command, the best so far, what failed, and a line for each that runs; in a window with fewer lines
    the first of them, and how many more there are."""
    shown = [*_whole(tracker, columns, ascii_only=ascii_only), *_best(tracker, columns), *_failed(tracker)]
    places = sorted(tracker.running)
    shown += [_activity(tracker, place, columns, numbered=places != [0], ascii_only=ascii_only) for place in places]
    if len(shown) > lines:
        kept = max(1, lines - 1)
        shown = [*shown[:kept], Text(f"and {len(shown) - kept} more lines", style="dim")][:lines]
    for line in shown:
        line.truncate(columns, overflow="ellipsis")
    return shown


def counted(tracker: Tracker) -> str:
    """`7 of 12 runs`, and what is counted inside."""
    return ", ".join(
        f"{tracker.counts[name][0]:,} of {tracker.counts[name][1]:,} {name if tracker.counts[name][1] != 1 else ONE[name]}"
        for name in COUNTS
        if name in tracker.counts
    )


def figures(activity: Activity) -> list[str]:
    """The figures of the moment, errors in percent."""
    return [
        f"{WORDS.get(name, name.replace('_', ' '))} "
        + (f"{100 * value:.2f} %" if name.endswith("error") else f"{value:.4g}" if name != "stages" else f"{value:.0f}")
        for name, value in activity.figures.items()
        if name != TOGETHER
    ]


def paced(pace: float) -> str:
    """Steps a second, or seconds a step."""
    return f"{pace:.1f} it/s" if pace >= 1 else f"{1 / pace:.1f} s/it"


def bar(share: float, width: int, *, ascii_only: bool = False) -> Text:
    """A bar of so many columns; its form says how much as its colour does."""
    done, rest = ("#", "-") if ascii_only else ("━", "─")
    full = min(width, int(share * width))
    return Text.assemble((done * full, "green"), (rest * (width - full), "dim"))


def _whole(tracker: Tracker, columns: int, *, ascii_only: bool) -> list[Text]:
    if not tracker.counts:
        return []
    whole, left, spent = tracker.whole or 0.0, tracker.seconds_left(), duration(tracker.now - tracker.began)
    percent = f"{int(100 * whole)} %"
    times = spent if left is None else f"{spent}, about {duration(left)} left"
    parts = [(Text(counted(tracker), style="bold"), 4), (Text(percent), 2), (Text(times), 3 if left is not None else 1)]
    return [_fitted(parts, columns, bar_at=1, share=whole, ascii_only=ascii_only)]


def _best(tracker: Tracker, columns: int) -> list[Text]:
    if tracker.best is None:
        return []
    error, what = tracker.best
    begin = f"best {100 * error:.2f} % val error"
    return [Text.assemble((begin, "bold"), GAP, _shortened(without_controls(what), columns - len(begin) - len(GAP)))]


def _failed(tracker: Tracker) -> list[Text]:
    return [Text(f"{tracker.failed} failed", style="bold red")] if tracker.failed else []


def _activity(tracker: Tracker, place: int, columns: int, *, numbered: bool, ascii_only: bool) -> Text:
    one, now = tracker.running[place], tracker.now
    pace, left = one.pace(now), one.seconds_left(now)
    name = (f"{place} " if numbered else "") + without_controls(one.what)
    told = figures(one)
    parts: list[tuple[Text, int]] = [(Text(f"{int(100 * one.share)} %"), 9)]
    parts += [(Text(text), 8 - number) for number, text in enumerate(told)]
    if pace is not None:
        parts.append((Text(paced(pace), style="dim"), 3))
    if left is not None:
        parts.append((Text(f"{duration(left)} left"), 4))
    beside = columns - LEAST_NAME - len(GAP)
    while len(parts) > 1 and _width(parts) > beside:
        parts.remove(min(parts, key=lambda part: part[1]))
    room = columns - _width(parts) - 2 * len(GAP)
    width = min(10, max(0, room - min(len(name), 48)))
    shown = [Text(_shortened(name, columns - _width(parts) - len(GAP) - (width + len(GAP) if width >= 4 else 0)))]
    if width >= 4:
        shown.append(bar(one.share, width, ascii_only=ascii_only))
    return Text(GAP).join([*shown, *(text for text, _ in parts)])


def _fitted(parts: Sequence[tuple[Text, int]], columns: int, *, bar_at: int, share: float, ascii_only: bool) -> Text:
    """The parts that fit, the largest numbers first, with a bar at this place where there is room."""
    kept = list(parts)
    while len(kept) > 1 and _width(kept) > columns:
        kept.remove(min(kept, key=lambda part: part[1]))
    texts = [text for text, _ in kept]
    width = min(WIDEST_BAR, columns - _width(kept) - len(GAP))
    if width >= 6:
        texts.insert(bar_at, bar(share, width, ascii_only=ascii_only))
    return Text(GAP).join(texts)


def _width(parts: Sequence[tuple[Text, int]]) -> int:
    return sum(text.cell_len for text, _ in parts) + len(GAP) * (len(parts) - 1)


def _shortened(text: str, width: int) -> str:
    """Without its middle where it is too long: a run begins with its method and ends with its seed."""
    if len(text) <= width:
        return text
    end = min(7, max(0, width // 2 - 1))
    return f"{text[: max(0, width - end - 1)]}…{text[len(text) - end :]}"[: max(0, width)]
