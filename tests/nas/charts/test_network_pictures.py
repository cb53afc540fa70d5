"""Pictures of decouplings: what each block costs adds up to what the row says, and what is not known is not invented."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from nas.charts.drawn.figure import draw
from nas.charts.network import network_of, networks
from nas.charts.results import read_given

RESULTS = Path(__file__).parents[3] / "results"


def row(folder: str, method: str, decoupling: str) -> dict[str, Any]:
    with open(RESULTS / folder / "evaluate.csv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return next(one for one in rows if one["method"].startswith(method) and one["decoupling"].startswith(decoupling))


DIGITS = ("digits", "dgl", "2:mlp_sr")


def test_blocks_add_up_to_the_row() -> None:
    cells = row(*DIGITS)
    network = network_of(cells)
    macs, params, peaks = network.costs
    assert sum(map(float, macs.values)) < int(cells["macs"]) + 1 and not network.joint  # the classifier's come on top
    assert sum(macs.values) + sum(macs.head_values) == int(cells["macs"]) + int(cells["head_macs"])  # type: ignore[arg-type]
    assert sum(params.values) + sum(params.head_values) == int(cells["params"]) + int(cells["head_params"])  # type: ignore[arg-type]
    assert max(peaks.values) == pytest.approx(int(cells["peak_activation_bytes"]), rel=0.01)  # type: ignore[type-var]
    assert [block.head for block in network.blocks] == ["mlp_sr", "mlp_sr", "classifier"]
    assert [block.range for block in network.blocks] == ["units 1–2", "units 3–4", "units 5–6"]
    assert [len(block.units) for block in network.blocks] == [2, 2, 2]
    assert "Block 2, units 3–4, ends in mlp_sr" in network.about and "No gradient crosses" in network.about


def test_texts_have_costs_too() -> None:
    network = network_of(row("texts_search", "dgl", "2:"))
    assert [cost.short for cost in network.costs] == ["MACs", "parameters", "activations"]


def test_of_blocks_that_learn_together_gradients_cross_the_cuts() -> None:
    network = network_of(row("converged", "early_exit", "2:"))
    assert network.joint and len(network.blocks) == 4 and "Gradients cross the cuts." in network.about
    assert [cost.short for cost in network.costs] == ["MACs"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "folders(root=x)"}, "the shape of inputs of the task folders is in no row"),
        ({"macs": "1"}, "has other totals than the row"),
        ({"peak_activation_bytes": "1"}, "memory, counted anew, is not what the row says"),
        ({"backbone": "module(path=os.system)"}, "what each block costs is not known: "),
        ({"backbone": "nothing.there(x=1)"}, "what each block costs is not known: "),
        ({"decoupling": "99:mlp_sr"}, "what each block costs is not known: "),
        ({"side": "features(dim=3)"}, "what a side input adds is in no row"),
    ],
)
def test_what_is_not_known_is_said(changes: dict[str, str], said: str) -> None:
    network = network_of(row(*DIGITS) | changes)
    assert said in network.unknown[0]
    shown = {cost.short for cost in network.costs}
    assert shown == ({"MACs", "parameters"} if "peak_activation_bytes" in changes else set())
    assert network.blocks[0].first == 1 and dict(network.figures)["blocks that no gradient joins"] == "3"


def test_of_each_table_the_best_of_each_method_is_drawn(tmp_path: Path) -> None:
    found = networks(read_given([RESULTS / "digits"]))
    assert [one.name for one in found] == ["network-1", "network-2"]
    assert found[0].title == "dgl on 2,4:mlp_sr" and found[0].command.startswith("python run.py evaluate")
    for network in (found[0], network_of(row("converged", "early_exit", "2:")), network_of(row(*DIGITS) | {"macs": "1"})):
        draw([network], tmp_path / "one.svg")
        assert b"</svg>" in (tmp_path / "one.svg").read_bytes()


def test_blocks_are_timed_where_that_is_asked_for() -> None:
    cells = row(*DIGITS) | {"batch_size": "8", "peak_activation_bytes": "1"}
    (*_, seconds), untimed = network_of(cells, timed=True).costs, network_of(cells)
    assert seconds.short == "seconds" and len(seconds.values) == 3 and all(value and value > 0 for value in seconds.values)
    assert "`profile` measures it" in untimed.unknown[-1] and "seconds" not in [cost.short for cost in untimed.costs]
