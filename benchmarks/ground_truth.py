"""The ground truth of a small space: every decoupling, trained on real images with several seeds, in one CSV file.

    python benchmarks/ground_truth.py --out results/tabular/small_cifar10.csv --data-dir data

An ordinary comparison of all points: a row for each decoupling and seed, with validation and test error, all settings
and where the row comes from. Started again, it goes on; started twice, two processes share the work. Some hours on one core.
`tabular(path=...)` answers searches from the file.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from benchmarks.command import benchmark_parser
from methods.training.settings import TrainingSettings
from nas.device import read_device
from nas.evaluation.comparison import Comparison
from nas.problem import Problem, silent
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import RUNS
from nas.tasks import TASKS
from spaces.named import read_space

SPACE = "small(width=0.5,heads=[linear,'conv(depth=2)'],num_blocks=[1,6])"
TASK = "cifar10"
METHOD = "dgl"
SETTINGS = TrainingSettings(iterations=240, batch_size=64, lr=0.1)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/tabular/small_cifar10.csv")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where the images lie")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where unfinished runs lie")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seeds", type=int, default=2, help="seeds 0..N-1")
    arguments = parser.parse_args()
    images = TASKS.build(TASK, arguments.data_dir).to(arguments.device)
    space = read_space(SPACE, images.input_shape, images.num_classes)
    problem = Problem(
        space,
        METHOD,
        str(TASKS.resolve(TASK)),
        images,
        SETTINGS,
        0,
        arguments.device,
        Results(arguments.out.parent),
        arguments.runs,
    )
    log = ResultsLog(arguments.out, RUNS)
    comparison = Comparison(
        problem,
        [METHOD],
        [str(point) for point in space.enumerate()],
        range(arguments.seeds),
        log=log,
        tuning_log=log,
        rates=[SETTINGS.lr],
        schedules=[SETTINGS.schedule],
        weights="discarded",
        report=silent,
        command=shlex.join(["python", *sys.argv]),
    )
    there, wanted = comparison.counts()
    print(f"{there} of {wanted} rows are in {arguments.out}", flush=True)
    comparison.run()


if __name__ == "__main__":
    main()
