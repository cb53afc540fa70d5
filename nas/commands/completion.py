"""`completion`: a script for the shell."""

from __future__ import annotations

from dataclasses import dataclass

from nas.commands.option import required


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """What `completion` takes."""

    shell: str = required("the shell to write it for", positional=True, choices=("bash", "zsh", "fish"))
