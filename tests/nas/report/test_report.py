"""Reports against hand-made rows: SciPy's interval on the raw numbers, and tables read back cell by cell."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nas.cost import BlockCost, Cost
from nas.problem import Found, Score
from nas.report.network import cost_table, picture
from nas.report.searches import agreement, pareto_table, searches_table
from nas.report.summary import summarise, summary_table
from nas.report.table import table
from nas.searches import Searched
from spaces.decoupling import Decoupling


def row(method="dgl(label_smoothing=0.1)", decoupling="2:mlp_sr", seed=0, test_error=0.1, **cells):
    """A row as the results file gives it back: every cell is text."""
    row = {
        "method": method,
        "decoupling": decoupling,
        "seed": seed,
        "num_blocks": 2,
        "peak_activation_bytes": 3 * 2**20,
        "status": "ok",
        "validation_error": 0.2,
        "step_seconds": 0.5,
        "test_error": test_error,
    }
    return {name: "" if cell is None else str(cell) for name, cell in (row | cells).items()}


def diverged(**cells):
    return row(**cells, status="diverged: the loss of stage 0 is nan", test_error=None, step_seconds=None, validation_error=1.0)


def read(text):
    """The rows of a table as dicts, cut where the rule under the header says; each line as wide as it must be."""
    header, rule, *lines = text.splitlines()
    spans = [match.span() for match in re.finditer("─+", rule)]
    spans[-1] = (spans[-1][0], None)
    assert all(line == line.rstrip() for line in (header, *lines))
    return [{header[a:b].strip(): line[a:b].strip() for a, b in spans} for line in lines]


# ---- summaries


def test_the_interval_is_students_t_on_the_raw_errors():
    errors = [0.0612, 0.0701, 0.0555, 0.0644, 0.0931]
    (summary,) = summarise([row(seed=seed, test_error=error) for seed, error in enumerate(errors)])
    percent = 100 * np.array(errors)
    low, high = stats.t.interval(0.95, len(errors) - 1, loc=percent.mean(), scale=stats.sem(percent))
    assert (summary.mean - summary.interval, summary.mean + summary.interval) == pytest.approx((low, high))
    assert (summary.mean, summary.std, summary.n) == pytest.approx((percent.mean(), percent.std(ddof=1), 5))
    (line,) = read(summary_table([summary]))
    assert line["95 % interval"] == f"{low:.2f}..{high:.2f}"
    assert (line["test error %"], line["std"], line["n"]) == (f"{percent.mean():.2f}", f"{percent.std(ddof=1):.2f}", "5")


def test_one_seed_has_no_spread():
    (summary,) = summarise([row(test_error=0.125)])
    assert (summary.n, summary.mean, summary.std, summary.interval) == (1, 12.5, None, None)
    (line,) = read(summary_table([summary]))
    assert (line["std"], line["95 % interval"], line["test error %"]) == ("", "", "12.50")


def test_the_printed_interval_ends_at_0_and_100_percent():
    low, high = read(
        summary_table(
            summarise(
                [
                    *(row(seed=seed, test_error=error) for seed, error in enumerate([0.0, 0.02])),
                    *(row("other", seed=seed, test_error=error) for seed, error in enumerate([1.0, 0.98])),
                ]
            )
        )
    )
    assert low["95 % interval"].startswith("0.00..") and high["95 % interval"].endswith("..100.00")


def test_other_columns_of_a_line():
    rows = [row(seed=0, validation_error=0.25, step_seconds=0.25), row(seed=1, validation_error=0.5, step_seconds=0.5)]
    (line,) = read(summary_table(summarise(rows)))
    assert line["method"] == "dgl" and line["K"] == "2" and line["decoupling"] == "2:mlp_sr"
    assert (line["val error %"], line["peak MiB"], line["s/step"]) == ("37.50", "3.0", "0.3750")


def test_a_figure_that_was_asked_for_has_a_column():
    rows = [row(seed=0, energy_joules=10.0), row(seed=1, energy_joules=15.0), row("backprop", "uncut")]
    summaries = summarise(rows)
    assert {summary.method: summary.figures for summary in summaries} == {"dgl": {"energy_joules": 12.5}, "backprop": {}}
    assert {line["method"]: line["energy J"] for line in read(summary_table(summaries))} == {"dgl": "12.5", "backprop": ""}
    assert "energy J" not in summary_table(summarise(rows[2:]))


def test_one_line_for_each_method_and_decoupling_and_the_best_first():
    rows = [
        row(test_error=0.3),
        row("backprop", "uncut", test_error=0.1),
        row(decoupling="4:mlp_sr", test_error=0.2),
        row(seed=1, test_error=0.5),
    ]
    summaries = summarise(rows)
    assert [(s.method, s.decoupling, s.mean, s.n) for s in summaries] == [
        ("backprop", "uncut", 10.0, 1),
        ("dgl", "4:mlp_sr", 20.0, 1),
        ("dgl", "2:mlp_sr", 40.0, 2),
    ]
    assert [line["decoupling"] for line in read(summary_table(summaries))] == ["uncut", "4:mlp_sr", "2:mlp_sr"]


def test_methods_that_differ_in_settings_alone_can_be_told_apart():
    summaries = summarise(
        [
            row("dgl(label_smoothing=0.1)", test_error=0.1),
            row("dgl(label_smoothing=0.0)", test_error=0.2),
            row("backprop(label_smoothing=0.1)", "uncut", test_error=0.3),
        ]
    )
    assert [s.method for s in summaries] == ["dgl(label_smoothing=0.1)", "dgl(label_smoothing=0.0)", "backprop"]


def test_a_method_alone_is_named_with_what_differs_from_its_defaults():
    (summary,) = summarise([row("contsup(context=E,loss=softmax,decoder=False,label_smoothing=0.0)")])
    assert summary.method == "contsup(context=E)"
    (summary,) = summarise([row("not_installed.method(context=E)")])
    assert summary.method == "not_installed.method"


def test_a_diverged_run_counts_as_all_wrong_and_is_named():
    (summary,) = summarise([row(seed=0, test_error=0.1), diverged(seed=1), row(seed=2, test_error=0.3)])
    assert (summary.n, summary.diverged) == (3, 1)
    assert (summary.mean, summary.std) == pytest.approx((np.mean([10, 100, 30]), np.std([10, 100, 30], ddof=1)))
    assert summary.step_seconds == 0.5
    (line,) = read(summary_table([summary]))
    assert line["decoupling"] == "2:mlp_sr  (1 diverged)"


def test_nothing_but_diverged_runs():
    """The columns that only a finished run has may be missing from every row."""
    rows = [
        {name: cell for name, cell in diverged(seed=seed).items() if name not in ("test_error", "step_seconds")}
        for seed in range(2)
    ]
    (summary,) = summarise(rows)
    assert (summary.mean, summary.std, summary.diverged, summary.step_seconds) == (100.0, 0.0, 2, None)
    assert not any(isinstance(value, float) and math.isnan(value) for value in vars(summary).values())
    (line,) = read(summary_table([summary]))
    assert (line["s/step"], line["test error %"]) == ("", "100.00")


def test_the_ensembles_column_and_the_plain_error_where_there_is_none():
    rows = [
        row(seed=0, test_error=0.4, ensemble_test_error=0.1),
        row(seed=1, test_error=0.4, ensemble_test_error=0.3),
        row("backprop", "uncut", test_error=0.25, ensemble_test_error=None),
        diverged(decoupling="4:mlp_sr", ensemble_test_error=None),
    ]
    assert [(s.method, s.mean) for s in summarise(rows, "ensemble_test_error")] == [
        ("dgl", pytest.approx(20)),
        ("backprop", 25),
        ("dgl", 100),
    ]
    assert [s.mean for s in summarise(rows)] == [25, 40, 100]


def test_no_rows():
    assert summarise([]) == []
    header, rule = summary_table([]).splitlines()
    assert header.startswith("method") and set(rule) <= {"─", " "}


# ---- tables


def test_numbers_stand_to_the_right_and_words_to_the_left():
    text = table(["what", "n", "mixed", "last"], [["a", "5", "7", "9"], ["bcd", "1,234", "x", "10"], ["e", "", "", ""]])
    assert text.splitlines() == [
        "what      n  mixed  last",
        "────  ─────  ─────  ────",
        "a         5  7      9",
        "bcd   1,234  x      10",
        "e",
    ]


# ---- costs

BLOCKS = (
    BlockCost(
        blocks=(0,), units=2, params=1500, head_params=250, macs=3_000, head_macs=1_000, activation_bytes=4096, seconds=0.003
    ),
    BlockCost(blocks=(1,), units=3, params=70, head_params=10, macs=12_000, head_macs=0, activation_bytes=1024, seconds=0.001),
)


def test_the_cost_table_shows_each_block_and_the_totals():
    text = cost_table(Cost(BLOCKS, 64, 3 * 2**19, params=1580, macs=15_000), Decoupling((2,), ("conv(depth=1)",)))
    first, second = read("\n".join(text.splitlines()[:4]))
    assert first == {
        "block": "0",
        "units": "2",
        "params": "1,500",
        "MACs": "3,000",
        "head params": "250",
        "head MACs": "1,000",
        "KiB/sample": "4",
        "ms/step": "3.0",
        "share %": "75.0",
        "head": "conv(depth=1)",
    }
    assert (second["head"], second["share %"], second["ms/step"], second["MACs"]) == ("classifier", "25.0", "1.0", "12,000")
    totals = "\n".join(text.splitlines()[4:])
    for fact in (
        "inference: 1,580 params, 15,000 MACs",
        "training: 250 params (13.7 % of all), 1,000 MACs",
        "batch size 64: 1.5 MiB",
        ": 1.33",
    ):
        assert fact in totals


def test_without_seconds_the_shares_are_those_of_macs():
    blocks = tuple(BlockCost(**vars(block) | {"seconds": None}) for block in BLOCKS)
    text = cost_table(Cost(blocks, 64, 0, 1580, 15_000), Decoupling((2,), ("linear",)))
    assert "read weights" not in text
    first, second = read("\n".join(text.splitlines()[:4]))
    assert (first["ms/step"], first["share %"], second["share %"]) == ("", "25.0", "75.0")


def test_the_cost_table_says_which_stages_need_anothers_weights():
    first, last = BLOCKS
    text = cost_table(Cost((replace(first, reads=(1,)), last), 64, 0, 1580, 15_000), Decoupling((2,), ("linear",)))
    assert text.endswith("would have to send them: 0 reads 1")


def test_the_cost_table_shows_a_stage_of_several_blocks_as_one_line():
    costs = Cost((replace(BLOCKS[0], blocks=(0, 1, 2), units=7),), 64, 0, 1580, 15_000)
    (line,) = read("\n".join(cost_table(costs, Decoupling((2, 4), ("linear", "linear"))).splitlines()[:3]))
    assert (line["block"], line["units"], line["share %"], line["head"]) == ("0-2", "7", "100.0", "linear, classifier")


# ---- pictures


@pytest.mark.parametrize("decoupling", [Decoupling(), Decoupling((1,), ("linear",)), Decoupling((2, 3, 5), ("a(x=1)", "b", "c"))])
def test_a_picture_has_a_box_for_each_unit_and_a_mark_for_each_cut(decoupling):
    lines = picture(decoupling, 6).splitlines()
    assert lines[0] == "input"
    blocks = [line for line in lines if "block" in line]
    assert [line.count("■") for line in blocks] == [len(block) for block in decoupling.blocks(6)]
    assert sum(line.count("╳") for line in lines) == len(decoupling.cuts)
    for k, (line, head) in enumerate(zip(blocks, (*decoupling.heads, "classifier"), strict=True)):
        assert f"block {k}:" in line and line.endswith(f"──▶ {head} ──▶ loss {k}")
    assert len({line.index("──▶") for line in blocks}) == 1  # heads stand below each other


def test_a_picture_of_joint_learning_has_its_exits_and_no_mark():
    decoupling = Decoupling((2, 3), ("a", "b"))
    apart, joint = picture(decoupling, 6).splitlines(), picture(decoupling, 6, joint=True).splitlines()
    differ = [(one, other) for one, other in zip(apart, joint, strict=True) if one != other]
    assert differ == [("  ╳  no gradient crosses here", "  │  the gradient goes on")] * 2


def test_a_picture_says_which_units_a_block_has():
    text = picture(Decoupling((1, 4), ("linear", "linear")), 6)
    assert re.findall(r"units? [\d-]+", text) == ["unit 1", "units 2-4", "units 5-6"]


def test_a_picture_of_a_deep_network_stays_aligned():
    """Two-digit numbers of units and blocks."""
    cuts = tuple(range(1, 14))
    lines = [line for line in picture(Decoupling(cuts, ("linear",) * 13), 120).splitlines() if "──▶" in line]
    assert len({line.index("──▶") for line in lines}) == 1


# ---- several searches, several objectives


def searched(seed, decoupling, error, **score):
    """A search that asked for nothing but its answer."""
    found = Decoupling.parse(decoupling)
    return Searched(seed, Found(found), {found: Score(error, 0.0, 3 * 2**19, 2.5, **score)})


def test_agreement_by_hand():
    """Of all cuts of a pair, common are 1 of 3, 2 of 3 and 1 of 4; of these common cuts 1, 1 and 0 have the same head."""
    three = [
        searched(0, "2:linear 4:mlp_sr", 0.10),
        searched(1, "2:linear 5:mlp_sr", 0.30),
        searched(2, "2:conv 4:mlp_sr 6:linear", 0.20),
    ]
    figures = agreement(three)
    assert figures.cuts == pytest.approx((1 / 3 + 2 / 3 + 1 / 4) / 3)
    assert figures.heads == pytest.approx(2 / 4)
    assert (figures.mean_error, figures.std_error) == pytest.approx((0.2, 0.1))


@pytest.mark.parametrize(
    ("one", "other", "cuts", "heads"),
    [
        ("uncut", "uncut", 1, None),
        ("uncut", "3:linear", 0, None),
        ("3:linear", "4:linear", 0, None),
        ("3:linear", "3:linear", 1, 1),
        ("3:linear", "3:mlp_sr", 1, 0),
    ],
)
def test_agreement_at_its_ends(one, other, cuts, heads):
    figures = agreement([searched(0, one, 0.2), searched(1, other, 0.2)])
    assert (figures.cuts, figures.heads, figures.std_error) == (cuts, heads, 0)


def test_searches_are_a_line_each_above_how_far_they_agree():
    text = searches_table([searched(4, "2:linear", 0.10), searched(5, "2:mlp_sr", 0.20)])
    rows, facts = text.split("\n\n")
    assert read(rows) == [
        {"seed": "4", "val error %": "10.00", "found": "2:linear"},
        {"seed": "5", "val error %": "20.00", "found": "2:mlp_sr"},
    ]
    assert "1.00 alike" in facts and "0 % of common cuts" in facts and "15.00 +- 7.07 % error over 2 seeds" in facts
    assert "no cut in common" in searches_table([searched(0, "2:linear", 0.1), searched(1, "3:linear", 0.1)])


def test_a_front_is_a_line_a_decoupling():
    fine, failed = searched(3, "2:linear 4:conv(depth=2)", 0.125), searched(4, "uncut", 1.0, status="diverged: nan")
    first, second = read(pareto_table([*fine.evaluated, *failed.evaluated]))
    assert first == {
        "val error %": "12.50",
        "peak MiB": "1.50",
        "pipeline bound": "2.50",
        "K": "3",
        "seed": "3",
        "decoupling": "2:linear 4:conv(depth=2)",
    }
    assert (second["val error %"], second["K"], second["decoupling"]) == ("100.00", "1", "uncut  (diverged)")
