"""The task `loader`: data sets and loaders of a user's own, made here."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, WeightedRandomSampler

import nas
from methods.training.class_limit import ClassLimit
from nas.data.loaded.loaded import Loaded
from nas.tasks import TASKS
from nas.testing import TaskContract
from spaces.activation import TextShape, WithFeatures
from spaces.network import PixelScale
from spaces.notation.errors import UserError
from spaces.notation.own_modules import only_allowed

GIVEN: dict[str, Any] = {}  # what `make` returns


def make() -> Any:
    return GIVEN["made"]


def make_below(data_dir: Path) -> Any:
    return {"train": torch.load(data_dir / "train.pt", weights_only=True), "test": Blobs(1, 20)}


def make_nothing() -> None:
    return None


def needs_two(folder: Path, size: int, noise: float = 0.0) -> None: ...


def fails() -> None:
    raise RuntimeError("no such server")


class Blobs(Dataset[Any]):
    """Images of three colours; what `change` is given is an item, and its number."""

    def __init__(
        self, seed: int, count: int = 60, *, noise: float = 0.0, change: Callable[[Any, int], Any] | None = None
    ) -> None:
        self.y = torch.arange(count) % 3
        generator = torch.Generator().manual_seed(seed)
        self.x = (60 * self.y[:, None, None, None] + torch.randint(0, 60, (count, 1, 8, 8), generator=generator)).to(torch.uint8)
        self.noise, self.change, self.reads = noise, change, 0

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> Any:
        self.reads += 1
        x: Any = self.x[place]
        if self.noise:
            x = x / 255 + self.noise * (torch.rand(()) + float(np.random.random()) + random.random())
        item = x, int(self.y[place])
        return self.change(item, place) if self.change else item


class Stream(IterableDataset[Any]):
    """The same, in an order drawn from the global random numbers, with noise from them."""

    def __init__(self, seed: int, count: int = 60) -> None:
        self.blobs, self.epochs = Blobs(seed, count, noise=0.1), list[int]()

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __iter__(self) -> Iterator[Any]:
        for place in torch.randperm(len(self.blobs)).tolist():
            yield self.blobs[place]


def parts(**changes: Any) -> dict[str, Any]:
    return {"train": Blobs(0), "test": Blobs(1, 20)} | changes


def task(made: Any = None, settings: str = "") -> Loaded:
    GIVEN["made"] = parts() if made is None else made
    found = TASKS.build(f"loader(path={__name__}.make{settings})", Path("nowhere"))
    assert isinstance(found, Loaded)
    return found


def leaves(batch: Any) -> list[torch.Tensor]:
    x, y = batch
    return [*x, y] if isinstance(x, tuple) else [x, y]


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(*pair) for pair in zip(leaves(one), leaves(other), strict=True))


# ---- what nas.testing asks of every task


class Contract(TaskContract):
    task = f"loader(path={__name__}.make)"
    made: ClassVar[Callable[[], Any]]

    @pytest.fixture(autouse=True)
    def given(self) -> None:
        GIVEN["made"] = type(self).made()


class TestDataSets(Contract):
    made = staticmethod(lambda: {"train": Blobs(0, noise=0.1), "test": Blobs(1, noise=0.1)})


class TestOfAVersion(Contract):
    task = f"loader(path={__name__}.make,version='2026-11')"
    made = staticmethod(lambda: parts(classes=["red", "green", "blue"]))


class TestLoaders(Contract):
    made = staticmethod(
        lambda: {name: DataLoader(Blobs(seed), batch_size=7, shuffle=True) for seed, name in enumerate(["train", "test"])}
    )


def packed(items: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """A collate function that draws."""
    return torch.stack([x / 255 for x, _ in items]) + torch.rand(()), torch.tensor([y for _, y in items])


class TestACollateFunction(Contract):
    made = staticmethod(lambda: {name: DataLoader(Blobs(seed), collate_fn=packed) for seed, name in enumerate(["train", "test"])})


class TestStreams(Contract):
    made = staticmethod(lambda: {name: Stream(seed) for seed, name in enumerate(["train", "validation", "test"])})

    def test_a_trial_takes_a_share_and_leaves_the_test_split_whole(self, data: Loaded) -> None:
        with pytest.raises(UserError, match="a share of numbered samples, got a stream as train"):
            data.scaled(0.5)


class TestAnOwnSampler(TestStreams):
    made = staticmethod(
        lambda: {
            name: DataLoader(Blobs(seed), batch_size=7, sampler=WeightedRandomSampler([1.0, 2.0, 3.0] * 20, 60))
            for seed, name in enumerate(["train", "validation", "test"])
        }
    )


# ---- batches


MADE: dict[str, Callable[[], Any]] = {
    "data sets": lambda: parts(train=Blobs(0, noise=0.5)),
    "streams": lambda: {name: Stream(seed) for seed, name in enumerate(["train", "validation", "test"])},
    "loaders of streams": lambda: {name: DataLoader(Stream(s), 7) for s, name in enumerate(["train", "validation", "test"])},
}


@pytest.mark.parametrize("kind", MADE)
def test_a_run_that_goes_on_sees_the_batches_that_it_would_have_seen(kind: str) -> None:
    """Whatever was drawn in between, by this run or by another program."""
    whole, again = (task(MADE[kind]()).train_batches(8) for _ in range(2))
    batches = []
    for iteration in range(17):
        torch.rand(iteration), random.random(), np.random.random()
        batches.append(whole.batch(3, iteration))
    assert whole.num_batches < 8, "the second epoch and the third have begun"
    for iteration in (16, 5, 6, 7, 8):
        assert equal(again.batch(3, iteration), batches[iteration])
    assert not equal(batches[0], batches[whole.num_batches]), "an epoch is drawn anew"


@pytest.mark.parametrize("kind", MADE)
def test_the_trainings_random_numbers_are_its_own(kind: str) -> None:
    data = task(MADE[kind]())
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(5)
    data.train_batches(8).batch(0, 2)
    next(iter(data.eval_batches(data.validation, 4)))
    left = torch.rand(()), np.random.random(), random.random()
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(5)
    assert left == (torch.rand(()), np.random.random(), random.random())


def test_workers_change_nothing() -> None:
    one = task(parts(train=Blobs(0, noise=0.5)))
    other = task(parts(train=DataLoader(Blobs(0, noise=0.5), batch_size=4, num_workers=2)))
    batches = one.train_batches(8), other.train_batches(8)
    assert one.content == other.content
    assert all(equal(batches[0].batch(1, iteration), batches[1].batch(1, iteration)) for iteration in range(9))


def test_a_sample_is_augmented_in_training_alone() -> None:
    data = task(parts(train=Blobs(0, noise=0.5), validation=Blobs(2, noise=0.5)))
    (first, _), (again, _) = (next(iter(data.eval_batches(data.validation, 60))) for _ in range(2))
    assert torch.equal(first, again)
    batches = data.train_batches(54)
    assert not torch.equal(batches.batch(0, 0)[0].sum(), batches.batch(0, 1)[0].sum())
    plain = data.random_batches(data.validation, 60)
    torch.testing.assert_close(plain.batch(0, 0)[0].sum(), plain.batch(0, 1)[0].sum())


def test_every_sample_comes_once_and_validation_is_held_out() -> None:
    data = task()
    seen = torch.cat([x for part in (data.train, data.validation) for x, _ in data.eval_batches(part, 7)])
    rows = sorted((255 * row).round().flatten().tolist() for row in seen)
    assert rows == sorted(row.flatten().float().tolist() for row in GIVEN["made"]["train"].x)
    assert len(data.validation) == 6 and data.validation.labels.bincount().tolist() == [2, 2, 2]
    other = task(settings=",validation=0.5,split_seed=3")
    assert len(other.validation) == 30


def test_limited_batches_have_samples_of_few_classes() -> None:
    batches = task().train_batches(8, limit=ClassLimit(2, 5))
    assert all(len(batches.batch(0, iteration)[1].unique()) == 2 for iteration in range(5))
    streams = task(MADE["streams"]())
    with pytest.raises(UserError, match="drawn from numbered samples, got a stream"):
        streams.train_batches(8, limit=ClassLimit(2, 5))


def test_a_subset_that_a_sampler_shuffles_is_a_part() -> None:
    blobs, order = Blobs(0), torch.randperm(60).tolist()
    halves = [DataLoader(blobs, batch_size=7, sampler=SubsetRandomSampler(part)) for part in (order[:40], order[40:])]
    data = task(parts(train=halves[0], validation=halves[1]))
    assert (len(data.train), len(data.validation)) == (40, 20)
    (x, y) = next(iter(data.eval_batches(data.validation, 20)))
    torch.testing.assert_close(x, blobs.x[order[40:]] / 255)
    assert torch.equal(y, blobs.y[order[40:]]) and len(data.scaled(0.5).train) == 20


def test_targets_of_a_data_set_are_believed() -> None:
    """So that beside a version nothing is read for the classes, for stratifying, or for batches of few classes."""
    blobs = Blobs(0)
    blobs.targets = blobs.y.tolist()
    data = task(parts(train=blobs), ",version=1,validation=0.05")
    assert data.num_classes == 3 and data.validation.labels.bincount().tolist() == [1, 1, 1]
    batches = data.train_batches(8, limit=ClassLimit(2, 5))
    assert blobs.reads < 20 and len(batches.batch(0, 0)[1].unique()) == 2


def test_streams_that_share_a_loader_are_read_side_by_side() -> None:
    made = {
        name: DataLoader(Stream(seed), 7, num_workers=1, persistent_workers=True)
        for seed, name in enumerate(["train", "validation", "test"])
    }
    data = task(made)
    alone = [data.train_batches(8).batch(0, iteration) for iteration in range(3)]
    one, other = data.train_batches(8), data.train_batches(8)
    for iteration in range(3):
        assert equal(one.batch(0, iteration), alone[iteration]) and not equal(other.batch(1, iteration), alone[iteration])


@pytest.mark.slow
@pytest.mark.parametrize("made", ["Stream(0), 7", "Blobs(0)"])
def test_workers_that_still_wait_end_with_the_program(made: str) -> None:
    """A Python that still holds what it reads from."""
    script = (
        "import test_loader as t\n"
        f"data = t.task({{name: t.DataLoader(t.{made}, num_workers=2) for name in ('train', 'validation', 'test')}})\n"
        "batches = data.train_batches(8); batches.batch(0, 0); vars(data)['circle'] = batches; print('read')"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path}, timeout=60, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"read\n", b"")


def test_streams_are_told_their_epoch() -> None:
    made = MADE["streams"]()
    batches, train = task(made).train_batches(20), made["train"]
    train.epochs.clear()
    for iteration in range(7):
        batches.batch(0, iteration)
    assert train.epochs == [0, 1, 2]


# ---- what samples may be


def test_pixels_are_normalised_and_numbers_stay_as_they_are() -> None:
    grey = task(settings=",mean=[0.5],std=[0.25]")
    assert grey.input_shape == (1, 8, 8) and grey.pixels == PixelScale((0.5,), (0.25,))
    (x, y) = next(iter(grey.eval_batches(grey.test(), 20)))
    torch.testing.assert_close(x, (GIVEN["made"]["test"].x / 255 - 0.5) / 0.25)
    assert y.dtype == torch.int64 and x.is_contiguous(memory_format=torch.channels_last)
    plain = task()
    torch.testing.assert_close(next(iter(plain.eval_batches(plain.test(), 20)))[0], GIVEN["made"]["test"].x / 255)
    change = {"change": lambda item, place: (item[0].double() * 7 - 3, item[1])}
    numbers = task({"train": Blobs(0, **change), "test": Blobs(1, 20, **change)})
    torch.testing.assert_close(next(iter(numbers.eval_batches(numbers.test(), 20)))[0], GIVEN["made"]["test"].x.float() * 7 - 3)
    assert numbers.pixels is None and numbers.inputs["kind"] == "tensors"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_pictures_are_pixels(mode: str) -> None:
    def picture(item: Any, place: int) -> Any:
        return Image.fromarray(item[0][0].numpy()).convert(mode), item[1]

    data = task({"train": Blobs(0, change=picture), "test": Blobs(1, change=picture)})
    assert data.input_shape == (1 if mode in "L1" else 3, 8, 8) and data.inputs["kind"] == "images"
    x, _ = next(iter(data.eval_batches(data.train, 54)))
    assert 0 <= x.min() < x.max() <= 1


def ids(item: Any, place: int) -> Any:
    length = 1 + place % 5
    return torch.full((length,), 2 + item[1] + place % 2), item[1]


def test_token_ids_are_padded_and_cut() -> None:
    data = task({"train": Blobs(0, change=ids), "test": Blobs(1, change=ids)}, ",num_words=9,length=4")
    assert data.input_shape == TextShape(4, 9)
    x, y = next(iter(data.eval_batches(data.train, 54)))
    assert x.dtype == torch.int64 and x.shape == (54, 4) and set(map(int, (x > 0).sum(1))) == {1, 2, 3, 4}
    assert ((x == 0) | (x == 2 + y[:, None]) | (x == 3 + y[:, None])).all()
    with pytest.raises(UserError, match=r"sample 1 of train: token ids lie in 0\.\.3, got 4\.\.4; give num_words="):
        task({"train": Blobs(0, change=ids), "test": Blobs(1, change=ids)}, ",num_words=4,length=4")


def test_features_stand_beside_their_samples() -> None:
    def beside(item: Any, place: int) -> Any:
        return *item, [item[1] - 1.0, 0.5]

    data = task({"train": Blobs(0, change=beside), "test": Blobs(1, change=beside)})
    assert data.num_features == 2
    x, y = data.train_batches(8).batch(0, 0)
    assert isinstance(x, WithFeatures) and torch.equal(x.features[:, 0], y - 1.0)


# ---- what is refused


def at(place: int, item: Any) -> Callable[[Any, int], Any]:
    """All items but one as they are; that one is `item` of it."""
    return lambda given, number: item(*given) if number == place else given


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (
            lambda x, y: (x[:, :7], y),
            r"sample 5 of train: all samples have the shape of the first of train, \(1, 8, 8\), got \(1, 7, 8\)",
        ),
        (lambda x, y: (x, -1), r"sample 5 of train: labels lie in 0\.\.2, got -1"),
        (lambda x, y: (x, 3), r"sample 5 of train: labels lie in 0\.\.2, got 3"),
        (lambda x, y: (x, 1.0), r"sample 5 of train: a label is a whole number, .* got the float '1.0'"),
        (lambda x, y: (x, torch.tensor([1, 0])), r"a label is a whole number, .* got int64 \(2,\)"),
        (lambda x, y: (x.float(), y), "sample 5 of train: all samples hold pixels, .* got numbers"),
        (lambda x, y: (x.numpy(), y), "an input is a tensor or a PIL image, got a numpy.ndarray"),
        (lambda x, y: (x[0], y), r"an input is a uint8 image \(C, H, W\), .* got uint8 \(8, 8\)"),
        (lambda x, y: x, r"a sample is a pair \(x, y\), .* got uint8 \(1, 8, 8\)"),
        (lambda x, y: {"image": x, "label": y}, "got a dict with the keys image, label"),
        (lambda x, y: (x[:, :0], y), r"an input is not empty, got uint8 \(1, 0, 8\)"),
        (lambda x, y: (x, y, [1.0]), "all samples have 0 features, as the first of train, got 1"),
        (lambda x, y: (x, y, "old"), r"features are numbers \(F,\), got the str 'old'"),
        (lambda x, y: [][7], r"sample 5 of train cannot be read \(IndexError: list index out of range in .*test_loader.py, line"),
    ],
)
def test_a_sample_that_does_not_fit_is_named(item: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        task(parts(train=Blobs(0, change=at(5, item)), classes=3))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_of_a_version_is_named_in_its_turn(workers: int) -> None:
    broken = DataLoader(Blobs(0, 6, change=at(5, lambda x, y: (x, 9))), num_workers=workers)
    data = task(parts(train=Blobs(0), validation=broken, classes=3), ",version=1")
    with pytest.raises(UserError, match="sample 5 of validation: labels lie in 0..2, got 9"):
        list(data.eval_batches(data.validation, 2))


def test_what_is_not_finite_is_named() -> None:
    change = at(5, lambda x, y: (torch.full((2,), torch.nan), y))
    with pytest.raises(UserError, match="sample 5 of test: numbers are finite"):
        task(
            {
                "train": Blobs(0, change=lambda item, place: (torch.zeros(2), item[1])),
                "test": Blobs(1, change=lambda item, place: change((torch.zeros(2), item[1]), place)),
            }
        ).test()


@pytest.mark.parametrize(
    ("made", "settings", "says"),
    [
        (lambda: [Blobs(0), Blobs(1)], "", "returns a dict with the keys train and test, .* got a list"),
        (lambda: {"train": Blobs(0)}, "", "the parts train and test, got no test"),
        (lambda: parts(valid=Blobs(2)), "", "returns the keys train, test, validation, classes, got 'valid'"),
        (lambda: parts(classes=["a", "a", "b"]), "", "at least two names, each once"),
        (lambda: parts(train=5), "", "the part train is a data set, .* got a int"),
        (lambda: parts(train=Blobs(0, 0)), "", "the part train has samples, got an empty one"),
        (lambda: parts(validation=Blobs(2)), ",validation=0.2", "returns a part validation, so they have no effect"),
        (lambda: parts(train=Stream(0)), "", "got a stream as train; return a part validation"),
        (lambda: parts(), ",length=5", "length is for token ids, got length=5 with samples that hold pixels"),
        (lambda: {"train": Blobs(0, change=ids), "test": Blobs(1, change=ids)}, "", "num_words, .* is needed"),
        (lambda: parts(), ",mean=[0.5,0.5],std=[1,1]", "mean is a list of 1 numbers here"),
        (lambda: parts(), ",validation=0", "validation is a share between 0 and 1"),
        (lambda: parts(train=[(torch.zeros(2), 0), (torch.zeros(2), 2)]), "", "labels are 0..C-1 .* got 0, 2 in train"),
        (lambda: parts(train=Stream(0), validation=Stream(1), classes=3), ",version=1", "give its data set a __len__"),
        (lambda: parts(train=Stream(0), validation=Stream(1)), ",version=1", "beside version= labels are not read to count"),
    ],
)
def test_what_a_function_returns_is_checked(made: Callable[[], Any], settings: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        task(made(), settings).train_batches(8)


def test_the_function_is_imported_and_called() -> None:
    for name, says in (
        ("make_nothing", "returns a dict .* got a NoneType"),
        ("needs_two", "takes the data folder or nothing, got a function of folder, size; give others defaults"),
        ("fails", r"the data of .*fails cannot be made \(RuntimeError: no such server in .*test_loader.py, line"),
        ("absent", "cannot be imported"),
    ):
        with pytest.raises(UserError, match=says):
            TASKS.build(f"loader(path={__name__}.{name})", Path("nowhere"))


def test_a_name_without_its_module_is_refused() -> None:
    with pytest.raises(UserError, match="path is the dotted path of a function, such as my_package.make_data, got make_data"):
        TASKS.build("loader(path=make_data)", Path("nowhere"))


def test_the_function_may_take_the_data_folder(tmp_path: Path) -> None:
    torch.save([(Blobs(0).x[n], n % 3) for n in range(30)], tmp_path / "train.pt")
    assert len(TASKS.build(f"loader(path={__name__}.make_below)", tmp_path).train) == 27


# ---- identity


def test_a_data_set_that_changed_is_other_data() -> None:
    one, same, other = task(), task(), task(parts(train=Blobs(3)))
    assert one.content == same.content != other.content
    swapped = parts(train=Blobs(0, change=at(5, lambda x, y: (x, (y + 1) % 3))))
    assert task(swapped).content != one.content
    assert one.test_digest == other.test_digest != task(parts(test=Blobs(4, 20))).test_digest


def test_a_version_stands_for_the_samples_which_stay_unread() -> None:
    made = parts(classes=3)
    one = task(made, ",version=1")
    assert made["train"].reads < 20 and made["test"].reads == 0
    assert one.content == task(parts(train=Blobs(3), classes=3), ",version=1").content
    assert one.content != task(parts(classes=3), ",version=2").content
    assert one.test_digest and made["test"].reads == 0


def test_the_test_part_is_not_touched_before_the_test() -> None:
    made = parts()
    asked = []

    def test() -> Blobs:
        asked.append(True)
        return Blobs(1, 20)

    data = task(made | {"test": test})
    assert not asked and len(data.test()) == 20 and asked
    task(made).train_batches(8).batch(0, 0)
    assert made["test"].reads == 0


def test_a_part_that_cannot_be_made_is_told() -> None:
    with pytest.raises(
        UserError, match=r"the part train cannot be made \(RuntimeError: no such server in .*test_loader.py, line"
    ):
        task(parts(train=fails))


def test_floats_that_nothing_normalised_are_told() -> None:
    settings = ",mean=[0.5],std=[0.25]"
    for moved, told in ((0.0, True), (0.5, False)):
        change = {"change": lambda item, place, moved=moved: (item[0] / 255 - moved, item[1])}
        notes = task({"train": Blobs(0, **change), "test": Blobs(1, **change)}, settings).notes
        assert any("floats stay as they are" in note for note in notes) == told


def test_notes_say_what_cannot_be_repeated() -> None:
    drawn = np.random.default_rng(0)
    assert task().notes == ()
    (own,) = task(
        parts(
            train=Blobs(0, change=lambda item, place: (torch.rand(2) + drawn.random(), item[1])),
            test=Blobs(1),
            validation=Blobs(2, change=lambda item, place: (torch.rand(2), item[1])),
        )
    ).notes
    assert "train gives another sample 0 each time" in own
    (share,) = task(parts(train=Blobs(0, noise=0.1))).notes
    assert "validation is a share of train and goes through its random transforms" in share
    (drawn_here,) = task(parts(train=DataLoader(Blobs(0), batch_size=4))).notes
    assert "batches are drawn by --batch-size" in drawn_here
    assert "reads its epoch again" in " ".join(task(MADE["streams"]()).notes)


# ---- as a user


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


ASKED: dict[str, Any] = {"decoupling": "even(2)", "methods": "dgl", "seeds": 1, "iterations": 6, "batch_size": 16, "lr": 0.05}


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_images_are_trained_searched_and_answered() -> None:
    GIVEN["made"] = parts(classes=["dark", "grey", "light"])
    spec = f"loader(path={__name__}.make)"
    table = nas.evaluate("small(width=0.25)", spec, **ASKED)
    assert len(table) == 1 and nas.evaluate("small(width=0.25)", spec, **ASKED)["run"].equals(table["run"])
    Path("new").mkdir()
    Image.fromarray(Blobs(5).x[2, 0].numpy()).resize((30, 30)).save("new/one.png")
    found = nas.predict(f"runs/{table['run'][0]}", "new")
    assert set(found["answer"]) <= {"dark", "grey", "light"}
    assert nas.search("small(width=0.25)", spec, strategy="random(trials=1)", iterations=2, batch_size=16).score.error <= 1
    assert nas.profile("small(width=0.25)", spec, decoupling="even(2)", batch_size=16).macs > 0
    GIVEN["made"] = parts(train=Blobs(9), classes=["dark", "grey", "light"])
    assert nas.evaluate("small(width=0.25)", spec, **ASKED)["run"][0] != table["run"][0]


@pytest.mark.slow  # exits are timed for five seconds
@pytest.mark.usefixtures("empty_folder")
def test_exits_of_a_stream_are_measured() -> None:
    GIVEN["made"] = MADE["streams"]()
    table = nas.evaluate("small(width=0.25)", f"loader(path={__name__}.make)", exits=True, **ASKED)
    assert len(table) == 1 and len(nas.read_results("results/exits.csv")) == 2


@pytest.mark.usefixtures("empty_folder")
def test_numbers_and_ids_are_answered_from_an_npz() -> None:
    change = {"change": lambda item, place: (item[0].float() - 90, item[1])}
    GIVEN["made"] = {"train": Blobs(0, **change), "test": Blobs(1, **change)}
    table = nas.evaluate("small(width=0.25)", f"loader(path={__name__}.make)", **ASKED)
    np.savez("new.npz", inputs=(Blobs(5).x.float() - 90).numpy())
    assert len(nas.predict(f"runs/{table['run'][0]}", "new.npz")) == 60
    np.savez("other.npz", inputs=np.zeros((3, 1, 8, 9)))
    with pytest.raises(UserError, match=r"answers finite numbers \(N, 1, 8, 8\), got float64 \(3, 1, 8, 9\) in other.npz"):
        nas.predict(f"runs/{table['run'][0]}", "other.npz")
    with pytest.raises(UserError, match=r"answers an .npz file with the array inputs"):
        nas.predict(f"runs/{table['run'][0]}", ".")
    GIVEN["made"] = {"train": Blobs(0, change=ids), "test": Blobs(1, change=ids)}
    spec = f"loader(path={__name__}.make,num_words=9,length=4)"
    texts = nas.evaluate("lstm(depth=2,embedding=8,hidden=8)", spec, **ASKED | {"decoupling": "layerwise"})
    np.savez("ids.npz", inputs=np.array([[2, 2, 0, 0, 0], [3, 4, 4, 4, 4]]))
    assert len(nas.predict(f"runs/{texts['run'][0]}", "ids.npz")) == 2


def test_a_function_that_a_file_names_is_not_imported() -> None:
    with only_allowed(), pytest.raises(UserError, match="--allow"):
        TASKS.build(f"loader(path={__name__}.make)", Path("nowhere"))


class Ending(Blobs):
    """One sample ends the process that reads it, as a system does that is short of memory."""

    def __getitem__(self, place: int) -> Any:
        if place == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(place)


@pytest.mark.slow  # torch looks every five seconds
def test_a_worker_that_is_killed_is_one_line() -> None:
    with pytest.raises(UserError, match="the part train: a worker process of the DataLoader ended, .* take fewer workers"):
        task(parts(train=DataLoader(Ending(0), num_workers=1)))


@pytest.mark.usefixtures("empty_folder")
def test_features_are_a_side_input_and_are_answered() -> None:
    def beside(item: Any, place: int) -> Any:
        return *item, [float(item[1]), 0.5]

    GIVEN["made"] = {"train": Blobs(0, change=beside), "test": Blobs(1, change=beside)}
    settings = ASKED | {"side": "features(block=1)", "scale": 0.5}
    table = nas.evaluate("small(width=0.25)", f"loader(path={__name__}.make)", **settings)
    images = Blobs(5).x.permute(0, 2, 3, 1).numpy()
    np.savez("new.npz", images=images, features=np.ones((60, 2)))
    assert len(nas.predict(f"runs/{table['run'][0]}", "new.npz")) == 60
    Path("new").mkdir()
    Image.fromarray(images[0, ..., 0]).save("new/one.png")
    with pytest.raises(UserError, match="with features beside them, which a folder has not"):
        nas.predict(f"runs/{table['run'][0]}", "new")


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_workers_end_with_the_run_that_they_read_for() -> None:
    GIVEN["made"] = parts(train=DataLoader(Blobs(0), num_workers=1), validation=Blobs(2))
    running = []

    def progress(what: str, done: int, total: int, **figures: float) -> None:
        running.append(len(active_children()))

    nas.evaluate("small(width=0.25)", f"loader(path={__name__}.make)", progress=progress, **ASKED | {"seeds": 3})
    assert max(running) == 1
