"""`search`: looks for decouplings with a strategy, once with each seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from nas.budget import Failures
from nas.commands.option import keywords_of, option
from nas.commands.problem import TrainedProblemOptions, checked_seeds, read_problem
from nas.commands.python_call import python_call
from nas.commands.shared_options import ClassBatchesOptions, OneRateOptions, RecordOptions
from nas.commands.work_options import BudgetOptions, read_budget
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.evaluators import EVALUATORS, SearchEvaluator
from nas.notice import notice
from nas.objectives import OBJECTIVES, checked_objectives
from nas.problem import Found, Problem, Report, Score, silent
from nas.records.log import Cell
from nas.records.reuse import notice_other_commits
from nas.records.row_kinds import RUNS, TRIALS
from nas.runs.trained_run import run_name
from nas.searches import Evaluated, Searched, common_front, search_once
from nas.strategies import STRATEGIES
from nas.trials import Trials, search_key
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SearchOptions(ClassBatchesOptions, OneRateOptions, BudgetOptions, RecordOptions, TrainedProblemOptions):
    """What `search` takes."""

    EPOCHS: ClassVar[int] = 20

    task: str = option("digits(validation=0.4)", "the data; see `run.py list`", components=True)
    strategy: str = option(
        "sedona(pretrain=150,meta_steps=30,inner_steps=3,memory=20,meta_lr=0.05)",
        "how to search; see `run.py list`",
        components=True,
    )
    method: str = option("dgl", "the method that trains what is searched", components=True)
    objectives: tuple[str, ...] = option(("error",), f"what to minimise, error among them: {', '.join(OBJECTIVES)}", metavar="O")
    evaluator: str = option("train", "where scores come from; see `run.py list`", components=True)
    seed: int = option(0, "of the search and of every training in it")
    seeds: int = option(1, "N searches, with seeds from --seed on", metavar="N")


@dataclass(frozen=True)
class SearchResult:
    """What was found.

    decoupling  the one with the lowest error of all that the searches recommend
    score       its score, on the validation split
    found       what its search recommends, with what there is to say about it (`Found.notes`)
    front       what no other is better than in all objectives, over all searches, lowest error first; one for one objective
    searches    each search, with all that it asked for
    row         the best one's row, cells as text
    csv         where the rows are, and `new_rows` how many came to it
    """

    searches: list[Searched]
    front: list[Evaluated]
    row: dict[str, str]
    csv: str
    new_rows: int

    @property
    def best(self) -> Evaluated:
        """The answer with the lowest error."""
        return self.front[0]

    @property
    def decoupling(self) -> Decoupling:
        """The decoupling with the lowest error."""
        return self.best.decoupling

    @property
    def score(self) -> Score:
        """The score of that decoupling, on the validation split."""
        return self.best.score

    @property
    def found(self) -> Found:
        """What the search that the answer is from says."""
        return next(searched.found for searched in self.searches if searched.seed == self.best.seed)


class Search:
    """A search that is checked and ready: `run` does the work. What cannot be read, written or searched is a UserError now."""

    def __init__(self, options: SearchOptions, report: Report, command: str) -> None:
        self.budget = read_budget(options)
        seeds, self.objectives = checked_seeds(options.seed, options.seeds), checked_objectives(options.objectives)
        self.report, self.command = report, command
        self.problem = read_problem(options, options.method, options.seed, options.lr, options.schedule)
        strategy = STRATEGIES.resolve(options.strategy)
        self.strategy = STRATEGIES.build(strategy)
        check_searchable(self.problem)
        self.problems = [replace(self.problem, seed=seed, objectives=self.objectives) for seed in seeds]
        self.keys = [search_key(problem, str(strategy), str(EVALUATORS.resolve(options.evaluator))) for problem in self.problems]
        self.evaluators = [self._evaluator(options, *pair) for pair in zip(self.problems, self.keys, strict=True)]
        self.log, trials = self.evaluators[0].log, options.results.log("trials.csv", TRIALS)
        if any(trials.find({"search": run_name(key)}) is None for key in self.keys):  # of one that has begun all may be there
            for written_to in (trials, self.log) if self.trains else (trials,):
                written_to.check_ready()

    @property
    def trains(self) -> bool:
        """Whether decouplings are trained, and not looked up."""
        return isinstance(self.evaluators[0], Evaluator)

    def run(self) -> SearchResult:
        """Search with each seed, within the budget."""
        with self.budget.limited():
            return self._run()

    def _run(self) -> SearchResult:
        failures = Failures(self.budget)
        for note in dict.fromkeys(note for evaluator in self.evaluators for note in evaluator.notes):
            notice(note)
        before = len(self.log.rows())
        searches = [
            search_once(
                self.strategy,
                problem,
                evaluator,
                self.report,
                trials=Trials(problem, key, evaluator, failures, command=self.command),
            )
            for problem, key, evaluator in zip(self.problems, self.keys, self.evaluators, strict=True)
        ]
        pairs = list(zip(self.evaluators, searches, strict=True))
        notice_other_commits(row for evaluator, searched in pairs for row in map(evaluator.recorded, searched.scores) if row)
        front = common_front(searches, self.objectives)
        evaluator = next(evaluator for evaluator, searched in pairs if searched.seed == front[0].seed)
        row = evaluator.recorded(front[0].decoupling)
        assert row is not None, "what a search recommends is what it evaluated"
        return SearchResult(searches, front, row, self.log.where, len(self.log.rows()) - before)

    def _evaluator(self, options: SearchOptions, problem: Problem, key: dict[str, Cell]) -> SearchEvaluator:
        """What scores the decouplings of the search with this key: their training, or what --evaluator puts in its place."""
        training = Evaluator(
            problem,
            options.results.log("search.csv", RUNS),
            self.report,
            command=self.command,
            test=False,
            weights="required" if options.save_weights else "discarded",
            labels={"strategy": key["strategy"], "search": run_name(key)},
            retries=self.budget.retries or 0,
        )
        return EVALUATORS.build(options.evaluator, training)


def check_searchable(problem: Problem) -> None:
    """Refuse a search whose answer the method would ignore, and heads that it cannot learn with."""
    point = next(decoupling for decoupling in problem.space.enumerate() if decoupling.cuts or problem.space.size == 1)
    for asked in [point.with_head(head) for head in problem.space.heads]:
        trained = problem.adapt(asked)
        if trained.cuts != asked.cuts or (len(problem.space.heads) > 1 and trained != asked):
            raise UserError(
                f"method {problem.method} trains '{trained}' when '{asked}' is asked for, so this search would have "
                f"no effect; choose another method, or a space with one head, in which only the cuts are searched"
            )


@keywords_of(SearchOptions, "space", "task")
def search(*given: Any, progress: Report = silent, **options: Any) -> SearchResult:
    """Search a space for decouplings with a strategy, as `run.py search` does: the same rows, resumed and shared alike.

    `progress` is called with what runs, how many steps are done, and of how many. Nothing is printed; what people should know
    goes to the logger "nas". A bad argument is a UserError.

        found = nas.search("vgg11", "cifar10(validation=0.2)", strategy="optuna(trials=20)")
        found.decoupling, found.score.error
    """
    with python_call(SearchOptions, "search", ("space", "task"), given, options) as (read, command):
        return Search(read, progress, command).run()
