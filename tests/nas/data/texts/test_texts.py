"""Batches of texts against a slow, text by text reading of what they promise."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from methods.training.class_limit import ClassLimit
from nas.data.texts.samples import TextSplit
from nas.data.texts.texts import Texts
from nas.data.texts.vocabulary import Vocabulary
from nas.data.texts.word_vectors import Coverage
from nas.tasks import TASKS
from nas.tasks.text_sets import TEXT_SETS
from spaces.activation import PADDING, TextShape
from spaces.notation.errors import UserError

NUM_CLASSES = 3
DATA_DIR = Path(os.environ.get("NAS_DATA_DIR", "data"))


def made_up(num_texts: int = 300, longest: int = 40, seed: int = 0) -> tuple[list[list[int]], list[int]]:
    """Texts of random ids, no two alike, as skewed in length as real ones."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(2, 0.65, num_texts), 1, longest).astype(int)
    texts = [[2 + number, *random.integers(1, 9, length - 1).tolist()] for number, length in enumerate(lengths)]
    return texts, random.integers(0, NUM_CLASSES, num_texts).tolist()


def task(num_texts: int = 300) -> Texts:
    split, held_out = TextSplit.of(*made_up(num_texts)), TextSplit.of(*made_up(50, seed=1))
    return Texts(split, held_out, lambda: held_out, NUM_CLASSES, 40, Vocabulary(tuple(f"w{i}" for i in range(num_texts))))


def padded(texts: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, texts))
    return torch.tensor([text + [PADDING] * (longest - len(text)) for text in texts])


def numbers(x: torch.Tensor) -> list[int]:
    """Which texts of `made_up` these are."""
    return (x[:, 0] - 2).tolist()


def padding(batches: list[torch.Tensor]) -> float:
    return sum(int((x == PADDING).sum()) for x in batches) / sum(x.numel() for x in batches)


# ---- what a batch holds


@pytest.mark.parametrize("batch_size", [1, 7, 64, 300])
def test_a_batch_is_its_texts_padded_to_the_longest_of_them(batch_size: int) -> None:
    data, (texts, labels) = task(), made_up()
    batches = data.train_batches(batch_size)
    for iteration in range(2 * batches.num_batches):
        x, y = batches.batch(4, iteration)
        assert x.dtype == y.dtype == torch.int64 and x.is_contiguous()
        assert torch.equal(x, padded([texts[number] for number in numbers(x)]))
        assert y.tolist() == [labels[number] for number in numbers(x)]


def test_evaluation_reads_every_text_once() -> None:
    data, (texts, labels) = task(), made_up(50, seed=1)
    batches = list(data.eval_batches(data.validation, 16))
    assert [len(y) for _, y in batches] == [16, 16, 16, 2]
    read = [number for x, _ in batches for number in numbers(x)]
    assert sorted(read) == list(range(50))
    for x, y in batches:
        assert torch.equal(x, padded([texts[number] for number in numbers(x)]))
        assert y.tolist() == [labels[number] for number in numbers(x)]
    widths = [x.shape[1] for x, _ in batches]
    assert widths == sorted(widths, reverse=True)


def test_a_part_of_a_split_is_its_texts_in_that_order() -> None:
    data, (texts, _) = task(), made_up()
    chosen = torch.tensor([5, 299, 0, 7])
    x, _ = data.train.at(chosen).batch(torch.arange(4))
    assert torch.equal(x, padded([texts[number] for number in chosen.tolist()]))
    small = data.scaled(0.1)
    assert (len(small.train), len(small.validation), len(small.test())) == (30, 5, 50)
    assert small.input_shape == data.input_shape == TextShape(40, 302)
    assert torch.equal(small.train.labels, data.scaled(0.1).train.labels)


# ---- randomness


def test_a_batch_is_a_function_of_seed_and_iteration() -> None:
    data = task()
    once = [data.train_batches(32).batch(2, iteration)[0] for iteration in range(20)]
    again = data.train_batches(32)
    for iteration in (19, 3, 0, 11, 12):
        assert torch.equal(again.batch(2, iteration)[0], once[iteration])
    other = [again.batch(3, iteration)[0] for iteration in range(20)]
    assert sum(torch.equal(x, y) for x, y in zip(once, other, strict=True)) == 0


@pytest.mark.parametrize("batch_size", [7, 32])
def test_an_epoch_holds_a_text_once_and_leaves_each_out_as_often(batch_size: int) -> None:
    data = task()
    batches = data.train_batches(batch_size)
    assert batches.num_batches == 300 // batch_size
    left_out: Counter[int] = Counter()
    for epoch in range(40):
        read = [
            number
            for iteration in range(batches.num_batches)
            for number in numbers(batches.batch(0, epoch * batches.num_batches + iteration)[0])
        ]
        assert len(read) == len(set(read)) == batches.num_batches * batch_size
        left_out.update(set(range(300)) - set(read))
    share = 1 - batches.num_batches * batch_size / 300
    assert max(left_out.values()) <= 40 * share + 6 * (40 * share * (1 - share)) ** 0.5


