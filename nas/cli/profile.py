"""`run.py profile`: shows what each block costs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from methods.table import traits
from nas.cli.config import Invocation
from nas.cli.output import say_where
from nas.cli.terminal import columns_of
from nas.commands.profile import Profile
from nas.report.network import cost_table, picture, plan_table


def run_profile(asked: Invocation) -> None:
    """Show what each block costs."""
    profile = Profile(asked.options)
    problem, decoupling, costs = profile.problem, profile.decoupling, profile.run()
    if asked.json:
        facts = asdict(costs) | {
            name: getattr(costs, name)
            for name in ("head_params", "head_macs", "training_only", "shares", "pipeline_speedup_bound")
        }
        if costs.plan is not None:
            facts["plan"]["bound"] = costs.plan.bound
        print(json.dumps(facts | {"method": problem.method, "decoupling": str(decoupling)}))
        return
    say_where(problem, asked)
    print(f"{problem.method}\n\n{picture(decoupling, problem.space.num_units, joint=traits(problem.method).end_to_end)}\n")
    print(cost_table(costs, decoupling, columns_of(sys.stdout)))
    if costs.plan is not None:
        print(f"\n{plan_table(costs.plan, columns_of(sys.stdout))}")
