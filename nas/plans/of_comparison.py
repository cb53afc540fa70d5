"""What an evaluation would do."""

from __future__ import annotations

from nas.cores import usable_cores
from nas.evaluation.comparison import Comparison
from nas.plans.plan import Plan, PlannedRun, side_by_side, state_of
from nas.plans.run_costs import RunCosts, largest_first


def plan_comparison(comparison: Comparison, *, processes: int, threads: int) -> Plan:
    """Every run with its state, the time of those that would be trained, by so many processes, and the memory of the largest.

    A few steps of some networks are timed; nothing is written.
    """
    costs, runs, notes = RunCosts(), [], []
    problem = comparison.problem
    for method, points in comparison.points.items():
        for evaluator in {id(run.evaluator): run.evaluator for run, _ in comparison.wanted([method])}.values():
            states = {point: state_of(evaluator, point) for point in points}
            trained = [point for point, (state, _) in states.items() if state in ("unfinished", "to train")]
            for point in largest_first(costs, evaluator.problem, trained):
                costs.run(evaluator.problem, point, tests=evaluator.test)
    for run, tries in comparison.wanted():
        own, point = run.evaluator.problem, run.decoupling
        state, holder = state_of(run.evaluator, point)
        trains = state in ("unfinished", "to train")
        time = costs.run(own, point, tests=run.evaluator.test) if trains else None
        runs.append(PlannedRun(own.method, str(point), point.num_blocks, own.seed, state, holder, tries, time))
    todo = [(run, planned) for (run, _), planned in zip(comparison.wanted(), runs, strict=True) if planned.trains]
    memory = max((costs.bytes(run.evaluator.problem, run.decoupling) for run, _ in todo), default=0)
    if any(planned.state == "unfinished" for planned in runs):
        notes.append("runs that go on from a checkpoint count as whole ones")
    if comparison.together and len(todo) > 1:
        notes.append("what is trained together shares its first blocks, so that it takes less time than this, and more memory")
    parallel = comparison.side_by_side
    if parallel is not None:
        notes.append(f"{parallel.spec} trains stages side by side, in less time than this; profile --parallel says how much less")
    if comparison.measurements:
        notes.append(f"measuring {' and '.join(one.name for one in comparison.measurements)} is not in the time")
    others = len({(run.evaluator.problem.method, run.decoupling) for run, _ in todo}) > costs.networks
    how = f"{costs.steps} timed steps of {costs.networks} network{'s' * (costs.networks != 1)} on {problem.device}" + (
        ", the others by their multiply-accumulates" if others else ""
    )
    times = [planned.time for _, planned in todo if planned.time]
    whole = side_by_side(times, processes, threads, usable_cores())
    return Plan(tuple(runs), whole, processes, memory, how, tuple(notes))
