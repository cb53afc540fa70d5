"""Hold-outs and trials leave no class out where that can be helped, and say so where it cannot."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.images.samples import Split
from nas.data.stratified import complete
from nas.data.trial_parts import random_share
from nas.tasks import TASKS
from nas.tasks.hold_out import parts

RANDOM = np.random.default_rng(0)
RARE = torch.tensor([0] * 90 + [1] * 6 + [2] * 2 + [3] * 2)


def split(labels: torch.Tensor) -> Split:
    return Split(torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1), labels)


def test_a_plain_draw_that_has_all_classes_stays_as_it_was() -> None:
    labels = torch.arange(200) % 4
    order = np.random.default_rng(7).permutation(200)
    drawn = parts(labels, validation=0.25, split_seed=7)
    np.testing.assert_array_equal(drawn.validation, order[:50])
    np.testing.assert_array_equal(drawn.train, order[50:])
    assert drawn.notes == ()
    chosen = np.random.default_rng((0, 2)).permutation(200)[:60]
    np.testing.assert_array_equal(random_share(split(labels), 0.3).images.flatten(), np.sort(chosen))


@pytest.mark.parametrize("validation", [0.04, 0.1, 0.5, 0.9, 0.96])
def test_a_hold_out_with_rare_classes_is_stratified_and_says_so(validation: float) -> None:
    for seed in range(20):
        drawn = parts(RARE, validation=validation, split_seed=seed)
        assert sorted([*drawn.train.tolist(), *drawn.validation.tolist()]) == list(range(100))
        assert len(drawn.validation) == round(100 * validation)
        for part in (drawn.train, drawn.validation):
            assert set(RARE[part].tolist()) == {0, 1, 2, 3}
        if drawn.notes:
            assert drawn.notes == ("training and validation are split class by class, as a plain draw leaves classes out",)
            share = Counter(RARE[drawn.validation].tolist())[0] / 90
            assert abs(share - validation) < 0.06, "every class about alike"


def test_what_cannot_be_helped_is_told_by_class() -> None:
    labels = torch.tensor([0] * 20 + [1] * 20 + [2])
    for seed in range(10):
        drawn = parts(labels, validation=0.5, split_seed=seed, names=("cat", "dog", "cow"))
        assert 2 in labels[drawn.train]
        assert drawn.notes[-1] == "validation has no sample of 1 of 3 classes: cow"
    many = torch.arange(40) % 20
    _, held_out, notes = parts(many, validation=0.25, split_seed=0)
    assert len(set(many[held_out].tolist())) == 10, "as many classes as there are places"
    assert "validation has no sample of 10 of 20 classes" in notes[-1] and notes[-1].endswith(", ...")
    train, _, notes = parts(many, validation=0.75, split_seed=0)
    assert len(set(many[train].tolist())) == 10 and "training has no sample of 10 of 20 classes" in notes[1]


def test_any_first_part_of_a_stratified_order_has_the_classes_shares() -> None:
    labels = np.repeat(np.arange(5), (500, 300, 100, 10, 2))
    order = complete(RANDOM.permutation(912), labels, 1)
    assert sorted(order) == list(range(912)) and set(labels[order[:5]]) == set(range(5))
    for count in (50, 200, 456, 800):
        found = np.bincount(labels[order[:count]], minlength=5)
        assert np.abs(found - count / 912 * np.array([500, 300, 100, 10, 2])).max() <= 3


def test_a_trial_keeps_every_class_or_says_which_it_lacks() -> None:
    data = TASKS.build("digits", Path())
    whole = replace(data, train=split(RARE), validation=split(RARE), classes=("a", "b", "c", "d"), split_notes=("before",))
    trial = whole.scaled(0.05)
    assert set(trial.train.labels.tolist()) == {0, 1, 2, 3} and len(trial.train) == 5 and trial.notes == ("before",)
    assert whole.scaled(0.03).notes[1].startswith("training in this trial has no sample of 1 of 4 classes: ")
    assert len(whole.scaled(1e-9).validation) == 1 and "validation in this trial" in whole.scaled(1e-9).notes[2]


def test_images_folders_and_texts_are_held_out_alike(tmp_path: Path) -> None:
    """Each has 30 samples, two of them of a rare class, which a plain draw of three leaves out."""
    labels = np.array([0] * 14 + [1] * 14 + [2] * 2)
    np.savez(tmp_path / "train.npz", images=np.zeros((30, 4, 4), np.uint8), labels=labels)
    np.savez(tmp_path / "test.npz", images=np.zeros((30, 4, 4), np.uint8), labels=labels)
    rows = "text,label\n" + "".join(f"word,{'abc'[label]}\n" for label in labels)
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv.gz").write_bytes(gzip.compress(rows.encode()))
    for part in ("train", "val"):
        for place, label in enumerate(labels):
            path = tmp_path / "imagenet" / part / "abc"[label] / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path)
    for seed in range(3):
        for task in ("arrays('.',", "imagenet(size=4,", "texts('.',"):
            data = TASKS.build(f"{task}validation=0.1,split_seed={seed})", tmp_path)
            assert set(data.validation.labels.tolist()) == set(data.train.labels.tolist()) == {0, 1, 2}, task
            assert any("split class by class" in note for note in data.notes) and len(data.validation) == 3
    (tmp_path / "validation.csv.gz").write_bytes(gzip.compress(b"text,label\nword,a\nword,c\n"))
    assert "validation.csv.gz has no sample of 1 of 3 classes: b" in TASKS.build("texts('.')", tmp_path).notes[1]
