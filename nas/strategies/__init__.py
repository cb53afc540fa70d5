"""The strategies by name."""

from nas.problem import Strategy
from nas.strategies.hyperband.strategy import Hyperband
from nas.strategies.optuna_search import OptunaSearch
from nas.strategies.random_search import Exhaustive, RandomSearch
from nas.strategies.screening import Screening
from nas.strategies.sedona.strategy import Sedona
from nas.strategies.supernet.strategy import Supernet
from nas.strategies.surrogate.strategy import Surrogate
from spaces.notation.table import Table

STRATEGIES: Table[Strategy] = Table(
    "strategy",
    {
        "sedona": Sedona,
        "optuna": OptunaSearch,
        "supernet": Supernet,
        "surrogate": Surrogate,
        "hyperband": Hyperband,
        "screening": Screening,
        "random": RandomSearch,
        "exhaustive": Exhaustive,
    },
    makes=Strategy,
)
