"""`profile`: what each block of a decoupling costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from methods.training.stages.plan import check_parted
from nas.commands.option import keywords_of, option
from nas.commands.problem import TrainedProblemOptions, adapted, read_problem
from nas.commands.python_call import python_call
from nas.commands.shared_options import OneRateOptions, SideOptions
from nas.cost import Cost, cost, timed
from nas.side_by_side import PARALLELS
from nas.stage_plan import stage_plan
from spaces.notation.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(SideOptions, OneRateOptions, TrainedProblemOptions):
    """What `profile` takes."""

    EPOCHS: ClassVar[int] = 1

    decoupling: str = option("even(3)", "as in evaluate", metavar="D", components=True)
    method: str = option("dgl", "what trains it; see `run.py list`", components=True)
    parallel: str | None = option(
        None,
        "what each process would do, hold and send with the stages side by side: stages(processes=2,depth=3)",
        metavar="P",
        components=True,
    )


class Profile:
    """A network, its decoupling, and the costs that `run` finds."""

    def __init__(self, options: ProfileOptions) -> None:
        self.topology = PARALLELS.build(options.parallel) if options.parallel else None
        if self.topology is not None and self.topology.replicas > 1:
            raise UserError(
                f"a profile is of one replica, got replicas={self.topology.replicas}; leave replicas out, and give "
                "--batch-size a replica's share"
            )
        self.problem = read_problem(options, options.method, 0, options.lr, options.schedule)
        self.decoupling = adapted(self.problem, options.decoupling)

    def run(self) -> Cost:
        """Count from shapes, and time a few steps."""
        problem, data, size = self.problem, self.problem.data, self.problem.settings.batch_size
        costs = cost(lambda: problem.build(self.decoupling), data.input_shape, data.num_classes, size)
        x, y = data.train_batches(size).batch(0, 0)
        method = problem.build(self.decoupling)
        if self.topology is not None:
            check_parted(method, self.topology.processes, problem.method)  # before anything takes time
        costs = timed(costs, method, problem.settings, x, y, device=problem.device)
        if self.topology is None:
            return costs
        processes, depth = self.topology.processes, self.topology.depth
        plan = stage_plan(costs, method, problem.settings, x, y, name=problem.method, processes=processes, depth=depth)
        return replace(costs, plan=plan)


@keywords_of(ProfileOptions, "space", "task")
def profile(*given: Any, **options: Any) -> Cost:
    """What each block of a decoupling costs, as `run.py profile` says: parameters, multiply-accumulates, peak activation bytes
    and measured seconds, of a training step. Nothing is trained or written. A bad argument is a UserError.

        nas.profile("resnet50", "cifar10", decoupling="balanced(4)").peak_activation_bytes

    With `parallel`, `plan` says what each process would do, hold and send with the stages side by side.
    """
    with python_call(ProfileOptions, "profile", ("space", "task"), given, options) as (read, _):
        return Profile(read).run()
