"""Features beside texts and images: standardised by training, each with its own sample in every batch."""

import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.data.features import FeatureScale
from nas.data.texts.vocabulary import Vocabulary
from nas.tasks import TASKS
from spaces.activation import WithFeatures
from spaces.notation.errors import UserError

HEADER = "age,text,label,height"


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The word of a text says its two features, n and n squared over 10."""
    dice = random.Random(0)
    for part, first in (("train", 0), ("test", 100), ("validation", 200)):
        lines = [f"{n},{' '.join([f'w{n}'] * dice.randrange(1, 6))},{n % 2},{n * n / 10}" for n in range(first, first + 40)]
        write(tmp_path / "mine" / f"{part}.csv.gz", [HEADER, *lines, ""])
    (tmp_path / "words.txt").write_text("".join(f"w{n}\n" for n in range(240)))
    return tmp_path


def test_a_feature_that_never_changes_is_0() -> None:
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert FeatureScale.of(values)(values).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_large_numbers_that_lie_near_each_other_are_told_apart(tmp_path: Path) -> None:
    """Such as seconds since 1970, of which float32 keeps every 128th."""
    for part, first in (("train", 0), ("test", 40)):
        lines = [f"{1_700_000_000 + n},w{n % 7},{n % 2}" for n in range(first, first + 40)]
        write(tmp_path / "mine" / f"{part}.csv.gz", ["time,text,label", *lines, ""])
    data = TASKS.build("texts(mine,features=[time],validation=0.5)", tmp_path)
    seconds = data.test().features[:, 0]  # type: ignore[attr-defined]
    assert (seconds.diff() > 0).all() and seconds.dtype == torch.float32
    assert data.train.features.std(correction=0) == pytest.approx(1, abs=1e-5)  # type: ignore[attr-defined]


def test_features_of_texts_stay_with_them(folder: Path) -> None:
    data: Any = TASKS.build(f"texts(mine,features=[height,age],vocabulary='{folder / 'words.txt'}')", folder)
    assert data.num_features == 2 and data.input_shape == (256, 242)
    ages = np.arange(40.0)
    heights = ages**2 / 10
    batches = [
        data.train_batches(8).batch(3, 1),
        data.scaled(0.5).train_batches(8).batch(0, 0),
        *data.eval_batches(data.validation, 16),
        *data.eval_batches(data.test(), 16),
    ]
    for x, y in batches:
        assert isinstance(x, WithFeatures) and x.device == y.device
        n = x.x[:, 0].numpy() - 2
        expected = [(n**2 / 10 - heights.mean()) / heights.std(), (n - ages.mean()) / ages.std()]
        np.testing.assert_allclose(x.features.numpy(), np.stack(expected, axis=1), rtol=1e-4, atol=1e-5)
        assert (n % 2 == y.numpy()).all()
    assert TASKS.build("texts(mine)", folder).num_features == 0


@pytest.mark.parametrize(
    ("cell", "says"), [("old", "got 'old' in the column age"), ("", "got ''"), ("inf", "'inf'"), ("nan", "'nan'")]
)
def test_a_cell_that_is_no_number_is_named_by_its_line(folder: Path, cell: str, says: str) -> None:
    lines = gzip.decompress((folder / "mine" / "train.csv.gz").read_bytes()).decode().split("\n")
    lines[6] = f"{cell},some words,0,2"
    write(folder / "mine" / "train.csv.gz", lines)
    with pytest.raises(UserError, match=f"line 7: features are finite numbers, .*{says}"):
        TASKS.build("texts(mine,features=[height,age])", folder)
    assert TASKS.build("texts(mine,features=[height])", folder).num_features == 1


def test_a_column_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match="line 1: there is one column weight"):
        TASKS.build("texts(mine,features=[weight])", folder)


def test_a_saved_vocabulary_is_read_and_not_learned(folder: Path) -> None:
    """So texts of another length have the ids of those before; what training then reads of them is other data."""
    learned: Any = TASKS.build("texts(mine,length=2)", folder)
    learned.facts(folder)
    again, longer = (
        TASKS.build(f"texts(mine,length={length},vocabulary='{learned.content['vocabulary']}')", folder) for length in (2, 4)
    )
    assert again.content == learned.content and longer.content["vocabulary"] == learned.content["vocabulary"]
    assert again.vocabulary == longer.vocabulary == learned.vocabulary and longer.input_shape.length == 4
    assert longer.content["data_digest"] != learned.content["data_digest"]
    backwards = Vocabulary(learned.vocabulary.words[::-1])
    backwards.save(folder / "backwards.txt")
    assert TASKS.build("texts(mine,vocabulary='backwards.txt')", folder).vocabulary == backwards
    for settings, says in [("vocabulary='backwards.txt',num_words=9", "give one of them"), ("vocabulary=nowhere", "nowhere")]:
        with pytest.raises(UserError, match=says):
            TASKS.build(f"texts(mine,{settings})", folder)


def save(path: Path, first: int, **changes: np.ndarray) -> None:
    n = np.arange(first, first + 20)
    images = np.broadcast_to(n[:, None, None, None], (20, 4, 4, 3)).astype(np.uint8)
    np.savez(path, **{"images": images, "labels": n % 2, "features": np.stack([n, 3 - n], axis=1).astype(float)} | changes)


def test_features_of_images_stay_with_them(tmp_path: Path) -> None:
    save(tmp_path / "train.npz", 0)
    save(tmp_path / "test.npz", 100)
    data: Any = TASKS.build("arrays('.',features=True,flip=True,crop=1,padding=reflect)", tmp_path)
    assert data.num_features == 2
    ages = data.train.images[:, 0, 0, 0].numpy().astype(float)
    seen = 0
    for x, _ in (data.train_batches(6).batch(0, 4), *data.eval_batches(data.validation, 2), *data.eval_batches(data.test(), 7)):
        n = np.round((x.x[:, 0, 2, 2].numpy() * data.std[0] + data.mean[0]) * 255)
        expected = (n - ages.mean()) / ages.std()
        np.testing.assert_allclose(x.features.numpy(), np.stack([expected, -expected], axis=1), rtol=1e-4, atol=1e-4)
        seen += len(n)
    assert seen == 6 + 2 + 20
    plain = TASKS.build("arrays('.')", tmp_path)
    assert plain.num_features == 0 and isinstance(plain.train_batches(6).batch(0, 0)[0], torch.Tensor)


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("train", {"features": np.zeros(20)}, r"shape \(20, F\)"),
        ("train", {"features": np.full((20, 2), np.nan)}, "not finite"),
        ("train", {"features": np.full((20, 2), "a")}, "finite numbers"),
        ("test", {"features": np.zeros((20, 3))}, r"the features of .*test\.npz are \(3,\), those of train\.npz are \(2,\)"),
    ],
)
def test_arrays_of_features_that_do_not_fit_are_refused(tmp_path: Path, part: str, changes: dict, says: str) -> None:
    for name in ("train", "test"):
        save(tmp_path / f"{name}.npz", 0, **(changes if name == part else {}))
    with pytest.raises(UserError, match=says):
        TASKS.build("arrays('.',features=True)", tmp_path).test()
