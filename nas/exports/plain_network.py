"""How the plain network of a run is made in a program that has no part of this project."""

from __future__ import annotations

from nas.exports.exported import Exported


def construction(exported: Exported) -> tuple[list[str], list[str]]:
    """The imports, and the lines that make `model`, the network of a library or of the user; none where its class is this
    project's."""
    return [], []
