"""Where the rows come from: commits, versions, devices, dates, and what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.page.asked import Row
from nas.records.columns import COLUMNS

FACTS = {
    "commit": "Commits",
    "version": "Version",
    "python": "Python",
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "optuna": "Optuna",
    "platform": "Platform",
    "device": "Devices",
    "threads": "Threads",
    "parallel": "Side by side",
    "data_digest": "Digests of data",
}
FEW = 8


def provenance_of(rows: Sequence[Row], sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts as pairs of texts, and the sources: `where`, `rows`, `kind`."""
    facts = []
    times = sorted(row["time"] for row in rows if row.get("time"))
    if times:
        first, last = times[0][:16].replace("T", " "), times[-1][:16].replace("T", " ")
        facts.append(("Written", f"{first} UTC" if first == last else f"{first} to {last} UTC"))
    for name, title in FACTS.items():
        if found := list(dict.fromkeys(row[name] for row in rows if row.get(name) and name in COLUMNS)):
            facts.append((title, ", ".join(found[:FEW]) + (f" and {len(found) - FEW} more" if len(found) > FEW else "")))
    return {"facts": facts, "sources": list(sources)}
