"""`run.py profile`: shows what each block costs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from methods.table import learns_jointly
from nas.cli.output import say_where
from nas.cli.problem import adapted, read_problem
from nas.cost import cost, timed
from nas.report.network import cost_table, picture


def run_profile(options: argparse.Namespace) -> None:
    """Show what each block costs."""
    problem = read_problem(options, options.method, 0, options.lr, options.schedule)
    decoupling = adapted(problem, options.decoupling)
    data, size = problem.data, problem.settings.batch_size
    costs = cost(lambda: problem.build(decoupling), data.input_shape, data.num_classes, size)
    x, y = data.train_batches(size).batch(0, 0)
    costs = timed(costs, problem.build(decoupling), problem.settings, x, y, device=problem.device)
    if options.json:
        facts = asdict(costs) | {name: getattr(costs, name) for name in ("head_params", "head_macs", "training_only", "shares",
                                                                        "pipeline_speedup_bound")}
        print(json.dumps(facts | {"method": problem.method, "decoupling": str(decoupling)}))
        return
    say_where(problem, options)
    print(f"{problem.method}\n\n{picture(decoupling, problem.space.num_units, joint=learns_jointly(problem.method))}\n")
    print(cost_table(costs, decoupling))
