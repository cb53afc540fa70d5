"""The model card of an export: what it is, how well it answers and how sure that is, what it costs, and how to load it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from nas.exports.check import Checked
from nas.exports.exported import Exported
from nas.exports.loading import loading
from nas.exports.rows import KnownRows, Row
from nas.exports.samples import Samples
from nas.records.columns import COLUMNS
from nas.report.interval import half_interval, share_interval

SETTINGS = (
    "iterations",
    "batch_size",
    "lr",
    "weight_decay",
    "optimizer",
    "schedule",
    "precision",
    "side",
    "scale",
    "extends",
    "grow",
)
COSTS = {
    "params": "parameters of the whole network at inference",
    "parameters_trained": "parameters that were trained, auxiliary heads among them",
    "peak_activation_bytes": "peak of live activations in one training step, in float32, from shapes",
    "step_seconds": "median seconds of a training step",
    "energy_joules": "energy of the training",
}
WHERE = ("commit", "version", "torch", "device", "time", "command")


def model_card(
    exported: Exported,
    metadata: Mapping[str, Any],
    samples: Samples,
    checked: Checked,
    rows: KnownRows,
    held: str,
    *,
    strict: bool,
) -> str:
    """Markdown; `held` is a sentence about what the files hold."""
    parts = (
        _title(exported, held),
        _errors(exported, samples, checked, rows),
        _costs(exported, checked, rows.row),
        _inputs(metadata, exported),
        _use(exported, metadata, strict),
        _check(checked, metadata),
        _origin(exported, metadata, rows.row),
    )
    return "\n".join("\n".join(part) for part in parts) + "\n"


def _title(exported: Exported, held: str) -> Iterator[str]:
    key, num_blocks = exported.run.key, exported.run.decoupling.num_blocks
    yield f"# {key['method']} on {key['backbone']}"
    yield ""
    cut = "not cut" if num_blocks == 1 else f"cut into {num_blocks} blocks, `{key['decoupling']}`"
    inputs = exported.run.inputs
    yield f"A classifier of {inputs['kind']} into {len(inputs['classes'])} classes, trained on the task `{key['task']}`."
    yield f"The network was {cut}, and trained by `{key['method']}`."
    yield ""
    yield held
    yield ""
    if exported.adaptive:
        yield (
            f"An input leaves at the first exit at which {exported.adaptive.rule} gives {exported.adaptive.threshold:g} or more, "
            f"at exit {exported.depth} at the latest."
        )
    elif exported.depth < num_blocks:
        yield f"It answers at exit {exported.depth} of {num_blocks}; what lies behind is left out."
    else:
        yield "It answers at the end of the whole network."
    yield ""


def _errors(exported: Exported, samples: Samples, checked: Checked, rows: KnownRows) -> Iterator[str]:
    yield "## Errors"
    yield ""
    yield "| of | wrong answers | 95 % interval | from |"
    yield "| --- | --- | --- | --- |"
    known, source = (
        (rows.row, "the run's row") if exported.depth == exported.run.decoupling.num_blocks else (rows.exit, "the exit's row")
    )
    of_depth = {exit.depth: exit.validation_error for exit in exported.run.exits}
    if exported.adaptive is None:
        yield _line("validation", of_depth[exported.depth], samples.counts.get("validation"), "the saved run")
        if known.get("test_error"):
            yield _line("test", float(known["test_error"]), samples.counts.get("test"), source)
        else:
            yield "| test | not known | | no row of the results names the run |"
    if checked.error is not None:
        count = sum(len(y) for _, y in samples.batches if y is not None)
        yield _line(checked.samples, checked.error, count, "these files, when they were written")
    yield ""
    yield "The interval is Wilson's, over the draw of that many samples; it says nothing of another training."
    yield from _seeds(rows)
    if samples.missing:
        yield f"The numbers of samples are not known here ({samples.missing})."
    yield ""


def _line(of: str, error: float, count: int | None, source: str) -> str:
    interval = ""
    if count:
        low, high = share_interval(error, count)
        interval = f"{100 * low:.2f} to {100 * high:.2f} % of {count:,}"
    return f"| {of} | {100 * error:.2f} % | {interval} | {source} |"


def _seeds(rows: KnownRows) -> Iterator[str]:
    errors = pd.Series([float(row["test_error"]) for row in rows.seeds if row.get("test_error")])
    half = half_interval(errors)
    if half is not None:
        numbers = ", ".join(sorted((row["seed"] for row in rows.seeds if row.get("test_error")), key=int))
        yield (
            f"Over the {len(errors)} seeds {numbers} of the same settings the whole network's test error is "
            f"{100 * errors.mean():.2f} ± {100 * half:.2f} % (95 % interval of the mean)."
        )


def _costs(exported: Exported, checked: Checked, row: Row) -> Iterator[str]:
    yield "## Costs"
    yield ""
    exit = next(exit for exit in exported.run.exits if exit.depth == exported.depth)
    if exported.adaptive:
        yield f"* multiply-accumulates of one input, by the exit at which it leaves, and how many of {checked.samples} do:"
        count, spent = sum(checked.at_depth.values()), 0
        for one in exported.run.exits[: exported.depth]:
            yield f"    * exit {one.depth}: {one.path_macs:,}, {checked.at_depth[one.depth] / count:.1%}"
            spent += checked.at_depth[one.depth] * one.path_macs
        whole = exported.run.exits[-1].macs
        yield f"* on average {spent / count:,.0f}, where the whole network without early exits takes {whole:,}"
    else:
        yield f"* multiply-accumulates of one input: {exit.macs:,}"
    for name in COSTS:
        if row.get(name):
            yield f"* {COSTS[name]}: {COLUMNS[name].show(float(row[name]))} {COLUMNS[name].shown.unit}".rstrip()
    yield ""


def _inputs(metadata: Mapping[str, Any], exported: Exported) -> Iterator[str]:
    described = metadata["inputs"]
    yield "## Intended input"
    yield ""
    tensor = described["tensors"][0]
    if tensor["dtype"] == "int64":
        yield (
            f"Token ids, int64 (N, T), {'always' if described.get('padded') else 'up to'} {tensor['size'][0]} of a text: 0 is "
            "padding, behind a text's last token, and 1 an unknown word."
        )
    else:
        yield f"Numbers, {tensor['dtype']} (N, {', '.join(map(str, tensor['size']))})."
    if described["kind"] == "texts":
        yield f"Line n of `{described['vocabulary']}` has the id n + 1, and `tokens.py` cuts a text into tokens."
    if described["kind"] == "images":
        yield (
            f"Of images they are (pixel / 255 - mean) / std, with mean {_rounded(described['mean'])} and std "
            f"{_rounded(described['std'])}, one a channel (exactly in `metadata.json`). Images of another size are scaled until "
            f"the shorter side fits, times {described['zoom']:.4g}, and the middle is cut out."
        )
    if described["features"]:
        yield f"Beside it {len(described['features']['mean'])} numbers, standardised with the mean and std in `metadata.json`."
    yield ""
    yield f"Classes, in the order of the logits: {_listed(metadata['classes'])}."
    if exported.adaptive is None and metadata["fitted_temperature"] is not None:
        yield (
            f"On validation the temperature {metadata['fitted_temperature']:.4g} fits best: divide the logits by it for "
            "calibrated probabilities."
        )
    yield "On anything else than such inputs its answers mean nothing; it was tested on no other data."
    yield ""


def _rounded(numbers: list[float]) -> str:
    return f"[{', '.join(f'{number:.4g}' for number in numbers)}]"


def _listed(classes: list[str]) -> str:
    shown = ", ".join(classes[:20])
    return shown if len(classes) <= 20 else f"{shown}, ... ({len(classes)}, all in `metadata.json`)"


def _use(exported: Exported, metadata: Mapping[str, Any], strict: bool) -> Iterator[str]:
    yield "## Load it"
    yield ""
    if lines := loading(exported, metadata, strict=strict):
        yield "```python"
        yield lines
        yield "```"
        yield ""
    if "stages" in metadata:
        arrays = {"images": "`images` (uint8)", "texts": "`texts` (strings) or `tokens` (ids)"}
        yield f"Or from the shell, with the array {arrays.get(metadata['inputs']['kind'], '`inputs`')} in an .npz file:"
        yield ""
        yield "```bash"
        yield "python answer.py INPUTS.npz"
        yield "```"
        yield ""


def _check(checked: Checked, metadata: Mapping[str, Any]) -> Iterator[str]:
    yield "## Checked"
    yield ""
    yield f"When written, the files were compared with the run on {checked.samples}, in float32:"
    yield ""
    yield f"* the largest difference of two logits is {checked.max_difference:.3g}"
    yield f"* the class is the same for {checked.same_answers:.2%}"
    if metadata["adaptive"]:
        yield f"* the exit is the same for {checked.same_depths:.2%}"
    if checked.rounding is not None and checked.same_when_rounded is not None:
        yield (
            f"* the run computed in {metadata['precision']}: to its logits there the largest difference is "
            f"{checked.rounding:.3g}, and the class is the same for {checked.same_when_rounded:.2%}"
        )
    yield ""


def _origin(exported: Exported, metadata: Mapping[str, Any], row: Row) -> Iterator[str]:
    yield "## Where it comes from"
    yield ""
    yield f"* run: {exported.run.name}, weights {exported.run.digest}, seed {exported.run.key.get('seed', 'not known')}"
    settings = [f"{name} {exported.run.key[name]}" for name in SETTINGS if exported.run.key.get(name) is not None]
    yield f"* training: {', '.join(settings)}"
    for name in WHERE:
        if row.get(name):
            yield f"* {name}: {'`' if name == 'command' else ''}{row[name]}{'`' if name == 'command' else ''}"
    if not row:
        yield "* no row of the results names the run, so its commit and command are not known here"
    by = metadata["exported_by"]
    code = f"version {by['version'] or 'unknown'}, commit {by['commit'] or 'unknown'}"
    yield f"* exported: {by['time']}, by {code}, torch {by['torch']}"
