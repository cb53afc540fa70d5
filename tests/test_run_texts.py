"""The command line on a person's own texts: search, evaluate with every exit, and what makes a run another one."""

import gzip
import json
import random
from pathlib import Path

import pandas as pd
import pytest

import run

SPACE = ("--space", "lstm(depth=2,embedding=4,hidden=6,num_blocks=[1,3],heads=[linear])", "--task", "texts('.')")
TRAINING = ("--data-dir", "mine", "--batch-size", "16", "--iterations", "30", "--optimizer", "adam", "--lr", "0.02")


def write(part: str, count: int, words: str) -> None:
    """Texts in which the class has words of its own."""
    dice = random.Random(part + words)
    lines = [f"{' '.join(dice.choices(words.split()[2 * (i % 2) :][:2], k=dice.randrange(1, 9)))},{i % 2}" for i in range(count)]
    path = Path("mine") / f"{part}.csv.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(["text,label", *lines, ""]).encode()))


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("train", 80, "good great bad awful")
    write("test", 30, "good great bad awful")
    Path("vectors.txt").write_text("good 1 0 0 0\ngreat 1 0 0 0\nbad 0 1 0 0\n", encoding="utf-8")


def call(capsys, *argv):
    code = run.main(list(argv))
    return code, *capsys.readouterr()


@pytest.mark.slow
def test_texts_from_search_to_exits(capsys):
    code, out, err = call(capsys, "search", *SPACE, *TRAINING, "--method", "al", "--strategy", "random(trials=2)", "--json")
    assert code == 0, err
    found = json.loads(out)["decoupling"]
    arguments = (
        "evaluate",
        *SPACE,
        *TRAINING,
        "--iterations",  # the first blocks of a network so small need more, and a larger rate, than the last
        "60",
        "--lr",
        "0.05",
        "--embeddings",
        "vectors.txt",
        "--decoupling",
        "layerwise",
        found,
        "--seeds",
        "1",
        "--methods",
        "al",
        "dgl",
        "--exits",
    )
    code, out, err = call(capsys, *arguments)
    assert code == 0 and "4 words; vectors for 75.0% of them" in err, err
    runs, exits = (pd.read_csv(f"results/{name}.csv", keep_default_na=False) for name in ("evaluate", "exits"))
    assert set((Path("results") / runs["vocabulary"][0]).read_text().split()) == {"good", "great", "bad", "awful"}
    assert len(exits) == runs["num_blocks"].sum() and (exits["test_error"][exits["depth"] == 1] < 0.2).all()
    assert call(capsys, *arguments)[1] == out and len(pd.read_csv("results/evaluate.csv")) == len(runs)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["words", "vectors"])
def test_what_lies_in_the_files_makes_a_run_another(capsys, change):
    arguments = (
        "evaluate",
        *SPACE,
        *TRAINING,
        "--embeddings",
        "vectors.txt",
        "--decoupling",
        "uncut",
        "--methods",
        "dgl",
        "--seeds",
        "1",
    )
    assert call(capsys, *arguments)[0] == 0
    if change == "words":
        write("train", 80, "good great bad horrid")
    else:
        Path("vectors.txt").write_text("good 0 0 0 1\n", encoding="utf-8")
    assert call(capsys, *arguments)[0] == 0
    assert len(pd.read_csv("results/evaluate.csv")) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--task", "digits", "--embeddings", "vectors.txt"), "digits has no words"),
        (("--task", "texts('.',embeddings='vectors.txt')", "--embeddings", "vectors.txt"), "give one of them"),
        (("--task", "texts('.')", "--embeddings", "nowhere.txt"), "nowhere.txt"),
        (("--task", "texts('.')", "--space", "small"), "text"),
        (("--task", "digits", "--space", "lstm"), "text"),
    ],
)
def test_wrong_combinations_are_one_line(capsys, options, says):
    space = () if "--space" in options else ("--space", "lstm(embedding=4)")
    code, out, err = call(capsys, "evaluate", *space, *options, "--data-dir", "mine")
    assert (code, out) == (2, "") and err.count("\n") == 1 and says in err, err