def test_texts_come_in_other_company_each_epoch_and_short_ones_not_first() -> None:
    data = task()
    batches = data.train_batches(10)
    epochs = [[batches.batch(0, epoch * 30 + iteration)[0] for iteration in range(30)] for epoch in (0, 1)]
    pairs = [{(a, b) for x in epoch for a in numbers(x) for b in numbers(x) if a < b} for epoch in epochs]
    assert len(pairs[0] & pairs[1]) < 0.5 * len(pairs[0])
    widths = torch.tensor([[float(x.shape[1]) for x in epoch] for epoch in epochs])
    assert (torch.corrcoef(torch.stack([*widths, torch.arange(30.0)]))[2, :2].abs() < 0.5).all()


def test_random_batches_of_another_split() -> None:
    data, (texts, _) = task(), made_up(50, seed=1)
    x, _ = data.random_batches(data.validation, 8).batch(0, 0)
    assert torch.equal(x, padded([texts[number] for number in numbers(x)]))


def test_batches_of_few_classes_until_then() -> None:
    data, (_, labels) = task(), made_up()
    limited, plain = data.train_batches(16, limit=ClassLimit(2, 10)), data.train_batches(16)
    for iteration in range(30):
        (x, y), (plain_x, _) = limited.batch(1, iteration), plain.batch(1, iteration)
        assert y.tolist() == [labels[number] for number in numbers(x)]
        assert len(y.unique()) == 2 if iteration < 10 else torch.equal(x, plain_x)


@pytest.mark.parametrize("batch_size", [0, 301, -1])
def test_a_batch_size_that_the_split_cannot_fill_is_refused(batch_size: int) -> None:
    with pytest.raises(UserError, match=rf"1\.\.300.*{batch_size}"):
        task().train_batches(batch_size)


# ---- padding


@pytest.mark.parametrize("name", TEXT_SETS)
def test_less_than_15_percent_of_an_epochs_tokens_are_padding(name: str) -> None:
    if not (DATA_DIR / name).is_dir():
        pytest.skip(f"{name} is not there")
    data = TASKS.build(name, DATA_DIR)
    for batch_size in (32, 64, 128, 256):
        batches = data.train_batches(batch_size)
        assert padding([batches.batch(0, iteration)[0] for iteration in range(batches.num_batches)]) < 0.15


@pytest.mark.parametrize("batch_size", [32, 128, 256])
def test_skewed_lengths_leave_little_padding_and_plain_shuffling_a_lot(batch_size: int) -> None:
    texts, labels = made_up(10_000, longest=100)
    data = Texts(TextSplit.of(texts, labels), TextSplit.of(texts[:9], labels[:9]), lambda: None, 3, 100, Vocabulary(("a",)))
    batches = data.train_batches(batch_size)
    assert padding([batches.batch(0, iteration)[0] for iteration in range(batches.num_batches)]) < 0.15
    order = torch.from_numpy(np.random.default_rng(0).permutation(10_000)).split(batch_size)
    assert padding([data.train.batch(index)[0] for index in order]) > 0.5


# ---- what goes with the texts


def test_a_row_names_a_file_that_holds_the_vocabulary(tmp_path: Path) -> None:
    data = task()
    facts = data.facts(tmp_path / "results")
    assert facts == data.facts(tmp_path / "results")
    assert facts["num_words"] == 302 and len(list((tmp_path / "results").iterdir())) == 1
    assert Vocabulary.read(tmp_path / "results" / str(data.content["vocabulary"])) == data.vocabulary
    covered = replace(data, coverage=Coverage(0.5, 0.75))
    assert covered.facts(tmp_path)["words_covered"] == 0.5 and covered.facts(tmp_path)["tokens_covered"] == 0.75
    assert "50.0% of them, 75.0% of the training tokens" in covered.notes[0] and "300 words" in data.notes[0]


def test_other_words_and_other_vectors_make_another_evaluation() -> None:
    data = task()
    words = replace(data, vocabulary=Vocabulary((*data.vocabulary.words[:-1], "other")))
    vectors = [replace(data, vectors=torch.full((302, 4), value)) for value in (0.0, 1.0)]
    contents = [one.content for one in (data, words, *vectors)]
    assert all(a != b for a, b in combinations(contents, 2)) and task().content == data.content


def test_a_split_travels_to_another_process_and_device() -> None:
    data = task()
    again = pickle.loads(pickle.dumps(data.train)).to(torch.device("cpu"))
    assert torch.equal(again.batch(torch.arange(9))[0], data.train.batch(torch.arange(9))[0])
    meta = data.to(torch.device("meta")).train
    assert meta.device.type == "meta" and meta.lengths.device.type == "cpu"
    x, y = meta.batch(torch.arange(9))
    assert x.shape == data.train.batch(torch.arange(9))[0].shape and y.device.type == "meta"
