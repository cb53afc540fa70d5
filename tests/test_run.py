"""The command line as a person uses it: most of it in this process, and real processes for what only they can suffer."""

import errno
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import run
from nas.catalogue.kinds import KINDS
from nas.problem import Found
from spaces.decoupling import Decoupling
from spaces.named import named_spaces
from tests.nas.records.test_results_readme import check_columns

ROOT = Path(run.__file__).resolve().parent
TINY = ("--space", "small(width=0.25)", "--iterations", "2", "--batch-size", "32")
SEARCH = ("search", *TINY, "--strategy", "random(trials=2)")
EVALUATE = ("evaluate", *TINY, "--decoupling", "even(2)", "--seeds", "2")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_DATA_DIR", raising=False)


@pytest.fixture
def call(monkeypatch, capsys):
    """call(*argv): exit code, what is printed, and what is said beside it."""

    def called(*argv):
        monkeypatch.setattr(sys, "argv", ["run.py", *argv])
        code = run.main(list(argv))
        return code, *capsys.readouterr()

    return called


@pytest.fixture
def succeed(call):
    """succeed(*argv): what is printed."""

    def called(*argv):
        code, out, err = call(*argv)
        assert code == 0, err
        return out

    return called


@pytest.fixture
def refused(call):
    """refused(*argv): the one line that says why."""

    def called(*argv):
        code, out, err = call(*argv)
        assert (code, out) == (2, "") and err.startswith("run.py: ") and err.count("\n") == 1 and err.endswith("\n")
        return err

    return called


def rows(name="evaluate"):
    return pd.read_csv(f"results/{name}.csv", keep_default_na=False, dtype=str)


# ---- list


def test_list_shows_every_entry_with_what_it_is(succeed):
    text, facts = succeed("list", "-v"), json.loads(succeed("list", "--json"))
    assert list(facts) == list(KINDS) and facts["spaces"] == named_spaces() and all(facts["spaces"].values())
    plain = "".join(text.split())
    for title, kind in KINDS.items():
        assert [shown.partition("(")[0] for shown in facts[title]] == kind.names()
        assert all(len(what) > 20 for what in facts[title].values())
        for shown, what in facts[title].items():
            name, _, settings = shown.partition("(")
            assert f"{name}{what}({settings}".rstrip("(").replace(" ", "") in plain, shown
            missing = [key for key in (kind.table.parameters(name) if kind.table else ()) if key not in shown]
            assert not missing, shown
    assert max(map(len, text.splitlines())) <= 80


# ---- profile


def test_profile_shows_what_each_block_costs(succeed):
    command = ("profile", "--space", "small(width=0.25)", "--decoupling", "2:linear 3:conv(depth=2)")
    facts, text = json.loads(succeed(*command, "--json")), succeed(*command)
    assert facts["decoupling"] == "2:linear 3:conv(depth=2,reduction=4)"
    assert facts["method"] == text.splitlines()[0] == "dgl(label_smoothing=0.1)"
    assert [block["units"] for block in facts["blocks"]] == [2, 1, 3] and len(facts["shares"]) == 3
    assert sum(facts["shares"]) == pytest.approx(1) and all(block["seconds"] > 0 for block in facts["blocks"])
    for block in facts["blocks"]:
        assert f"{block['params']:,}" in text and f"{block['macs']:,}" in text
    for name in ("params", "macs", "head_params", "head_macs"):
        assert f"{facts[name]:,}" in text
    assert text.count("■") == 6 and "conv(depth=2,reduction=4)" in text
    assert not list(Path().iterdir())  # a look leaves nothing behind


def test_profile_plans_processes(succeed, refused):
    command = ("profile", "--space", "small(width=0.25)", "--decoupling", "2:linear 3:linear")
    facts = json.loads(succeed(*command, "--parallel", "stages(processes=2,depth=4)", "--json"))["plan"]
    assert [k for process in facts["processes"] for k in process["stages"]] == [0, 1, 2] and facts["depth"] == 4
    assert 1 <= facts["bound"] <= 2 and facts["processes"][0]["sends_bytes"] > 0 == facts["processes"][1]["sends_bytes"]
    assert "2 processes side by side" in succeed(*command, "--parallel", "stages(processes=2)")
    assert "fewer processes" in refused(*command, "--parallel", "stages(processes=4)")
    assert "stage 0 of man" in refused(*command, "--method", "man", "--parallel", "stages")
    assert "one replica, got replicas=2" in refused(*command, "--parallel", "stages(replicas=2)")


# ---- search


def test_search_prints_and_records_what_it_found(succeed):
    text = succeed(*SEARCH)
    facts = json.loads(succeed(*SEARCH, "--json"))
    found, table = facts["decoupling"], rows("search")
    assert found in text and facts["csv"] in text and "2 new" in text
    assert facts["new_rows"] == 0 and len(table) == 2
    best = table.loc[table["validation_error"].astype(float).idxmin()]
    assert best["decoupling"] == found and dict(best) == facts["row"]
    assert f"{100 * float(best['validation_error']):.2f} %" in text
    assert set(table["strategy"]) == {"random(trials=2)"}
    assert not {"test_error", "test_loss"} & set(table)
    _, after = text.split("next, ")
    assert facts["next"].removeprefix("python ") in after.replace(" \\\n    ", " ") and max(map(len, after.splitlines())) <= 80
    assert text.splitlines()[-1].endswith("python run.py watch results") and Path("results/report.html").is_file()


@pytest.mark.slow
def test_the_next_command_runs_as_it_is_printed(succeed):
    task = "digits(validation=0.3,split_seed=2,crop=0)"
    facts = json.loads(succeed(*SEARCH, "--json", "--task", task, "--results", "my results"))
    _, script, *argv = shlex.split(facts["next"])
    summary = json.loads(succeed(*argv, "--iterations", "1", "--seeds", "1", "--json"))["summary"]
    assert script == "run.py" and facts["decoupling"] in {line["decoupling"] for line in summary}
    assert {line["method"] for line in summary} == {"dgl", "predsim", "backprop"}
    (used,) = pd.read_csv("my results/evaluate.csv")["task"].unique()
    assert used == "digits(validation=0.1,split_seed=2,crop=0,flip=False,cutout=0)"  # all but the larger validation split


