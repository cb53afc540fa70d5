"""--compile: each stage of a training step as one graph, whatever its blocks and heads are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from methods.method import Carry, Method, Stage
from methods.training.settings import Compile
from spaces.activation import input_shape
from spaces.notation.errors import UserError

BACKEND = "inductor"
GRAPHS = 4096  # of all stages together, which are one code object to torch: it would give up after 8


def compile_stage(method: Method, k: int, mode: Compile) -> Stage:
    """`method.stage(k, ...)`, blocks, heads and loss, as one graph. What answers inputs stays as it is.

    A stage that torch cannot compile whole is a UserError when it first runs: compiled in part, it would say that it is
    compiled and not be. Texts of all lengths share a graph. With CUDA graphs (reduce-overhead) outputs lie where the next
    replay writes, which a stage's backward pass may precede, so what is handed on is copied.
    """
    dynamic = True if input_shape(method.net.shapes[0]).varies else None
    compiled = torch.compile(_Stage(method, k), fullgraph=True, dynamic=dynamic, mode=mode, backend=BACKEND)

    def run(carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        try:
            with torch._dynamo.config.patch(recompile_limit=GRAPHS, accumulated_recompile_limit=GRAPHS):
                made = compiled(carry, y)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).partition("\n")[0].split())
            raise UserError(
                f"--compile makes one graph of each stage, which torch cannot of stage {k} of "
                f"{type(method).__name__}: {reason[:120]}; leave --compile out"
            ) from None
        return tree_map_only(torch.Tensor, torch.Tensor.clone, made) if mode == "reduce-overhead" else made

    return run


class _Stage(nn.Module):
    """A module, since torch takes its attribute k for a constant."""

    def __init__(self, method: Method, k: int) -> None:
        super().__init__()
        self.method, self.k = method, k

    def forward(self, carry: Carry, y: torch.Tensor) -> Any:
        return self.method.stage(self.k, carry, y)
