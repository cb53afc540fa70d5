"""The fair table of hand-made results files: figures worked out by hand, and every kind of row that it refuses."""

import csv
import io

import pytest
from scipy import stats

from nas.report.comparable import read_rows
from nas.report.fair_table import as_csv, fair_table, plain, written
from spaces.notation.errors import UserError

ROW = {
    "method": "dgl(label_smoothing=0.1)",
    "backbone": "resnet32(width=1.0)",
    "decoupling": "8:mlp_sr",
    "task": "cifar10(crop=4)",
    "seed": 0,
    "iterations": 700,
    "batch_size": 64,
    "lr": 0.1,
    "weight_decay": 0.0001,
    "optimizer": "sgd(momentum=0.9)",
    "schedule": "cosine(warmup=0.0)",
    "precision": "fp32",
    "checkpoint_units": False,
    "compile": "no",
    "ensemble": 1,
    "num_blocks": 2,
    "params": 1000,
    "head_params": 50,
    "macs": 2_000_000,
    "head_macs": 1_000,
    "peak_activation_bytes": 3 * 2**20,
    "pipeline_speedup_bound": 1.5,
    "status": "ok",
    "epochs": 1.0,
    "step_seconds": 0.5,
    "test_error": 0.1,
    "device": "CPU A",
    "threads": 1,
}
BACKPROP = {"method": "backprop(label_smoothing=0.1)", "decoupling": "uncut", "num_blocks": 1, "head_params": 0, "head_macs": 0}
DIVERGED = {"status": "diverged: the loss of stage 0 is nan", "test_error": "", "step_seconds": "", "epochs": ""}


@pytest.fixture
def path(tmp_path):
    """path(row, row, ...): a results file of ROW with these cells changed."""

    def written_to(*changes, name="evaluate.csv", leave_out=()):
        rows = [{column: cell for column, cell in (ROW | change).items() if column not in leave_out} for change in changes]
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    return written_to


def refusal(path, *conditions):
    with pytest.raises(UserError) as error:
        fair_table(read_rows([path], conditions))
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- figures


def test_a_line_holds_what_is_worked_out_by_hand(path):
    """Errors 8, 10 and 12 %: mean 10, standard deviation 2, and t(0.975; 2) = 4.3027, so half an interval is 4.968."""
    file = path(
        {"seed": 0, "test_error": 0.08, "step_seconds": 0.4},
        {"seed": 1, "test_error": 0.10},
        {"seed": 2, "test_error": 0.12, "step_seconds": 0.9},
    )
    (line,) = fair_table(read_rows([file])).lines
    assert (line.test_error, line.interval) == pytest.approx((10.0, 4.968), abs=1e-3)
    assert (line.n, line.diverged, line.method, line.num_blocks) == (3, 0, "dgl", 2)
    assert (line.params, line.train_params, line.macs, line.train_macs) == (1000, 1050, 2_000_000, 2_001_000)
    assert (line.peak_activation_bytes, line.step_seconds, line.pipeline_speedup_bound) == (3 * 2**20, 0.5, 1.5)


def test_lines_stand_by_k_then_error_and_checkpointed_backprop_has_its_own(path):
    fair = fair_table(
        read_rows(
            [
                path(
                    {"decoupling": "2:mlp_sr 9:mlp_sr", "num_blocks": 3, "test_error": 0.2},
                    {"test_error": 0.15},
                    {"decoupling": "4:mlp_sr"},
                    BACKPROP | {"test_error": 0.09},
                    BACKPROP | {"checkpoint_units": True, "test_error": 0.08},
                )
            ]
        )
    )
    assert [(line.num_blocks, line.method, line.checkpoint_units, line.decoupling) for line in fair.lines] == [
        (1, "backprop", True, "uncut"),
        (1, "backprop", False, "uncut"),
        (2, "dgl", False, "4:mlp_sr"),
        (2, "dgl", False, "8:mlp_sr"),
        (3, "dgl", False, "2:mlp_sr 9:mlp_sr"),
    ]
    assert fair.notes == ()
    text = written(fair)
    assert "10.00 / 15.00" in text and "backprop, checkpointed" in text


def test_of_many_decouplings_the_cell_holds_the_best_and_the_worst(path):
    cuts = [{"decoupling": f"{cut}:mlp_sr", "test_error": cut / 100} for cut in (5, 3, 9, 7)]
    assert "3.00 .. 9.00 (4 decouplings)" in written(fair_table(read_rows([path(*cuts)])))
    assert "3.00 / 5.00 / 9.00" in written(fair_table(read_rows([path(*cuts[:3])])))