@pytest.mark.parametrize(("strategy", "points"), [("optuna(sampler=gp,trials=2)", 2), ("exhaustive", 5)])
def test_each_strategy_searches_from_the_command_line(succeed, strategy, points):
    space = "small(width=0.25,num_blocks=2,heads=[linear])"
    succeed("search", *TINY, "--space", space, "--strategy", strategy)
    assert len(rows("search")) == points
    assert "0 new" in succeed("search", *TINY, "--space", space, "--strategy", strategy)


@pytest.mark.parametrize(("head", "compared"), [("linear", {"al", "dgl", "predsim", "backprop"}), ("none", {"al", "backprop"})])
def test_a_method_without_heads_is_searched_for_cuts(succeed, head, compared):
    """With one head, which other methods may use, or none; rows show none, and the next command runs."""
    space = f"small(width=0.25,num_blocks=2,heads={head})"
    facts = json.loads(succeed(*SEARCH, "--method", "al(label_dim=8)", "--space", space, "--json"))
    table = rows("search")
    assert len(table) == 2 and all(table["decoupling"].str.fullmatch("[1-5]:none"))
    assert facts["decoupling"].endswith(f":{head}") and facts["row"]["decoupling"].endswith(":none")
    summary = json.loads(succeed(*shlex.split(facts["next"])[2:], "--iterations", "1", "--seeds", "1", "--json"))["summary"]
    assert {line["method"].partition("(")[0] for line in summary} == compared


@pytest.mark.slow
def test_the_default_search_made_short(succeed):
    strategy = "sedona(pretrain=3,meta_steps=2,inner_steps=2,memory=2,outer_batch=32)"
    text = succeed("search", "--iterations", "2", "--strategy", strategy)
    assert text.count("╳") == 2 and "1 new" in text
    assert rows("alpha_beta").groupby("meta_step").size().to_dict() == {"1": 5, "2": 5}


def test_a_search_that_a_table_answers(succeed, refused):
    space = ("--space", "small(width=0.25,num_blocks=2,heads=[linear])", "--iterations", "2", "--batch-size", "32")
    points = [f"{gap}:linear" for gap in range(1, 6)]
    succeed("evaluate", *space, "--decoupling", *points, "--methods", "dgl", "--seeds", "1", "--results", "tables")
    table = pd.read_csv("tables/evaluate.csv", dtype={"commit": str, "run": str})  # 83003e2 is no number
    best = table.loc[table["validation_error"].idxmin()]
    search = ("search", *space, "--task", "digits", "--evaluator", "tabular(path='tables/evaluate.csv')")
    text = succeed(*search, "--strategy", "exhaustive")
    facts = json.loads(succeed(*search, "--strategy", "exhaustive", "--json"))
    assert facts["decoupling"] == best["decoupling"] and f"found       {best['decoupling']}\n" in text
    assert f"answers     from {facts['csv']}, made at commit {best['commit']}\n" in text
    assert facts["csv"].endswith("tables/evaluate.csv") and facts["new_rows"] == 0
    assert f"{100 * best['validation_error']:.2f} %" in text and "test_error" not in facts["row"]
    trials = pd.read_csv("results/trials.csv", dtype={"run": str})  # of the first search; the second was the same
    assert [path.name for path in Path("results").glob("*.csv")] == ["trials.csv"] and trials["decoupling"].tolist() == points
    assert trials["known"].all() and trials["run"].tolist() == table["run"].tolist()
    assert "iterations=2, got iterations=3" in refused(*search, "--iterations", "3")
    sedona = "sedona(pretrain=3,meta_steps=2,inner_steps=2,memory=2,outer_batch=32)"
    assert "answers" in succeed(*search, "--strategy", sedona)
    assert {path.name for path in Path("results").glob("*.csv")} == {"alpha_beta.csv", "decisions.csv", "trials.csv"}
    for path in Path("results").glob("*.csv"):
        check_columns(path)


class Fixed:
    """A person's own strategy, named by its dotted path."""

    def __init__(self, *, point: str = "3:linear") -> None:
        self.point = point

    def search(self, problem, evaluate, report):
        decoupling = Decoupling.parse(self.point)
        evaluate(decoupling)
        return Found(decoupling, notes=(f"{self.point} by decree",))


class Greedy(Fixed):
    def search(self, problem, evaluate, report):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_strategy_of_ones_own(call, succeed):
    search = ("search", *TINY, "--space", "small(width=0.25,heads=[linear],num_blocks=[1,2])")
    assert "note        3:linear by decree\n" in succeed(*search, "--strategy", f"{__name__}.Fixed")
    assert "uncut" in succeed(*search, "--strategy", f"{__name__}.Fixed(point='uncut')")
    code, _, err = call(*search, "--strategy", f"{__name__}.Greedy")
    assert code == 2 and "run.py: out of memory: " in err and "smaller batch size" in err and "Traceback" not in err


def test_a_search_that_diverges_says_what_to_change(call):
    code, out, err = call("search", *TINY, "--strategy", "sedona(pretrain=3,meta_steps=1,lr=1e30,outer_batch=32)")
    assert (code, out) == (2, "") and "smaller sedona(lr=" in err.splitlines()[-1]


# ---- several seeds, several objectives


