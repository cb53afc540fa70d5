"""Text data sets from the Hugging Face hub, written in this project's layout."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from nas.data.downloads import check_download
from spaces.notation.errors import UserError

_CONVERTED = "refs/convert/parquet"  # the hub's own conversion of sets that are defined by a script, which nobody should run


class _Source(NamedTuple):
    """Where a set lies on the hub, and what its columns and splits are called there."""

    path: str
    config: str | None = None
    label: str = "label"
    text: str = "text"
    has_validation: bool = False
    revision: str | None = None


_SOURCES = {
    "ag_news": _Source("fancyzhx/ag_news"),
    "dbpedia_14": _Source("fancyzhx/dbpedia_14", text="content"),
    "imdb": _Source("stanfordnlp/imdb"),
    "sst2": _Source("SetFit/sst2", has_validation=True),  # GLUE's test split has no labels; these are the treebank's own
    "emotion": _Source("dair-ai/emotion", "split", has_validation=True),
    "rotten_tomatoes": _Source("cornell-movie-review-data/rotten_tomatoes", has_validation=True),
    "banking77": _Source("PolyAI/banking77", revision=_CONVERTED),
    "clinc_oos": _Source("clinc/clinc_oos", "plus", "intent", has_validation=True),
    "trec": _Source("CogComp/trec", label="coarse_label", revision=_CONVERTED),
    "yelp_review_full": _Source("Yelp/yelp_review_full"),
}


def download(name: str, folder: Path) -> None:
    """Fetch the set `name` into `folder`, which appears whole or not at all.

    Needs the optional package `datasets` and a network; without them, and for a set without labels, a UserError. The
    backslashes that AG's News and Yelp have in place of line breaks become blanks, as do line breaks.
    """
    source = _SOURCES[name]
    check_download(str(folder))
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(
            f"there is no {folder}; put train.csv.gz and test.csv.gz there, or have it downloaded: pip install '.[datasets]'"
        ) from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{name}_", dir=folder.parent) as temporary:
        complete = Path(temporary) / name
        complete.mkdir()
        for part in ("train", "validation", "test") if source.has_validation else ("train", "test"):
            try:
                rows = load_dataset(source.path, source.config, split=part, revision=source.revision)
            except Exception as error:  # without a network, whatever the HTTP library of the day raises
                raise UserError(
                    f"there is no {folder} and {source.path} cannot be downloaded ({error!r}); put train.csv.gz "
                    "and test.csv.gz there, or give the folder that holds it"
                ) from None
            _write(complete / f"{part}.csv.gz", rows, source)
        if not folder.exists():  # else another process was faster
            os.rename(complete, folder)


def _write(path: Path, rows: Iterable[Mapping[str, Any]], source: _Source) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        for row in rows:
            if row[source.label] < 0:
                raise UserError(f"the split {path.name.partition('.')[0]} of {source.path} has no labels; get the set elsewhere")
            text = row[source.text].replace("\\n", " ").replace("\\", " ")
            writer.writerow((" ".join(text.split()), row[source.label]))
