"""A trained run that is saved: its weights, and all that is needed to use them without the command that made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import torch

from methods.method import Method
from methods.sides import with_side
from methods.table import METHODS, traits
from methods.training.checkpoint import damage_told, save_whole
from methods.training.saved_fields import COUNT, FINITE, MAPPING, POSITIVE, SHARE, TENSORS, TEXT, Field, check_fields, whole
from methods.training.saved_file import load_saved
from methods.training.settings import Precision
from nas.data.digest import weights_digest
from nas.data.new.input_kinds import NAMED, input_kind
from nas.records.log import Cell
from spaces.decoupling import Decoupling
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.own_modules import names_of_a_file
from spaces.space import SearchSpace
from spaces.traced.start_weights import without_weights

FILE, FORMAT = "trained.pt", 2
READ = (1, 2)  # format 1 has no fitted temperatures beside those that were asked for
WAY_OUT = "train it again with evaluate --save-weights"


def run_name(key: Mapping[str, Cell]) -> str:
    """What the run with this key is called: a digest of the cells that are not None."""
    text = json.dumps({name: cell for name, cell in key.items() if cell is not None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SavedExit:
    """What stopping at an exit costs and is worth: the depth from 1 on, multiply-accumulates of one input that runs this
    answer alone, the same with the answers of all exits before it, the share of wrong answers on the validation split, and
    the temperature that fits its logits to that split, None where there is none. `temperature` divides the logits always:
    1, but in files of format 1 whose run was calibrated."""

    depth: int
    macs: int
    path_macs: int
    validation_error: float
    temperature: float = 1.0
    fitted_temperature: float | None = None


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The weights of a run, with the key of its row, how inputs are made of files (`TaskData.inputs`), and its exits."""

    path: Path
    key: dict[str, Cell]
    inputs: dict[str, Any]
    exits: tuple[SavedExit, ...]
    weights: dict[str, torch.Tensor]

    @property
    def name(self) -> str:
        """What its row's column `run` says, wherever the folder was moved to."""
        return run_name(self.key)

    @cached_property
    def digest(self) -> str:
        """Of the weights: its row's `weights_digest`."""
        return weights_digest(self.weights)

    @property
    def decoupling(self) -> Decoupling:
        """The decoupling that was trained."""
        return Decoupling.parse(str(self.key["decoupling"]))

    def save(self) -> None:
        """Write the file, whole or not at all."""
        exits = [asdict(exit) for exit in self.exits]
        save_whole(
            {
                "format": FORMAT,
                "key": self.key,
                "inputs": self.inputs,
                "exits": exits,
                "weights": self.weights,
                "weights_digest": self.digest,
            },
            self.path,
        )

    @classmethod
    def load(cls, path: Path) -> TrainedRun:
        """Of a run's folder, or of the file in it; one that is missing, damaged, of another kind or with weights that are not
        those it was saved with is a UserError. Files of older versions hold no digest of their weights."""
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise UserError(f"there is no trained run at {path}; give a finished one of `run.py runs list`")
        with damage_told(f"the trained run {file}", WAY_OUT):
            saved = load_saved(file, "cpu")
            if saved["format"] not in READ:
                raise UserError(
                    f"this program reads trained runs of the formats {', '.join(map(str, READ))}, got "
                    f"{saved['format']} in {file}; {WAY_OUT}"
                )
            _check(f"the trained run {file}", saved)
            exits = tuple(SavedExit(**exit) for exit in saved["exits"])
            run = cls(file.resolve(), saved["key"], saved["inputs"], exits, saved["weights"])
            written, came = saved.get("weights_digest"), run.digest
        if written not in (None, came):
            raise UserError(
                f"the weights in {file} are not those that were saved there: their digest is {came}, but {written} "
                "stands beside them; train the run again with evaluate --save-weights"
            )
        return run

    def build(self) -> Method:
        """The method with the run's weights, in evaluation mode, on the CPU.

        What the file names is looked up in the tables; what is only importable has to be allowed (`spaces.notation.own_modules`).
        A network that takes more memory than its weights have is not built.
        """
        with names_of_a_file():
            with torch.device("meta"):
                self._check_weights(self._built())
            method = self._built()
        method.load_state_dict(self.weights)
        return method.eval()

    def _check_weights(self, method: Method) -> None:
        """The file has the weights of the network that it describes."""
        wanted = {name: tensor.shape for name, tensor in method.state_dict().items()}
        if wanted != {name: tensor.shape for name, tensor in self.weights.items()}:
            raise UserError(
                f"the trained run {self.path} has not the weights of the network that it names; train it again with "
                "evaluate --save-weights"
            )

    def _built(self) -> Method:
        """The method as the file describes it, freshly initialised."""
        inputs, spec = self.inputs, str(self.key["method"])
        kind = input_kind(inputs)
        backbone = str(without_weights(Component.parse(str(self.key["backbone"]))))
        space = SearchSpace(backbone, (), input_shape=kind.shape(inputs), num_classes=len(inputs["classes"]), num_blocks=1)
        net = space.build(self.decoupling, head_lookahead=traits(spec).head_lookahead, pixels=kind.pixels(inputs))
        side = self.key.get("side")
        num_features = len(inputs["features"]["mean"]) if inputs.get("features") else 0
        return with_side(METHODS.build(spec, net), str(side) if side else None, num_features)


FIELDS = {
    "key": MAPPING,
    "inputs": MAPPING,
    "weights": TENSORS,
    "exits": Field("what each exit costs, the deepest last", lambda held: isinstance(held, list) and len(held) > 0),
}
KEY = {
    "method": TEXT,
    "backbone": TEXT,
    "decoupling": TEXT,
    "precision": Field(", ".join(get_args(Precision)), lambda held: held in get_args(Precision)),
}
EXIT = {"depth": COUNT, "macs": COUNT, "path_macs": COUNT, "validation_error": SHARE}
FITTED = Field(f"{POSITIVE.rule}, or nothing", lambda held: held is None or POSITIVE.holds(held))
INPUTS = {"kind": NAMED, "classes": TEXT.listed("names of classes")}
FEATURES = {
    "columns": Field("names of columns", lambda held: isinstance(held, list) and all(map(TEXT.holds, held))),
    "mean": FINITE.listed("a finite number each"),
    "std": POSITIVE.listed("a number above 0 each"),
}


def _check(file: str, saved: dict[str, Any]) -> None:
    """All that is not only looked up by name is there and of its kind."""
    check = partial(check_fields, file, WAY_OUT)
    check(saved, FIELDS)
    key, inputs, exits = saved["key"], saved["inputs"], saved["exits"]
    plain = Field("a number, a text or nothing", lambda held: held is None or isinstance(held, bool | int | float | str))
    check(key, dict.fromkeys(key, plain) | KEY, within="key")
    check(inputs, INPUTS, within="inputs")
    kind = input_kind(inputs)
    check(inputs, kind.fields, within="inputs")
    check(inputs, kind.fitting(inputs), within="inputs")
    num_blocks = Decoupling.parse(key["decoupling"]).num_blocks
    for place, exit in enumerate(exits):
        optional = {"temperature": POSITIVE, "fitted_temperature": FITTED}
        check(
            exit,
            EXIT | {"depth": whole(1, num_blocks)} | {name: optional[name] for name in optional if name in exit},
            within=f"exits[{place}]",
        )
    if features := inputs.get("features"):
        check(features, FEATURES, within="inputs.features")
        count = len(features["mean"])
        each = Field(f"{count} entries, as many as mean", lambda held: len(held) == count)
        check(features, {"std": each} | ({"columns": each} if features["columns"] else {}), within="inputs.features")