def test_a_figure_that_is_asked_for_stands_behind_the_others(path):
    file = path(
        {"seed": 0, "parameters_trained": 1000},
        {"seed": 1, "parameters_trained": 2000},
        {"seed": 2},
        BACKPROP | {"parameters_trained": ""},
    )
    fair = fair_table(read_rows([file]), ["parameters_trained"])
    assert {line.method: line.figures for line in fair.lines} == {
        "dgl": {"parameters_trained": 1500.0},
        "backprop": {"parameters_trained": None},
    }
    assert {line["method"]: line["parameters_trained"] for line in plain(fair)["lines"]} == {"dgl": 1500.0, "backprop": None}
    assert [row["parameters_trained"] for row in csv.DictReader(io.StringIO(as_csv(fair)))] == ["", "1500.0"]
    text = written(fair)
    assert "trained k" in text and any(line.split()[-2:] == ["1.5", "mlp_sr"] for line in text.splitlines())
    assert "trained k" not in written(fair_table(read_rows([file])))


@pytest.mark.parametrize(
    ("figure", "why"),
    [
        ("parameters_traind", "parameters_trained"),
        ("params", "has not yet"),
        ("lr", "figure"),
        ("energy_joules", "all rows leave empty"),
        ("mine", "a number, got column mine"),
    ],
)
def test_a_figure_that_no_table_has_is_refused(path, figure, why):
    with pytest.raises(UserError, match=why):
        fair_table(read_rows([path({"mine": "much"})]), [figure])


def test_a_users_own_figure_is_shown_by_its_name(path):
    fair = fair_table(read_rows([path({"stages": 3})]), ["stages"])
    assert fair.lines[0].figures == {"stages": 3.0} and " stages  heads" in written(fair)


def test_settings_are_shown_where_a_method_has_several(path):
    methods = ["contsup(context=E,loss=softmax)", "contsup(context=R1E,loss=softmax)", "dgl(label_smoothing=0.1)"]
    lines = fair_table(read_rows([path(*({"method": method} for method in methods))])).lines
    assert {line.method for line in lines} == {"contsup(context=E)", "contsup(context=R1E)", "dgl"}


def test_a_diverged_run_counts_as_wrong_and_is_shown(path):
    fair = fair_table(read_rows([path({"test_error": 0.1}, {"seed": 1, **DIVERGED})]))
    (line,) = fair.lines
    assert (line.test_error, line.n, line.diverged, line.step_seconds) == (55.0, 2, 1, 0.5)
    assert "(1 diverged)" in written(fair)
    assert fair.shared["epochs"] == "1.0"


def test_an_attempt_that_another_followed_does_not_count(path):
    failed = {"test_error": "", "step_seconds": "", "epochs": "", "run": "a", "attempts": 1}
    full, killed = ({**failed, "status": status} for status in ("out of memory: 1 GiB", "killed: SIGKILL"))
    fair = fair_table(read_rows([path(full, {**killed, "seed": 1, "run": "b"}, {"test_error": 0.1, "run": "a", "attempts": 2})]))
    (line,) = fair.lines
    assert (line.test_error, line.n, line.out_of_memory, line.killed) == (55.0, 2, 0, 1) and "(1 killed)" in written(fair)


def test_one_seed_has_no_interval(path):
    (line,) = fair_table(read_rows([path({})])).lines
    assert (line.n, line.interval) == (1, None)


def test_the_interval_is_scipys(path):
    errors = [0.061, 0.074, 0.055, 0.09]
    (line,) = fair_table(read_rows([path(*({"seed": i, "test_error": error} for i, error in enumerate(errors)))])).lines
    low, high = stats.t.interval(0.95, 3, loc=line.test_error, scale=100 * stats.sem(errors))
    assert (line.test_error - line.interval, line.test_error + line.interval) == pytest.approx((low, high))


def test_the_csv_has_a_line_each_with_raw_numbers_and_the_shared_settings(path):
    fair = fair_table(read_rows([path({}, BACKPROP)]))
    rows = list(csv.DictReader(io.StringIO(as_csv(fair))))
    assert [(row["method"], row["train_params"], row["iterations"], row["interval"]) for row in rows] == [
        ("backprop", "1000", "700", ""),
        ("dgl", "1050", "700", ""),
    ]


