"""The command line on new inputs: what a saved run answers is what it answered in its evaluation."""

import gzip
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import run
from nas.cli.next_steps import interpreter
from nas.data.new.new_inputs import new_inputs
from nas.runs.trained_run import TrainedRun

DIGITS = (
    "evaluate",
    "--space",
    "small(width=0.25)",
    "--decoupling",
    "even(3,head=linear)",
    "--seeds",
    "1",
    "--methods",
    "dgl",
    "--epochs",
    "2",
)
WORDS = {"fine": "good great", "poor": "bad awful"}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(capsys, *argv):
    code = run.main([str(word) for word in argv])
    return code, *capsys.readouterr()


def saved(capsys, *argv) -> tuple[Path, pd.Series]:
    """The folder of the run, and its row."""
    code, out, err = call(capsys, *argv)
    assert code == 0, err
    row = pd.read_csv("results/evaluate.csv", dtype={"run": str}).iloc[-1]
    assert f"{interpreter()} run.py predict {Path('runs') / row['run']} INPUTS" in out
    return Path("runs") / row["run"], row


def answers(capsys, *argv) -> pd.DataFrame:
    code, out, err = call(capsys, "predict", *argv)
    assert code == 0, err
    return pd.read_csv(StringIO(out), dtype={"answer": str, "input": str})


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The task's test split."""
    data = load_digits()
    _, test = train_test_split(np.arange(len(data.target)), test_size=0.2, stratify=data.target, random_state=0)
    return np.rint(data.images[test] * (255 / 16)).astype(np.uint8), data.target[test]


@pytest.mark.slow
def test_images_are_answered_as_in_the_evaluation(capsys):
    folder, row = saved(capsys, *DIGITS, "--exits")
    images, labels = digits()
    np.savez("new.npz", images=images)
    for place, image in enumerate(images):
        path = Path("new") / str(place % 3) / f"{place:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    exits = pd.read_csv("results/exits.csv")
    by_array, by_file = (answers(capsys, folder, path) for path in ("new.npz", "new"))
    assert (by_array["answer"].astype(int) != labels).mean() == pytest.approx(row["test_error"])
    assert (by_array["depth"] == 3).all() and (by_array["macs"] == row["macs"]).all()
    by_file.index = by_file["input"].str[2:6].astype(int)
    pd.testing.assert_frame_equal(
        by_file.sort_index().drop(columns="input"), by_array.drop(columns="input"), check_names=False, rtol=1e-5
    )
    for depth, macs in zip(exits["depth"], exits["macs"], strict=True):
        found = answers(capsys, folder, "new.npz", "--budget", macs)
        best = exits[exits["macs"] <= macs].sort_values(["validation_error", "macs"]).iloc[0]
        assert (found["depth"] == best["depth"]).all(), depth
        assert (found["answer"].astype(int) != labels).mean() == pytest.approx(best["test_error"])


def test_it_computes_in_the_precision_of_the_run(capsys):
    """On which its errors, temperatures and thresholds rest."""
    folder, _ = saved(capsys, *DIGITS, "--precision", "bf16")
    np.savez("new.npz", images=digits()[0])
    found = answers(capsys, folder, "new.npz")["probability"]
    trained = TrainedRun.load(folder)
    ((_, x),) = new_inputs(Path("new.npz"), trained.inputs).batches(1000)
    method = trained.build()
    with torch.no_grad():
        plain = method(x).softmax(1).amax(1)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = method(x).float().softmax(1).amax(1)
    assert abs(found - rounded.numpy()).max() < 0.1 * abs(found - plain.numpy()).max()


