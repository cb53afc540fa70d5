"""All that there is to say of a name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.catalogue.examples import Words, example
from nas.catalogue.kinds import Kind
from nas.catalogue.settings import Setting, settings_of
from nas.catalogue.size import Size, size_of
from nas.published.experiments import experiments, what_it_is, where_it_deviates
from spaces.named import FOLDER
from spaces.notation.plain_yaml import read_yaml

_PAPER = re.compile(r"\(?((?:[A-Z][\w'-]+(?:,| and| &| et al\.)? )+\(?(?:19|20)\d\d(?:, arXiv [\d.]+)?)\)?")

_KEYS = {  # the options of an experiment that may name one of a kind
    "spaces": ("space",),
    "backbones": ("space",),
    "heads": ("decoupling",),
    "rules": ("decoupling",),
    "methods": ("methods",),
    "tasks": ("task",),
    "optimizers": ("optimizer",),
    "schedules": ("schedule",),
    "side inputs": ("side",),
}


@dataclass(frozen=True)
class Shown:
    """A name of a kind.

    about        the first sentence of its docstring, or of its file, and `text` what it says besides its settings
    papers       those that it names, as `Author et al. 2020`
    experiments  the published ones that use it
    example      the words of a command that uses it, behind the program's own name
    size         of a network that can be built from its name alone
    """

    kind: str
    name: str
    about: str
    text: str
    settings: tuple[Setting, ...]
    papers: tuple[str, ...]
    experiments: tuple[str, ...]
    example: Words
    size: Size | None

    @property
    def written(self) -> str:
        """The name with its settings and their defaults."""
        given = [one.name if one.default is None else f"{one.name}={one.default}" for one in self.settings]
        return f"{self.name}({', '.join(given)})" if given else self.name


def shown(kind: Kind, name: str) -> Shown:
    """The name of this kind, which it has."""
    settings = settings_of(kind, name)
    about, text = _said(kind, name, {one.name for one in settings})
    papers = tuple(dict.fromkeys(found[1].replace("(", "") for found in _PAPER.finditer(f"{about} {text}")))
    used_in = tuple(sorted(_experiments_with(kind, name)))
    return Shown(kind.name, name, about, text, settings, papers, used_in, example(kind, name), size_of(kind, name))


def _said(kind: Kind, name: str, settings: set[str]) -> tuple[str, str]:
    if kind.name == "experiments":
        path = experiments()[name]
        deviates = where_it_deviates(path)
        return what_it_is(path), f"{_paper_of(path)}\n\nDeviates: {deviates}." if deviates else _paper_of(path)
    if kind.table is None:
        lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        comment = [line.lstrip("# ") for line in lines if line.startswith("#")]
        return comment[0], "\n".join(comment[1:])
    paragraphs = (inspect.getdoc(kind.table[name]) or "").split("\n\n")
    told = [one for one in paragraphs[1:] if not _is_of_settings(one, settings)]
    return " ".join(paragraphs[0].splitlines()), "\n\n".join(told)


def _is_of_settings(paragraph: str, settings: set[str]) -> bool:
    """Whether it says what settings mean, which stands in their table."""
    begun = re.match(r"(\w+) ", paragraph)
    return bool(begun and begun[1] in settings and re.search(r"^\w+ {2,}\S", paragraph, re.MULTILINE))


def _paper_of(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _experiments_with(kind: Kind, name: str) -> Iterator[str]:
    """The published experiments whose options of this kind have the name."""
    for experiment, path in experiments().items():
        options = read_yaml(path, "the experiment", "reinstall the program")
        values = [options[key] for key in _KEYS.get(kind.name, ()) if key in options]
        texts = [str(one) for value in values for one in (value if isinstance(value, list) else [value])]
        if any(name in re.findall(r"[\w.]+", text) for text in texts):
            yield experiment
