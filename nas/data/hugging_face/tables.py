"""The splits of a data set by its name on the hub, or by its folder or file, as tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.data.downloads import check_download
from nas.data.images.image_files import shown
from spaces.notation.errors import UserError

_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    NotImplementedError,
)  # what the library raises, beside its own
_READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
INSTALL = "pip install '.[datasets]'"


@dataclass(frozen=True)
class Tables:
    """The tables of a data set by split; `name` is what messages call it."""

    name: str
    splits: dict[str, Any]

    @classmethod
    def read(cls, name: str, data_dir: Path, config: str | None, revision: str | None) -> Tables:
        """Those of a folder that `save_to_disk` wrote, of a folder of CSV, JSON, Parquet or image files, of one such file, or,
        where neither is here nor in `data_dir`, of a data set on the hub, of which a copy is kept.

        No script that comes with a data set is run, and nothing is unpickled. What cannot be had is a UserError.
        """
        try:
            import datasets
        except ImportError:
            raise UserError(f"Hugging Face data sets are read by the package datasets, which is missing; {INSTALL}") from None
        if int(datasets.__version__.partition(".")[0]) < 4:  # older ones run scripts
            raise UserError(f"data sets are read by version 4 or newer of datasets, got {datasets.__version__}; {INSTALL}")
        place = next((path for path in (Path(name).expanduser(), Path(data_dir) / name) if path.exists()), None)
        if place is None and (name.startswith((".", "/", "~")) or name.count("/") > 1):
            raise UserError(f"there is no {shown(name)}, here or in {shown(data_dir)}; give a folder, or a name on the hub")
        if place is not None and (config, revision) != (None, None):
            given = f"config={config}" if config is not None else f"revision={revision}"
            raise UserError(f"config and revision are of a data set on the hub, got {given} with {shown(place)}; leave them out")
        with _quiet():
            try:
                found = _loaded(datasets, name, config, revision) if place is None else _local(datasets, place)
            except UserError:
                raise
            except (*_ERRORS, datasets.exceptions.DatasetsError) as error:
                why = " ".join(str(error).split())[:200]
                what = (
                    "is neither here nor in the cache, and cannot be fetched from the hub" if place is None else "cannot be read"
                )
                raise UserError(
                    f"the data set {shown(place or name)} {what} ({type(error).__name__}: {why}); check the name, the network "
                    "or the files"
                ) from None
        tables = dict(found) if isinstance(found, dict) else {"train": found}
        return cls(str(shown(place or name)), {str(split): table for split, table in tables.items()})

    def check(self, split: str, part: str) -> str:
        """The split's name; a UserError where there is none, or it is empty."""
        if split not in self.splits:
            raise UserError(f"{part} is one of the splits of {self.name}, {', '.join(self.splits)}, got {split}; give {part}=")
        if not len(self.splits[split]):
            raise UserError(f"the split {split} of {self.name} has rows, got none; name another by {part}=")
        return split

    def table(self, split: str, part: str) -> Any:
        """The table of a split."""
        return self.splits[self.check(split, part)]

    @property
    def features(self) -> dict[str, Any]:
        """The type of each column."""
        return dict(next(iter(self.splits.values())).features)


def _loaded(datasets: Any, name: str, config: str | None, revision: str | None) -> Any:
    check_download(f"{name} of the hub")
    return datasets.load_dataset(name, config, revision=revision)


def _local(datasets: Any, place: Path) -> Any:
    if place.is_file():
        if place.suffix.lower() not in _READERS:
            raise UserError(
                f"a file of a data set ends in {', '.join(_READERS)}, got {shown(place)}; give such a file or a folder"
            )
        separator = {"sep": "\t"} if place.suffix.lower() == ".tsv" else {}
        return datasets.load_dataset(_READERS[place.suffix.lower()], data_files=str(place), **separator)
    if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
        return datasets.load_from_disk(str(place))
    return datasets.load_dataset(str(place.resolve()))


@contextmanager
def _quiet() -> Iterator[None]:
    """What the library would show on the terminal, progress and retries, is not."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels, shows = [logger.level for logger in loggers], not are_progress_bars_disabled()
    disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shows:
            enable_progress_bars()
