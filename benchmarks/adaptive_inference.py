r"""How many samples a second adaptive inference answers beside the full path, at equal error.

    python benchmarks/adaptive_inference.py --data-dir data --embeddings glove.6B.50d.txt --task "imdb(length=100)"
    python benchmarks/adaptive_inference.py --data-dir data --task cifar10 --space "al_vgg(width=0.25)" \
                                            --decoupling "published(4)"

Trains Associated Learning, or another --method, for some epochs. For each confidence rule the threshold is chosen on the
validation split alone, the cheapest with no more errors than any single exit (nas/exits/curves.py); beside them stands the
sigmoid rule at 0.9, where the reference is 3.4 times as fast on IMDB with a Transformer. Then the full path, which asks the
last exit only, and adaptive inference at each threshold take turns over the same test samples, after one turn to warm up;
seconds are the process's own on a CPU.

speed_ratio    median over the turns of the full path's seconds over those of adaptive inference in the same turn
test_error     of adaptive inference on these samples, beside full_path_test_error
shares         of the samples that left at each depth

Appends a row a threshold to the CSV.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from benchmarks.step_time import now
from methods.method import Method
from methods.table import METHODS, traits
from methods.training.batches import Batch
from methods.training.loop import train
from methods.training.settings import TrainingSettings
from nas.commands.problem import read_task
from nas.data.task_data import TaskData
from nas.data.trial_parts import random_share
from nas.device import read_device
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE
from nas.exits.adaptive import adaptive
from nas.exits.answers import exit_answers, exit_costs
from nas.exits.confidence import CONFIDENCES
from nas.exits.curves import curves
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.tasks import TASKS
from spaces.named import read_space
from spaces.rules import read_decoupling

REFERENCE = ("sigmoid", 0.9)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/adaptive_inference.csv")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the folder of the task's files")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--task", default="imdb(length=100)", help="texts or images")
    parser.add_argument("--embeddings", metavar="PATH", help="word vectors that a text network starts from")
    parser.add_argument("--space", default="transformer(depth=4,embedding=50,attention_heads=4,ffn=100)", help="the backbone")
    parser.add_argument("--decoupling", default="layerwise", help="cuts and heads")
    parser.add_argument("--method", default="al", help="how it is trained")
    parser.add_argument("--epochs", type=int, default=3, help="of training")
    parser.add_argument("--lr", type=float, default=0.005, help="Adam's learning rate")
    parser.add_argument("--samples", type=int, default=5000, help="how many of the test split are measured, at most")
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured, after one to warm up")
    arguments = parser.parse_args()
    task = read_task(arguments)
    data = TASKS.build(task, arguments.data_dir).to(arguments.device)
    build = network(data, arguments.space, arguments.method, arguments.decoupling)
    source: dict[str, Cell] = {
        "task": str(task),
        "space": arguments.space,
        "method": str(METHODS.resolve(arguments.method)),
        "decoupling": arguments.decoupling,
        "epochs": arguments.epochs,
        "lr": arguments.lr,
        "turns": arguments.turns,
        "threads": 1,
        "device": device_name(arguments.device),
        **made_by(),
    }
    method = trained(build, data, arguments.epochs, arguments.lr, arguments.device)
    points = [*chosen(build, method, data), REFERENCE]
    test = data.test()
    batches = list(data.eval_batches(random_share(test, min(1, arguments.samples / len(test))), EVAL_BATCH_SIZE))
    print("rule         threshold  test error %  full path %  samples/s  x full path  left at each depth (%)")
    rows = measured(method, batches, points, arguments.turns, arguments.device)
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def network(data: TaskData, space_spec: str, method_spec: str, decoupling: str) -> Callable[[], Method]:
    """Makes the method on its network, freshly initialised."""
    space = read_space(space_spec, data.input_shape, data.num_classes, data.vectors)
    kind = traits(method_spec)
    point = traits(method_spec).adapt(read_decoupling(decoupling, space, kind.default_head))

    def build() -> Method:
        torch.manual_seed(0)
        return METHODS.build(method_spec, space.build(point, head_lookahead=kind.head_lookahead, pixels=data.pixels))

    return build


def trained(build: Callable[[], Method], data: TaskData, epochs: int, lr: float, device: torch.device) -> Method:
    """With Adam, the weights of the epoch with the lowest validation error; in evaluation mode."""
    batches = data.train_batches(64)
    iterations = epochs * batches.num_batches
    settings = TrainingSettings(iterations=iterations, batch_size=64, lr=lr, weight_decay=0.0, optimizer="adam")
    validation = partial(data.eval_batches, data.validation, EVAL_BATCH_SIZE)
    return train(build(), batches, validation, settings, seed=0, device=device).method.eval()


def chosen(build: Callable[[], Method], method: Method, data: TaskData) -> list[tuple[str, float]]:
    """Each rule's threshold, chosen on validation."""
    validation = exit_answers(method, data.eval_batches(data.validation, EVAL_BATCH_SIZE), "fp32")
    costs = exit_costs(build, data.input_shape)
    return [(point.rule, point.threshold) for point in curves(validation, validation, costs) if point.chosen]


@dataclass(frozen=True)
class Pass:
    """One pass over all samples: the process's seconds, and the answers."""

    seconds: float
    logits: torch.Tensor
    depths: torch.Tensor


def measured(
    method: Method, batches: Sequence[Batch], points: Sequence[tuple[str, float]], turns: int, device: torch.device
) -> list[dict[str, Cell]]:
    """A row for each rule and threshold."""
    y, num_blocks = torch.cat([y for _, y in batches]), method.net.num_blocks
    full, adapted = [], []
    for _ in range(turns + 1):
        full.append(one_pass(lambda x: (method(x), torch.full((len(x),), num_blocks)), batches, device))
        adapted.append(
            [
                one_pass(partial(adaptive, method, rule=CONFIDENCES[rule], threshold=threshold), batches, device)
                for rule, threshold in points
            ]
        )
    rows = []
    full_error = float((full[0].logits.argmax(1) != y).double().mean())
    for (rule, threshold), passes in zip(points, zip(*adapted[1:], strict=True), strict=True):
        shares = (torch.bincount(passes[0].depths.cpu() - 1, minlength=num_blocks) / len(y)).tolist()
        row = {
            "rule": rule,
            "threshold": threshold,
            "chosen": (rule, threshold) != REFERENCE,
            "test_error": float((passes[0].logits.argmax(1) != y).double().mean()),
            "full_path_test_error": full_error,
            "samples": len(y),
            "samples_per_second": len(y) / median(own.seconds for own in passes),
            "full_path_samples_per_second": len(y) / median(own.seconds for own in full[1:]),
            "speed_ratio": median(whole.seconds / own.seconds for whole, own in zip(full[1:], passes, strict=True)),
            "shares": " ".join(f"{share:.4f}" for share in shares),
        }
        left = " ".join(f"{100 * share:.0f}" for share in shares)
        print(
            f"{rule:12}{threshold:10.4f}{100 * row['test_error']:14.2f}{100 * full_error:13.2f}"
            f"{row['samples_per_second']:11.0f}{row['speed_ratio']:13.2f}  {left}",
            flush=True,
        )
        rows.append(row)
    return rows


@torch.no_grad()
def one_pass(
    answer: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], batches: Sequence[Batch], device: torch.device
) -> Pass:
    started = now(device)
    answers = [answer(x) for x, _ in batches]
    seconds = now(device) - started
    logits, depths = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return Pass(seconds, logits, depths)


if __name__ == "__main__":
    main()
