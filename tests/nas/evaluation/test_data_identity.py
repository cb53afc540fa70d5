"""Data, test data and weights have identity: what was read is in every key, and nothing of other data is taken for it."""

import gzip
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from methods.method import Method
from methods.training import loop as training
from methods.training.loop import Trained
from methods.training.settings import TrainingSettings
from nas.data.digest import weights_digest
from nas.data.images.folder_samples import FolderSplit
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluation.comparison import Comparison
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.measurements.exits import Exits
from nas.exits.timing import ExitSeconds
from nas.problem import Problem, silent
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.report.exit_lines import exit_lines
from nas.runs.trained_run import FILE, TrainedRun
from nas.strategies.sedona.meta_learning import MetaLearning
from nas.strategies.sedona.pretraining import Pretraining
from nas.strategies.sedona.settings import Settings
from nas.tasks import TASKS
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

POINT = Decoupling((2,), ("linear",))


def split(size: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randint(256, (size, 4, 4, 1), generator=generator, dtype=torch.uint8), torch.arange(size) % 3)


def problem_in(folder: Path, **data: object) -> Problem:
    given = {"train": split(40, 0), "validation": split(20, 1), "read_test": lambda: split(20, 2)} | data
    images = Images(**given, num_classes=3, mean=(0.5,), std=(0.3,))  # type: ignore[arg-type]
    space = read_space("small(width=0.25,heads=[linear])", (1, 4, 4), 3)
    return Problem(
        space,
        "dgl(label_smoothing=0.1)",
        "toy",
        images,
        TrainingSettings(iterations=4, batch_size=10),
        0,
        torch.device("cpu"),
        Results(folder / "results"),
        folder / "runs",
    )


def evaluator(problem: Problem, **others: object) -> Evaluator:
    given = {"test": True} | others
    return Evaluator(problem, problem.results.log("rows.csv"), silent, command="here", **given)  # type: ignore[arg-type]


def exit_rows(made: Evaluator) -> list[dict[str, str]]:
    """What is recorded of each exit."""
    return made.measured(made.measurements[-1], POINT)[0]


def curve_rows(made: Evaluator) -> list[dict[str, str]]:
    """What is recorded of each point of the curves."""
    return made.measured(made.measurements[-1], POINT)[1]


def changed(part: Split, what: str) -> Split:
    """The part with one pixel or one label changed."""
    images, labels = part.images.clone(), part.labels.clone()
    if what == "pixel":
        images[3, 1, 2, 0] ^= 1
    else:
        labels[3] = (labels[3] + 1) % 3
    return Split(images, labels)


# ---- digests


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("what", ["pixel", "label"])
def test_one_pixel_or_label_makes_another_key(tmp_path: Path, part: str, what: str) -> None:
    size, seed = {"train": (40, 0), "validation": (20, 1)}[part]
    one, other = problem_in(tmp_path), problem_in(tmp_path, **{part: changed(split(size, seed), what)})
    assert one.key(POINT) == problem_in(tmp_path).key(POINT) != other.key(POINT)


def test_a_trial_names_the_whole_data(tmp_path: Path) -> None:
    whole = problem_in(tmp_path).data
    assert whole.scaled(0.1).content == whole.content
    assert whole.scaled(0.1).content != problem_in(tmp_path, train=changed(split(40, 0), "pixel")).data.scaled(0.1).content


