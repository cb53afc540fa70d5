"""Which components were named in a call or a command itself, and not in a file that it reads."""

from __future__ import annotations

from pathlib import Path

from nas.commands.option import options_of
from spaces.dotted_names import dotted_names
from spaces.named import is_space_file, named_in_file
from spaces.notation.own_modules import is_on_python_path

_ROOT = Path(__file__).resolve().parents[2]


def typed_names(options: object) -> set[str]:
    """The dotted names of components among the options, and those in a space's file that is named there, as far as their
    modules are installed or on PYTHONPATH: what came beside the file is not."""
    found: set[str] = set()
    for name, one in options_of(type(options)).items():
        value = getattr(options, name)
        if not one.described.components or value is None:
            continue
        for text in value if one.several else [value]:
            if name == "space" and is_space_file(text):
                found |= {named for named in named_in_file(Path(text)) if is_on_python_path(named, (Path.cwd(), _ROOT))}
            else:
                found |= dotted_names(text)
    return found
