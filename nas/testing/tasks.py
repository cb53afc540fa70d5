"""What every task holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch.utils._pytree import tree_leaves

from nas.data.task_data import Part, TaskData
from nas.tasks import TASKS
from nas.testing.spec import spec_of


class TaskContract:
    """Three splits of labelled samples; batches that are functions of seed and iteration; digests; a test split left for last.

    task      the task: a spec with its settings, or a function that can be imported
    folder    where its data lies, as --data-dir; a fixture `data_dir` may make it instead
    """

    task: ClassVar[str | Callable[..., TaskData]]
    folder: ClassVar[str | Path] = "data"

    @pytest.fixture
    def data_dir(self) -> Path:
        """The folder of the data."""
        return Path(self.folder)

    @pytest.fixture
    def spec(self) -> str:
        """The task's name with its settings."""
        return spec_of(self.task)

    @pytest.fixture
    def data(self, spec: str, data_dir: Path) -> TaskData:
        """The task, read."""
        return TASKS.build(spec, data_dir)

    def samples(self, data: TaskData, part: Part) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The batches' inputs, and all labels, of one part."""
        batches = list(data.eval_batches(part, 32))
        return [x for x, _ in batches], torch.cat([y for _, y in batches])

    def test_every_split_has_samples_with_labels_of_the_classes(self, data: TaskData) -> None:
        for part in (data.train, data.validation, data.test()):
            inputs, labels = self.samples(data, part)
            assert len(part) == len(labels) > 0
            assert labels.dtype == torch.int64 and int(labels.min()) >= 0 and int(labels.max()) < data.num_classes
            for leaf in tree_leaves(inputs):
                assert not leaf.is_floating_point() or bool(leaf.isfinite().all())

    def test_splits_are_different_samples(self, data: TaskData) -> None:
        digests = [data.train.digest, data.validation.digest, data.test().digest]
        assert len(set(digests)) == 3

    def test_a_batch_is_a_function_of_seed_and_iteration(self, data: TaskData) -> None:
        size = min(8, len(data.train))
        one, other = data.train_batches(size), data.train_batches(size)
        other.batch(1, 3)
        for given in ((0, 0), (0, 5), (2, 0)):
            pairs = zip(tree_leaves(one.batch(*given)), tree_leaves(other.batch(*given)), strict=True)
            assert all(torch.equal(*pair) for pair in pairs)
        labels = [one.batch(seed, 0)[1] for seed in range(6)]
        assert any(not torch.equal(labels[0], other) for other in labels[1:]), "no seed gives another batch"

    def test_a_task_that_is_read_again_is_the_same(self, spec: str, data_dir: Path, data: TaskData) -> None:
        again = TASKS.build(spec, data_dir)
        assert again.content == data.content and again.test_digest == data.test_digest

    def test_a_trial_takes_a_share_and_leaves_the_test_split_whole(self, data: TaskData) -> None:
        trial = data.scaled(0.5)
        assert len(trial.train) == pytest.approx(len(data.train) / 2, abs=1) and len(trial.test()) == len(data.test())

    def test_is_written_with_its_settings(self, spec: str) -> None:
        written = TASKS.resolve(spec)
        assert TASKS.resolve(str(written)) == written
