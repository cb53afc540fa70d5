"""The text data sets that papers on text classification share, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.data.texts.texts import Texts
from nas.tasks.text_download import download
from nas.tasks.text_files import NUM_WORDS, SPLIT_SEED, VALIDATION, text_files


def _text_set(name: str, what: str, num_classes: int, usual_length: int) -> Callable[..., Texts]:
    """The factory of the task `name`; `usual_length` is the default of its setting `length`."""

    def build(
        data_dir: Path,
        *,
        length: int = usual_length,
        num_words: int = NUM_WORDS,
        validation: float = VALIDATION,
        split_seed: int = SPLIT_SEED,
        embeddings: str | None = None,
        vocabulary: str | None = None,
    ) -> Texts:
        if not (Path(data_dir) / name).exists():
            download(name, Path(data_dir) / name)
        return text_files(
            data_dir,
            name,
            num_classes,
            length=length,
            num_words=num_words,
            validation=validation,
            split_seed=split_seed,
            embeddings=embeddings,
            vocabulary=vocabulary,
        )

    build.__doc__ = f"""{what}; {num_classes} classes.

    Reads `data_dir`/{name}/train.csv.gz, test.csv.gz and, where it is there, validation.csv.gz; without the folder the
    library `datasets` downloads it. The settings are those of the task `texts`.
    """
    return build


# Number of classes and usual length. The latter is Peng's (2023) for ag_news and imdb and that of Associated Learning's README
# for yelp_review_full; elsewhere a round number above all texts, or nearly all, as a batch is only as long as its longest.
_SETS = {
    "ag_news": ("AG's News (Zhang et al. 2015): topics of news, title and description", 4, 177),
    "dbpedia_14": ("DBpedia (Zhang et al. 2015): what an abstract of Wikipedia is about", 14, 128),
    "imdb": ("Large Movie Review Dataset (Maas et al. 2011): sentiment of whole reviews", 2, 500),
    "sst2": ("Stanford Sentiment Treebank (Socher et al. 2013): sentiment of sentences", 2, 64),
    "emotion": ("CARER (Saravia et al. 2018): emotions of tweets", 6, 64),
    "rotten_tomatoes": ("Movie Review sentences (Pang & Lee 2005): their sentiment", 2, 64),
    "banking77": ("Banking77 (Casanueva et al. 2020): what a customer of a bank wants", 77, 96),
    "clinc_oos": ("CLINC150 (Larson et al. 2019): 150 intents, and none of them", 151, 32),
    "trec": ("TREC questions (Li & Roth 2002): the coarse type of the answer", 6, 40),
    "yelp_review_full": ("Yelp reviews (Zhang et al. 2015): their stars", 5, 400),
}
TEXT_SETS = {name: _text_set(name, *facts) for name, facts in _SETS.items()}
CLASSES = {name: num_classes for name, (_, num_classes, _) in _SETS.items()}
