"""The program beside exported networks has the rules of the run, and no part of this project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.images.augmentation import normalised, row_constants
from nas.exits import confidence as rules
from nas.exports import answer


@pytest.mark.parametrize("rule", rules.CONFIDENCES)
@pytest.mark.parametrize("bounded", [False, True])
def test_a_rule_is_as_sure_as_in_the_run(rule: str, bounded: bool) -> None:
    torch.manual_seed(0)
    before, logits = torch.randn(2, 50, 10) * 3
    raw = torch.randn(50, 10).tanh() if bounded else None
    for earlier in (None, before):
        wanted = rules.confidence(rules.CONFIDENCES[rule], logits, earlier, raw)
        given = [None if tensor is None else tensor.numpy() for tensor in (earlier, raw)]
        found = answer.confidence(rule, logits.numpy(), *given)
        assert found.dtype == np.float32
        torch.testing.assert_close(torch.from_numpy(found), wanted)


def test_a_rule_is_sure_of_what_has_no_other_answer() -> None:
    certain = np.array([[0.0, 2000.0, 0.0]], np.float32)
    for rule in ("max_softmax", "margin", "entropy"):
        assert answer.confidence(rule, certain, None, None) == 1, rule
    assert answer.confidence("agreement", certain, certain, None) == 1


def test_all_rules_are_there_and_another_is_refused() -> None:
    assert set(answer.RULES) == set(rules.CONFIDENCES)
    with pytest.raises(ValueError, match="max_softmax, margin"):
        answer.confidence("most", np.zeros((1, 3)), None, None)


def network(folder: Path, **inputs: object) -> answer.Network:
    """One without graphs, which only makes inputs."""
    (folder / "metadata.json").write_text(json.dumps({"stages": [], "inputs": {"features": None, "padded": False} | inputs}))
    return answer.Network(folder)


def test_images_become_inputs_as_in_training(tmp_path: Path) -> None:
    mean, std, pixels = [0.2, 0.5, 0.7], [0.1, 0.3, 0.9], np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    made = network(tmp_path, kind="images", shape=[3, 5, 6], mean=mean, std=std)
    (found,) = made.inputs(images=pixels)
    wanted = normalised(torch.from_numpy(pixels), row_constants(mean, std, 6, torch.device("cpu")))
    assert found.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(found), wanted.contiguous())
    with pytest.raises(ValueError, match="uint8, got float64"):
        made.inputs(images=pixels / 255)


@pytest.mark.parametrize(("padded", "size"), [(False, 3), (True, 5)])
def test_ids_are_padded_where_the_network_takes_one_length_alone(padded: bool, size: int, tmp_path: Path) -> None:
    made = network(tmp_path, kind="tensors", padded=padded, tensors=[{"name": "input", "dtype": "int64", "size": [5]}])
    (found,) = made.inputs(inputs=[[4, 2, 7]])
    assert found.dtype == np.int64 and found.tolist() == [[4, 2, 7, 0, 0][:size]]
    assert made.inputs(inputs=[range(9)])[0].tolist() == [[0, 1, 2, 3, 4]]


def test_numbers_stay_and_features_are_standardised(tmp_path: Path) -> None:
    features = {"mean": [1.0, 50.0], "std": [2.0, 10.0]}
    tensors = [{"name": "input", "dtype": "float32", "size": [2]}]
    found = network(tmp_path, kind="tensors", tensors=tensors, features=features).inputs(inputs=[[0.5, -1]], features=[[3, 40]])
    assert [array.dtype for array in found] == [np.float32] * 2
    assert [array.tolist() for array in found] == [[[0.5, -1]], [[1, -1]]]
