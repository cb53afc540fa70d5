"""What a training step holds, from shapes alone: decoupled, and beside it backprop and checkpointing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from nas.own_loop.decouple import decouple
from nas.own_loop.decoupled import Decoupled
from nas.own_loop.optimizers import OptimizerFactory
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.notation.errors import UserError
from spaces.traced.tracer import on_meta

if TYPE_CHECKING:
    import pandas as pd

MEGABYTE = 10**6


@dataclass(frozen=True)
class StepMemory:
    """Bytes that one training step of a whole batch holds.

    activations  the most at once of all that the step makes, the inputs and labels included, gradients of parameters not
    gradients    of the parameters of the block that has the most: one block's are alive at a time
    parameters   of the network and its heads, with their buffers; the whole time
    optimizer    what the optimizers keep, such as momentum; the whole time
    peak         the most at once of everything, which is at most the sum: gradients come while activations go
    """

    activations: int
    gradients: int
    parameters: int
    optimizer: int
    peak: int


@dataclass(frozen=True)
class Memory:
    """A training step of the same model and batch in four ways; `checkpointing` computes activations within units again, `both`
    does so in the decoupled network."""

    batch_size: int
    decoupling: Decoupling
    backprop: StepMemory
    checkpointing: StepMemory
    decoupled: StepMemory
    both: StepMemory

    @property
    def frame(self) -> pd.DataFrame:
        """One row a way, in MB (10^6 bytes), and `ratio`, its peak beside backprop's."""
        import pandas as pd

        ways = ("backprop", "checkpointing", "decoupled", "both")
        rows = pd.DataFrame([asdict(getattr(self, way)) for way in ways], index=list(ways)) / MEGABYTE
        return rows.assign(ratio=rows["peak"] / rows["peak"].iloc[0])

    def __str__(self) -> str:
        table = self.frame.round(3).to_string()
        return f"MB of a training step of {self.batch_size} samples, cut at '{self.decoupling}'\n{table}"


def memory(
    model: nn.Module,
    example: torch.Tensor | tuple[Any, ...] | Mapping[str, Any],
    decoupling: str | Decoupling = "balanced(4)",
    *,
    method: str = "dgl",
    head: str | None = None,
    optimizer: OptimizerFactory | None = None,
    loss: Callable[[torch.Tensor, Any], torch.Tensor] | None = None,
    labels: Any = None,
    batch_size: int | None = None,
    units: str | None = None,
) -> Memory:
    """What a training step of the model holds at its peak, before anything is trained: decoupled, and with backprop.

        print(nas.memory(model, x, "balanced(4)", batch_size=256))

    Found by running a step without storage, so it costs seconds and no memory, and is exact for what torch makes on the CPU;
    a GPU's kernels need workspaces beside. The model is left as it is.

    example     a batch as the model takes it, whose values are not used
    batch_size  of the step, where it is not that of the example
    optimizer   parameters -> torch.optim.Optimizer; None: SGD with momentum
    labels      what the loss compares outputs with, where it is your own and these are no class numbers

    The others are those of `nas.decouple`. A setting that does not hold is a UserError.
    """
    x = _on_meta(example, batch_size)
    samples = {len(leaf) for leaf in tree_leaves(x) if isinstance(leaf, torch.Tensor) and leaf.dim()}
    if len(samples) != 1:
        raise UserError(f"an example has samples in front in all of its tensors, got {sorted(samples)}; give one batch")
    (size,) = samples

    def of(method: str, decoupling: str | Decoupling, head: str | None, again: bool) -> tuple[StepMemory, Decoupling]:
        shapes = _shapes_of(model)
        net = decouple(
            shapes, decoupling, example=x, method=method, head=head, loss=loss, checkpoint_units=again, units=units
        ).train()
        y = _labels(net, size) if labels is None else _on_meta(labels, batch_size)
        return step_memory(net, x, y, optimizer or _momentum), net.decoupling

    decoupled, cuts = of(method, decoupling, head, False)
    both, _ = of(method, cuts, None, True)
    (backprop, _), (checkpointing, _) = (of("backprop", "uncut", None, again) for again in (False, True))
    return Memory(size, cuts, backprop, checkpointing, decoupled, both)


def step_memory(net: Decoupled, x: Any, y: Any, optimizer: OptimizerFactory) -> StepMemory:
    """What a step holds that is not the first one, on whatever device; it trains the network."""
    optimizers = net.optimizers(optimizer)
    net.step(x, y)
    given = _bytes([x, y])
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    with PeakMemory(leave_out=trained) as activations, PeakMemory() as everything:
        net.step(x, y)
    parameters = _bytes([*net.parameters(), *net.buffers()])
    kept = _bytes([tensor for each in optimizers for state in each.state.values() for tensor in state.values()])
    return StepMemory(
        given + activations.peak,
        max(_bytes(net.block_parameters(k)) for k in range(net.num_blocks)),
        parameters,
        kept,
        given + parameters + kept + everything.peak,
    )


def _momentum(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.1, momentum=0.9)


def _bytes(held: Any) -> int:
    """Of all storages, each once."""
    storages = {id(s): s for s in (leaf.untyped_storage() for leaf in tree_leaves(held) if isinstance(leaf, torch.Tensor))}
    return sum(storage.nbytes() for storage in storages.values())


def _on_meta(held: Any, batch_size: int | None) -> Any:
    """Tensors as shapes, of so many samples."""
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size is a number of samples from 1 on, got {batch_size}; leave it out for the example's")

    def of(tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty(batch_size or len(tensor), *tensor.shape[1:], dtype=tensor.dtype, device="meta")

    return tree_map_only(torch.Tensor, of, held)


def _shapes_of(model: nn.Module) -> nn.Module:
    """A copy without storage, in the model's own type."""
    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    shapes = on_meta(model)
    return shapes.to(types.pop()) if len(types) == 1 else shapes


def _labels(net: Decoupled, size: int) -> torch.Tensor:
    """Class numbers, at every pixel or token where outputs are."""
    backbone = net.method.net.backbone
    assert backbone is not None, "of a model"
    shape = backbone.output_shape
    places = shape[1:] if len(shape) == 3 else shape[:-1]
    return torch.zeros(size, *places, dtype=torch.long, device="meta")
