"""Every column of the results files, once. What else there is to know of one is here and nowhere else: its type drives the
checks on reading and the numbers of tables, its role what is one run, `compared` what may stand side by side, and all of it
results/README.md. A column of another name is a text that tells runs apart, as an unknown setting would.

A new figure is an entry here and a file of its name in nas/evaluation/figures/, which measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from nas.records.cell_types import (
    AMOUNT,
    COMPONENT,
    COUNT,
    DECOUPLING,
    DIGEST,
    FINITE,
    FLAG,
    FLOAT,
    FOLDER,
    NUMBERS,
    SHARE,
    SHARES,
    STATUS,
)
from nas.records.column import MEBIBYTES, MILLIONS, PERCENT, THOUSANDS, Column, Compared, File, Role, Shown

_RUNS: tuple[File, ...] = ("evaluate", "search")
_EXITS: tuple[File, ...] = ("exits", "curves")
_MEASURED: tuple[File, ...] = ("ensembles", *_EXITS)  # what is measured of a run
_OF_A_RUN: tuple[File, ...] = (*_RUNS, *_MEASURED, "trials")  # what the settings of a run stand in
_ALL: tuple[File, ...] = get_args(File)

IDENTITY, SETTING, RECIPE, MEASUREMENT, PLACE, FIGURE, PROVENANCE = Role
LINE, ADAPTED, SHARED, ONE_A_LINE, TIMED_BY = Compared

_COLUMNS = (
    # ---- what was trained, and on what
    Column(
        "strategy",
        IDENTITY,
        ("search", "trials"),
        "The strategy of the search that asked, or `tune` for a try of learning rate, schedule and weight decay by `evaluate`.",
        COMPONENT,
        always=("trials",),
    ),
    Column("objectives", IDENTITY, ("trials",), "What the search minimises, in order."),
    Column(
        "at_once",
        IDENTITY,
        ("trials",),
        "How many decouplings the search had in flight, which decides what it asked for; empty for one.",
        COUNT,
    ),
    Column("evaluator", IDENTITY, ("trials",), "Where the search has its scores from: training, or a table."),
    Column(
        "method",
        IDENTITY,
        (*_OF_A_RUN, "history"),
        "The method that trains, with all its settings.",
        COMPONENT,
        always=(*_RUNS, *_MEASURED, "history"),
        compared=LINE,
    ),
    Column(
        "backbone",
        IDENTITY,
        _OF_A_RUN,
        "The network that is cut, with all its settings.",
        COMPONENT,
        always=(*_RUNS, *_MEASURED),
        compared=SHARED,
    ),
    Column(
        "decoupling",
        IDENTITY,
        (*_OF_A_RUN, "history"),
        "Where the backbone is cut, as units before the cut, and the head at each.",
        DECOUPLING,
        always=(*_OF_A_RUN, "history"),
        compared=LINE,
    ),
    Column(
        "task",
        IDENTITY,
        (*_OF_A_RUN, "history"),
        "The data, with all settings.",
        COMPONENT,
        always=(*_RUNS, *_MEASURED, "history"),
        compared=SHARED,
    ),
    Column("space", IDENTITY, (*_RUNS, "trials"), "The space of decouplings that the command named."),
    Column("seed", IDENTITY, _ALL, "Of the weights, the order of the data, augmentation and dropout.", COUNT, always=_ALL),
    Column(
        "data_digest",
        IDENTITY,
        _OF_A_RUN,
        "Of all that training and validation are made of, a trial's whole data too: "
        "pixels (of images that stay in files: names, sizes and times of last change), texts, labels, class names and "
        "features; or the version that a loader names. Rows of other data are not reused. Empty in rows of older versions, "
        "which are not reused either.",
        DIGEST,
        compared=SHARED,
        optional=True,
    ),
    Column(
        "test_digest",
        IDENTITY,
        ("evaluate", *_MEASURED),
        "Of the test split, as `data_digest`.",
        DIGEST,
        compared=SHARED,
        optional=True,
    ),
    Column(
        "vocabulary",
        IDENTITY,
        _OF_A_RUN,
        "Of a text task: the file of the words beside the results, one a line, the most frequent first.",
    ),
    Column("vectors", IDENTITY, _OF_A_RUN, "Digest of the word vectors that the embedding began with."),
    Column(
        "extends",
        SETTING,
        _OF_A_RUN,
        "The trained run that was begun with, by its `run`: its blocks stayed as they were, "
        "up to the first that `side` gives what it had not; the others were trained. Empty where all were.",
        compared=ADAPTED,
    ),
    Column("extends_digest", IDENTITY, _OF_A_RUN, "The `weights_digest` of that run.", DIGEST, compared=ONE_A_LINE),
    Column(
        "weights_digest",
        IDENTITY,
        (*_RUNS, *_MEASURED),
        "Of the weights that came out; the run's `trained.pt` holds the same.",
        DIGEST,
    ),
    Column(
        "run",
        IDENTITY,
        (*_RUNS, "history", "trials", "decisions", "alpha_beta"),
        "The run's folder below `runs/`, with its weights "
        "where they were saved; in history.csv the run whose row has the same; in trials.csv the row that answered, in "
        "decisions.csv and alpha_beta.csv the search. Where "
        "a second training for the same settings, as with other `--threads`, came out otherwise, it has a row and a run of "
        "its own.",
        FOLDER,
        always=("history", "decisions", "alpha_beta"),
    ),
    Column(
        "search",
        IDENTITY,
        ("search", "trials"),
        "The search that had the row trained: a name for strategy, objectives, evaluator, space and all settings.",
        always=("trials",),
    ),
    # ---- how it was trained
    Column("side", SETTING, _OF_A_RUN, "What blocks are given beside the activation; empty for nothing.", compared=ADAPTED),
    Column(
        "scale",
        SETTING,
        _OF_A_RUN,
        "The share of epochs (or iterations), training and validation samples that a trial took; empty for a whole run.",
        SHARE,
        "share",
        compared=SHARED,
    ),
    Column(
        "epochs",
        SETTING,
        _RUNS,
        "Iterations over the iterations of one epoch; empty where the run failed.",
        AMOUNT,
        "epochs",
        compared=SHARED,
        optional=True,
    ),
    Column(
        "iterations",
        SETTING,
        _OF_A_RUN,
        "Optimizer steps of each stage, or with `grow` of all together.",
        COUNT,
        "steps",
        compared=SHARED,
    ),
    Column(
        "iterations_trained",
        SETTING,
        ("search",),
        "After how many of `iterations` a partial training stopped; a longer one goes on from its checkpoint. Empty for a whole "
        "run. Partial rows are in no table and no comparison.",
        COUNT,
        "steps",
        compared=SHARED,
        optional=True,
    ),
    Column(
        "batch_size",
        SETTING,
        _OF_A_RUN,
        "Samples of a step; an incomplete last batch of an epoch is dropped.",
        COUNT,
        "samples",
        compared=SHARED,
    ),
    Column("lr", RECIPE, _OF_A_RUN, "Learning rate before the schedule's factor.", AMOUNT, compared=ONE_A_LINE),
    Column("weight_decay", RECIPE, _OF_A_RUN, "L2 weight decay.", AMOUNT, compared=ONE_A_LINE),
    Column("optimizer", RECIPE, _OF_A_RUN, "The optimizer, one instance a stage.", COMPONENT, compared=ONE_A_LINE),
    Column("schedule", RECIPE, _OF_A_RUN, "Of the learning rate; follows iterations.", COMPONENT, compared=ONE_A_LINE),
    Column(
        "precision",
        SETTING,
        _OF_A_RUN,
        "`fp32`, or autocast to `bf16`, or to `fp16` with loss scaling; `tf32` is fp32 with a GPU's TensorFloat32.",
        compared=SHARED,
    ),
    Column(
        "checkpoint_units",
        SETTING,
        _OF_A_RUN,
        "Whether only the units' inputs were kept for the backward pass and the rest computed again.",
        FLAG,
        compared=LINE,
    ),
    Column(
        "compile",
        SETTING,
        _OF_A_RUN,
        "How torch's compiler made a graph of each stage's step; `no` where it did not.",
        compared=TIMED_BY,
    ),
    Column(
        "class_batches",
        SETTING,
        _OF_A_RUN,
        "How many classes the first batches hold; empty, or not there, where batches hold any.",
        compared=SHARED,
    ),
    Column(
        "grow",
        SETTING,
        _OF_A_RUN,
        "Progressive training: how stages begin one after the other; empty where all begin at once.",
        compared=ADAPTED,
    ),
    Column(
        "deterministic",
        SETTING,
        _OF_A_RUN,
        "Whether equal seeds were to give equal bits on a GPU; empty where not asked for, as always on a CPU.",
        FLAG,
        compared=TIMED_BY,
    ),
    Column(
        "replicas",
        SETTING,
        _OF_A_RUN,
        "How many replicas of each stage average gradients, each on its share of a batch, with its own BatchNorm; empty for one.",
        COUNT,
        "replicas",
        compared=SHARED,
        optional=True,
    ),
    # ---- what was measured beside the error
    Column(
        "ensemble",
        MEASUREMENT,
        ("evaluate", *_MEASURED),
        "How many of the last heads `ensemble_test_error` sums. In "
        "other files than ensembles.csv only in rows of older versions, where 1 is none.",
        COUNT,
        "heads",
        always=("ensembles",),
    ),
    Column(
        "exits",
        MEASUREMENT,
        ("evaluate", *_EXITS),
        "In rows of older versions `True` for a run with `--exits`, whose exits are in exits.csv.",
        FLAG,
    ),
    Column(
        "calibrated",
        MEASUREMENT,
        ("evaluate", *_EXITS),
        "`True` where each exit's logits were divided by its "
        "`temperature` (`--calibrate`); else empty. In evaluate.csv only in rows of older versions.",
        FLAG,
    ),
    # ---- where in a run or a search the row is
    Column(
        "training",
        PLACE,
        (*_RUNS, "history"),
        "Which training of the run: 1, and more where it was trained again, as after its row was deleted. One that was "
        "interrupted and went on is one. In the rows of runs empty for the first.",
        COUNT,
        always=("history",),
    ),
    Column(
        "iteration",
        PLACE,
        ("history",),
        "Optimizer steps that were done, as `iterations` counts them.",
        COUNT,
        always=("history",),
    ),
    Column(
        "epoch",
        PLACE,
        ("history",),
        "The same in passes over the training split; a fraction at the end of a run of no whole epochs, and where windows of "
        "`grow` begin or end within one.",
        AMOUNT,
        "epochs",
        always=("history",),
    ),
    Column("number", PLACE, ("trials",), "The order of asking, from 1 on.", COUNT, always=("trials",)),
    Column("depth", PLACE, ("exits",), "The exit, 1 to `num_blocks`.", COUNT, always=("exits",)),
    Column("rule", PLACE, ("curves",), "The rule of confidence by which samples leave.", always=("curves",)),
    Column(
        "threshold",
        PLACE,
        ("curves",),
        "The confidence from which on a sample leaves, one of those on the validation split; infinite where all stay.",
        FLOAT,
        always=("curves",),
    ),
    Column(
        "meta_step", PLACE, ("alpha_beta",), "The meta step of SEDONA after which this was so.", COUNT, always=("alpha_beta",)
    ),
    Column(
        "gap",
        PLACE,
        ("decisions", "alpha_beta"),
        "The place of a cut, as units before it.",
        COUNT,
        always=("decisions", "alpha_beta"),
    ),
    Column("head", PLACE, ("decisions",), "The head that was decided on.", always=("decisions",)),
    # ---- what it costs, from shapes
    Column(
        "num_blocks",
        FIGURE,
        (*_RUNS, *_MEASURED, "decisions"),
        "K, the blocks that are truly gradient-isolated; in exits.csv and curves.csv the number of exits.",
        COUNT,
        "blocks",
        always=(*_RUNS, *_MEASURED, "decisions"),
        tabled=True,
        short="K",
    ),
    Column(
        "params",
        FIGURE,
        (*_RUNS, "exits"),
        "Parameters at inference; in exits.csv of the network that ends there.",
        COUNT,
        "parameters",
        always=(*_RUNS, "exits"),
        tabled=True,
        better="lower",
        shown=THOUSANDS,
    ),
    Column(
        "head_params",
        FIGURE,
        _RUNS,
        "Parameters of auxiliary heads and all else that only training needs.",
        COUNT,
        "parameters",
        always=_RUNS,
        tabled=True,
        better="lower",
        shown=THOUSANDS,
    ),
    Column(
        "macs",
        FIGURE,
        (*_RUNS, "exits"),
        "Multiply-accumulates of one sample at inference, a text of full length; in exits.csv of the network that ends there.",
        COUNT,
        "MACs",
        always=(*_RUNS, "exits"),
        tabled=True,
        better="lower",
        shown=MILLIONS,
        label="multiply-accumulates a sample",
        short="MACs",
    ),
    Column(
        "head_macs",
        FIGURE,
        _RUNS,
        "Multiply-accumulates of one sample in what only training needs.",
        COUNT,
        "MACs",
        always=_RUNS,
        tabled=True,
        better="lower",
        shown=MILLIONS,
        short="head MACs",
    ),
    Column(
        "peak_activation_bytes",
        FIGURE,
        (*_RUNS, "trials"),
        "Largest sum of live activations in one training step at this "
        "batch size, a stage at a time, counted in float32 from shapes (`spaces/memory/peak_memory.py`); weights, their "
        "gradients and optimizer state do not count.",
        COUNT,
        "bytes",
        always=_RUNS,
        tabled=True,
        better="lower",
        shown=MEBIBYTES,
        label="peak activations of a step",
        short="peak",
    ),
    # ---- what training gave
    Column(
        "parameters_trained",
        FIGURE,
        _RUNS,
        "Parameters that the optimizers of the run update, each once: without those of "
        "a run that is extended, whose blocks stay, and without frozen ones; with progressive training those of all stages. "
        "Empty where the run failed, and in rows of older versions.",
        COUNT,
        "parameters",
        measured="always",
        better="lower",
        shown=THOUSANDS,
        short="trained",
    ),
    Column(
        "energy_joules",
        FIGURE,
        ("evaluate",),
        "Energy that training took, validation included, of the processor's "
        "packages and their memory (RAPL) or of the GPU (NVML), whatever else ran there included. Empty unless `--measure "
        "energy_joules` asked for it, where nothing measures it, and where training went on from a checkpoint.",
        AMOUNT,
        "J",
        measured="asked",
        better="lower",
        shown=Shown("J", digits=",.1f"),
        short="energy",
    ),
    Column(
        "pipeline_speedup_bound",
        FIGURE,
        (*_RUNS, "trials"),
        "Computed seconds of all stages over those of the largest, measured until known to 1.5 %, for two of them at most; from "
        "five wall-clock steps in rows before 2026-11-29.",
        AMOUNT,
        "ratio",
        tabled=True,
        better="higher",
        shown=Shown(digits=".2f"),
        short="bound",
    ),
    Column(
        "process_speedup_bound",
        FIGURE,
        _RUNS,
        "With `parallel`: process seconds of all stages over those of the process with the most, the largest speed-up over one "
        "process. Empty where not all stages train in each step, where they are compiled, and with replicas.",
        AMOUNT,
        "ratio",
        better="higher",
        shown=Shown(digits=".2f"),
    ),
    Column(
        "process_speedup",
        FIGURE,
        _RUNS,
        "With `parallel`: process seconds of all stages over `step_seconds`, the speed-up reached; empty as the bound is.",
        AMOUNT,
        "ratio",
        better="higher",
        shown=Shown(digits=".2f"),
    ),
    Column(
        "status",
        FIGURE,
        (*_RUNS, "trials"),
        "`ok`, or at which stage and iteration a loss was not finite (`diverged: "
        "...`), or `out of memory: ...`, of the machine or the GPU, or by what its process was `killed: ...`; such runs count as "
        "100 % wrong and are not repeated: delete the line to try again, or give `--retries` for the last two.",
        STATUS,
        always=(*_RUNS, "trials"),
    ),
    Column(
        "validation_error",
        FIGURE,
        (*_RUNS, *_EXITS, "history", "trials"),
        "Share of wrong answers on the validation split, of the epoch with the fewest, whose weights were tested; in "
        "history.csv after this epoch, of the deepest exit that has begun.",
        SHARE,
        "share",
        always=(*_RUNS, *_EXITS, "history", "trials"),
        better="lower",
        shown=PERCENT,
        short="val error",
    ),
    Column(
        "attempts",
        FIGURE,
        _RUNS,
        "The number of the attempt, of a run that was killed or ran out of memory: each attempt that failed so has a row, and "
        "the last row counts. Empty for a run that ended at the first.",
        COUNT,
        "attempts",
    ),
    Column(
        "validation_loss",
        FIGURE,
        (*_RUNS, "exits", "history", "trials"),
        "Mean cross-entropy there.",
        FINITE,
        "nats",
        always=("history",),
        better="lower",
    ),
    Column(
        "validation_ece",
        FIGURE,
        ("exits",),
        "Expected calibration error there over 15 bins, after the division by `temperature`.",
        SHARE,
        "share",
        better="lower",
        shown=PERCENT,
        short="val ECE",
    ),
    Column("train_loss", FIGURE, _RUNS, "Mean of the stages' losses in the last iteration.", FINITE, "nats"),
    Column("best_iteration", FIGURE, _RUNS, "The iteration after which the validation error was lowest.", COUNT, "steps"),
    Column(
        "step_seconds",
        FIGURE,
        _RUNS,
        "Median time of an iteration, the data path included.",
        AMOUNT,
        "s",
        tabled=True,
        better="lower",
        shown=Shown(digits=".4f"),
        short="s/step",
        label="time of a step (s)",
    ),
    Column(
        "test_error",
        FIGURE,
        ("evaluate", *_EXITS),
        "Share of wrong answers on the test split, which is read once, after training.",
        SHARE,
        "share",
        always=_EXITS,
        tabled=True,
        better="lower",
        shown=PERCENT,
    ),
    Column(
        "test_loss",
        FIGURE,
        ("evaluate", "exits"),
        "Mean cross-entropy there; before the division by `temperature`.",
        FLOAT,
        "nats",
        better="lower",
    ),
    Column(
        "test_ece",
        FIGURE,
        ("exits",),
        "Expected calibration error there over 15 bins, after the division by `temperature`.",
        SHARE,
        "share",
        better="lower",
        shown=PERCENT,
        short="ECE",
    ),
    Column(
        "ensemble_test_error",
        FIGURE,
        ("evaluate", "ensembles"),
        "Share of wrong answers on the test split of the sum of "
        "the last `ensemble` heads' log-probabilities; in evaluate.csv only in rows of older versions.",
        SHARE,
        "share",
        always=("ensembles",),
        better="lower",
        shown=PERCENT,
        short="ensemble error",
    ),
    Column(
        "num_words",
        FIGURE,
        _RUNS,
        "Of a text task: how many ids there are, padding and the unknown word among them.",
        COUNT,
        "words",
    ),
    Column(
        "words_covered",
        FIGURE,
        _RUNS,
        "With `embeddings`: share of the vocabulary's words that the file has a vector for.",
        SHARE,
        "share",
    ),
    Column(
        "tokens_covered",
        FIGURE,
        _RUNS,
        "With `embeddings`: share of the training split's tokens that the file has a vector for.",
        SHARE,
        "share",
    ),
    # ---- while a run trains
    Column(
        "stage_losses",
        FIGURE,
        ("history",),
        "Of each stage that has begun, in order: its mean loss over the iterations since the row before.",
        NUMBERS,
        "nats",
        always=("history",),
        better="lower",
    ),
    Column(
        "exit_errors",
        FIGURE,
        ("history",),
        "Of each exit that has begun, in order: the share of wrong answers on the validation split; the last is "
        "`validation_error`. Empty where heads give no logits, and with `--history losses`.",
        SHARES,
        "shares",
        better="lower",
    ),
    Column(
        "scheduled_lr",
        FIGURE,
        ("history",),
        "Learning rate of the last iteration, after the schedule's factor; with `grow` of the last stage that has begun.",
        AMOUNT,
        always=("history",),
    ),
    # ---- exits and adaptive inference
    Column("units", FIGURE, ("exits",), "Units of the backbone up to the exit.", COUNT, "units"),
    Column(
        "path_macs",
        FIGURE,
        ("exits",),
        "As `macs`, with the heads of all exits before, as adaptive inference runs them.",
        COUNT,
        "MACs",
        better="lower",
        shown=MILLIONS,
        short="path MACs",
    ),
    Column(
        "temperature",
        FIGURE,
        ("exits",),
        "What `--calibrate` divides the exit's logits by; empty without.",
        AMOUNT,
        shown=Shown(digits=".2f"),
        short="T",
    ),
    Column(
        "seconds",
        FIGURE,
        ("exits", "history", "trials"),
        "exits.csv: time of one sample that stops there, the process's own on one "
        "CPU thread and the wall clock's otherwise. history.csv: time that the training has taken, validation included, without "
        "the time in which nothing ran. trials.csv: time since the search began; one that goes on goes on from "
        "its last trial.",
        AMOUNT,
        "s",
        always=("trials",),
        better="lower",
        shown=Shown(digits=".3g"),
        label="time a sample",
    ),
    Column("timed_samples", FIGURE, _EXITS, "How many random test samples were timed, in batches.", COUNT, "samples"),
    Column(
        "num_points",
        FIGURE,
        ("curves",),
        "How many points all curves of the run have; empty in rows of older versions.",
        COUNT,
        "points",
    ),
    Column(
        "validation_macs",
        FIGURE,
        ("curves",),
        "Mean `path_macs` of the validation samples.",
        AMOUNT,
        "MACs",
        better="lower",
        shown=MILLIONS,
    ),
    Column(
        "test_macs",
        FIGURE,
        ("curves",),
        "Mean `path_macs` of the test samples.",
        AMOUNT,
        "MACs",
        always=("curves",),
        better="lower",
        shown=MILLIONS,
    ),
    Column(
        "test_seconds",
        FIGURE,
        ("curves",),
        "Time of one test sample, measured as `seconds` is, on the same samples.",
        AMOUNT,
        "s",
        better="lower",
    ),
    Column(
        "test_shares",
        FIGURE,
        ("curves",),
        "The share of the test samples that leave at each depth.",
        SHARES,
        "shares",
        always=("curves",),
    ),
    Column(
        "chosen",
        FIGURE,
        ("curves",),
        "Whether it is, for its rule, the cheapest threshold whose validation error is no larger than that of any single exit.",
        FLAG,
        always=("curves",),
    ),
    # ---- searches
    Column(
        "fidelity", PLACE, ("trials",), "The share of the iterations that the trial was trained; empty for all.", SHARE, "share"
    ),
    Column(
        "iterations_anew",
        FIGURE,
        ("trials",),
        "The iterations by which the trial trained its decoupling further than the search had before: what it cost unless it was "
        "`known`; with schedules of its own all of its iterations. Empty in rows of older versions.",
        COUNT,
        "steps",
    ),
    Column("known", FIGURE, ("trials",), "Whether the row was there before: of another search, or of a table.", FLAG),
    Column(
        "cut_share",
        FIGURE,
        ("decisions", "alpha_beta"),
        "a_j0, how much the gap is cut: softmax(alpha), given the space's constraints.",
        SHARE,
        "share",
        always=("decisions",),
    ),
    Column(
        "cut_margin",
        FIGURE,
        ("decisions",),
        "How much smaller the largest allowed sum of cut shares is without this cut "
        "(where all sets of cuts are allowed: the distance to the best gap that was left out); empty where no allowed set "
        "is without it.",
        FINITE,
        "share",
    ),
    Column("head_share", FIGURE, ("decisions",), "The head's share of softmax(beta).", SHARE, "share"),
    Column(
        "head_margin",
        FIGURE,
        ("decisions",),
        "The distance of `head_share` to the second head; empty for a single candidate.",
        FINITE,
        "share",
    ),
    Column(
        "certainty", FIGURE, ("decisions",), "Of the smaller margin: `tie` below 1e-6, `near-tie` below 0.01, else `decided`."
    ),
    Column(
        "outer_loss", FIGURE, ("alpha_beta",), "Validation loss before the meta step.", FINITE, "nats", always=("alpha_beta",)
    ),
    Column(
        "penalty", FIGURE, ("alpha_beta",), "What `memory_weight` and `time_weight` added to it; 0 without them.", FINITE, "nats"
    ),
    Column("alpha_cut", FIGURE, ("alpha_beta",), "Raw alpha of cutting the gap.", FINITE),
    Column("alpha_uncut", FIGURE, ("alpha_beta",), "Raw alpha of leaving it uncut.", FINITE),
    Column("share_HEAD", FIGURE, ("alpha_beta",), "For each candidate head: its share of softmax(beta) there.", unit="share"),
    Column("beta_HEAD", FIGURE, ("alpha_beta",), "For each candidate head: its raw beta there."),
    # ---- where the row comes from
    *(
        Column(name, PROVENANCE, _OF_A_RUN, meaning)
        for name, meaning in {
            "commit": "Short hash of the code that ran.",
            "version": "Version of decoupled-nas; empty where it is not installed, and in rows of older versions.",
            "python": "Version of Python.",
            "torch": "Version of PyTorch.",
            "torchvision": "Version of torchvision.",
            "optuna": "Version of Optuna.",
            "platform": "Operating system and processor's architecture.",
            "time": "When the row was written, UTC.",
            "command": "The command that made the row.",
        }.items()
    ),
    Column(
        "tries",
        PROVENANCE,
        ("evaluate",),
        "How many settings of `--lr`, `--schedule` and `--weight-decay` were tried on validation for the method before this run, "
        "which has the best; their rows are in search.csv. Empty where there was one.",
        COUNT,
        "tries",
    ),
    Column(
        "parallel",
        PROVENANCE,
        _RUNS,
        "How stages trained side by side, as `--parallel` says it; empty for one process.",
        compared=TIMED_BY,
    ),
    Column(
        "trained_together",
        PROVENANCE,
        _RUNS,
        "With `--train-together`: how many runs were trained in one go, those that begin alike sharing their first blocks, whose "
        "`step_seconds` are the sum of the run's own stages; empty for a run that was trained alone.",
        COUNT,
        "runs",
    ),
    Column("process_stages", PROVENANCE, _RUNS, "With `parallel`: the stages of each process."),
    Column("dirty", PROVENANCE, _OF_A_RUN, "Whether the source differed from the commit.", FLAG),
    Column("host", PROVENANCE, _RUNS, "The host on which a run was killed or ran out of memory; empty in other rows."),
    Column("device", PROVENANCE, _OF_A_RUN, "Model of the processor or GPU.", compared=TIMED_BY),
    Column("threads", PROVENANCE, _OF_A_RUN, "CPU threads of torch.", COUNT, "threads", compared=TIMED_BY),
)
COLUMNS = {column.name: column for column in _COLUMNS}


def names(holds: Callable[[Column], object]) -> tuple[str, ...]:
    """The names of the columns of which it holds, in order."""
    return tuple(name for name, column in COLUMNS.items() if holds(column))


def tells_runs_apart(name: str) -> bool:
    """Whether runs that differ in this column are two, whatever came out of them; a column that nobody knows is a setting."""
    return name not in COLUMNS or COLUMNS[name].role not in (Role.PLACE, Role.FIGURE, Role.PROVENANCE)


COUNTS = names(lambda column: column.tabled and column.type is COUNT)  # in every row of a run, counted from shapes