@pytest.mark.slow
def test_side_inputs_from_profile_to_exits(capsys):
    split = ("--decoupling", "2:linear", "--side-dim", "2-3")
    space = (*SPACE[:2], "--task", "texts('.',length=5)")
    code, out, err = call(capsys, "profile", *space, "--data-dir", "mine", *split, "--json")
    assert code == 0, err
    profiled = json.loads(out)
    arguments = ("evaluate", *space, *TRAINING, "--methods", "al", "dgl", "--seeds", "1", "--exits")
    assert call(capsys, *arguments, *split)[0] == 0
    assert call(capsys, *arguments, "--decoupling", "2:linear")[0] == 0
    runs, exits = (pd.read_csv(f"results/{name}.csv", keep_default_na=False) for name in ("evaluate", "exits"))
    assert list(runs["side"]) == ["text(dim=[2,3],embedding=own)"] * 2 + [""] * 2 == list(exits["side"][::2])
    own = runs["params"][:2] - runs["params"][2:].to_numpy()
    words, width = profiled["blocks"][0]["params"], 12  # 2 * 6 features that the second layer is given
    embedding = 6 * 4  # 4 words, padding and the unknown one
    assert list(own) == [embedding + (4 + 1) * width] * 2 and words > embedding
    assert profiled["params"] == runs["params"][1]
    assert call(capsys, *arguments, *split)[0] == 0 and len(pd.read_csv("results/evaluate.csv")) == 4
    code, out, _ = call(capsys, "compare", "results/evaluate.csv")  # with and without are lines of one table
    assert code == 0 and len([line for line in out.splitlines() if line.startswith(("al", "dgl")) and "dim=[2,3]" in line]) >= 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--side-dim", "2-2"), "2-2, 4 in all"),
        (("--side-dim", "2-2-1"), "3 parts 2-2-1 for 2 blocks"),
        (("--side-dim", "2-3", "--side", "conv"), "give one of them"),
        (("--side", "conv"), "takes images"),
        (("--side", "test"), "text"),
        (("--side", "features"), "the task has none"),
        (("--side-dim", "2-3", "--methods", "backprop"), "2-3 for a network that is uncut"),
    ],
)
def test_side_inputs_that_do_not_fit_are_one_line(capsys, options, says):
    code, out, err = call(
        capsys, "evaluate", *SPACE[:2], "--task", "texts('.',length=5)", *TRAINING, "--decoupling", "2:linear", *options
    )
    assert (code, out) == (2, "") and err.count("\n") == 1 and says in err, err
    assert not Path("results/evaluate.csv").exists()


@pytest.mark.slow
def test_columns_of_the_table_reach_a_block(capsys):
    """Texts that say nothing, and a column that says all."""
    for part in ("train", "test"):
        rows = [f"word,{n % 2},{n % 2 + 5}" for n in range(60)]
        (Path("mine") / f"{part}.csv.gz").write_bytes(gzip.compress("\n".join(["text,label,size", *rows, ""]).encode()))
    arguments = (
        "evaluate",
        *SPACE[:2],
        "--task",
        "texts('.',features=[size])",
        *TRAINING,
        "--methods",
        "dgl",
        "--seeds",
        "1",
        "--decoupling",
        "2:linear",
        "--exits",
    )
    code, _, err = call(capsys, *arguments)
    assert code == 2 and "take evaluate --side 'features(block=1)'" in err
    assert call(capsys, *arguments, "--side", "features")[0] == 0
    errors = pd.read_csv("results/exits.csv")["test_error"]
    assert errors[0] == 0.5 and errors[1] == 0


@pytest.mark.slow
def test_a_run_with_a_side_input_is_kept_and_answers(capsys):
    arguments = (
        "evaluate",
        *SPACE[:2],
        "--task",
        "texts('.',length=5)",
        *TRAINING,
        "--decoupling",
        "2:linear",
        "--seeds",
        "1",
        "--methods",
        "dgl",
    )
    assert call(capsys, *arguments, "--side-dim", "2-3")[0] == 0
    kept = pd.read_csv("results/evaluate.csv")["run"][0]
    Path("new.csv").write_text("text\ngood great good great good\nawful bad\nbad awful awful awful bad\n")
    code, out, err = call(capsys, "predict", str(Path("runs") / kept), "new.csv", "--json")
    assert code == 0, err
    assert [answer["answer"] for answer in json.loads(out)["predictions"]] == ["0", "1", "1"]