@pytest.mark.slow
def test_seeds_search_one_after_another_as_each_would_alone(succeed):
    alone = [json.loads(succeed(*SEARCH, "--json", "--seed", str(seed))) for seed in (4, 5, 6)]
    text = succeed(*SEARCH, "--seed", "4", "--seeds", "3")
    facts = json.loads(succeed(*SEARCH, "--seed", "4", "--seeds", "3", "--json"))
    assert facts["new_rows"] == 0 and len(rows("search")) == 6 and "0 new" in text
    answers = [(answer["seed"], answer["decoupling"], answer["validation_error"]) for answer in facts["searches"]]
    errors = [float(one["row"]["validation_error"]) for one in alone]
    assert answers == [(seed, one["decoupling"], error) for seed, one, error in zip((4, 5, 6), alone, errors, strict=True)]
    best = alone[errors.index(min(errors))]
    assert (facts["decoupling"], facts["row"]) == (best["decoupling"], best["row"])
    assert f"\nfound       {best['decoupling']}\n" in text
    assert facts["agreement"]["mean_error"] == pytest.approx(sum(errors) / 3)
    for seed, decoupling, error in answers:
        assert re.search(rf"^ +{seed} +{100 * error:.2f}  {re.escape(decoupling)}$", text, re.MULTILINE)
    assert "+-" in text and "Jaccard" in text and "+-" not in succeed(*SEARCH, "--seed", "4")
    assert alone[0]["agreement"] is None and len(alone[0]["searches"]) == 1


def test_several_objectives_give_a_front_and_a_picture(succeed):
    command = ("search", *TINY, "--space", "small(width=0.25,num_blocks=[1,3],heads=[linear])", "--strategy", "random(trials=6)")
    one = json.loads(succeed(*command, "--json"))
    assert [point["decoupling"] for point in one["front"]] == [one["decoupling"]]
    assert one["plot"] is None and not Path("results/pareto.png").exists()
    text = succeed(*command, "--objectives", "peak_memory", "error")
    facts = json.loads(succeed(*command, "--objectives", "peak_memory", "error", "--json"))
    assert facts["new_rows"] == 0  # what is minimised makes no other evaluation
    there = rows("search").astype({"validation_error": float, "peak_activation_bytes": int})
    pairs = list(zip(there["validation_error"], there["peak_activation_bytes"], strict=True))
    optimal = {pair for pair in pairs if not any(a <= pair[0] and b <= pair[1] and (a, b) != pair for a, b in pairs)}
    assert {(point["validation_error"], point["peak_activation_bytes"]) for point in facts["front"]} == optimal
    for point in facts["front"]:
        (row,) = there[there["decoupling"] == point["decoupling"]].to_dict("records")
        assert float(row["pipeline_speedup_bound"]) == point["pipeline_speedup_bound"]
        figures = f"{100 * point['validation_error']:.2f} +{point['peak_activation_bytes'] / 2**20:.2f} "
        assert re.search(rf"^ +{figures}.* {re.escape(point['decoupling'])}$", text, re.MULTILINE)
    assert facts["front"][0]["decoupling"] == facts["decoupling"]
    assert Path(facts["plot"]).read_bytes().startswith(b"\x89PNG") and facts["plot"] in text


def test_a_search_that_cannot_minimise_several_objectives_says_what_can(call):
    code, _, err = call("search", *TINY, "--objectives", "error", "pipeline")
    assert code == 2 and "memory_weight" in err.splitlines()[-1]
    code, _, err = call("search", *TINY, "--objectives", "error", "pipeline", "--strategy", "optuna(sampler=cmaes)")
    assert code == 2 and "nsga2" in err.splitlines()[-1]


# ---- evaluate


def test_evaluate_compares_methods_over_seeds(succeed):
    text = succeed(*EVALUATE, "--ensemble", "2")
    facts = json.loads(succeed(*EVALUATE, "--ensemble", "2", "--json"))
    table = rows()
    assert len(table) == 4 and sorted(
        zip(table["method"].str.partition("(")[0], table["decoupling"], table["seed"], strict=True)
    ) == [("backprop", "uncut", "0"), ("backprop", "uncut", "1"), ("dgl", "3:mlp_sr", "0"), ("dgl", "3:mlp_sr", "1")]
    assert [dict(row) for _, row in table.iterrows()] == facts["rows"]
    means = 100 * table.astype({"test_error": float}).groupby("decoupling")["test_error"].mean()
    assert {line["decoupling"]: line["mean"] for line in facts["summary"]} == pytest.approx(means.to_dict())
    for line in (*facts["summary"], *facts["ensemble"]):
        assert f"{line['mean']:.2f}" in text and f"{line['std']:.2f}" in text and line["n"] == 2
    assert facts["csv"] in text and facts["new_rows"] == 0
    assert {path.name for path in Path("runs").glob("*/*")} == {"trained.pt"}  # finished runs leave no checkpoint behind


@pytest.mark.slow
def test_exits_are_rows_and_a_table(succeed):
    text = succeed(*EVALUATE, "--exits")
    facts = json.loads(succeed(*EVALUATE, "--exits", "--json"))
    table = rows("exits").astype({"depth": int, "test_error": float})
    means = 100 * table.groupby(["decoupling", "depth"])["test_error"].mean()
    shown = {(line["decoupling"], line["depth"]): line["mean"] for line in facts["exits"]}
    assert shown == pytest.approx(means.to_dict()) and set(shown) == {("3:mlp_sr", 1), ("3:mlp_sr", 2), ("uncut", 1)}
    for line in facts["exits"]:
        assert f"{line['mean']:.2f}" in text and f"{line['macs']:,}" in text and line["n"] == 2
    assert "results/exits.csv" in text and "stopping after each block" not in succeed(*EVALUATE)


