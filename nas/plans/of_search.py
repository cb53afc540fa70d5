"""What a search would do: how many trainings its strategy asks for, and what those of its space cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from nas.cores import usable_cores
from nas.evaluation.evaluator import Evaluator
from nas.plans.plan import DecouplingCost, SearchPlan
from nas.plans.run_costs import Estimate, RunCosts
from nas.problem import Problem, Strategy
from nas.records.log import Log
from nas.records.partial import is_partial
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace


def plan_search(
    strategy: Strategy,
    problems: Sequence[Problem],
    evaluator: Evaluator,
    told: Sequence[Sequence[Mapping[str, str]]],
    *,
    processes: int,
    threads: int,
) -> SearchPlan:
    """`told` are the trials that each search's trajectory has already. A few steps of two networks are timed; nothing is
    written."""
    problem, costs = problems[0], RunCosts()
    points = list(dict.fromkeys(_ends(problem.space)))
    ordered = sorted(points, key=lambda point: costs.macs(problem, point))
    smallest, largest = (_cost(costs, problem, point) for point in (ordered[0], ordered[-1]))
    asks, own_schedules = getattr(strategy, "trainings", None), getattr(strategy, "own_schedules", False)
    asked = None if asks is None else asks(problem)
    if asked is not None and not own_schedules:  # every decoupling once; what begins anew may take more
        asked = min(asked, problem.space.size)
    notes = []
    if getattr(strategy, "is_one_job", False):
        notes.append(f"{type(strategy).__name__.lower()} trains weights of its own before, which is not in the time")
    time = None
    if asked is not None:
        spent = sum(_spent(trials, problem, own_schedules=own_schedules) for trials in told)
        left = max(0.0, round(asked * len(problems) - spent, 9))  # of shares that add up to the whole nothing
        between = Estimate((smallest.time.seconds + largest.time.seconds) / 2, smallest.time.low, largest.time.high)
        used = max(1, min(processes, ceil(left)))
        time = between.times(left * max(1.0, used * threads / usable_cores()) / used)
    timed = "one decoupling" if len(points) == 1 else f"the smallest and the largest of {len(points)} decouplings"
    how = f"{costs.steps} timed steps of {timed} on {problem.device}"
    rows = sum(_is_of(evaluator.log, one) for one in problems)
    size = problem.space.size
    whole = sum(not is_partial(row) for rows_of_search in told for row in rows_of_search)
    trainings = None if asked is None else ceil(asked)
    return SearchPlan(len(problems), trainings, size, whole, rows, smallest, largest, time, processes, how, tuple(notes))


def _spent(told: Sequence[Mapping[str, str]], problem: Problem, *, own_schedules: bool) -> float:
    """Of how many whole trainings the iterations of a search's trials are: of each decoupling those of the furthest, since
    partial ones go on, or with schedules of their own those of every one that is different."""
    trained: dict[str, set[int]] = {}
    for row in told:
        iterations = problem.iterations_at(float(row.get("fidelity") or 1))
        trained.setdefault(row["decoupling"], set()).add(iterations)
    iterations = sum(sum(of_one) if own_schedules else max(of_one) for of_one in trained.values())
    return iterations / problem.settings.iterations


def _ends(space: SearchSpace) -> Iterator[Decoupling]:
    """Decouplings among which the cheapest and the dearest lie: of the fewest and the most blocks, evenly cut, with each head."""
    for num_blocks in {space.block_counts[0], space.block_counts[-1]}:
        positions = [space.num_units * k // num_blocks for k in range(1, num_blocks)]
        cuts = space.nearest_cuts(positions)
        for head in space.heads:
            yield Decoupling(cuts, (head,) * len(cuts))


def _cost(costs: RunCosts, problem: Problem, point: Decoupling) -> DecouplingCost:
    return DecouplingCost(
        str(point),
        point.num_blocks,
        costs.macs(problem, point),
        costs.bytes(problem, point),
        costs.run(problem, point, tests=False),
    )


def _is_of(log: Log, problem: Problem) -> int:
    """How many rows are of these settings, whatever their decoupling."""
    key = {name: cell for name, cell in problem.key(Decoupling()).items() if name != "decoupling"}
    return len({row["decoupling"] for row in log.find_all(key) if not row.get("iterations_trained")})