def test_lines_of_the_same_cuts_stand_together_under_k_and_cuts(path):
    heads = "1c2f(width=1.0,feature_dim=128,embedding={})"
    fair = fair_table(
        read_rows(
            [
                path(
                    BACKPROP,
                    {"test_error": 0.08},
                    {"seed": 1, "test_error": 0.12},
                    {"decoupling": "4:" + heads.format(True), "test_error": 0.09},
                    {"method": "greedy(label_smoothing=0.1)", "decoupling": "8:" + heads.format(False), "test_error": 0.3},
                )
            ]
        )
    )
    text = written(fair)
    under = text[text.index("K=1, uncut") :].splitlines()[:7]
    assert [line.split()[0] for line in under] == [
        "K=1,",
        "backprop",
        "K=2,",
        "dgl",
        "K=2,",
        "dgl",
        "greedy(label_smoothing=0.1)",
    ]
    assert under[2] == "K=2, cut after 4" and under[3].endswith("  1c2f(embedding=True)")
    assert under[4] == "K=2, cut after 8" and under[6].endswith("  1c2f")
    assert under[5].split()[1:8] == ["10.00±25.41", "2", "1.0", "1.1", "2.00", "2.00", "3.0"]  # t(0.975; 1) = 12.706, times 2
    assert all(line == line.rstrip() for line in text.splitlines())


def test_label_smoothing_that_is_not_the_same_for_all_is_said(path):
    base = {"method": "man(base='dgl(label_smoothing=0.1)')"}
    assert fair_table(read_rows([path({}, BACKPROP, base)])).notes == ()
    (note,) = fair_table(read_rows([path({}, BACKPROP | {"method": "backprop(label_smoothing=0.0)"}, base)])).notes
    assert note == "label_smoothing is each line's own: 0.1, 0.0"


# ---- which rows


def test_a_file_given_twice_counts_once(path):
    file = path({"seed": 0}, {"seed": 1})
    assert fair_table(read_rows([file, file])) == fair_table(read_rows([file]))


def test_where_keeps_alternatives_of_a_column_and_all_columns_at_once(path):
    file = path(
        BACKPROP,
        {},
        {"decoupling": "2:mlp_sr 9:mlp_sr", "num_blocks": 3},
        {"iterations": 70, "method": "predsim(similarity=0.99)"},
    )
    lines = fair_table(read_rows([file], ["num_blocks=1", "num_blocks=3", "iterations=700"])).lines
    assert [(line.method, line.num_blocks) for line in lines] == [("backprop", 1), ("dgl", 3)]
    assert [line.method for line in fair_table(read_rows([file], ["method=predsim"])).lines] == ["predsim"]


def test_an_empty_value_is_a_value_and_an_absent_column_is_empty(path):
    old, trial = path({}, name="old.csv"), path({"scale": 0.05, "iterations": 35}, name="trial.csv")
    (line,) = fair_table(read_rows([old, trial], ["scale="])).lines
    assert line.n == 1


@pytest.mark.parametrize("condition, said", [("lr", "column=value"), ("lrr=0.1", "did you mean lr"), ("lr=7", "lr is 0.1")])
def test_a_condition_that_selects_nothing_is_refused(path, condition, said):
    assert said in refusal(path({}), condition)


# ---- refusals


@pytest.mark.parametrize(
    "column, other",
    [
        ("task", "cifar10(crop=2)"),
        ("backbone", "resnet110(width=1.0)"),
        ("iterations", 70),
        ("epochs", 2.0),
        ("batch_size", 128),
        ("precision", "bf16"),
        ("scale", 0.05),
    ],
)
def test_lines_that_differ_in_what_all_must_share_are_refused_with_column_and_values(path, column, other):
    said = refusal(path({}, BACKPROP | {column: other}))
    assert f"agree in {column}, but {column} is " in said and str(other) in said and f"--where '{column}=" in said
    assert str(ROW.get(column, "empty")) in said


@pytest.mark.parametrize("column, other", [("lr", 0.02), ("weight_decay", 0), ("optimizer", "adam"), ("schedule", "multistep")])
def test_a_recipe_may_be_each_methods_own_but_not_each_seeds(path, column, other):
    fair = fair_table(read_rows([path({}, BACKPROP | {column: other})]))
    assert len(fair.lines) == 2 and any(note.startswith(column) and str(other) in note for note in fair.notes)
    said = refusal(path({}, {"seed": 1, column: other}))
    assert f"{column} is " in said and str(other) in said and "averaged" in said