def test_what_stands_beside_images_counts(tmp_path: Path) -> None:
    features = torch.arange(40.0)[:, None]
    with_features, others = (replace(split(40, 0), features=values) for values in (features, features + 1))
    digests = {part.digest for part in (split(40, 0), with_features, others)}
    assert len(digests) == 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three images each."""
    for label in ("cat", "dog"):
        (tmp_path / "all" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (9, 9), (80 * number, 0, 0)).save(tmp_path / "all" / label / f"{number}.bmp")
    return tmp_path / "all"


def read_folder(folder: Path) -> FolderSplit:
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
    return FolderSplit(folder, files, torch.tensor([int(file.startswith("dog")) for file in files]), 8)


def test_a_folder_is_its_names_sizes_and_times(folder: Path) -> None:
    before = read_folder(folder).digest
    image = folder / "cat" / "1.bmp"
    times = image.stat()
    Image.new("RGB", (9, 9), (0, 7, 0)).save(image)  # as many bytes
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    replaced = read_folder(folder).digest
    (folder / "dog" / "2.bmp").rename(folder / "dog" / "3.bmp")
    renamed = read_folder(folder).digest
    assert len({before, replaced, renamed}) == 3


def test_a_copy_that_keeps_times_is_the_same_folder(folder: Path) -> None:
    copy = shutil.copytree(folder, folder.parent / "copy")
    assert read_folder(copy).digest == read_folder(folder).digest
    os.utime(copy / "cat" / "0.bmp")
    assert read_folder(copy).digest != read_folder(folder).digest


def test_an_image_that_is_gone_is_named(folder: Path) -> None:
    part = read_folder(folder)
    (folder / "cat" / "0.bmp").unlink()
    with pytest.raises(UserError, match="0.bmp is missing"):
        part.digest  # noqa: B018


def written_texts(folder: Path, train: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for part, rows in (("train", train), ("validation", ["good,1", "bad,0"]), ("test", ["good,1", "bad,0"])):
        (folder / f"{part}.csv.gz").write_bytes(gzip.compress("\n".join(["text,label", *rows, ""]).encode()))


def test_texts_in_another_order_or_with_other_labels_are_other_data_though_their_words_are_the_same(tmp_path: Path) -> None:
    rows = ["good film,1", "bad film,0", "good good,1", "bad bad,0"]
    contents = []
    for version in (rows, rows[::-1], [*rows[:2], "good good,0", "bad bad,1"]):
        written_texts(tmp_path / "mine", version)
        contents.append(TASKS.build("texts(root=mine)", tmp_path).content)
    assert len({content["vocabulary"] for content in contents}) == 1
    assert len({content["data_digest"] for content in contents}) == 3


# ---- what is reused


def test_other_data_in_the_same_folder_is_trained_on(tmp_path: Path) -> None:
    one, other = problem_in(tmp_path), problem_in(tmp_path, train=changed(split(40, 0), "label"))
    evaluator(one)(POINT)
    assert evaluator(other).recorded(POINT) is None
    evaluator(other)(POINT)
    first, second = evaluator(one).log.rows()
    assert first["data_digest"] != second["data_digest"] and first["test_digest"] == second["test_digest"]
    assert evaluator(one).recorded(POINT) == first and evaluator(other).recorded(POINT) == second


def test_another_test_split_is_another_row(tmp_path: Path) -> None:
    one = problem_in(tmp_path)
    other = problem_in(tmp_path, read_test=lambda: changed(split(20, 2), "label"))
    evaluator(one)(POINT)
    assert evaluator(other).recorded(POINT) is None and "test split" in str(evaluator(other).why_again(POINT))
    evaluator(other)(POINT)
    first, second = evaluator(one).log.rows()
    assert first["test_digest"] != second["test_digest"] and first["weights_digest"] == second["weights_digest"]
    assert evaluator(one).recorded(POINT) == first and evaluator(other).recorded(POINT) == second
    assert evaluator(other, test=False).why_again(POINT) is None


def sedona(problem: Problem) -> MetaLearning:
    problem = replace(problem, space=read_space("small(width=0.25,heads=[linear],num_blocks=2)", (1, 4, 4), 3))
    settings = Settings(pretrain=2, meta_steps=1, inner_steps=1, memory=1, outer_batch=10)
    return MetaLearning(settings, problem, silent)


def test_sedona_shares_nothing_between_data(tmp_path: Path) -> None:
    parts = (split(40, 0), split(40, 0), changed(split(40, 0), "pixel"))
    one, same, other = (sedona(problem_in(tmp_path, train=part)) for part in parts)
    pretrainings = [Pretraining(search.settings, search.problem, search.training, silent).folder for search in (one, same, other)]
    assert one.folder == same.folder != other.folder and pretrainings[0] == pretrainings[1] != pretrainings[2]


def test_what_an_older_version_left_of_a_search_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    search = sedona(problem_in(tmp_path))
    pretraining = Pretraining(search.settings, search.problem, search.training, silent)
    old = [
        search.problem.run_folder({name: cell for name, cell in key.items() if name != "data_digest"})
        for key in (search.key, pretraining.key)
    ]
    for folder in old:
        folder.mkdir(parents=True)
    search.run()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and all(f"{folder} is not taken up" in line for folder, line in zip(old, told, strict=True))
    search.run()
    assert len(caplog.records) == 2


def compared(problem: Problem, **others: object) -> Comparison:
    log = problem.results.log("rows.csv")
    given = {"rates": [0.1], "schedules": ["cosine"], "report": silent, "command": "here"} | others
    return Comparison(problem, ["dgl"], [str(POINT)], range(1), log=log, tuning_log=log, **given)  # type: ignore[arg-type]


def test_rows_of_before_there_were_digests_are_told_and_trained_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compared(problem_in(tmp_path / "new")).run()
    (row,) = ResultsLog(tmp_path / "new" / "results" / "rows.csv").rows()
    old = {name: cell for name, cell in row.items() if not name.endswith("_digest")}
    problem = problem_in(tmp_path / "old")
    problem.results.log("rows.csv").append(old)
    caplog.clear()
    (again,) = compared(problem).run()
    assert again["data_digest"] == row["data_digest"] and len(compared(problem).log.rows()) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "1 row of an older version is not reused: without a digest of the data, it may be other data"
    ]


def test_rows_of_another_commit_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problem_in(tmp_path)
    monkeypatch.setattr("nas.records.reuse.provenance", lambda: {"commit": "1234567"})
    monkeypatch.setattr("nas.evaluation.evaluator.provenance", lambda: {"commit": "1234567"})
    compared(problem).run()
    assert not caplog.records
    monkeypatch.setattr("nas.records.reuse.provenance", lambda: {"commit": "89abcde"})
    compared(problem).run()
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 1 rows were made at another commit than 89abcde, which runs now"
    ]


# ---- saved weights are the row's


@pytest.fixture
def nudged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is added to a weight of each network after its training, as other threads or another processor would."""
    by = [0.0]

    def train(method: Method, *given: object, **named: object) -> Trained:
        trained = training.train(method, *given, **named)  # type: ignore[arg-type]
        with torch.no_grad():
            next(trained.method.parameters()).view(-1)[0] += by[0]
        return trained

    monkeypatch.setattr("nas.evaluation.run_training.train", train)
    monkeypatch.setattr(
        "nas.evaluation.measurements.exits.exit_seconds",
        lambda method, data, part, size, points, *rest: ExitSeconds([1.0] * method.net.num_blocks, [1.0] * len(points), 1),
    )  # measuring takes longer than the rest
    return by


