"""What a user's function gives for a task: its parts, and the names of its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler, SubsetRandomSampler

from nas.data.loaded.indexed import IndexedSource
from nas.data.loaded.source import Source
from nas.data.loaded.streams import StreamSource
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS, said_by

NEEDED, ALLOWED = ("train", "test"), ("train", "test", "validation", "classes")


@dataclass(frozen=True)
class GivenParts:
    """`train` and `test`, and `validation` where there is one: data sets, loaders, or functions that make one when it is needed.

    classes      their names; None where they are only numbered
    num_classes  how many there are; None where nothing says so
    """

    train: Any
    test: Any
    validation: Any = None
    classes: tuple[str, ...] | None = None
    num_classes: int | None = None

    @classmethod
    def read(cls, made: Any, path: str) -> GivenParts:
        """Of the dict or NamedTuple that the function `path` returned; another is a UserError."""
        if hasattr(made, "_asdict"):
            made = made._asdict()
        if not isinstance(made, Mapping):
            raise UserError(
                f"{path} returns a dict with the keys train and test, and validation and classes if there are any, got a "
                f"{type(made).__name__}; return one"
            )
        given = {name: value for name, value in made.items() if value is not None}
        if unknown := [name for name in given if name not in ALLOWED]:
            raise UserError(f"{path} returns the keys {', '.join(ALLOWED)}, got {unknown[0]!r}; leave it out")
        if missing := [name for name in NEEDED if name not in given]:
            raise UserError(f"{path} returns the parts train and test, got no {missing[0]}; add it")
        names = given.pop("classes", None)
        return cls(**given, **_classes(names, path))


def _classes(named: Any, path: str) -> dict[str, Any]:
    if named is None:
        return {}
    if isinstance(named, int) and not isinstance(named, bool) and named >= 2:
        return {"num_classes": named}
    names = tuple(named) if isinstance(named, tuple | list) else ()
    if len(names) < 2 or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UserError(f"classes of {path} are at least two names, each once, or how many there are, got {str(named)[:60]!r}")
    return {"classes": names, "num_classes": len(names)}


def source_of(given: Any, name: str, version: str | None) -> Source:
    """How the part is read: by the numbers of its samples where they have some, else as a stream; nothing is read yet."""
    if not isinstance(given, DataLoader) and not hasattr(given, "__getitem__") and isinstance(given, Callable):  # type: ignore[arg-type]
        given = called(f"the part {name}", given)
    dataset = given.dataset if isinstance(given, DataLoader) else given
    if isinstance(given, DataLoader) and not _plain_order(given):
        return StreamSource(given, name, version)
    if not isinstance(dataset, IterableDataset) and hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        return IndexedSource(given, name, version)
    if isinstance(dataset, Iterable):
        return StreamSource(given, name, version)
    raise UserError(
        f"the part {name} is a data set, a DataLoader, or a function that makes one, got a {type(given).__name__}; give one"
    )


def called(what: str, make: Callable[..., Any], *values: Any) -> Any:
    """What a user's function returns; whatever it raises is a UserError in one line, with the file and line of theirs."""
    try:
        return make(*values)
    except UserError:
        raise
    except (*OWN_ERRORS, OSError) as error:
        raise UserError(f"{what} cannot be made ({said_by(error)}); mend it") from None


def _plain_order(loader: DataLoader[Any]) -> bool:
    """Whether the loader takes samples in order or shuffled, without a sampler of the user's own."""
    own = isinstance(loader.dataset, IterableDataset) or type(loader.batch_sampler) not in (BatchSampler, type(None))
    weighted = isinstance(loader.sampler, RandomSampler) and (
        loader.sampler.replacement or loader.sampler._num_samples is not None
    )
    return not own and not weighted and type(loader.sampler) in (RandomSampler, SequentialSampler, SubsetRandomSampler)