@pytest.mark.slow
def test_exits_are_calibrated_on_request_with_curves_and_a_picture(call, succeed):
    code, out, err = call(*EVALUATE, "--calibrate")
    assert (code, out) == (2, "") and "--exits is not given" in err
    text = succeed(*EVALUATE, "--exits", "--calibrate")
    facts = json.loads(succeed(*EVALUATE, "--exits", "--calibrate", "--json"))
    table = rows("curves")
    assert [dict(row) for _, row in table.iterrows()] == facts["curves"] and set(table["calibrated"]) == {"True"}
    chosen = table[table["chosen"] == "True"].astype({"test_error": float})
    means = 100 * chosen.groupby("rule")["test_error"].mean()
    assert {line["rule"]: line["mean"] for line in facts["adaptive"]} == pytest.approx(means.to_dict())
    for line in facts["adaptive"]:
        assert f"{line['mean']:.2f}" in text and line["n"] == 2 and line["decoupling"] == "3:mlp_sr"
    assert facts["new_rows"] == 0 and facts["plot"] in text and Path(facts["plot"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_command_again_adds_nothing_and_says_so(call):
    _, out, err = call(*EVALUATE)
    before = Path("results/evaluate.csv").read_bytes()
    code, out_again, err_again = call(*EVALUATE)
    assert code == 0 and out_again == out and Path("results/evaluate.csv").read_bytes() == before
    assert "4 of 4 runs" in err_again and "not repeated" in err_again and "not repeated" not in err
    _, _, more = call(*EVALUATE, "--seeds", "3")
    assert "4 of 6 runs" in more and len(rows()) == 6


@pytest.mark.slow
def test_a_learning_rate_is_chosen_for_each_method(succeed):
    facts = json.loads(succeed(*EVALUATE, "--seeds", "1", "--methods", "dgl", "--lr", "1e30", "0.05", "--json"))
    assert [row["lr"] for row in facts["rows"]] == ["0.05"]
    tuning = rows("search")
    assert set(tuning["lr"]) == {"1e+30", "0.05"} and set(tuning["strategy"]) == {"tune"}
    assert "test_error" not in tuning


@pytest.mark.slow
def test_tries_are_shorter_than_runs_and_what_they_chose_is_printed(succeed):
    several = ("--lr", "0.05", "--weight-decay", "1e-4", "5e-4", "--tune-iterations", "1")
    printed = succeed(*EVALUATE, "--seeds", "1", "--methods", "dgl", *several)
    chosen = re.search(r"dgl.*: lr 0.05, cosine.*, weight decay (\S+) \(validation error .* %, best of 2 tries\)", printed)
    cells = rows()[["weight_decay", "iterations", "tries"]].astype(float)
    assert cells.values.tolist() == [[float(chosen[1]), 2, 2]]
    assert list(rows("search")["iterations"].astype(int)) == [1, 1]


def test_the_length_of_tries_that_has_no_effect_is_refused(call):
    for given, rule in [
        (("--tune-iterations", "1"), "got one of each; leave it out"),
        (
            ("--lr", "0.1", "0.2", "--tune-iterations", "2"),
            "tries are shorter than runs, got --tune-iterations for 2 iterations of 2",
        ),
        (("--lr", "0.1", "0.2", "--tune-epochs", "0"), "--tune-epochs is a whole number from 1 on, got 0"),
        (("--lr", "0.1", "0.2", "--tune-epochs", "1", "--tune-iterations", "1"), "tune"),
    ]:
        code, out, err = call(*EVALUATE, *given)
        assert (code, out) == (2, "") and rule in err.splitlines()[-1], given


@pytest.mark.slow
def test_curves_are_written_for_tensorboard(succeed, call):
    pytest.importorskip("tensorboard")
    succeed(*EVALUATE, "--methods", "dgl")
    succeed(*EVALUATE, "--methods", "dgl", "--log", "tensorboard")  # of runs that are there
    assert {folder.name.rpartition("-")[2] for folder in Path("results/tensorboard").iterdir()} == set(rows()["run"])
    succeed(*SEARCH, "--log", "tensorboard")
    code, _, err = call(*SEARCH, "--evaluator", "tabular(path=results/search.csv)", "--log", "tensorboard")
    assert code == 2 and "--log writes the curves of what is trained, got the evaluator tabular" in err.splitlines()[-1]
    assert set(rows("search")["run"]) <= {folder.name.rpartition("-")[2] for folder in Path("results/tensorboard").iterdir()}


def test_curves_without_their_package_are_refused(call, monkeypatch):
    monkeypatch.setattr("nas.records.event_files.find_spec", lambda name: None)
    code, out, err = call(*EVALUATE, "--log", "tensorboard")
    assert (code, out) == (2, "") and "needs the package tensorboard" in err.splitlines()[-1]


@pytest.mark.slow
def test_runs_that_diverge_are_rows_and_stay_valid_json(succeed):
    diverging = (*EVALUATE, "--methods", "dgl", "--lr", "1e30")
    assert "(2 diverged)" in succeed(*diverging)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    (line,) = json.loads(succeed(*diverging, "--json"), parse_constant=refuse)["summary"]
    assert (line["mean"], line["diverged"], line["step_seconds"]) == (100, 2, None)
    assert all("smaller lr" in status for status in rows()["status"])


def test_the_next_command_keeps_the_limit_on_classes(succeed):
    printed = succeed(*SEARCH, "--class-batches", "classes(num=5)")
    assert "--class-batches 'classes(num=5)'" in printed


@pytest.mark.slow
def test_a_limit_on_classes_makes_other_rows_and_leaves_those_that_are_there(succeed, refused):
    new_rows = lambda *flags: json.loads(succeed(*EVALUATE, *flags, "--json"))["new_rows"]  # noqa: E731
    assert new_rows() == 4
    table = rows().drop(columns="class_batches")  # as it was written before there was such a setting
    table.to_csv("results/evaluate.csv", index=False)
    assert new_rows() == 0
    assert new_rows("--class-batches", "classes(3)") == 4 and new_rows("--class-batches", "classes(num=3,until=1)") == 0
    assert new_rows() == 0
    assert rows()["class_batches"].tolist() == [""] * 4 + ["classes(num=3,until=1.0)"] * 4
    assert "1..9 of the task's 10 classes" in refused(*EVALUATE, "--class-batches", "classes(10)")
    assert "--class-batches" in refused("profile", "--class-batches", "classes(3)")


@pytest.mark.slow
def test_a_grown_network_is_a_row_of_its_own_and_growing_without_delay_is_refused(succeed, refused):
    grown = lambda *flags: json.loads(succeed(*EVALUATE, "--methods", "dgl", *flags, "--json"))["rows"]  # noqa: E731
    joint, delayed = grown(), grown("--grow", "frozen")
    assert [row["grow"] for row in (joint[0], delayed[0])] == ["", "frozen"]
    assert [row["validation_loss"] for row in joint] != [row["validation_loss"] for row in delayed]
    assert "train all the time" in refused(*EVALUATE, "--methods", "dgl", "--grow", "training(starts=[0,0])")
    assert grown() == joint and len(rows()) == 4


@pytest.mark.slow
def test_a_run_that_is_kept_is_extended_and_its_exits_stay(succeed, refused):
    task = ("--task", "digits", "--iterations", "4", "--methods", "dgl", "--exits", "--json")
    small, begin = ("--space", "small(width=0.25)"), ("--space", "prefix(of='small(width=0.25)',units=4)")
    (first,) = json.loads(succeed("evaluate", *task, *begin, "--decoupling", "2:linear", "--seeds", "1"))["rows"]
    extend = ("evaluate", *task, *small, "--extend", f"runs/{first['run']}", "--seeds", "2")
    more = json.loads(succeed(*extend, "--decoupling", "2:linear 4:linear 5:linear", "--grow", "frozen"))["rows"]
    assert [(row["extends"], row["seed"], row["num_blocks"]) for row in more] == [(first["run"], seed, "4") for seed in "01"]
    old, *new = (group["test_loss"].tolist() for _, group in rows("exits").groupby(["extends", "seed"], sort=False))
    assert [len(losses) for losses in new] == [4, 4] and all(losses[:2] == old for losses in new) and new[0][3] != new[1][3]
    assert "cut after 2, 4 units" in refused(*extend, "--decoupling", "3:linear")
    assert "block 1 and its head" in refused(*extend, "--decoupling", "2:mlp_sr 4:linear")


def test_images_that_stay_in_files_are_trained_on_alike_each_time(succeed, call):
    for number in range(60):
        image = Image.new("RGB", (40 + number, 50), (4 * number, 90 * (number % 3), 0))
        path = Path(f"data/imagenet/{'train' if number < 48 else 'val'}/class{number % 3}/{number}.JPEG")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    command = (
        "evaluate",
        "--task",
        "imagenet(size=16,validation=0.25)",
        "--space",
        "small(width=0.25)",
        "--iterations",
        "8",
        "--batch-size",
        "8",
        "--decoupling",
        "even(2)",
        "--methods",
        "dgl",
        "--seeds",
        "1",
        "--lr",
        "0.02",
    )
    succeed(*command, "--results", "one")
    succeed(*command, "--results", "other", "--runs", "others")
    one, other = (pd.read_csv(f"{folder}/evaluate.csv") for folder in ("one", "other"))
    for name in ("validation_loss", "train_loss", "test_loss", "test_error"):
        assert one[name].tolist() == other[name].tolist()
    path.write_bytes(b"damaged")
    code, _, err = call(*command, "--results", "third")
    assert code == 2 and f"{path} is missing or damaged" in err and "Traceback" not in err


# ---- options


@pytest.mark.parametrize(
    "argv",
    [
        ("search",),
        ("evaluate",),
        ("profile",),
        ("search", *TINY, "--strategy", "optuna(sampler=gp,trials=3)", "--seed", "7", "--checkpoint-units"),
        (
            "evaluate",
            "--epochs",
            "3",
            "--lr",
            "0.1",
            "3e-05",
            "--schedule",
            "cosine(warmup=0.1)",
            "multistep(milestones=[0.3,0.6])",
            "--class-batches",
            "classes(num=3,until=0.5)",
            "--decoupling",
            "1:conv(depth=2) 4:linear",
            "uncut",
            "--methods",
            "predsim(similarity=0.5)",
            "--data-dir",
            "my data",
        ),
        ("profile", "--device", "cpu", "--compile", "default", "--precision", "bf16", "--weight-decay", "0"),
    ],
)
def test_a_printed_configuration_gives_the_same_options(succeed, argv):
    printed = succeed(*argv, "--print-config")
    Path("options.yaml").write_text(printed)
    assert succeed(argv[0], "--config", "options.yaml", "--print-config") == printed
    assert not {"command", "config", "print_config", "json"} & set(yaml.safe_load(printed))


def test_a_configuration_does_what_the_flags_do(succeed):
    Path("options.yaml").write_text(succeed(*EVALUATE, "--print-config"))
    succeed(*EVALUATE)
    assert json.loads(succeed("evaluate", "--config", "options.yaml", "--json"))["new_rows"] == 0


@pytest.mark.parametrize(
    ("file", "flags", "expected"),
    [
        ("seeds: 5\nbatch_size: 8", ("--seeds", "2"), {"seeds": 2, "batch_size": 8}),
        ("methods: [dgl, predsim]", ("--methods", "backprop"), {"methods": ["backprop"]}),
        ("methods: predsim\nlr: 1e-3", (), {"methods": ["predsim"], "lr": [0.001]}),
        ("iterations: 5", ("--epochs", "2"), {"epochs": 2, "iterations": None}),
        ("epochs: 5", ("--iterations", "2"), {"epochs": None, "iterations": 2}),
        ("compile: no\ncheckpoint_units: true", (), {"compile": "no", "checkpoint_units": True}),
    ],
)
def test_flags_win_over_the_file_and_the_file_over_the_defaults(succeed, file, flags, expected):
    Path("options.yaml").write_text(file)
    for argv in (("--config", "options.yaml", *flags), (*flags, "--config=options.yaml")):
        options = yaml.safe_load(succeed("evaluate", *argv, "--print-config"))
        assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (("serch",), "'search'"),
        (("search", "--stratgy", "random"), "--strategy"),
        (("evaluate", "--seed", "3"), "--seeds"),
        (("search", "--objective", "error"), "--objectives"),
        (("profile", "--decouplin=uncut"), "--decoupling"),
        (("profile", "--epoch", "1"), "--epochs"),
        (("search", "--space", "smal"), "small"),
        (("search", "--space", "small(widht=2)"), "width"),
        (("search", "--space", "small(heads=[convv])"), "conv"),
        (("search", "--space", "space(backbone=smal,heads=[conv])"), "small"),
        (("search", "--method", "dgll"), "dgl"),
        (("search", "--method", "dgl(label_smothing=0.1)"), "label_smoothing"),
        (("search", "--task", "digit"), "digits"),
        (("search", "--task", "digits(valdation=0.1)"), "validation"),
        (("search", "--objectives", "error", "peak_memry"), "peak_memory"),
        (("search", "--strategy", "sedonna"), "sedona"),
        (("search", "--strategy", "sedona(pretrian=9)"), "pretrain"),
        (("search", "--strategy", "sedona(engine=adjiont)"), "adjoint"),
        (("search", "--strategy", "optuna(sampler=tp)"), "tpe"),
        (("search", "--optimizer", "sdg"), "sgd"),
        (("search", "--schedule", "cosin"), "cosine"),
        (("search", "--precision", "fp61"), "fp16"),
        (("search", "--evaluator", "tabulr"), "tabular"),
        (("search", "--evaluator", "tabular(path='no.csv',seeds=means)"), "mean"),
        (("evaluate", "--methods", "dgl", "backpropp"), "backprop"),
        (("evaluate", "--decoupling", "3:conv", "evn(3)"), "even"),
        (("evaluate", "--decoupling", "3:lineer"), "linear"),
        (("evaluate", "--decoupling", "3:conv(dept=2)"), "depth"),
        (("evaluate", "--decoupling", "balanced(3,haed=linear)"), "head"),
    ],
)
def test_a_typing_error_gets_the_nearest_real_name(refused, argv, nearest):
    line = refused(*argv)
    assert nearest in line
    typed = re.findall(r"[-\w]+", " ".join(argv))
    assert any(f"'{word}'" in line for word in typed)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("epoch: 3", "epochs"),
        ("strategy: random", "'strategy'"),
        ("json: true", "'json'"),
        ("batch_size: [1, 2]", "batch_size takes one value"),
        ("checkpoint_units: maybe", "true or false"),
        ("lr: true", "lr takes values"),
        ("lr: {a: 1}", "lr takes values"),
        ("batch_size: many", "--batch-size"),
        ("methods: []", "--methods"),
        ("[1, 2", "line 1"),
        ("- 1", "--print-config"),
        ("", "--print-config"),
        ("space: \x00", "cannot be read"),
    ],
)
def test_a_configuration_that_does_not_hold(refused, file, said):
    Path("options.yaml").write_text(file)
    assert said in refused("evaluate", "--config", "options.yaml")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "search | evaluate"),
        (("list", "more"), "'more'"),
        (("--json", "list"), "run.py list --json"),
        (("search", "--seed", "-1"), "got -1"),
        (("search", "--seed", "4294967296"), "2**32 - 1"),
        (("search", "--seed", "1.5"), "1.5"),
        (("search", "--seeds", "0"), "--seeds"),
        (("search", "--seed", "4294967295", "--seeds", "2"), "got 4294967296"),
        (("search", "--objectives", "pipeline"), "got pipeline"),
        (("search", "--objectives", "error", "error"), "each once"),
        (("search", "--threads", "0"), "--threads"),
        (("search", "--threads", "999999"), "--threads"),
        (("search", "--lr", "0"), "lr is a number above 0"),
        (("search", "--lr", "nan"), "nan"),
        (("search", "--lr", "fast"), "'fast'"),
        (("search", "--iterations", "0"), "from 1 on, got 0"),
        (("search", "--epochs", "0"), "--epochs"),
        (("search", "--epochs", "1", "--iterations", "1"), "not allowed with"),
        (("search", "--batch-size", "0"), "batch size 0"),
        (("search", "--batch-size", "100000"), "1..862"),
        (("search", "--device", "cuda:99"), "cuda:N"),
        (("search", "--device", "meta"), "'meta'"),
        (("search", "--device", "toaster"), "'toaster'"),
        (("search", "--task", "digits(validation=2)"), "share"),
        (("search", "--task", "digits(crop=1.5)"), "whole number"),
        (("search", "--strategy", "random(trials=0)"), "at least one"),
        (("search", "--strategy", "optuna(population=1)"), "population"),
        (("search", "--strategy", "sedona(lr=-1)"), "sedona's lr"),
        (("search", "--strategy", "random(trials=many)"), "whole number"),
        (("search", "--strategy", "random(trials=1"), "does not parse"),
        (("search", "--strategy", "no_such_module.Strategy"), "PYTHONPATH"),
        (("search", "--method", "backprop"), "no effect"),
        (("search", "--method", "al"), "a space with one head"),
        (("search", "--method", "al", "--space", "small(heads=[none,linear])"), "a space with one head"),
        (("search", "--space", "small(heads=none)"), "has none at a cut; name one, such as linear"),
        (("search", "--space", "small(heads=[linear,'0c1f(embedding=True)'])"), "embedding=True"),
        (("search", "--evaluator", "tabular"), "path"),
        (("search", "--evaluator", "tabular(path='nowhere.csv')"), "nowhere.csv has none"),
        (("search", "--space", "vgg19"), "17 x 17"),
        (("search", "--space", "small(num_blocks=9)"), "9"),
        (("search", "--space", "nowhere.yaml"), "nowhere.yaml"),
        (("search", "--config", "nowhere.yaml"), "nowhere.yaml"),
        (("search", "--config"), "--config"),
        (("evaluate", "--seeds", "0"), "--seeds"),
        (("evaluate", "--ensemble", "0"), "--ensemble"),
        (("evaluate", "--ensemble", "4"), "no run has more than 3"),
        (("evaluate", "--decoupling", "6:linear"), "cuts lie in 1..5"),
        (("evaluate", "--decoupling", "0:linear"), "from 1 on"),
        (("evaluate", "--decoupling", "4:linear 2:linear"), "rising"),
        (("evaluate", "--decoupling", "3:"), "'3:'"),
        (("evaluate", "--decoupling", ""), "''"),
        (("evaluate", "--decoupling", "3:1c2f(embedding=True)", "--ensemble", "2"), "gives an embedding"),
        (("evaluate", "--decoupling", "even(7)"), "1..6 blocks, got 7"),
        (("evaluate", "--decoupling", "even"), "num_blocks"),
        (("evaluate", "--decoupling", "published(4)"), "'small'"),
        (("evaluate", "--decoupling", "3:conv(depth=9)"), "1..4"),
        (("evaluate", "--extend", "nowhere"), "no trained run at nowhere"),
        (("evaluate", "--grow", "thawed"), "frozen"),
        (("evaluate", "--grow", "frozen"), "for one"),  # backprop
        (("evaluate", "--grow", "frozen(starts=[0,0.5])", "--methods", "dgl"), "for 3 stages"),
        (("evaluate", "--task", "arrays(root=mine)", "--data-dir", "nowhere"), "nowhere/mine/train.npz"),
        (("evaluate", "--task", "arrays"), "root"),
    ],
)
def test_a_wrong_value_gets_one_line(refused, argv, said):
    assert said in refused(*argv)
    assert not Path("results").exists()


