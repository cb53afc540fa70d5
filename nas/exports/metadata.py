"""What is said in each file and in metadata.json: classes, how inputs are made, exits, and which run it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from methods.method import Method
from nas.exports.exported import Exported
from nas.exports.functions import Tree, input_names, input_noise
from nas.records.provenance import provenance

VOCABULARY = "vocabulary.txt"


def metadata_of(exported: Exported, format: str, row: Mapping[str, str]) -> dict[str, Any]:
    """Plain data: numbers, texts, lists and dictionaries by name. `row` is the run's row, empty where there is none."""
    run, here = exported.run, provenance()
    fitted = {exit.depth: exit.fitted_temperature for exit in run.exits}
    kept = ("method", "backbone", "decoupling", "task", "seed", "precision", "side")
    return {
        "format": format,
        "classes": list(run.inputs["classes"]),
        "inputs": _inputs(exported),
        "exit": exported.depth,
        "num_blocks": run.decoupling.num_blocks,
        "fitted_temperature": fitted[exported.depth],
        "adaptive": _adaptive(exported, exported.method),
        "run": run.name,
        "weights_digest": run.digest,
        **{name: run.key[name] for name in kept if run.key.get(name) is not None},
        "commit": row.get("commit", ""),
        "version": row.get("version", ""),
        "exported_by": {name: here[name] for name in ("commit", "version", "torch", "time")},
    }


def as_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """For files that hold texts alone: JSON of what is none."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}


def _inputs(exported: Exported) -> dict[str, Any]:
    """Those of the saved run, but that the words lie in a file of their own; and the tensors that a graph takes, with the size of
    one sample."""
    inputs, method = exported.run.inputs, exported.method
    described = {name: value for name, value in inputs.items() if name not in ("classes", "words")}
    tensors = Tree.of(input_noise(method, exported.num_features, 1))[1]
    names = input_names(method, exported.num_features)
    described["tensors"] = [
        {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "size": list(tensor.shape[1:])}
        for name, tensor in zip(names, tensors, strict=True)
    ]
    return described | ({"vocabulary": VOCABULARY} if "words" in inputs else {})


def _adaptive(exported: Exported, method: Method) -> dict[str, Any] | None:
    """Of bounded outputs the rule sigmoid takes the largest as it is; whether they are bounded."""
    if exported.adaptive is None:
        return None
    return {
        "rule": exported.adaptive.rule,
        "threshold": exported.adaptive.threshold,
        "temperatures": exported.temperatures,
        "bounded": method.logit_range is not None,
    }
