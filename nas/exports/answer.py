"""Answers inputs with the networks beside this file. It needs numpy, and onnxruntime (.onnx) or torch (.pt2), and no part of
the project that wrote it; copy it wherever you like, it is yours under the project's licence.

    python answer.py INPUTS.npz        a line an input: its class, the probability, the depth of the exit that answered

The arrays of INPUTS.npz: `images`, uint8 (N, H, W) or (N, H, W, C), of the size that metadata.json says; for a network of
texts `texts`, strings (N,), or `tokens`, ids (N, T), 0 behind a text's last; for one of other inputs `inputs`, as it takes them;
and `features` (N, F), where it was trained with any.

    from answer import Network
    network = Network("FOLDER")
    logits, depths = network(network.inputs(images=images))

Where metadata.json names a rule and a threshold, an input leaves at the first exit that is so sure of its answer, and the rest
of the batch goes on without it. Each answer is that of the input alone.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = Any  # a numpy array
Function = Callable[[list[Array]], list[Array]]


class Network:
    """The network in a folder, with what metadata.json says of it in `metadata`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.metadata: dict[str, Any] = json.loads((self.folder / "metadata.json").read_text(encoding="utf-8"))
        self._functions = [_loaded(self.folder / stage["file"]) for stage in self.metadata["stages"]]

    def inputs(
        self,
        *,
        images: Array = None,
        texts: Sequence[str] = (),
        tokens: Array = None,
        inputs: Array = None,
        features: Array = None,
    ) -> list[Array]:
        """What the network takes: pixels as (pixel / 255 - mean) / std, float32 (N, C, H, W); token ids int64; features
        standardised. Images have to be of the right size already."""
        described = self.metadata["inputs"]
        if described["kind"] == "images":
            given = [self._normalised(np.asarray(images))]
        else:
            if described["kind"] == "texts":
                inputs = self._ids(texts) if tokens is None else tokens
            given = [self.fitting(np.asarray(inputs, described["tensors"][0]["dtype"]))]
        if described["features"]:
            mean, std = (np.asarray(described["features"][name]) for name in ("mean", "std"))
            given.append(((np.asarray(features, np.float64) - mean) / std).astype(np.float32))
        return given

    def fitting(self, values: Array) -> Array:
        """Ids cut to the longest text, and padded to it where the network takes no other; numbers as they are."""
        described = self.metadata["inputs"]
        if described["tensors"][0]["dtype"] != "int64":
            return values
        (length,) = described["tensors"][0]["size"]
        values = values[:, :length]
        return np.pad(values, ((0, 0), (0, length - values.shape[1] if described["padded"] else 0)))

    def _ids(self, texts: Sequence[str]) -> Array:
        """The ids of words by vocabulary.txt, 1 of a word that it lacks, and 0 behind a text's last; tokens.py cuts texts."""
        spec = importlib.util.spec_from_file_location("tokens", self.folder / "tokens.py")
        assert spec is not None and spec.loader is not None
        tokens = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tokens)
        described = self.metadata["inputs"]
        words = (self.folder / described["vocabulary"]).read_text(encoding="utf-8").split("\n")[:-1]
        known = {word: number for number, word in enumerate(words, start=2)}
        cut = [[known.get(word, 1) for word in tokens.tokenised(str(text), described["length"])] for text in texts]
        if not all(cut):
            raise ValueError(f"a text has a token at least, got none in the text {cut.index([])}")
        return np.array([ids + [0] * (max(map(len, cut)) - len(ids)) for ids in cut], np.int64)

    def _normalised(self, images: Array) -> Array:
        described = self.metadata["inputs"]
        channels, height, width = described["shape"]
        if images.dtype != np.uint8:
            raise ValueError(f"images are uint8, got {images.dtype}; to give normalised numbers call the network itself")
        pixels = images.reshape(len(images), height, width, channels).astype(np.float64) / 255
        normalised = (pixels - np.asarray(described["mean"])) / np.asarray(described["std"])
        return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2), dtype=np.float32)

    def __call__(self, inputs: Sequence[Array]) -> tuple[Array, Array]:
        """The logits (N, classes), divided by the exit's temperature where there is one, and how deep each input went."""
        adaptive, stages = self.metadata["adaptive"], self.metadata["stages"]
        if stages[0].get("one_by_one"):  # the graph itself decides, for all that it is given at once
            each = [self._functions[0]([array[row : row + 1] for array in inputs]) for row in range(len(inputs[0]))]
            return np.concatenate([logits for logits, _ in each]), np.concatenate([depth for _, depth in each])
        given, staying = [np.asarray(array) for array in inputs], np.arange(len(inputs[0]))
        before: Array = None
        for number, (stage, function) in enumerate(zip(stages, self._functions, strict=True), start=1):
            raw, *carry = function(given)
            logits = raw / np.float32(stage["temperature"])
            if number == 1:
                answers, depths = np.empty_like(logits), np.empty(len(logits), np.int64)
            answers[staying], depths[staying] = logits, stage["depth"]
            if number == len(stages):
                break
            sure = confidence(adaptive["rule"], logits, before, raw if adaptive["bounded"] else None)
            left = np.flatnonzero(sure < np.float32(adaptive["threshold"]))
            if not len(left):
                break
            axes = stages[number]["batch_axes"]
            given = [np.ascontiguousarray(np.take(array, left, axis)) for array, axis in zip(carry, axes, strict=True)]
            staying, before = staying[left], logits[left]
        return answers, depths


