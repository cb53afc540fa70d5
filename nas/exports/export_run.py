"""A trained run is written as files that need no part of this project, tried, and described."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.method import Method
from nas.data.texts import tokens
from nas.exports.check import Checked, check
from nas.exports.exported import Exported
from nas.exports.formats.export_format import ExportFormat
from nas.exports.metadata import VOCABULARY, metadata_of
from nas.exports.model_card import model_card
from nas.exports.new_folder import check_is_new, new_folder
from nas.exports.plain_network import construction
from nas.exports.rows import known_rows
from nas.exports.samples import samples_of
from nas.exports.tensors import exit_tensors, plain_names
from nas.records.results import Results


@dataclass(frozen=True)
class Export:
    """What was written where, what it holds in a sentence, and how it compares with the run. `notes` are for people, a line
    each."""

    folder: Path
    files: tuple[str, ...]
    held: str
    checked: Checked
    notes: tuple[str, ...]


def export_run(exported: Exported, written: ExportFormat, name: str, folder: Path, *, results: Results, data_dir: Path) -> Export:
    """Write the run to the new folder in the format `name`, with metadata.json and model_card.md. Either all of it is there in
    the end, and answers as the run does, or nothing; what stops it is a UserError."""
    written.check_installed()
    check_is_new(folder)
    method = exported.method
    rows = known_rows(exported.run, exported.depth, results)
    samples = samples_of(exported.run, method, exported.num_features, data_dir)
    strict, held = _held(exported, method, written)
    with new_folder(folder) as inside:
        metadata: dict[str, Any] = metadata_of(exported, name, rows.row)
        metadata |= written.write(exported, metadata, inside)
        if "words" in exported.run.inputs:
            (inside / VOCABULARY).write_text("".join(f"{word}\n" for word in exported.run.inputs["words"]), encoding="utf-8")
            shutil.copyfile(tokens.__file__, inside / "tokens.py")
        _write_json(inside / "metadata.json", metadata)
        checked = check(exported, written, inside, samples)
        card = model_card(exported, metadata, samples, checked, rows, held, strict=strict)
        (inside / "model_card.md").write_text(card, encoding="utf-8")
        files = tuple(sorted(path.name for path in inside.iterdir()))
    notes = (f"tried with random inputs, since {samples.missing}",) if samples.missing else ()
    return Export(folder, files, held, checked, notes)


def _write_json(path: Path, metadata: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _held(exported: Exported, method: Method, written: ExportFormat) -> tuple[bool, str]:
    """Whether a file of weights is the plain network's whole state dict, and what the files hold, in words."""
    plain, tensors = plain_names(method), exit_tensors(method, exported.depth - 1)
    own = [name for name in tensors if name in plain]
    strict = len(own) == len(plain) == len(tensors)
    if written.holds_a_program:
        return (
            strict,
            "The files hold the whole computation, with the plain network's names for its parameters, and need no other code.",
        )
    whole = "all" if len(own) == len(plain) else f"{len(own)} of the"
    held = f"The file holds {whole} {len(plain)} tensors of the plain network, under its own names"
    if len(tensors) > len(own):
        held += f", and {len(tensors) - len(own)} that only this exit has, named exit.*: load with strict=False"
    elif not strict:
        held += ": load with strict=False"
    if not construction(method)[1]:
        held += "; the network's class is this project's, so for a program without it take --to onnx or torch_export"
    return strict, held + "."