# ---- files that cannot be used


@pytest.mark.parametrize("option", ["--results", "--runs"])
@pytest.mark.parametrize("below", ["", "/deeper"])
def test_a_file_in_the_place_of_a_folder(call, option, below):
    Path("file").write_text("here\n")
    code, out, err = call(*EVALUATE, option, f"file{below}")
    assert (code, out) == (2, "") and "file" in err.splitlines()[-1] and "Traceback" not in err
    assert Path("file").read_text() == "here\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_results_folder_that_must_not_be_written(call):
    Path("results").mkdir(mode=0o555)
    code, out, err = call(*EVALUATE)
    assert (code, out) == (2, "") and "writable" in err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random(trials=1)", "sedona(pretrain=1,meta_steps=1,memory=1,outer_batch=32)"])
def test_a_search_of_which_all_is_there_is_shown_from_a_folder_that_may_only_be_read(call, succeed, monkeypatch, strategy):
    argv = ("search", "--space", "small(width=0.25,num_blocks=2)", *TINY[2:], "--strategy", strategy)
    results, really = Path("results").resolve(), os.open

    def read_only(path, flags, *mode, **how):
        if Path(os.fsdecode(path)).resolve().is_relative_to(results) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return really(path, flags, *mode, **how)

    first = json.loads(succeed(*argv, "--json"))
    monkeypatch.setattr(os, "open", read_only)
    assert json.loads(succeed(*argv, "--json")) == first | {"new_rows": 0}
    code, out, err = call(*argv, "--seed", "1")
    assert (code, out) == (2, "") and "Read-only file system" in err.splitlines()[-1] and not list(Path("runs").glob("*/check*"))


