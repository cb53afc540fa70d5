"""A user's model in gradient-isolated blocks: his to train, step by step or loss by loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Self, get_args

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves

from methods.losses import full_precision
from methods.method import Carry, Method, Stage
from methods.training.compilation import compile_stage
from methods.training.settings import Compile
from nas.own_loop.checks import check_input
from nas.own_loop.data_parallel import check_averaged, check_not_around, parallel_stages
from nas.own_loop.optimizers import OptimizerFactory, check_factory, optimizers_of
from nas.own_loop.side_by_side import Row, joined
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError, unknown


class Decoupled(nn.Module):
    """What `nas.decouple` gives: `model`, the user's own module, whose blocks learn from losses of their own.

    In training x is what the model takes, a tensor, a tuple of positional or a dict of keyword arguments, and y what the loss
    compares its outputs with; samples lie in front. K is `num_blocks`.

        step(x, y)          one step of all blocks, each with its own optimizer
        losses(x, y)        the K local losses, one after the other: run backward on each before the next is asked for
        forward_loss(x, y)  their sum, for programs that run backward once
        forward             the model's own, with its own arguments
        exits(x)            the outputs after each block

    Its parameters are the model's, as `model.…`, and those of heads and what else only training needs, as `method.…`; the state
    dict holds each tensor once. Copies (`copy.deepcopy`, `AveragedModel`, `torch.save` of the whole) have no optimizers yet.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        decoupling: Decoupling,
        *,
        optimizer: OptimizerFactory | None = None,
        has_exit_logits: bool = True,
    ) -> None:
        super().__init__()
        check_factory(optimizer)
        self.model, self.method, self.decoupling = model, method, decoupling
        self._factory, self._has_exit_logits = optimizer, has_exit_logits
        self._optimizers: list[torch.optim.Optimizer] | None = None
        self._parallel: list[DistributedDataParallel] | None = None
        self._averages_by_hand = False
        self._row: Row | None = None
        self._compiled: list[Stage] | None = None
        models_own = set(model.modules())
        for module in self.modules():
            if module not in models_own:
                module.training = model.training
        self._shared = _shared_tensors(model, method)
        self._register_state_dict_hook(_each_tensor_once)
        self.register_load_state_dict_post_hook(_share_again)

    @property
    def num_blocks(self) -> int:
        """K: how many blocks learn apart, each with one loss and one optimizer; 1 where all learn end to end."""
        return self.method.num_stages

    @property
    def own_blocks(self) -> range:
        """The blocks that this process trains: all of them, unless `side_by_side` has parted them."""
        return range(self.num_blocks) if self._row is None else self._row.blocks

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The model's own output, to the bit. Its gradients cross all cuts, so blocks learn from `losses`, not from this."""
        check_not_around(self)
        return self.model(*inputs, **named)

    def losses(self, x: Any, y: Any) -> Iterator[torch.Tensor]:
        """The K local losses (scalars), lazily, the model's own last; side by side those of `own_blocks`.

        Run backward on each before asking for the next, and the activations of one block at a time are alive. Under autocast
        when it is called, every block's forward pass is, wherever the losses are asked for.
        """
        if self._parallel is None and not self._averages_by_hand and self._row is None:
            check_averaged()
        if self._row is None or self._row.is_first:
            self._check_input(x)
            return self._losses(_plain(x), None, y, _autocast_now(x))
        carry, y = self._row.receive()
        return self._losses(None, carry, y, _autocast_now(carry))

    def _losses(self, x: Any, carry: Carry | None, y: Any, precision: AbstractContextManager[Any]) -> Iterator[torch.Tensor]:
        if carry is None:
            with precision:
                carry = self.method.start(x, y)
        for k in self.own_blocks:
            with precision:
                carry, loss = self._stage(k, carry, y)
            if self._row is not None and k + 1 == self.own_blocks.stop:
                self._row.send(carry, y)
            yield loss

    def _stage(self, k: int, carry: Carry, y: Any) -> tuple[Carry, torch.Tensor]:
        compiled = None if self._compiled is None else self._compiled[k]
        if self._parallel is not None:
            return self._parallel[k](carry, y, compiled)
        return self.method.isolated_stage(k, carry, y, compiled=compiled)

    def forward_loss(self, x: Any, y: Any) -> torch.Tensor:
        """The sum of the local losses, a scalar: its gradients are those of `losses`, and still cross no cut.

        All blocks' activations are alive until backward, so a step holds what one of backprop does, and heads beside.
        """
        first, *others = self.losses(x, y)
        return sum(others, first)

    def exits(self, x: Any) -> Iterator[torch.Tensor]:
        """The outputs after each block, lazily, heads' first and the model's own last. A method whose heads give no outputs
        is a UserError."""
        if not self._has_exit_logits:
            raise UserError(
                "exits are outputs of heads, got a method whose heads give embeddings; call the model, or take another method"
            )
        self._check_input(x)
        return self.method.exits(_plain(x))

    def _check_input(self, x: Any) -> None:
        backbone = self.method.net.backbone
        if backbone is not None:
            check_input(x, backbone.input_shape)

    def step(
        self,
        x: Any,
        y: Any,
        *,
        share: float = 1.0,
        update: bool = True,
        scaler: torch.amp.GradScaler | None = None,
        max_norm: float | None = None,
    ) -> list[torch.Tensor]:
        """Forward, backward and update of every block, one after the other; the K losses, detached. After `side_by_side` of
        the blocks of this process alone, whose losses these are.

        share     factor of the losses, 1/n for each of n batches that one update is made of
        update    without it gradients are only added up, for a later step that updates
        scaler    of float16 under autocast, one for all blocks
        max_norm  to which the gradient of each block, its head's included, is clipped before its update
        """
        for name, value in (("share", share), ("max_norm", max_norm)):
            if value is not None and not value > 0:
                raise UserError(f"{name} is a number above 0, got {value}; leave it out")
        found = []
        with ExitStack() as stack:
            for stage in () if update else self._parallel or ():
                stack.enter_context(stage.no_sync())
            for optimizer, loss in zip(self.optimizers(), self.losses(x, y), strict=True):
                found.append(loss.detach())
                loss = loss if share == 1 else loss * share
                with full_precision(loss.device):
                    (loss if scaler is None else scaler.scale(loss)).backward()
                    if update:
                        _update(optimizer, scaler, max_norm)
        if update and scaler is not None:
            scaler.update()
        return found

    def optimizers(self, factory: OptimizerFactory | None = None) -> list[torch.optim.Optimizer]:
        """The blocks' optimizers, in order, made when first asked for; with a `factory` (parameters -> optimizer) made anew.
        Side by side those of `own_blocks`."""
        if factory is not None:
            check_factory(factory)
            self._factory, self._optimizers = factory, None
        if self._optimizers is None:
            self._optimizers = optimizers_of(self.method, self._factory)
        return self._optimizers[self.own_blocks.start : self.own_blocks.stop]

    def block_parameters(self, k: int) -> list[nn.Parameter]:
        """What block k's loss trains: the parameters of the block and its head that require gradients."""
        return self.method.stage_parameters(k)

    def compile_blocks(self, mode: Compile = "default") -> Self:
        """Make one graph of each block's forward pass, head and loss with torch.compile, when it first runs; reduce-overhead adds
        CUDA graphs, and no takes them back. Blocks that compute activations again are a UserError."""
        if mode not in get_args(Compile):
            raise unknown("mode of compiling", mode, get_args(Compile))
        if mode == "no":
            self._compiled = None
            return self
        if any(block.checkpoint_units for block in self.method.net.blocks):
            raise UserError(
                "torch's compiler decides itself what is computed again, got checkpoint_units; leave it out, or do not compile"
            )
        self._compiled = [compile_stage(self.method, k, mode) for k in range(self.num_blocks)]
        return self

    def data_parallel(self, *, by_hand: bool = False, **options: Any) -> Self:
        """Average gradients over the processes of torch.distributed, block by block, in all that trains.

        `options` are those of DistributedDataParallel, such as device_ids. Each block is in one of its own, since one around
        the whole would expect a single backward pass. `by_hand`: nothing is averaged, since the loop itself does it.
        """
        if by_hand and options:
            raise UserError(f"by_hand averages nothing here, got {', '.join(options)} beside it; leave one of them out")
        self._check_one_way(self._row is not None)
        self._averages_by_hand = by_hand
        self._parallel = None if by_hand else parallel_stages(self.method, **options)
        return self

    def side_by_side(self, x: Any = None, y: Any = None, *, plan: Sequence[int] | None = None, depth: int = 3) -> Self:
        """Let each process of torch.distributed train contiguous blocks only, `own_blocks`, one step behind the process before.

        Called by all processes, with the model on the device of each; all begin with the weights of the first. From then on
        `step` takes its batch from the loop in the first process, and from the process before in the others, whose x and y are
        not looked at. Weights are to the bit those of one process, but what is random (dropout) draws from each process's own
        generator.

        x, y   a batch in the first process: blocks are parted by the measured seconds of a step of each on it
        plan   in place of that how many blocks each process trains, (3, 1); that of the first process counts
        depth  how many batches may be on their way between two processes

        A method whose stages read each other's weights, more processes than blocks, or one alone are a UserError.
        """
        self._check_one_way(self._parallel is not None or self._averages_by_hand)
        if self._row is not None:
            raise UserError("blocks are parted among processes once, got side_by_side a second time; call it once")
        device = next(self.method.parameters()).device
        self._row = joined(self.method, _plain(x), y, plan=plan, depth=depth, device=device)
        return self

    def gather(self) -> Self:
        """After the same step in all processes: give each the weights of all blocks, for `forward`, `exits` and `state_dict`,
        where those of other processes' blocks are else what they were at the last time. Training may go on."""
        if self._row is None:
            raise UserError("weights are gathered from processes that train side by side, got one; call side_by_side() before")
        self._row.gather(self.method)
        return self

    def _check_one_way(self, other: bool) -> None:
        if other:
            raise UserError(
                "processes have either a share of the batch or some of the blocks each, got data_parallel and side_by_side; "
                "leave one of them out"
            )

    def _aliases(self) -> dict[str, str]:
        """Names of tensors of the method that are the model's -> their names as the model's."""
        of_model = {id(tensor): name for name, tensor in _named_tensors(self.model)}
        return {
            f"method.{name}": f"model.{of_model[id(tensor)]}"
            for name, tensor in _named_tensors(self.method)
            if id(tensor) in of_model
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name, of_model in self._aliases().items():
            if prefix + of_model in state_dict:
                state_dict.setdefault(prefix + name, state_dict[prefix + of_model])
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """To another device or precision, where torch makes new buffers in every module that holds one."""
        super()._apply(fn, recurse)
        _share_again(self)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_optimizers": None, "_parallel": None, "_row": None, "_compiled": None}

    def extra_repr(self) -> str:
        """Where it is cut."""
        return f"decoupling='{self.decoupling}'"


def _each_tensor_once(module: nn.Module, state_dict: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Leave the blocks' names of the model's tensors out."""
    for name in module._aliases():  # type: ignore[operator]
        state_dict.pop(prefix + name, None)


Shared = tuple[nn.Module, nn.Module, str]


def _shared_tensors(model: nn.Module, method: nn.Module) -> list[Shared]:
    """The tensors of the model that modules of others hold too, as a block holds a position table: holder, owner, name."""
    owners = {id(tensor): module for module in model.modules() for tensor in _own_tensors(module).values()}
    models_own = set(model.modules())
    return [
        (holder, owners[id(tensor)], name)
        for holder in method.modules()
        if holder not in models_own
        for name, tensor in _own_tensors(holder).items()
        if id(tensor) in owners
    ]


def _own_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in (*module._parameters.items(), *module._buffers.items()) if tensor is not None}


def _share_again(module: nn.Module, *_: Any) -> None:
    """Give those who hold a tensor of the model the one that the model has now."""
    for holder, owner, name in module._shared:  # type: ignore[union-attr]
        for held, owned in ((holder._parameters, owner._parameters), (holder._buffers, owner._buffers)):
            if name in held:
                held[name] = owned[name]


def _named_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None, max_norm: float | None) -> None:
    """Clip, step and forget the gradients of one block."""
    if max_norm is not None:
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)


def _plain(x: Any) -> Any:
    """Arguments by name as a dict, whatever mapping they come in, such as a tokenizer's."""
    return dict(x) if isinstance(x, Mapping) else x


def _autocast_now(x: Any) -> AbstractContextManager[Any]:
    """The autocast of this moment on the inputs' device, to enter again and again."""
    device = next((leaf.device.type for leaf in tree_leaves(_plain(x)) if isinstance(leaf, torch.Tensor)), "cpu")
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, dtype=torch.get_autocast_dtype(device))
