"""benchmarks/gpu.py: every part rehearses on a CPU, by the same code, and goes on where it stopped."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from benchmarks import gpu as script
from benchmarks.gpu_parts.part import Case, Row, Setup, measuring
from benchmarks.gpu_parts.published import PARTS as PUBLISHED
from benchmarks.gpu_parts.published import STUDIES
from benchmarks.gpu_parts.utilisation import utilisation
from benchmarks.step_time import plain_resnet50, plain_vgg19
from nas.budget import TimeUp
from nas.published.experiments import experiments
from nas.published.values import Experiment, published_values
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

CPU = torch.device("cpu")


def setup(folder: Path, *, seconds: float = 600.0, rehearse: bool = True) -> Setup:
    return Setup(CPU, folder / "results", folder / "runs", time.monotonic() + seconds, rehearse, commit="abc1234")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", script.PARTS)
def test_every_part_rehearses(name: str, tmp_path: Path) -> None:
    where, part = setup(tmp_path), script.PARTS[name]
    assert part.progress(where).done == 0
    part.run(where)
    done = part.progress(where)
    assert where.failed == [] and done.is_complete and done.total > 0
    assert done.file == tmp_path / "results" / f"{name}.csv" and rows(done.file)


def test_what_there_is_is_not_measured_again(tmp_path: Path) -> None:
    made: list[int] = []

    def case(number: int) -> Case:
        def measure() -> Sequence[Row]:
            made.append(number)
            return [{"loop": loop, "seconds": number} for loop in ("one", "two")]

        return Case({"number": number}, measure)

    part = measuring("mine", "what", lambda where: [case(1), case(2)])
    part.run(setup(tmp_path, seconds=-1.0))
    assert made == [] and part.progress(setup(tmp_path)).done == 0, "the time is up"
    part.run(setup(tmp_path))
    part.run(setup(tmp_path))
    assert made == [1, 2] and part.progress(setup(tmp_path)).is_complete
    found = rows(tmp_path / "results" / "mine.csv")
    assert [(row["number"], row["loop"], row["commit"]) for row in found[:2]] == [
        ("1", "one", "abc1234"),
        ("1", "two", "abc1234"),
    ]
    assert len(found) == 4 and all(row["device"] and row["rehearsal"] == "True" for row in found)
    part.run(setup(tmp_path, rehearse=False))
    assert made == [1, 2, 1, 2], "a rehearsal is no measurement"


@pytest.mark.parametrize("error", [RuntimeError("no kernel\nfor it"), torch.OutOfMemoryError("full"), UserError("no such data")])
def test_one_that_fails_does_not_keep_the_next_from_being_made(error: Exception, tmp_path: Path) -> None:
    def fails() -> Sequence[Row]:
        raise error

    part = measuring("mine", "what", lambda where: [Case({"number": 1}, fails), Case({"number": 2}, lambda: [{"a": 1}])])
    where = setup(tmp_path)
    part.run(where)
    done = part.progress(where)
    assert (done.done, done.total, len(where.failed)) == (1, 2, 1) and "\n" not in where.failed[0]


def test_a_bug_shows_its_traceback(tmp_path: Path) -> None:
    def fails() -> Sequence[Row]:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        measuring("mine", "what", lambda where: [Case({"number": 1}, fails)]).run(setup(tmp_path))


def test_without_a_gpu_the_script_says_so_and_lists(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ["--device", "cpu", "--out", str(tmp_path)]
    assert script.main(where) == 2 and "--rehearse" in capsys.readouterr().err
    assert script.main(["list", *where, "--part", "memory", "sedona_vgg19"]) == 75
    said = capsys.readouterr().out
    assert "memory" in said and "not measured" in said and "throughput" not in said
    assert not any(tmp_path.iterdir())


def test_when_the_time_is_up_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, object]] = []

    def evaluate(**options: object) -> None:
        asked.append(options)
        raise TimeUp(str(options["time"]))

    monkeypatch.setattr("nas.evaluate", evaluate, raising=False)
    assert script.main(["--rehearse", "--device", "cpu", "--part", "sedona_vgg19", "contsup_table1"]) == 75
    (options,) = asked
    assert (options["methods"], options["decoupling"], options["seeds"]) == (["backprop"], ["even(4)"], 1)
    assert 500 < float(str(options["time"])) <= 540, "of nine minutes"
    assert "the same command goes on" in capsys.readouterr().out


def test_the_docstring_names_every_part() -> None:
    assert script.__doc__ is not None
    assert [name for name in script.PARTS if name not in script.__doc__] == []


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("backbone", "plain"), [("vgg19", plain_vgg19), ("resnet50", plain_resnet50)])
def test_the_plain_network_is_ours(backbone: str, plain: Callable[[int], torch.nn.Module], width: int) -> None:
    with torch.device("meta"):
        space = SearchSpace(f"{backbone}(width={width})", ["linear"], input_shape=(3, 32, 32), num_classes=10)
        own, other = space.build_backbone(), plain(width)
    shapes = [sorted(tuple(p.shape) for p in one.parameters()) for one in (own, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.experiment)
def test_a_study_asks_for_rows_of_its_experiment(study: object, tmp_path: Path) -> None:
    experiment = Experiment(study.experiment, experiments()[study.experiment])  # type: ignore[attr-defined]
    given = [str(method) for method in experiment.options["methods"]]
    for method, rule in study.order:  # type: ignore[attr-defined]
        assert method in given and rule in experiment.options["decoupling"]
    wanted = study.wanted(setup(tmp_path, rehearse=False))  # type: ignore[attr-defined]
    assert wanted[0][:2] == study.order[0] and len(wanted) == len(set(wanted))  # type: ignore[attr-defined]
    assert {part.name for part in PUBLISHED} <= script.PARTS.keys()


def test_every_published_value_of_the_studies_is_among_their_rows() -> None:
    for study in STUDIES:
        asked = {(method.partition("(")[0], rule) for method, rule in study.order}
        for value in published_values():
            if value.experiment.name == study.experiment and value.num_blocks > 1:
                rule = value.rule or f"published({value.num_blocks})"
                assert (value.method.name, rule) in asked


def test_a_cpu_is_not_said_to_be_busy() -> None:
    assert utilisation(lambda: None, CPU) is None
