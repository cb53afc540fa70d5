"""Experiments of papers, run by run in the order of what they tell, and the table with the papers' values beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nas
from benchmarks.gpu_parts.noise_images import noise_task
from benchmarks.gpu_parts.part import Done, Part, Setup
from methods.table import METHODS
from nas.published.experiments import experiments
from nas.published.values import Experiment
from nas.report.fair_table import as_csv
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Study:
    """Rows of an experiment, the most telling first: pairs of a method and a rule of cuts, all of them for one seed after the
    other."""

    name: str
    what: str
    experiment: str
    order: tuple[tuple[str, str], ...]
    seeds: int

    def wanted(self, setup: Setup) -> list[tuple[str, str, int]]:
        """Method, rule and how many seeds there are after it."""
        order, seeds = (self.order[:2], 1) if setup.rehearse else (self.order, self.seeds)
        return [(method, rule, seed + 1) for seed in range(seeds) for method, rule in order]


def part(study: Study) -> Part:
    """The part of a study: evaluate.csv in the folder of its name has its runs, the CSV beside it the table.

    A run that the time interrupts has saved its state, below runs/, and goes on.
    """

    def progress(setup: Setup) -> Done:
        path, done = setup.out / study.name / "evaluate.csv", 0
        if path.exists():
            there = nas.read_results(path)
            done = sum(_is_there(there, *point) for point in _points(study, setup))
        return Done(done, len(study.wanted(setup)), setup.out / f"{study.name}.csv")

    def run(setup: Setup) -> None:
        options = _options(study.experiment, setup)
        for method, rule, seeds in study.wanted(setup):
            if setup.seconds_left <= 1:
                return
            try:
                nas.evaluate(
                    **options,
                    methods=[method],
                    decoupling=[rule],
                    seeds=seeds,
                    time=f"{setup.seconds_left:.0f}",
                    results=setup.out / study.name,
                    runs=setup.runs,
                    device=str(setup.device),
                    discard_weights=True,
                )
            except (UserError, RuntimeError) as error:
                setup.failed.append(f"{study.name} {method} {rule}: {' '.join(str(error).split())[:200]}")
                print(f"  failed: {setup.failed[-1]}", flush=True)
                continue
            finally:
                _write_table(setup, study.name)
            print(f"  {method} {rule}, seed {seeds - 1}", flush=True)

    return Part(study.name, study.what, progress, run)


def _options(experiment: str, setup: Setup) -> dict[str, Any]:
    """What the experiment's file says, but for what the order has."""
    known = Experiment(experiment, experiments()[experiment])
    left_out = ("methods", "decoupling", "seeds")
    options = {option: value for option, value in known.options.items() if option not in left_out}
    if setup.rehearse:
        length = {"iterations": 2, "batch_size": 8, "task": noise_task(setup.runs / "noise", 100)}
        options = {option: value for option, value in options.items() if option != "epochs"} | length
    return options


def _points(study: Study, setup: Setup) -> list[tuple[str, str, int]]:
    known = Experiment(study.experiment, experiments()[study.experiment])
    found = []
    for method, rule, so_many in study.wanted(setup):
        full = str(METHODS.resolve(method))
        found.append((full, str(known.points(full)[rule]), so_many - 1))
    return found


def _is_there(table: Any, method: str, point: str, seed: int) -> bool:
    return bool(((table["method"] == method) & (table["decoupling"] == point) & (table["seed"] == seed)).any())


def _write_table(setup: Setup, name: str) -> None:
    """The fair table of what is there, with the published values beside."""
    path = setup.out / name / "evaluate.csv"
    if path.exists():
        table = nas.compare(path, published=True)
        (setup.out / f"{name}.csv").write_text(as_csv(table), encoding="utf-8")


_SOFTMAX, _CONTRAST = (f"infopro(loss={loss},lambdas=resnet32_cifar10)" for loss in ("softmax", "contrast"))
INFOPRO = (
    ("backprop(label_smoothing=0.0)", "published(2)"),
    *(
        (method, f"published({k})")
        for k in (16, 4, 8, 2)
        for method in (_CONTRAST, "dgl(label_smoothing=0.0)", _SOFTMAX, "greedy")
    ),
)
CONTSUP = tuple((f"contsup(context={context},loss=softmax)", "published(16)") for context in ("R1E", "R0", "E", "R1"))
SEDONA = (("backprop", "even(4)"), ("dgl", "published(4)"), ("dgl", "even(4)"), ("predsim", "even(4)"))
STUDIES = (
    Study("sedona_vgg19", "SEDONA's VGG-19 on CIFAR-10, 64,000 iterations a run", "sedona_cifar10_vgg19", SEDONA, 3),
    Study("contsup_table1", "ContSup Table 1: ResNet-32 in 16 blocks on CIFAR-10", "contsup_table1", CONTSUP, 3),
    Study("infopro_table2", "InfoPro Table 2: ResNet-32 on CIFAR-10", "infopro_table2_cifar10_resnet32", INFOPRO, 5),
)
PARTS = tuple(map(part, STUDIES))