def confidence(rule: str, logits: Array, before: Array, bounded: Array) -> Array:
    """How sure an exit is (N,), by the rule of this name: of its logits, of those of the exit before for the same inputs (None
    at the first), and, where outputs are no logits but bounded, of these."""
    shares = softmax(logits)
    if rule == "max_softmax":
        return shares.max(1)
    if rule == "margin":
        second, first = np.partition(shares, -2, axis=1)[:, -2:].T
        return first - second
    if rule == "entropy":
        terms = np.where(shares > 0, -shares * np.log(np.where(shares > 0, shares, 1)), 0)
        return np.clip(1 - terms.sum(1) / np.float32(np.log(logits.shape[1])), 0, 1)
    if rule == "agreement":
        if before is None:
            return np.zeros(len(logits), logits.dtype)
        earlier = softmax(before)
        return np.where(shares.argmax(1) == earlier.argmax(1), np.minimum(shares.max(1), earlier.max(1)), 0)
    if rule == "sigmoid":
        return 1 / (1 + np.exp(-logits.max(1))) if bounded is None else np.maximum(bounded.max(1), 0)
    raise ValueError(f"a rule of confidence is {', '.join(RULES)}, got {rule}")


RULES = ("max_softmax", "margin", "entropy", "agreement", "sigmoid")


def softmax(logits: Array) -> Array:
    """Probabilities (N, classes)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _loaded(path: Path) -> Function:
    """Arrays -> arrays, by the library that the file is for."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        return lambda arrays: list(session.run(None, dict(zip(names, arrays, strict=True))))
    import torch

    module = torch.export.load(str(path)).module()

    def run(arrays: list[Array]) -> list[Array]:
        with torch.no_grad():
            found = module(*map(torch.from_numpy, arrays))
        return [tensor.numpy() for tensor in ([found] if isinstance(found, torch.Tensor) else found)]

    return run


def main(arguments: Sequence[str]) -> int:
    """The program: answers on standard output."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    network = Network(Path(__file__).resolve().parent)
    with np.load(arguments[0], allow_pickle=False) as arrays:
        known = ("images", "texts", "tokens", "inputs", "features")
        logits, depths = network(network.inputs(**{name: arrays[name] for name in known if name in arrays}))
    shares = softmax(logits)
    classes, lines = network.metadata["classes"], csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(("answer", "probability", "depth"))
    for row, (answer, depth) in enumerate(zip(shares.argmax(1), depths, strict=True)):
        lines.writerow((classes[answer], f"{shares[row, answer]:.6f}", depth))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
