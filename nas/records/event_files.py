"""`--log tensorboard`: the rows of history.csv as files of events, which TensorBoard draws while a run trains."""

from __future__ import annotations

import io
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nas.records.results_log import told_of_path
from spaces.notation.errors import UserError

FILE = "events.out.tfevents.decoupled-nas"  # TensorBoard looks for names with tfevents in them
NUMBERS = ("validation_error", "validation_loss", "scheduled_lr", "seconds")  # curves, called as their columns are
LISTS = ("stage_losses", "exit_errors")  # a curve for each stage or exit: stage_losses/1 is the first
LONGEST = 80  # characters of what a folder says of its run before the run's name
_HEADER, _FOOTER = 12, 4  # bytes of a record around its event: its length with a checksum, and the event's checksum


class EventFiles:
    """Below `folder` a folder of events for each training, with one file, which is a function of the training's rows.

    So what is missing in it is appended, whatever was cut short by whom, and a curve has neither gaps nor doubles. The time of an
    event is that of the file's beginning with the row's `seconds` added, so that TensorBoard's relative time is that of training.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise UserError("--log tensorboard needs the package tensorboard; pip install 'decoupled-nas[tensorboard]'")
        self.folder = folder

    def write(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Bring the file of the training that has these rows, oldest first, up to them."""
        if not rows:
            return
        path = self.folder / _folder_of(rows[0]) / FILE
        with told_of_path(f"the events in {path.parent}", "change the permissions or name other --results"):
            there = path.read_bytes() if path.is_file() else b""
            began = _began(there)
            events = _events(rows, time.time() - float(rows[-1].get("seconds") or 0) if began is None else began)
            path.parent.mkdir(parents=True, exist_ok=True)
            if there and events.startswith(there):
                with open(path, "ab") as file:
                    file.write(events[len(there) :])
            else:
                part = path.with_name(f".part-{os.getpid()}")  # of a finished run several processes may write it
                part.write_bytes(events)
                os.replace(part, path)


def _folder_of(row: Mapping[str, str]) -> str:
    """What TensorBoard calls the training: what people know it by, then the run's name."""
    said = f"{row['method'].partition('(')[0]} {row['decoupling']} seed {row['seed']}"
    named = re.sub(r"[^\w.=]+", "-", said)[:LONGEST].strip("-.")
    return f"{named}-{row['run']}" + (f"-{row['training']}" if row["training"] != "1" else "")


def _began(there: bytes) -> float | None:
    """The time of the first event; None where there is none that reads."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    length = int.from_bytes(there[:8], "little")
    if not 0 < length <= len(there) - _HEADER - _FOOTER:
        return None
    try:
        began = Event.FromString(there[_HEADER : _HEADER + length]).wall_time
    except DecodeError:
        return None
    return began if math.isfinite(began) else None


def _events(rows: Sequence[Mapping[str, str]], began: float) -> bytes:
    """The whole file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    events = [
        Event(wall_time=began, file_version="brain.Event:2"),
        Event(wall_time=began, summary=_text("run", _described(rows[0]))),
        *(
            Event(wall_time=began + float(row.get("seconds") or 0), step=int(row["iteration"]), summary=_scalars(row))
            for row in rows
        ),
    ]
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    return file.getvalue()


def _scalars(row: Mapping[str, str]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row)])


def scalars(row: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """The curves of a row of history.csv by name, with its value of each."""
    for name in NUMBERS:
        if row.get(name):
            yield name, float(row[name])
    for name in LISTS:
        for number, value in enumerate((row.get(name) or "").split(), start=1):
            yield f"{name}/{number}", float(value)


def _described(row: Mapping[str, str]) -> str:
    """What the training is of, in Markdown."""
    cells = {name: row[name] for name in ("method", "decoupling", "task", "seed", "run", "training")}
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | `{cell}` |" for name, cell in cells.items())])


def _text(tag: str, text: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