def saved_runs(problem: Problem) -> dict[str, TrainedRun]:
    return {path.parent.name: TrainedRun.load(path) for path in problem.runs.glob(f"*/{FILE}")}


def test_weights_that_are_saved_later_are_the_rows(tmp_path: Path, nudged: list[float]) -> None:
    problem = problem_in(tmp_path)
    evaluator(problem)(POINT)
    assert "weights are not saved" in str(evaluator(problem, weights="required").why_again(POINT))
    evaluator(problem, weights="required")(POINT)
    (row,), runs = evaluator(problem).log.rows(), saved_runs(problem)
    assert runs[row["run"]].digest == row["weights_digest"] == weights_digest(runs[row["run"]].build().state_dict())
    assert evaluator(problem, weights="required").recorded(POINT) == row


def test_weights_of_another_training_have_a_row_of_their_own(
    tmp_path: Path, nudged: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    problem = problem_in(tmp_path)
    exits = Exits.of(problem.results, calibrated=False)
    evaluator(problem, measurements=[exits])(POINT)
    nudged[0] = 0.5
    keeping = evaluator(problem, measurements=[exits], weights="required")
    keeping(POINT)
    first, second = keeping.log.rows()
    ((name, run),) = saved_runs(problem).items()
    assert name == second["run"] == run.name != first["run"] and run.digest == second["weights_digest"] != first["weights_digest"]
    assert f"is the run {name}, with a row of its own" in caplog.text
    assert keeping.recorded(POINT) == second and evaluator(problem, measurements=[exits]).recorded(POINT) == first
    own = [{exit["weights_digest"] for exit in exit_rows(one)} for one in (evaluator(problem, measurements=[exits]), keeping)]
    assert own == [{first["weights_digest"]}, {second["weights_digest"]}]
    assert float(exit_rows(keeping)[-1]["test_error"]) == float(second["test_error"])
    (line,) = exit_lines(exits.exits.rows(), exits.curves.rows(), "toy")  # in the plot a seed counts once
    assert line.static.errors[-1] == pytest.approx(100 * float(first["test_error"]))
    keeping(POINT)
    assert len(keeping.log.rows()) == 2


def test_files_that_were_joined_with_a_copy_count_each_exit_once(tmp_path: Path, nudged: list[float]) -> None:
    problem = problem_in(tmp_path)
    exits = Exits.of(problem.results, calibrated=False)
    own = evaluator(problem, measurements=[exits])
    own(POINT)
    before = exit_rows(own), curve_rows(own), exit_lines(exits.exits.rows(), exits.curves.rows(), "toy")
    for log in (exits.exits, exits.curves):
        header, rows = log.path.read_bytes().split(b"\n", 1)
        log.path.write_bytes(header + b"\n" + rows + rows)
    after = exit_rows(own), curve_rows(own), exit_lines(exits.exits.rows(), exits.curves.rows(), "toy")
    assert len(exits.exits.rows()) == 4 and repr(after) == repr(before)


def test_exits_of_another_training_are_not_written_to_the_row(tmp_path: Path, nudged: list[float]) -> None:
    problem = problem_in(tmp_path)
    exits = Exits.of(problem.results, calibrated=False)
    evaluator(problem, measurements=[exits])(POINT)
    for path in (exits.exits.path, exits.curves.path):
        path.unlink()
    nudged[0] = 0.5
    again = evaluator(problem, measurements=[Exits.of(problem.results, calibrated=False)])
    again(POINT)
    first, second = again.log.rows()
    assert {exit["weights_digest"] for exit in exit_rows(again)} == {second["weights_digest"]} != {first["weights_digest"]}


def test_weights_of_another_run_in_its_folder_are_not_its_weights(tmp_path: Path, nudged: list[float]) -> None:
    problem = problem_in(tmp_path)
    others = replace(problem, seed=1)
    for one in (problem, others):
        evaluator(one, weights="required")(POINT)
    first, second = evaluator(problem).log.rows()
    shutil.copy(problem.runs / second["run"] / FILE, problem.runs / first["run"] / FILE)
    evaluator(problem, weights="required")(POINT)
    assert saved_runs(problem)[first["run"]].digest == first["weights_digest"] and len(evaluator(problem).log.rows()) == 2


def test_weights_that_were_changed_in_their_file_are_refused(tmp_path: Path) -> None:
    problem = problem_in(tmp_path)
    row = evaluator(problem, weights="required").run(POINT)
    file = problem.runs / row["run"] / FILE
    saved = torch.load(file, weights_only=True)
    next(iter(saved["weights"].values())).view(-1)[0] += 1
    torch.save(saved, file)
    with pytest.raises(UserError, match=f"digest is .* but {row['weights_digest']}"):
        TrainedRun.load(file)
    del saved["weights_digest"]  # a file of an older version
    torch.save(saved, file)
    assert TrainedRun.load(file).key == saved["key"]


def test_an_extension_of_other_weights_is_another_run(tmp_path: Path) -> None:
    problem = problem_in(tmp_path)
    run = TrainedRun.load(problem.runs / evaluator(problem, weights="required").run(POINT)["run"])
    weights = {name: tensor + 1 for name, tensor in run.weights.items()}
    one, other = (replace(problem, extends=extended).key(POINT) for extended in (run, replace(run, weights=weights)))
    assert one["extends"] == other["extends"] and one != other