@pytest.mark.slow
def test_a_torn_row_is_trained_again_and_no_other(succeed):
    succeed(*EVALUATE)
    path, whole = Path("results/evaluate.csv"), rows()
    path.write_bytes(path.read_bytes()[:-40])
    facts = json.loads(succeed(*EVALUATE, "--json"))
    assert facts["new_rows"] == 1
    scores = ["method", "decoupling", "seed", "test_error", "test_loss", "validation_error"]
    pd.testing.assert_frame_equal(rows()[scores], whole[scores])


@pytest.mark.slow
def test_a_damaged_row_is_named_and_left_alone(call, succeed):
    succeed(*EVALUATE)
    path = Path("results/evaluate.csv")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "dgl,too,short\n", *lines[2:]]))
    before = path.read_bytes()
    code, out, err = call(*EVALUATE)
    assert (code, out) == (2, "") and "evaluate.csv, line 3: " in err.splitlines()[-1]
    assert path.read_bytes() == before


# ---- real processes

LONGER = (
    "evaluate",
    "--space",
    "small(width=0.25)",
    "--iterations",
    "45",
    "--decoupling",
    "even(3)",
    "--methods",
    "dgl",
    "--seeds",
    "3",
)
SCORES = ["seed", "decoupling", "test_error", "test_loss", "validation_error", "validation_loss", "train_loss", "best_iteration"]


