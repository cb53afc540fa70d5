"""`profile`: what each block of a decoupling costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nas.commands.option import keywords_of, option
from nas.commands.problem import TrainedProblemOptions, adapted, read_problem
from nas.commands.python_call import python_call
from nas.commands.shared_options import OneRateOptions, SideOptions
from nas.cost import Cost, cost, timed


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(SideOptions, OneRateOptions, TrainedProblemOptions):
    """What `profile` takes."""

    EPOCHS: ClassVar[int] = 1

    decoupling: str = option("even(3)", "as in evaluate", metavar="D", components=True)
    method: str = option("dgl", "what trains it; see `run.py list`", components=True)


class Profile:
    """A network, its decoupling, and the costs that `run` finds."""

    def __init__(self, options: ProfileOptions) -> None:
        self.problem = read_problem(options, options.method, 0, options.lr, options.schedule)
        self.decoupling = adapted(self.problem, options.decoupling)

    def run(self) -> Cost:
        """Count from shapes, and time a few steps."""
        problem, data, size = self.problem, self.problem.data, self.problem.settings.batch_size
        costs = cost(lambda: problem.build(self.decoupling), data.input_shape, data.num_classes, size)
        x, y = data.train_batches(size).batch(0, 0)
        return timed(costs, problem.build(self.decoupling), problem.settings, x, y, device=problem.device)


@keywords_of(ProfileOptions, "space", "task")
def profile(*given: Any, **options: Any) -> Cost:
    """What each block of a decoupling costs, as `run.py profile` says: parameters, multiply-accumulates, peak activation bytes
    and measured seconds, of a training step. Nothing is trained or written. A bad argument is a UserError.

        nas.profile("resnet50", "cifar10", decoupling="balanced(4)").peak_activation_bytes
    """
    with python_call(ProfileOptions, "profile", ("space", "task"), given, options) as (read, _):
        return Profile(read).run()
