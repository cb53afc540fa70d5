"""Spaces by name: the YAML files beside this one, a user's own file, or a dotted path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from spaces.backbones import BACKBONES
from spaces.dotted_names import dotted_names
from spaces.notation.component import Component
from spaces.notation.errors import UserError, unknown
from spaces.notation.plain_yaml import read_yaml
from spaces.notation.table import Table
from spaces.space import SearchSpace

FOLDER = Path(__file__).with_name("builtin")
OWN_SPACES: Table[SearchSpace] = Table("space", {}, makes=SearchSpace, takes=2)
KEYS = ("backbone", "heads", "num_blocks", "gaps", "min_block")


def named_spaces() -> dict[str, str]:
    """The built-in spaces: name, and the first line of the file that says what it is."""
    files = sorted(FOLDER.glob("*.yaml"))
    return {file.stem: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for file in files}


def is_space_file(text: str) -> bool:
    """Whether the text names a file, and not a space by its name."""
    return text.endswith((".yaml", ".yml"))


def named_in_file(path: Path) -> set[str]:
    """The dotted names of the backbone and the heads in a space's file; none in what is no such file."""
    try:
        keys = _read_file(path)
    except UserError:  # told by `read_space`
        return set()
    heads = keys.get("heads")
    given = [keys.get("backbone"), *(heads if isinstance(heads, list) else [heads])]
    return set().union(*(dotted_names(text) for text in given if isinstance(text, str)))


def read_space(text: str, input_shape: tuple[int, ...], num_classes: int, vectors: torch.Tensor | None = None) -> SearchSpace:
    """The space that `text` names, for inputs of `input_shape`; words start from `vectors` where there are any.

    `vgg19`, `vgg19(width=2, num_blocks=8)`: a built-in file, its keys replaced by settings of the same name, all other
    settings going to the backbone · `my/space.yaml`: a file of the same form · `space(backbone=..., ...)`: the form in
    a results row · `package.module.name`: a callable `(input_shape, num_classes, *, settings...) -> SearchSpace`.
    """
    if is_space_file(text):
        return _from_keys(_read_file(Path(text)), text, input_shape, num_classes, vectors)
    component = Component.parse(text)
    if component.positional:
        raise UserError(f"the settings of a space are written name=value, got {text!r}")
    settings = dict(component.settings)
    if component.name == "space":
        return _from_keys(settings, text, input_shape, num_classes, vectors)
    if "." in component.name or ":" in component.name:
        try:
            space = OWN_SPACES.build(component, input_shape, num_classes)
        except UserError:
            if component.name.startswith(("torchvision.models.", "timm.")):
                library, name = component.name.partition(".")[0], component.name.rpartition(".")[2]
                raise UserError(
                    f"networks of {library} are named by it, got {component.name}; give '{library}(name={name})'"
                ) from None
            raise
        return space if vectors is None else space.with_vectors(vectors)
    return _from_keys(builtin_keys(component), text, input_shape, num_classes, vectors)


def named_backbone(text: str) -> Component:
    """The backbone, with all its settings, of a built-in space that `text` names, with settings of its own."""
    return BACKBONES.resolve(str(builtin_keys(Component.parse(text))["backbone"]))


def builtin_keys(component: Component) -> dict[str, Any]:
    """The keys of a built-in space's file, with the settings of the component in place of those that it has."""
    if component.name not in named_spaces():
        raise unknown("space", component.name, named_spaces())
    settings = dict(component.settings)
    keys = _read_file(FOLDER / f"{component.name}.yaml") | {k: v for k, v in settings.items() if k in KEYS}
    backbone = Component.parse(str(keys["backbone"]))
    own = tuple((k, v) for k, v in settings.items() if k not in KEYS)
    known = (*KEYS, *BACKBONES.parameters(backbone.name))
    for name, _ in own:
        if name not in known:
            raise unknown(f"setting of space {component.name}:", name, known)
    replaced = tuple((k, v) for k, v in backbone.settings if k not in dict(own))
    return keys | {"backbone": str(Component(backbone.name, replaced + own, backbone.positional))}


def _read_file(path: Path) -> dict[str, Any]:
    keys = read_yaml(path, "the space file", "`run.py list` shows the built-in spaces")
    if not isinstance(keys, dict):
        held = "nothing" if keys is None else f"a {type(keys).__name__}"
        raise UserError(f"a space file holds the keys {', '.join(KEYS)}, but {path} holds {held}")
    return keys


def _from_keys(
    keys: dict[str, Any], where: str, input_shape: tuple[int, ...], num_classes: int, vectors: torch.Tensor | None
) -> SearchSpace:
    for key in keys:
        if key not in KEYS:
            raise unknown(f"key of space {where}:", str(key), KEYS)
    for key in ("backbone", "heads"):
        if key not in keys:
            raise UserError(f"a space needs the key {key!r}, which {where} lacks")
    num_blocks, gaps, heads = keys.get("num_blocks"), keys.get("gaps"), keys["heads"]
    if isinstance(num_blocks, list | tuple):
        if len(num_blocks) != 2 or not all(type(k) is int for k in num_blocks):
            raise UserError(f"num_blocks is a number or a range [lowest, highest], got {num_blocks} in {where}")
        num_blocks = (num_blocks[0], num_blocks[1])
    elif num_blocks is not None and type(num_blocks) is not int:
        raise UserError(f"num_blocks is a number or a range [lowest, highest], got {num_blocks!r} in {where}")
    heads = [heads] if isinstance(heads, str) else heads
    if not isinstance(heads, list | tuple) or not all(isinstance(head, str) for head in heads):
        raise UserError(f"heads is a list of head specs, got {heads!r} in {where}")
    if gaps is not None and not (isinstance(gaps, list | tuple) and all(type(gap) is int for gap in gaps)):
        raise UserError(f"gaps is a list of numbers of units, got {gaps!r} in {where}")
    min_block = keys.get("min_block", 1)
    if type(min_block) is not int:
        raise UserError(f"min_block is a number of units, got {min_block!r} in {where}")
    return SearchSpace(
        str(keys["backbone"]),
        heads,
        input_shape=input_shape,
        num_classes=num_classes,
        num_blocks=num_blocks,
        gaps=gaps,
        min_block=min_block,
        vectors=vectors,
    )