@pytest.mark.slow
def test_a_trained_run_takes_further_tokens(capsys):
    """What a text says stands behind its first two tokens, which is all that the run was given."""
    rows = [f"some {['text', 'film'][i // 2 % 2]} {['good', 'bad'][i % 2]},{i % 2}" for i in range(80)]
    for part in ("train", "test"):
        (Path("mine") / f"{part}.csv.gz").write_bytes(gzip.compress("\n".join(["text,label", *rows, ""]).encode()))
    (Path("mine") / "words.txt").write_text("some\ntext\nfilm\ngood\nbad\n")
    arguments = (
        "evaluate",
        *SPACE[:2],
        *TRAINING,
        "--decoupling",
        "2:linear",
        "--seeds",
        "1",
        "--methods",
        "dgl",
        "--exits",
        "--task",
    )
    assert call(capsys, *arguments, "texts('.',length=2,vocabulary='words.txt')")[0] == 0
    kept = pd.read_csv("results/evaluate.csv", dtype=str)["run"][0]
    longer = (*arguments, "texts('.',length=3,vocabulary='words.txt')", "--extend", str(Path("runs") / kept))
    code, _, err = call(capsys, *longer)
    assert code == 2 and "with a new --side, but there are none" in err
    code, _, err = call(capsys, *longer, "--side-dim", "2-1")
    assert code == 0, err
    rows = pd.read_csv("results/evaluate.csv", dtype=str, keep_default_na=False)
    exits = pd.read_csv("results/exits.csv")["test_error"]
    assert list(rows["extends"]) == ["", kept] and list(rows["side"]) == ["", "text(dim=[2,1],embedding=own)"]
    assert exits[2] == exits[0] and exits[1] > 0.3 and exits[3] == 0
    Path("new.csv").write_text("text\nsome film good\nsome film bad\n")
    code, out, err = call(capsys, "predict", str(Path("runs") / rows["run"][1]), "new.csv", "--json")
    assert code == 0 and [answer["answer"] for answer in json.loads(out)["predictions"]] == ["0", "1"], err


@pytest.mark.slow
def test_a_run_with_features_answers_new_inputs_that_have_them(capsys):
    """The label of a text is a number beside it, 100 or 102, and its word says nothing."""
    rows = [f"{100 + 2 * (i % 2)},{['good', 'bad'][i // 2 % 2]},{i % 2}" for i in range(80)]
    for part in ("train", "test"):
        (Path("mine") / f"{part}.csv.gz").write_bytes(gzip.compress("\n".join(["n,text,label", *rows, ""]).encode()))
    assert (
        call(
            capsys,
            "evaluate",
            *SPACE[:2],
            "--task",
            "texts('.',features=[n])",
            *TRAINING,
            "--methods",
            "dgl",
            "--seeds",
            "1",
            "--decoupling",
            "2:linear",
            "--side",
            "features",
        )[0]
        == 0
    )
    kept = str(Path("runs") / pd.read_csv("results/evaluate.csv", dtype=str)["run"][0])
    Path("new.csv").write_text("text,n\ngood,102\ngood bad bad,100\nbad,102\n")
    for threshold in ((), ("--threshold", "1")):
        code, out, err = call(capsys, "predict", kept, "new.csv", "--json", *threshold)
        assert code == 0 and [answer["answer"] for answer in json.loads(out)["predictions"]] == ["1", "0", "1"], err
    for text, says in [
        ("text\ngood\n", "and a column n"),
        ("text,n\ngood,1\nbad,old\n", "line 3: features are finite numbers, got 'old' in the column n"),
        ("text,n\ngood,inf\n", "got 'inf'"),
        ("text,n\ngood,\n", "got ''"),
    ]:
        Path("new.csv").write_text(text)
        code, out, err = call(capsys, "predict", kept, "new.csv")
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1