def start(*argv, **settings):
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings.pop("env", {})
    return subprocess.Popen(
        [sys.executable, ROOT / "run.py", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **settings,
    )


def wait_for_the_second_run(process):
    """Until the first run has its row and the second its first checkpoint."""
    begun = set()
    while len(begun) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
        begun |= set(Path("runs").glob("*/checkpoint.pt"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The scores of LONGER when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run.main(["evaluate", *LONGER[1:], "--json"]) == 0
        return rows()[SCORES]


def assert_complete(undisturbed):
    """Every run has its row, once, with the scores that it has undisturbed, and nothing unfinished is left."""
    pd.testing.assert_frame_equal(rows()[SCORES].sort_values("seed", ignore_index=True), undisturbed)
    assert {path.name for path in Path("runs").glob("*/*")} == {"trained.pt"}


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(succeed, undisturbed):
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a test run in the background has it ignored
    process = start(*LONGER, preexec_fn=heard)
    wait_for_the_second_run(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "") and "Traceback" not in err
    assert len(rows()) in (1, 2)
    *_, last = err.splitlines()
    assert "finished rows are kept" in last
    _, script, *argv = shlex.split(last.partition("go on with: ")[2])
    assert (script, tuple(argv)) == ("run.py", LONGER)
    succeed(*argv)
    assert_complete(undisturbed)


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(succeed, undisturbed):
    process = start(*LONGER)
    wait_for_the_second_run(process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    succeed(*LONGER)
    assert_complete(undisturbed)


@pytest.mark.slow
def test_two_processes_share_an_evaluation(undisturbed):
    processes = [start(*LONGER) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]  # both know all rows
    assert_complete(undisturbed)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_command_goes_on(succeed, undisturbed):
    """No file may grow beyond 12 KiB, so that the first checkpoint does not fit."""
    limit = 12 * 1024
    process = start(*LONGER, "--seeds", "1", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "") and "Traceback" not in err
    assert "File too large" in err.splitlines()[-1] and "go on with: " in err and "python run.py evaluate" in err
    succeed(*LONGER, "--seeds", "1")
    assert_complete(undisturbed.head(1))


def test_help():
    process = start("--help")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert all(command in out for command in ("search", "evaluate", "profile", "list"))


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_and_a_terminal_without_box_characters():
    process = start("list", env={"PYTHONIOENCODING": "ascii"})
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 0


# ---- a trial, and the fair table


@pytest.mark.parametrize("length, iterations", [(("--epochs", "4"), 2 * (1293 // 2 // 32)), (("--iterations", "9"), 4)])
def test_a_trial_is_shorter_in_steps_and_images_and_its_row_says_so(succeed, length, iterations):
    """Of digits' 1293 images for training, batches of 32: half the epochs of half the images."""
    argv = ("evaluate", "--space", "small(width=0.25)", "--batch-size", "32", "--methods", "backprop", "--seeds", "1", "--json")
    (row,) = json.loads(succeed(*argv, *length, "--scale", "0.5"))["rows"]
    assert (row["iterations"], row["scale"]) == (str(iterations), "0.5")
    assert json.loads(succeed(*argv, *length, "--scale", "0.5"))["new_rows"] == 0


def test_a_whole_run_keeps_its_row_and_is_none_of_a_trials(succeed):
    argv = ("evaluate", *TINY, "--methods", "backprop", "--seeds", "1", "--json")
    assert json.loads(succeed(*argv))["new_rows"] == 1
    assert json.loads(succeed(*argv, "--scale", "1"))["new_rows"] == 0
    assert json.loads(succeed(*argv, "--iterations", "4", "--scale", "0.5"))["new_rows"] == 1


@pytest.mark.parametrize("scale, said", [("0", "above 0"), ("1.1", "at most 1"), ("nan", "above 0"), ("0.001", "batch size 32")])
def test_a_trial_that_leaves_nothing_to_train_on_is_refused(call, scale, said):
    code, _, err = call("evaluate", *TINY, "--scale", scale)
    assert code == 2 and said in err and err.count("\n") == 1


def test_a_figure_is_measured_and_compared_where_it_is_asked_for(call, succeed, refused, monkeypatch):
    zone = Path("powercap/intel-rapl:0")
    zone.mkdir(parents=True)
    for file, text in (("name", "package-0"), ("max_energy_range_uj", "9"), ("energy_uj", "5")):
        (zone / file).write_text(text)
    one = [*EVALUATE, "--methods", "dgl", "--seeds", "1"]
    assert "energy" not in succeed(*one)
    code, text, err = call(*one, "--measure", "energy_joules")
    assert code == 0 and "energy_joules is empty in 1 of 1 rows" in err and "energy J" not in text
    monkeypatch.setattr("nas.evaluation.figures.energy_joules.POWERCAP", zone.parent)
    code, text, err = call(*one, "--iterations", "3", "--measure", "energy_joules")
    assert code == 0 and "energy J" in text and "empty in" not in err
    compare = ("compare", "results/evaluate.csv", "--figures", "energy_joules")
    text = succeed(*compare, "parameters_trained", "--where", "iterations=3")
    assert "energy J" in text and "trained k" in text
    assert "all rows leave empty" in refused(*compare, "--where", "iterations=2")
    assert "energy_joules" in refused(*one, "--measure", "energy")


@pytest.mark.slow
def test_the_rows_of_evaluate_make_a_fair_table(succeed, call):
    succeed(*EVALUATE, "--methods", "dgl", "backprop", "--json")
    succeed(*EVALUATE, "--methods", "backprop", "--checkpoint-units", "--json")
    csv = "results/evaluate.csv"
    fair = json.loads(succeed("compare", csv, "--json", "--out", "fair.csv"))
    lines = {(line["method"], line["checkpoint_units"], line["num_blocks"], line["n"]) for line in fair["lines"]}
    assert lines == {("dgl", False, 2, 2), ("backprop", False, 1, 2), ("backprop", True, 1, 2)}
    table = pd.read_csv("fair.csv")
    assert table["test_error"].tolist() == pytest.approx([line["test_error"] for line in fair["lines"]])
    rows = pd.read_csv(csv)
    mean = rows[rows["method"].str.startswith("dgl")]["test_error"].mean()
    assert f"{100 * mean:.2f}" in succeed("compare", csv, "--where", "method=dgl")
    succeed(*EVALUATE, "--methods", "dgl", "--iterations", "3", "--json")
    code, _, err = call("compare", csv)
    assert code == 2 and "iterations is 2, 3" in err and err.count("\n") == 1
    assert call("compare", csv, "--out", csv)[0] == 2
    for place in ("nowhere/fair.csv", "."):
        code, _, err = call("compare", csv, "--where", "iterations=2", "--out", place)
        assert code == 2 and "--out is a file in a folder that is there" in err and err.count("\n") == 1 and "go on" not in err