@pytest.mark.parametrize("column, other", [("device", "GPU B"), ("threads", 2), ("compile", "default")])
def test_seconds_measured_otherwise_are_left_out_and_said(path, column, other):
    fair = fair_table(read_rows([path({}, BACKPROP | {column: other})]))
    assert {(line.step_seconds, line.pipeline_speedup_bound) for line in fair.lines} == {(None, None)}
    (note,) = fair.notes
    assert column in note and str(other) in note


def test_a_k_that_does_not_count_isolated_blocks_is_refused(path):
    said = refusal(path({}, {"decoupling": "2:mlp_sr 9:mlp_sr", "num_blocks": 4}))
    assert "num_blocks is 4" in said and "2:mlp_sr 9:mlp_sr" in said
    assert "num_blocks is 1" in refusal(path({"num_blocks": 1}))


def test_joint_exits_have_one_block_and_a_heading_of_their_own(path):
    joint = {"method": "early_exit(label_smoothing=0.1,exit_weight=1.0)", "num_blocks": 1}
    fair = fair_table(read_rows([path({}, joint | {"test_error": 0.07}, BACKPROP)]))
    assert [(line.num_blocks, line.method) for line in fair.lines] == [(1, "early_exit"), (1, "backprop"), (2, "dgl")]
    lines = written(fair).splitlines()
    for heading, method in (("K=1, exits after 8", "early_exit"), ("K=1, uncut", "backprop"), ("K=2, cut after 8", "dgl")):
        assert lines[lines.index(heading) + 1].startswith(method)


@pytest.mark.parametrize(
    "column, value",
    [("grow", "frozen(starts=[0,0.5])"), ("side", "text(dim=[50,50],embedding=own)"), ("extends", "0123456789abcdef")],
)
def test_grown_fed_and_extended_networks_stand_beside_the_others_and_are_named(path, column, value):
    fair = fair_table(read_rows([path({}, {"seed": 1, "test_error": 0.2}, {column: value, "test_error": 0.3})]))
    assert [(getattr(line, column), line.test_error, line.n) for line in fair.lines] == [("", 15, 2), (value, 30, 1)]
    text = written(fair)
    for part in text.split("K=2, cut after 8"):  # both tables
        assert [line.split("  ")[0] for line in part.splitlines() if line.startswith("dgl")] == ["dgl", f"dgl, {column}={value}"]
    assert [row[column] for row in csv.DictReader(io.StringIO(as_csv(fair)))] == ["", value]


def test_what_all_lines_grow_by_is_said_once_above_the_table(path):
    grow = {"grow": "frozen(starts=[0,0.5])"}
    text = written(fair_table(read_rows([path(grow, grow | {"decoupling": "4:mlp_sr"})])))
    assert text.count("frozen(starts=[0,0.5])") == 1 and "grow frozen" in text.partition("\n\n")[0]


def test_a_seed_that_came_twice_is_refused_with_what_differs(path):
    file = path({"test_error": 0.1}, {"test_error": 0.2, "device": "GPU B"})
    said = refusal(file)
    assert "seed 0" in said and "device is CPU A, GPU B" in said
    assert [line.test_error for line in fair_table(read_rows([file], ["device=GPU B"])).lines] == [20.0]


@pytest.mark.parametrize("column", ["exits", "calibrated"])
def test_a_seed_with_and_without_exits_is_refused_by_what_was_asked_for(path, column):
    """Not by seconds, which differ between any two runs."""
    file = path({"step_seconds": 0.1}, {"step_seconds": 0.2, column: "True"})
    assert f"{column} is empty, True; narrow with --where '{column}='" in refusal(file)
    assert len(fair_table(read_rows([file], [f"{column}="])).lines) == 1


def test_rows_without_a_test_error_are_refused(path):
    assert "1 rows never saw" in refusal(path({"test_error": ""}, BACKPROP))


def test_files_that_are_none_of_evaluates_are_refused(path, tmp_path):
    assert "is not there" in refusal(tmp_path / "absent.csv")
    assert "no column test_error" in refusal(path({}, leave_out=("test_error",)))
    assert "mend the file" in refusal(path({"test_error": "good"}))


def test_rows_that_differ_only_in_a_figure_are_told_apart_by_it(path):
    file = path({"parameters_trained": ""}, {"parameters_trained": 1000})
    assert "parameters_trained is empty, 1000" in refusal(file) or "parameters_trained is 1000, empty" in refusal(file)
    assert len(read_rows([file], ["parameters_trained=1000"])) == len(read_rows([file], ["parameters_trained="])) == 1