@pytest.mark.slow
def test_a_threshold_lets_inputs_leave_and_a_budget_stops_them(capsys):
    folder, _ = saved(capsys, *DIGITS)
    images, _ = digits()
    np.savez("new.npz", images=images)
    first, last = (answers(capsys, folder, "new.npz", "--threshold", threshold) for threshold in (0.01, 1))
    assert (first["depth"] == 1).all() and (last["depth"] == 3).all() and first["macs"].max() < last["macs"].min()
    threshold = first["probability"].median()
    found = answers(capsys, folder, "new.npz", "--threshold", threshold)
    assert ((found["depth"] == 1) == (first["probability"] >= threshold)).all() and set(found["depth"]) == {1, 2, 3}
    assert (found["probability"] >= threshold)[found["depth"] < 3].all()
    limit = found.groupby("depth")["macs"].first()[2]
    stopped = answers(capsys, folder, "new.npz", "--threshold", threshold, "--budget", limit)
    assert stopped["depth"].equals(found["depth"].clip(upper=2)) and stopped["macs"].max() == limit
    facts = json.loads(call(capsys, "predict", folder, "new.npz", "--threshold", "0.2", "--rule", "margin", "--json")[1])
    assert sum(facts["depths"].values()) == len(images) == len(facts["predictions"])


@pytest.mark.slow
def test_texts_are_answered_by_their_classes(capsys):
    rng = np.random.default_rng(0)
    rows = [(" ".join(rng.choice(words.split(), rng.integers(1, 9))), name) for _ in range(40) for name, words in WORDS.items()]
    for part in ("train", "test"):
        Path("mine").mkdir(exist_ok=True)
        table = pd.DataFrame(rows, columns=["text", "label"])
        Path(f"mine/{part}.csv.gz").write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    folder, row = saved(
        capsys,
        "evaluate",
        "--space",
        "linear(depth=2,embedding=4,hidden=4)",
        "--task",
        "texts(mine)",
        "--data-dir",
        ".",
        "--methods",
        "al",
        "--decoupling",
        "layerwise",
        "--seeds",
        "1",
        "--iterations",
        "60",
        "--batch-size",
        "16",
        "--optimizer",
        "adam",
        "--lr",
        "0.02",
    )
    pd.DataFrame({"number": [1, 2, 3], "text": ["good great, good", "unheard of", "awful awful BAD"]}).to_csv("new.csv")
    found = answers(capsys, folder, "new.csv", "--threshold", "0.9")
    assert list(found["input"]) == ["0", "1", "2"] and list(found["answer"])[::2] == ["fine", "poor"]
    again = answers(capsys, folder, "mine/test.csv.gz")
    assert (again["answer"] != [name for _, name in rows]).mean() == pytest.approx(row["test_error"])
    assert call(capsys, "predict", folder, "new.csv", "--out", "answers.csv")[1] == ""
    assert list(pd.read_csv("answers.csv")["answer"])[::2] == ["fine", "poor"]
    for path, text, says in [
        ("bad.csv", "text\ngood\n<br>\n", "bad.csv, line 3: the text is empty"),
        ("none.csv", "text\n", "nothing to answer"),
        ("other.csv", "words\ngood\n", "a column text"),
        ("new.doc", "good", "answers a CSV file of texts"),
    ]:
        Path(path).write_text(text, encoding="utf-8")
        code, out, err = call(capsys, "predict", folder, path)
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1


@pytest.mark.slow
def test_images_with_features_are_answered_as_in_the_evaluation(capsys):
    """Images are noise, and the class is the sign of what stands beside them in the second place."""
    rng = np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 256, (120, 8, 8), np.uint8),
        "labels": np.arange(120) % 2,
        "features": np.stack([rng.normal(7, 5, 120), 1e3 + np.where(np.arange(120) % 2, 3, -3)], axis=1),
    }
    for part in ("train", "test"):
        np.savez(f"{part}.npz", **arrays)
    folder, row = saved(
        capsys,
        "evaluate",
        "--space",
        "small(width=0.25)",
        "--decoupling",
        "2:linear",
        "--seeds",
        "1",
        "--methods",
        "dgl",
        "--iterations",
        "60",
        "--batch-size",
        "20",
        "--task",
        "arrays('.',features=True)",
        "--data-dir",
        ".",
        "--side",
        "features",
        "--optimizer",
        "adam",
        "--lr",
        "0.01",
    )
    found = answers(capsys, folder, "test.npz")
    assert row["test_error"] < 0.2
    assert (found["answer"].astype(int) != arrays["labels"]).mean() == pytest.approx(row["test_error"], abs=0.01)
    Path("images").mkdir()
    Image.fromarray(arrays["images"][0]).save("images/1.png")
    np.savez("plain.npz", images=arrays["images"])
    np.savez("narrow.npz", images=arrays["images"], features=arrays["features"][:, :1])
    np.savez("nan.npz", images=arrays["images"], features=arrays["features"] * np.nan)
    for path, says in [
        ("images", "which a folder has not"),
        ("plain.npz", "and the array features"),
        ("narrow.npz", "finite features (120, 2)"),
        ("nan.npz", "not finite"),
    ]:
        code, out, err = call(capsys, "predict", folder, path)
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1


