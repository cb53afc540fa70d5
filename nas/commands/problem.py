"""The problem that the options of a command describe."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from methods.sides import read_side
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from nas.commands.shared_options import AllowOptions, DeviceOptions, ProblemOptions, TrainingOptions
from nas.device import check_switches, read_device, set_switches, use_threads
from nas.evaluation.figures import checked_figures
from nas.problem import Problem
from nas.records.results import Results
from nas.runs.trained_run import TrainedRun
from nas.side_by_side import PARALLELS
from nas.tasks import TASKS
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.limits import check_size


def checked_seeds(first: int, count: int) -> range:
    """`count` seeds from `first` on."""
    if count < 1:
        raise UserError(f"--seeds is how many seeds to run, from 1 on, got {count}")
    check_size("--seeds", "seeds", count)
    for seed in (first, first + count - 1):
        if not 0 <= seed < 2**32:
            raise UserError(f"a seed is a whole number in 0..2**32 - 1, got {seed}")
    return range(first, first + count)


@dataclass(frozen=True, kw_only=True)
class TrainedProblemOptions(TrainingOptions, DeviceOptions, AllowOptions, ProblemOptions):
    """What a problem is read from; commands have more."""


def read_problem(
    options: TrainedProblemOptions, method: str, seed: int, lr: float, schedule: str, weight_decay: float | None = None
) -> Problem:
    """Everything that a run needs, from the options; of those that name several rates and weight decays with the ones given."""
    use_threads(options.threads)
    device = read_device(options.device)
    task = read_task(options)
    resolved_method = METHODS.resolve(method)
    data = TASKS.build(task, options.data_dir)
    share = checked_scale(getattr(options, "scale", None))
    data = (data if share == 1 else data.scaled(share)).to(device)
    space = read_space(options.space, data.input_shape, data.num_classes, data.vectors)
    num_batches = data.train_batches(options.batch_size).num_batches
    epochs = options.EPOCHS if options.epochs is None else options.epochs
    iterations = read_iterations(options.iterations, epochs, num_batches, share, flag="--epochs")
    parallel = getattr(options, "parallel", None)
    replicas = PARALLELS.build(parallel).replicas if parallel else None
    given = {field.name: getattr(options, field.name) for field in fields(TrainingSettings) if hasattr(options, field.name)}
    rates = {"lr": lr, "schedule": schedule} | ({} if weight_decay is None else {"weight_decay": weight_decay})
    settings = TrainingSettings(**given | rates | {"iterations": iterations, "replicas": replicas})
    switches = settings.precision, bool(settings.deterministic)
    check_switches(device, switches[0], deterministic=switches[1])
    set_switches(switches[0], deterministic=switches[1])
    data.train_batches(settings.batch_size, limit=settings.class_limit)  # refuses what the task cannot fill
    results, runs = getattr(options, "results", Results("results")), getattr(options, "runs", Path("runs"))
    run = getattr(options, "extend", None)
    results.check(runs)
    if runs.exists() and not runs.is_dir():
        raise UserError(f"--runs is a folder, got {runs}, which is a file; name another")
    return Problem(
        space,
        str(resolved_method),
        str(task),
        data,
        settings,
        seed,
        device,
        results,
        runs,
        figures=checked_figures(getattr(options, "measure", ())),
        scale=None if share == 1 else share,
        extends=TrainedRun.load(run) if run else None,
        side=read_side(getattr(options, "side", None), getattr(options, "side_dim", None)),
    )


def read_task(options: ProblemOptions) -> Component:
    """The task with all its settings, --embeddings among them."""
    task = TASKS.resolve(options.task)
    if options.embeddings is None:
        return task
    if "embeddings" not in TASKS.parameters(task.name):
        raise UserError(f"--embeddings gives words their first vectors, but the task {task.name} has no words; leave it out")
    if "embeddings" in dict(task.settings):
        raise UserError("--embeddings and the task's own setting embeddings give the same, got both; give one of them")
    return TASKS.resolve(Component(task.name, (*task.settings, ("embeddings", options.embeddings))))


def checked_scale(scale: float | None) -> float:
    """The share of a trial; 1, the whole, where none is given."""
    if scale is not None and not 0 < scale <= 1:
        raise UserError(f"--scale is the share that a trial takes, above 0 and at most 1, got {scale}")
    return 1.0 if scale is None else scale


def read_iterations(iterations: int | None, epochs: int, num_batches: int, share: float, *, flag: str) -> int:
    """Of a run that is given these, or without them so many epochs by `flag`, in a trial of this share."""
    if iterations is not None:
        return shortened(iterations, share)
    if epochs < 1:
        raise UserError(f"{flag} is a whole number from 1 on, got {epochs}")
    check_size(flag, "epochs", epochs)
    return shortened(epochs, share) * num_batches


def shortened(count: int, share: float) -> int:
    """`count` epochs or iterations in a trial: at least one where there was one."""
    return max(min(count, 1), round(count * share))


def adapted(problem: Problem, text: str) -> Decoupling:
    """The decoupling that the text names, as the problem's method trains it."""
    return problem.adapt(problem.read_decoupling(text, problem.method))
