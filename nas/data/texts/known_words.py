"""What people are told where a vocabulary or word vectors know few of the words that texts have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nas.data.texts.samples import TextSplit
from nas.data.texts.vocabulary import Vocabulary
from nas.data.texts.word_vectors import WordVectors
from spaces.activation import PADDING, UNKNOWN

_FEW, _MANY = 0.5, 0.25  # of tokens; of words
# Four and more signs of Chinese or Japanese, or twelve and more of Thai, Lao, Burmese or Khmer, are seldom a single word.
_PHRASE = re.compile(
    "[\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{4}|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{12}"
)


def few_known(parts: Mapping[str, TextSplit], vectors: WordVectors | None = None) -> tuple[str, ...]:
    """A line for each part of which most tokens are no words of the vocabulary, or have no vector."""
    notes = []
    for name, split in parts.items():
        tokens = split.tokens[split.tokens != PADDING]
        if (share := float((tokens != UNKNOWN).double().mean())) < _FEW:
            notes.append(
                f"warning: only {share:.1%} of the tokens of {name} are words of the vocabulary; all others are alike "
                "to the network: take a vocabulary of these texts, or a larger one (num_words)"
            )
        elif vectors is not None and (share := vectors.coverage(tokens).tokens) < _FEW:
            notes.append(
                f"warning: only {share:.1%} of the tokens of {name} have a vector; take word vectors of these texts' "
                "language, words in lower case"
            )
    return tuple(notes)


def without_blanks(vocabulary: Vocabulary) -> tuple[str, ...]:
    """A line where many of the words are whole phrases."""
    phrases = [word for word in vocabulary.words if _PHRASE.search(word)]
    if not vocabulary.words or len(phrases) < _MANY * len(vocabulary.words):
        return ()
    return (
        f"warning: {len(phrases) / len(vocabulary.words):.1%} of the words are as long as phrases (such as "
        f"{phrases[0][:20]}): Chinese, Japanese, Thai, Lao, Khmer and Burmese need blanks between words, since a token ends "
        "at a blank",
    )