def test_what_cannot_be_answered_is_refused(capsys):
    folder, _ = saved(capsys, *DIGITS)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/1.png").write_bytes(b"no image")
    np.savez("wide.npz", images=np.zeros((2, 9, 8), np.uint8))
    np.savez("float.npz", images=np.zeros((2, 8, 8)))
    np.savez("right.npz", images=np.zeros((2, 8, 8), np.uint8))
    Path("runs/other").mkdir()
    (Path("runs/other") / "trained.pt").write_bytes(b"nothing")
    for argv, says in [
        ((folder, "absent"), "there is no absent"),
        ((folder, "empty"), "nothing to answer in empty"),
        ((folder, "broken"), "the image broken/1.png is missing or damaged"),
        ((folder, "wide.npz"), "holds uint8 (2, 9, 8)"),
        ((folder, "float.npz"), "holds float64"),
        (("runs", "right.npz"), "there is no trained run at runs"),
        (("runs/other", "right.npz"), "cannot be read"),
        ((folder, "right.npz", "--budget", "9"), "got a budget of 9"),
        ((folder, "right.npz", "--threshold", "1.5"), "a threshold is a confidence"),
        ((folder, "right.npz", "--rule", "margin"), "matters only with --threshold"),
        ((folder, "right.npz", "--threshold", "0.5", "--rule", "marginal"), "did you mean margin"),
    ]:
        code, out, err = call(capsys, "predict", *argv)
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1, (argv, err)


def test_images_that_cannot_be_read_keep_no_others_from_their_answers(capsys):
    folder, _ = saved(capsys, *DIGITS)
    images, _ = digits()
    for number, image in enumerate(images[:5]):
        for place in ("all", "some"):
            Path(place).mkdir(exist_ok=True)
            Image.fromarray(image).save(Path(place) / f"{number}.png")
    for number in (1, 3):
        Path(f"some/{number}.png").write_bytes(b"<html>")
    expected = answers(capsys, folder, "all")
    code, out, err = call(capsys, "predict", folder, "some")
    found = pd.read_csv(StringIO(out), dtype={"answer": str, "input": str})
    pd.testing.assert_frame_equal(found, expected.iloc[[0, 2, 4]].reset_index(drop=True), rtol=1e-5)
    assert code == 2 and "run.py: no answer for 2 of 5 images (1.png, 3.png): the image some/1.png is missing" in err
    one = answers(capsys, folder, "all/2.png")
    pd.testing.assert_frame_equal(one, expected.iloc[[2]].reset_index(drop=True), rtol=1e-5)
    code, out, _ = call(capsys, "predict", folder, "some", "--out", "a.csv", "--json")
    assert code == 2 and sum(json.loads(out)["depths"].values()) == len(pd.read_csv("a.csv")) == 3


@pytest.mark.slow
def test_weights_that_were_discarded_are_trained_again_where_asked_for_and_the_row_stays_one(capsys):
    code, *_ = call(capsys, *DIGITS, "--discard-weights")
    assert code == 0 and not list(Path("runs").glob("*/trained.pt"))
    before = Path("results/evaluate.csv").read_text()
    assert call(capsys, *DIGITS)[0] == 0 and not list(Path("runs").glob("*/trained.pt"))  # the row is enough
    assert call(capsys, *DIGITS, "--save-weights")[0] == 0 and Path("results/evaluate.csv").read_text() == before
    (file,) = Path("runs").glob("*/trained.pt")
    assert not list(Path("runs").glob("*/checkpoint.pt"))
    stamp = file.stat().st_mtime_ns
    assert call(capsys, *DIGITS)[0] == 0 and file.stat().st_mtime_ns == stamp
