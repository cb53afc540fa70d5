"""Which column of a data set is the input and which the label, and what the labels are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from nas.data.hugging_face.tables import Tables
from spaces.notation.errors import UserError

LABELS = ("label", "labels", "class", "target", "category", "fine_label", "coarse_label", "intent")
TEXTS = ("text", "sentence", "content", "review", "document", "question", "title")
IMAGES = ("image", "img", "picture", "photo")


class Labels(NamedTuple):
    """The column of the labels, and the names of the classes in order."""

    column: str
    classes: tuple[str, ...]


def image_column(tables: Tables, named: str | None) -> str:
    """The column of images: the one that is named, or else the only one."""
    return _column(tables, "image", named, IMAGES, lambda kind: type(kind).__name__ == "Image")


def feature_columns(tables: Tables, named: Sequence[str]) -> tuple[str, ...]:
    """The columns of numbers beside each row; another is a UserError."""
    for name in named:
        if not str(getattr(tables.features.get(name), "dtype", "")).startswith(("int", "uint", "float")):
            kind = _kind(tables.features[name]) if name in tables.features else "no column"
            raise UserError(f"features are columns of numbers of {tables.name}, got {name} ({kind}); give others")
    return tuple(named)


def text_column(tables: Tables, named: str | None, label: str | None) -> str:
    """The column of texts: the one that is named, or else the only one, or one that is called as texts are."""
    return _column(tables, "text", named, TEXTS, _is_text, apart_from=label)


def read_labels(tables: Tables, named: str | None, train: str) -> Labels:
    """The column of labels, and the classes: as the data set names them, else those of the split `train`, whole numbers in
    their order, words in alphabetical order; fewer than two are a UserError."""
    column = _column(tables, "label", named, LABELS, lambda kind: type(kind).__name__ == "ClassLabel", or_called=_may_be_label)
    names = getattr(tables.features[column], "names", None)
    if names is None:
        found = {value for value in cells(tables.table(train, "train"), column) if value is not None}
        names = sorted(map(str, found))
        if all(name.isascii() and name.removeprefix("-").isdigit() for name in names):
            names.sort(key=int)
    if len(names) < 2:
        raise UserError(
            f"a task has at least 2 classes, got {', '.join(names) or 'none'} in the column {column} of {tables.name}"
        )
    return Labels(column, tuple(names))


def label_numbers(tables: Tables, split: str, part: str, labels: Labels) -> torch.Tensor:
    """int64 (N,): the class of each row of the split; a row without one, or with another, is a UserError."""
    places = {name: place for place, name in enumerate(labels.classes)}
    numbered = hasattr(tables.features[labels.column], "names")
    found = []
    for row, value in enumerate(cells(tables.table(split, part), labels.column)):
        place = (value if isinstance(value, int) and 0 <= value < len(places) else None) if numbered else places.get(str(value))
        if place is None:
            none = value is None or value == -1
            raise UserError(
                f"row {row} of the split {split} of {tables.name}: a label is one of {len(places)} classes, got "
                + ("none; take a split that has labels" if none else f"{str(value)[:60]!r}; correct or remove the row")
            )
        found.append(place)
    return torch.tensor(found)


def cells(table: Any, column: str) -> list[Any]:
    """The cells of a column as plain Python values."""
    return table.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()


def _column(
    tables: Tables,
    what: str,
    named: str | None,
    called: Sequence[str],
    fits: Callable[[Any], bool],
    *,
    or_called: Callable[[Any], bool] | None = None,
    apart_from: str | None = None,
) -> str:
    """The named column, the only one that fits, or the first that is called so."""
    features = {name: kind for name, kind in tables.features.items() if name != apart_from}
    there = ", ".join(f"{name} ({_kind(kind)})" for name, kind in list(features.items())[:12])
    if named is not None:
        if named not in features:
            raise UserError(f"{what} is a column of {tables.name}, {there}, got {named}; give another")
        if not (fits(features[named]) or (or_called or fits)(features[named])):
            raise UserError(
                f"{what} is a column of {what}s, got {named} ({_kind(features[named])}) of {tables.name}; give another"
            )
        return named
    fitting = [name for name, kind in features.items() if fits(kind)]
    known = [name for name in called if name in fitting or (or_called and name in features and or_called(features[name]))]
    if len(fitting) == 1 or known:
        return fitting[0] if len(fitting) == 1 else known[0]
    raise UserError(
        f"the column of {what}s is found by its type or its name, got {there or 'no column'} in {tables.name}; name it by {what}="
    )


def _is_text(kind: Any) -> bool:
    return getattr(kind, "dtype", None) in ("string", "large_string")


def _may_be_label(kind: Any) -> bool:
    dtype = str(getattr(kind, "dtype", ""))
    return _is_text(kind) or dtype.startswith(("int", "uint", "bool"))


def _kind(kind: Any) -> str:
    """What a column holds, in a word."""
    name = type(kind).__name__
    return str(getattr(kind, "dtype", name)) if name == "Value" else name
