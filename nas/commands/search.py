"""`search`: looks for decouplings with a strategy, once with each seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.budget import Failures
from nas.commands.option import keywords_of
from nas.commands.problem import checked_seeds, read_problem
from nas.commands.python_call import python_call
from nas.commands.search_options import SearchOptions, check_how_it_trains, check_searchable, checked_in_flight
from nas.commands.work_options import num_processes, read_budget, read_executor
from nas.evaluation.by_fidelity import ByFidelity
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.evaluators import EVALUATORS, SearchEvaluator
from nas.evaluation.together import Together
from nas.evaluations import when_told
from nas.executors.executor import Lost, Pool, Work
from nas.executors.here import Here
from nas.notice import notice
from nas.objectives import checked_objectives
from nas.problem import Found, Problem, Report, Score, silent
from nas.records.claim import Claim
from nas.records.heartbeat import Task
from nas.records.log import Cell
from nas.records.reuse import notice_other_commits
from nas.records.row_kinds import RUNS, TRIALS
from nas.runs.trained_run import run_name
from nas.searches import Evaluated, Searched, common_front, search_once
from nas.shared_work import SharedWork
from nas.strategies import STRATEGIES
from nas.studies.mirror import StudyMirror, open_storage
from nas.trials import Trials, search_key
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

if TYPE_CHECKING:
    from nas.plans.plan import SearchPlan

KILLS = 3  # of the worker of one trial, after which a search without --retries ends


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
        self.failures = Failures(self.budget)
        seeds, self.objectives = checked_seeds(options.seed, options.seeds), checked_objectives(options.objectives)
        self.options, self.report, self.command = options, report, command
        self.problem = read_problem(options, options.method, options.seed, options.lr, options.schedule)
        strategy = STRATEGIES.resolve(options.strategy)
        self.strategy = STRATEGIES.build(strategy)
        check_searchable(self.problem)
        self.problems = [replace(self.problem, seed=seed, objectives=self.objectives) for seed in seeds]
        self.executor = read_executor(options)
        one_job = getattr(self.strategy, "is_one_job", False)
        self.at_once = checked_in_flight(options, self.executor, one_job=one_job)
        self.side_by_side = self.executor is not None and self.at_once == 1
        evaluator = str(EVALUATORS.resolve(options.evaluator))
        self.keys = [
            search_key(problem, str(strategy), evaluator, at_once=1 if one_job else self.at_once) for problem in self.problems
        ]
        own_schedules = getattr(self.strategy, "own_schedules", False)
        self.scores = [
            ByFidelity(partial(self._evaluator, options, key=key, whole=problem), problem, own_schedules=own_schedules)
            for problem, key in zip(self.problems, self.keys, strict=True)
        ]
        self.log, trials = self.scores[0].whole.log, options.results.log("trials.csv", TRIALS)
        if any(trials.find({"search": run_name(key)}) is None for key in self.keys):  # of one that has begun all may be there
            for written_to in (trials, self.log) if self.trains else (trials,):
                written_to.check_ready()
        check_how_it_trains(options, self.problem, self.at_once, trains=self.trains, one_job=one_job)
        self.storage = None if options.storage is None else open_storage(options.storage)

    @property
    def trains(self) -> bool:
        """Whether decouplings are trained, and not looked up."""
        return isinstance(self.scores[0].whole, Evaluator)

    def plan(self) -> SearchPlan:
        """What `run` would do, in about which time and memory; nothing is written. One that looks scores up is a UserError."""
        from nas.plans.of_search import plan_search

        evaluator = self.scores[0].whole
        if not isinstance(evaluator, Evaluator):
            raise UserError(
                f"--dry-run says what trainings take, got the evaluator {self.options.evaluator}, which looks scores up; leave "
                "one of them out"
            )
        trials = self.options.results.log("trials.csv", TRIALS)
        told = [trials.find_all({"search": run_name(key)}) for key in self.keys]
        processes = num_processes(self.executor)
        return plan_search(self.strategy, self.problems, evaluator, told, processes=processes, threads=self.options.threads)

    def run(self) -> SearchResult:
        """Search with each seed, within the budget."""
        told = self.problem.results.heartbeat.telling(Task({"command": self.command}, skips=True))
        with self.budget.limited(), told:
            return self._run()

    def _run(self) -> SearchResult:
        for note in dict.fromkeys(note for scores in self.scores for note in scores.whole.notes):
            notice(note)
        before = len(self.log.rows())
        with self._pool() as pool:
            work = SharedWork(pool)
            if self.side_by_side:
                answers = [self._begin_search(number, work) for number in range(len(self.problems))]
            else:
                answers = [partial(self._search, number, work) for number in range(len(self.problems))]
            searches: list[Searched] = []
            for answer in answers:
                if len(answers) > 1:
                    self.report("searches", len(searches), len(answers))
                searches.append(answer())
        pairs = list(zip((scores.whole for scores in self.scores), searches, strict=True))
        notice_other_commits(row for evaluator, searched in pairs for row in map(evaluator.recorded, searched.scores) if row)
        for evaluator, searched in pairs if self.options.log else ():
            assert isinstance(evaluator, Evaluator), "only what trains has curves"
            for decoupling in searched.scores:
                evaluator.write_events(decoupling)
        front = common_front(searches, self.objectives)
        evaluator = next(evaluator for evaluator, searched in pairs if searched.seed == front[0].seed)
        row = evaluator.recorded(front[0].decoupling)
        assert row is not None, "what a search recommends is what it evaluated"
        return SearchResult(searches, front, row, self.log.where, len(self.log.rows()) - before)

    def work(self, job: Job) -> Any:
        """What a worker answers: True for a trial that is done, what a whole search found; None where another process has it."""
        number = job.seed - self.options.seed
        if job.decoupling is not None:
            evaluator, share = self.scores[number].at(job.fidelity)
            assert isinstance(evaluator, Evaluator), "only what trains has workers"
            return evaluator.try_run(Decoupling.parse(job.decoupling), share) or None
        claim = self._search_claim(number)
        if not claim.try_take():
            return None
        try:
            with self.problem.results.heartbeat.telling(Task({"command": self.command})):
                return self._search(number, SharedWork(Here(self.work)))
        finally:
            claim.release()

    def _pool(self) -> Pool:
        """This process, or workers, which read the same options and search in their own process alone."""
        if self.executor is None:
            return Here(self.work)
        storage = self.options.storage if self.side_by_side else None
        own = replace(self.options, workers=1, executor=None, time=None, at_once=self.at_once, storage=storage)
        return self.executor.open(partial(work_of_search, own, self.command), self.report, self.options.device)

    def _search(self, number: int, work: SharedWork) -> Searched:
        """One of the searches, its trainings done by whoever claims them."""
        problem, scores = self.problems[number], self.scores[number]
        together = Together(scores) if self.options.train_together else None

        def begin(decoupling: Decoupling, fidelity: float) -> Callable[[], Score]:
            evaluator, share = scores.at(fidelity)
            assert isinstance(evaluator, Evaluator)
            folder = evaluator.run_folder(decoupling)
            answer = work.begin(
                Job(problem.seed, str(decoupling), fidelity),
                f"the run {folder}",
                evaluator.claim(decoupling),
                killed=partial(self._killed, evaluator, decoupling, share),
                is_done=partial(evaluator.is_done, decoupling, share),
            )

            def score() -> Score:
                answer()
                return scores(decoupling, fidelity)

            return score

        return search_once(
            self.strategy,
            problem,
            together.begin if together else begin if self.trains else when_told(scores),
            problem.results.heartbeat.steps(self.report),
            at_once=self.at_once,
            trials=Trials(problem, self.keys[number], scores, self.failures, command=self.command, mirror=self._mirror(number)),
        )

    def _begin_search(self, number: int, work: SharedWork) -> Callable[[], Searched]:
        """One of the searches as a job, done by whoever claims it."""
        seed = self.problems[number].seed
        name = f"the search with seed {seed}"
        return work.begin(Job(seed), name, self._search_claim(number), killed=partial(self._told_killed, name))

    def _killed(self, evaluator: Evaluator, decoupling: Decoupling, fidelity: float, lost: Lost, times: int) -> None:
        """With --retries a killed attempt has a row, and the last one counts; without, the trial is begun again a few times."""
        if self.budget.retries is None:
            return self._told_killed(f"the trial {decoupling}", lost, times)
        evaluator.record_killed(decoupling, lost.reason, lost.host, fidelity)
        again = "has failed" if evaluator.is_done(decoupling, fidelity) else "is begun again"
        notice(f"the worker of the trial {decoupling} was {lost}; it {again}")

    def _told_killed(self, name: str, lost: Lost, times: int) -> None:
        if times == KILLS:
            raise UserError(
                f"a search needs all that it asked for, but the worker of {name} was {lost}, the {times}th time, as happens when "
                "memory is short; give the same command to go on, with fewer --workers, or --retries to count it as failed"
            )
        notice(f"the worker of {name} was {lost}; it is begun again")

    def _mirror(self, number: int) -> StudyMirror | None:
        if self.storage is None:
            return None
        key = self.keys[number]
        claim = self.options.results.claim(self.problem.runs / f"study-{run_name(key)}")
        return StudyMirror(self.storage, self.problems[number], run_name(key), claim, settings=key)

    def _search_claim(self, number: int) -> Claim:
        return self.options.results.claim(self.problem.runs / run_name(self.keys[number]))

    def _evaluator(self, options: SearchOptions, problem: Problem, *, key: dict[str, Cell], whole: Problem) -> SearchEvaluator:
        """What scores the decouplings of the search with this key: their training, or what --evaluator puts in its place. Of
        trainings that are shorter than the `whole` no weights are saved."""
        training = Evaluator(
            problem,
            options.results.log("search.csv", RUNS),
            self.report,
            command=self.command,
            test=False,
            weights="required" if options.save_weights and problem is whole else "discarded",
            labels={"strategy": key["strategy"], "search": run_name(key)},
            retries=self.budget.retries or 0,
            events=options.event_files(),
            exit_errors=options.history == "exits",
        )
        return EVALUATORS.build(options.evaluator, training)


@dataclass(frozen=True)
class Job:
    """What a worker of a search does: a trial of the search with this seed, or without a decoupling the whole search."""

    seed: int
    decoupling: str | None = None
    fidelity: float = 1.0


def work_of_search(options: SearchOptions, command: str, report: Report) -> Work:
    """What a worker of a search does, made in its own process."""
    return Search(options, report, command).work


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
