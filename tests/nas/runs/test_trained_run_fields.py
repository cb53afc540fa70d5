"""A file of a saved run that is readable but not whole is told by its field."""

import copy

import pytest
import torch

from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError

IMAGES = {"kind": "images", "shape": [1, 8, 8], "mean": [0.5], "std": [1.0], "zoom": 1.0, "classes": ["a", "b"], "features": None}
TEXTS = {
    "kind": "texts",
    "length": 4,
    "words": ["good"],
    "classes": ["a", "b"],
    "features": {"columns": ["x"], "mean": [0.0], "std": [1.0]},
}
KEY = {"method": "dgl", "backbone": "small", "decoupling": "2:linear", "precision": "fp32", "side": None, "seed": 0, "lr": 0.1}
EXITS = [
    {
        "depth": depth,
        "macs": 10 * depth,
        "path_macs": 11 * depth,
        "validation_error": 0.5,
        "temperature": 1.0,
        "fitted_temperature": 1.5,
    }
    for depth in (1, 2)
]


def written(path, inputs):
    saved = {"format": 2, "key": KEY, "inputs": inputs, "exits": EXITS, "weights": {"a": torch.zeros(2)}}
    torch.save(saved, path)
    return copy.deepcopy(saved)


@pytest.mark.parametrize("inputs", [IMAGES, TEXTS])
def test_every_field_that_is_missing_or_wrong_is_named(tmp_path, inputs):
    path = tmp_path / "trained.pt"
    places = [
        ("key",),
        ("inputs",),
        ("exits",),
        ("weights",),
        *(("key", name) for name in ("method", "backbone", "decoupling", "precision")),
        *(("inputs", name) for name in inputs if name != "features"),
        *(("exits", 1, name) for name in EXITS[0]),
        *(("inputs", "features", name) for name in inputs["features"] or ()),
    ]
    for place in places:
        for wrong in ("missing", {}, "", -1, [[]], b"x", 10**30, float("nan"), torch.zeros(2)):
            saved = written(path, inputs)
            held = saved
            for name in place[:-1]:
                held = held[name]
            optional = place[-1] in ("temperature", "fitted_temperature") and isinstance(wrong, str)  # older files have none
            if optional or (isinstance(wrong, str) and place[-1] in ("method", "backbone", "decoupling") and not wrong):
                continue  # an empty name is refused where it is looked up
            if isinstance(wrong, str) and wrong:
                del held[place[-1]]
            else:
                held[place[-1]] = wrong
            torch.save(saved, path)
            if place == ("weights",) and wrong == {}:
                continue  # no weights are those of no network: refused by `build`
            with pytest.raises(UserError, match=f"damaged: .*{place[-1]}|cannot be read"):
                TrainedRun.load(path)


@pytest.mark.parametrize("number", [1, 2])
def test_files_of_both_formats_are_read(tmp_path, number):
    saved = written(tmp_path / "trained.pt", IMAGES)
    for exit in saved["exits"]:
        del exit["fitted_temperature"]
    torch.save(saved | {"format": number}, tmp_path / "trained.pt")
    assert TrainedRun.load(tmp_path / "trained.pt").exits[0].fitted_temperature is None
    torch.save(saved | {"format": 3}, tmp_path / "trained.pt")
    with pytest.raises(UserError, match="formats 1, 2, got 3"):
        TrainedRun.load(tmp_path / "trained.pt")


def test_a_whole_file_is_read(tmp_path):
    for inputs in (IMAGES, TEXTS):
        written(tmp_path / "trained.pt", inputs)
        assert TrainedRun.load(tmp_path / "trained.pt").exits[1].depth == 2
