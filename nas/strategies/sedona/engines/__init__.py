"""The engines by name: each computes the derivative of the outer loss through T steps of inner training its own way."""

from collections.abc import Callable

from nas.strategies.sedona.bilevel import Bilevel, HyperGradient
from nas.strategies.sedona.engines.adjoint import adjoint
from nas.strategies.sedona.engines.identity import identity
from nas.strategies.sedona.engines.unroll import unroll

Engine = Callable[[Bilevel], HyperGradient]

ENGINES: dict[str, Engine] = {"adjoint": adjoint, "identity": identity, "unroll": unroll}
