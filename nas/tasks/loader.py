"""A user's own torch data sets and loaders, made by a function of theirs."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nas.data.features import FeatureScale
from nas.data.loaded.collated import Collated, Form
from nas.data.loaded.given_parts import GivenParts, called, source_of
from nas.data.loaded.indexed import IndexedPart, IndexedSource, Request
from nas.data.loaded.loaded import Loaded, LoadedPart
from nas.data.loaded.source import Source
from nas.data.loaded.streams import StreamPart, StreamSource
from nas.tasks.hold_out import Constants, parts, pixel_constants
from spaces.notation.errors import UserError
from spaces.notation.own_modules import import_factory

VALIDATION, SPLIT_SEED = 0.1, 0
_DRAWS = 8  # times that one sample is read to see whether its transforms are random


def loader(
    data_dir: Path,
    *,
    path: str,
    version: str | int | float | None = None,
    validation: float = VALIDATION,
    split_seed: int = SPLIT_SEED,
    num_words: int | None = None,
    length: int | None = None,
    mean: Constants = None,
    std: Constants = None,
) -> Loaded:
    """Your own torch data sets or DataLoaders: a function `path` returns them as {"train": ..., "test": ...}.

    Also `validation`, else a share is held out of train, and `classes`, their names or number, else the labels 0..C-1 of train.
    A part may be a function that makes it when it is needed; the function `path` may take the data folder. Samples are (x, y) or
    (x, y, features), y the class from 0 on; x is a uint8 image (C, H, W) or a PIL image, which `mean` and `std`, one a channel of
    pixels in 0..1, normalise; floats, which stay as they are (mean and std say what the data set normalised them by); or token
    ids int64 (T,), 0 for padding, for which `num_words` and `length` are needed. Without a `version` all samples are read at the
    start: they are checked, and a digest names them in results. docs/how_to/own_data.md says what is drawn from which seed.
    What does not fit is a UserError that names the sample.

    path     the function, as my_package.make_data
    version  names the data in rows; without one all samples are read at the start, and named by a digest
    """
    given = _given(path, data_dir)
    train = source_of(given.train, "train", None if version is None else str(version))
    form = _form(train.first(), num_words, length)._replace(num_classes=given.num_classes)
    constants = _constants(train.first(), mean, std)
    train = train.with_form(form, length)
    labels = train.labels if version is None else train.known_labels
    form = form._replace(num_classes=form.num_classes or _num_classes(labels))
    held_to_form = partial(_held_to_form, version=train.version, form=form, length=length)
    pool, notes = _whole(train.with_form(form, length)), [*_notes(train), *_unlikely(train.first(), constants)]
    if given.validation is not None:
        if (validation, split_seed) != (VALIDATION, SPLIT_SEED):
            raise UserError(
                f"validation and split_seed hold out of train, but {path} returns a part validation, so they have no effect; "
                "leave them out"
            )
        held_out = held_to_form(given.validation, "validation")
        notes += _notes(held_out.source)
    else:
        pool, held_out, said = _held_out(pool, labels, validation, split_seed, given.classes)
        notes += said
    return Loaded(
        pool,
        held_out,
        partial(held_to_form, given.test, "test"),
        form.num_classes or 0,
        form,
        *constants,
        length or 0,
        classes=given.classes,
        feature_scale=_as_given(form.num_features),
        split_notes=tuple(notes),
    )


def _given(path: str, data_dir: Path) -> GivenParts:
    """What the function of that dotted path returns; it is given the data folder if it takes a value."""
    if "." not in path.replace(":", "."):
        raise UserError(f"path is the dotted path of a function, such as my_package.make_data, got {path}; give its module, too")
    make = import_factory("loader", path)
    needed = [
        name
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise UserError(f"{path} takes the data folder or nothing, got a function of {', '.join(needed)}; give others defaults")
    return GivenParts.read(called(f"the data of {path}", make, *[Path(data_dir)] * len(needed)), path)


def _form(first: Collated, num_words: int | None, length: int | None) -> Form:
    """What all samples have to be, as the first is; settings of texts are needed for token ids, and refused for others."""
    form = Form.of(first)
    texts = form.kind == "ids"
    for name, value in (("num_words", num_words), ("length", length)):
        if texts and (value is None or value < 1):
            raise UserError(
                f"{name}, {'one more than the largest id' if name == 'num_words' else 'how many tokens of a text are kept'}, is "
                f"needed where samples are token ids, from 1 on, got {value}; give {name}="
            )
        if not texts and value is not None:
            raise UserError(f"{name} is for token ids, got {name}={value} with samples that hold {form.kind}; leave it out")
    return form._replace(num_words=num_words)


def _constants(first: Collated, mean: Constants, std: Constants) -> tuple[Constants, Constants]:
    """Mean and std: as given, else 0 and 1 for pixels, and none for what need not be made of pixels."""
    if mean is None and std is None and first.kind != "pixels":
        return None, None
    if first.kind == "ids" or len(first.shape) != 3 or (None in (mean, std) and first.kind == "numbers"):
        raise UserError(
            "mean and std, both, are of images (C, H, W), got "
            + (
                "one of them"
                if None in (mean, std) and len(first.shape) == 3
                else f"samples that hold {first.kind} {first.shape}"
            )
            + "; leave them out, or give both"
        )
    channels = first.shape[0]
    return pixel_constants(((0.0,) * channels, (1.0,) * channels), mean, std)


def _unlikely(first: Collated, constants: tuple[Constants, Constants]) -> list[str]:
    """A line where floats look as if nothing normalised them yet by the constants that are said to have."""
    if first.kind == "pixels" or None in constants or float(first.x.min()) < 0 or float(first.x.max()) > 1:
        return []
    return ["the first sample lies in 0..1 and mean and std are given, but floats stay as they are: normalise in the data set"]


def _num_classes(labels: torch.Tensor | None) -> int:
    """One more than the largest label of train, where each class is there; beside a version they may be unknown."""
    if labels is None:
        raise UserError("beside version= labels are not read to count the classes; return classes, their names or how many")
    classes = labels.unique().tolist()
    if len(classes) < 2 or classes != list(range(len(classes))):
        raise UserError(
            f"labels are 0..C-1 for C classes, at least 2 and each present, got {', '.join(map(str, classes[:10]))}"
            f"{', ...' * (len(classes) > 10)} in train; number the classes from 0, or return classes, their names or their number"
        )
    return len(classes)


def _held_to_form(given: Any, name: str, *, version: str | None, form: Form, length: int | None) -> LoadedPart:
    """A part whose samples have to be as those of train; they are read for its digest."""
    return _whole(source_of(given, name, version).with_form(form, length))


def _whole(source: Source) -> LoadedPart:
    if isinstance(source, IndexedSource):
        return IndexedPart.whole(source)
    assert isinstance(source, StreamSource)
    return StreamPart(source)


def _held_out(
    pool: LoadedPart, labels: torch.Tensor | None, validation: float, split_seed: int, names: tuple[str, ...] | None
) -> tuple[LoadedPart, LoadedPart, list[str]]:
    """Training and validation out of train, stratified where its labels are known and a plain draw would leave a class out."""
    if isinstance(pool, StreamPart):
        raise UserError("validation is held out of numbered samples, got a stream as train; return a part validation as well")
    labels = torch.zeros(len(pool), dtype=torch.int64) if labels is None else labels
    drawn = parts(labels, validation=validation, split_seed=split_seed, names=names)
    random = ["validation is a share of train and goes through its random transforms; return a part validation without them"]
    return pool.at(drawn.train), pool.at(drawn.validation), [*drawn.notes, *random * _is_random(pool.source)]


def _notes(source: Source) -> list[str]:
    """What people should know of how a part is read."""
    if isinstance(source, StreamSource):
        return [f"{source.name} is a stream: a run that resumes reads its epoch again up to where it stopped"] + [
            f"{source.name} gives another first sample each time, so a run cannot be repeated; seed it by torch, NumPy or random"
        ] * (not _same(source.first(), source.first()))
    loader, notes = source.loader, []
    if loader is not None and (loader.batch_size or 1) > 1:
        notes.append(
            f"of the DataLoader of {source.name} the data set, the collate function and the workers count; batches are drawn by "
            "--batch-size and the seed"
        )
    if not _same(source.first(), source.first()):
        notes.append(
            f"{source.name} gives another sample 0 each time, so a run cannot be repeated; draw from torch's, NumPy's or "
            "Python's global random numbers"
        )
    return notes


def _is_random(source: IndexedSource) -> bool:
    """Whether the transforms of the first sample draw from the random numbers that are seeded."""
    first = source.first()
    return any(not _same(first, source.read(Request((0,), (seed, 4, 0)))) for seed in range(_DRAWS))


def _same(one: Collated, other: Collated) -> bool:
    return one.shape == other.shape and torch.equal(one.x, other.x)


def _as_given(num_features: int) -> FeatureScale | None:
    """Features are taken as the data set gives them."""
    if not num_features:
        return None
    return FeatureScale(torch.zeros(num_features, dtype=torch.float64), torch.ones(num_features, dtype=torch.float64))
