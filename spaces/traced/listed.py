"""The way out for a network that cannot be traced: the list of its blocks is named, and its own forward runs around them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_structure, tree_unflatten

from spaces.activation import Accompanied
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS, said_by
from spaces.traced.attach import attach
from spaces.traced.cut_points import MASK
from spaces.traced.outputs import called, outputs_of
from spaces.traced.tracer import attribute, on_meta


@dataclass(frozen=True)
class ListedPlan:
    """The blocks of a network by name, in the order in which its forward calls them, each on what the one before it gives.

    first, last  the names of the parameters and buffers that are used before the first block, and behind the last
    given        what the first block was given, (args, kwargs): None stands for the activation, ("beside", i) for the tensor i
                 beside it, all else is itself; the other blocks are given the same
    wraps        how many values a block gives beside the activation, all None; None: it gives the activation itself
    num_beside   how many tensors stand beside the activation, behind those of the input
    form         how the tensors of an input lie in it
    outputs      the shape of what the network gives, without the batch
    """

    names: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    given: Any
    wraps: int | None
    num_beside: int
    form: Any
    outputs: tuple[int, ...]

    def units_of(self, model: nn.Module) -> list[nn.Module]:
        """The units of an instance, which share its modules; the classifier last."""
        blocks = [ListedBlock(model, self, place) for place in range(len(self.names))]
        return [*blocks, ListedClassifier(model, self)]


class Listed(nn.Module):
    """A part of a network whose own forward runs around the named blocks. It holds the modules whose weights it trains."""

    def __init__(self, model: nn.Module, plan: ListedPlan, names: Sequence[str]) -> None:
        super().__init__()
        self._model, self._plan = (model,), plan  # in a tuple, so that weights are registered where they are trained only
        for name in names:
            attach(self, name, attribute(model, name))

    def until_first_block(self, x: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the first block is given, with the tensors beside it: the network's forward up to there."""
        model = self._model[0]
        first = model.get_submodule(self._plan.names[0])
        with _in_place_of({first: _stop}), _in_mode_of(self, model):
            try:
                called(model, x)
            except _Reached as reached:
                h, beside, _ = _split(reached.args, reached.kwargs)
                return h, beside
        raise AssertionError("the first block is called")


class ListedBlock(Listed):
    """A named block; the first one with all that comes before it."""

    def __init__(self, model: nn.Module, plan: ListedPlan, place: int) -> None:
        super().__init__(model, plan, (*(plan.first if place == 0 else ()), plan.names[place]))
        self._place = place

    def forward(self, x: Any) -> Accompanied:
        """The input, or an activation with the input and more beside it -> the next activation, with the same beside it."""
        if self._place == 0:
            h, more = self.until_first_block(x)
            beside = (*tree_leaves(x), *more)
            mask = x.get(MASK) if isinstance(x, dict) else None
        else:
            h, beside, mask = x
        plan = self._plan
        own = beside[len(beside) - plan.num_beside :]

        def filled(part: Any) -> Any:
            if part is None:
                return h
            return own[part[1]] if isinstance(part, tuple) and len(part) == 2 and part[0] == _BESIDE else part.held

        args, kwargs = _mapped(plan.given, filled)
        made = self.get_submodule(plan.names[self._place])(*args, **kwargs)
        values = made if plan.wraps is None else made[0]
        is_masked = mask is not None and values.dim() == 3 and values.shape[:2] == mask.shape
        return Accompanied(values, beside, mask if is_masked else None)


class ListedClassifier(Listed):
    """What the network does behind its last block. Its forward runs once more, its blocks left out: what it does before them, on
    the input, is computed again without gradients."""

    def __init__(self, model: nn.Module, plan: ListedPlan) -> None:
        super().__init__(model, plan, plan.last)

    def forward(self, h: Accompanied) -> torch.Tensor:
        """The last block's activation, with the input beside it -> the network's output."""
        plan, model = self._plan, self._model[0]
        blocks = [model.get_submodule(name) for name in plan.names]
        leaves = h.constants[: len(h.constants) - plan.num_beside]
        x = tree_unflatten(list(leaves), plan.form)
        grad, drawn = torch.is_grad_enabled(), _drawn(h.values)

        def wrapped(values: torch.Tensor) -> Any:
            return values if plan.wraps is None else (values, *(None,) * plan.wraps)

        def through(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return wrapped(_split(args, kwargs)[0])

        def resumed(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            drawn()  # so that what is drawn behind the blocks is what the network itself would draw
            torch.set_grad_enabled(grad)
            return wrapped(h.values)

        own = set(self.modules())
        statistics = {module: dict(module._buffers) for module in model.modules() if module not in own}
        for module, buffers in statistics.items():
            module._buffers.update({name: held.clone() for name, held in buffers.items() if held is not None})
        try:
            with _in_place_of(dict.fromkeys(blocks[:-1], through) | {blocks[-1]: resumed}), _in_mode_of(self, model):
                torch.set_grad_enabled(False)
                return outputs_of(called(model, x), type(model).__name__)
        finally:
            torch.set_grad_enabled(grad)
            for module, buffers in statistics.items():
                module._buffers.update(buffers)


def listed_plan(model: nn.Module, example: Any, names: Sequence[str]) -> ListedPlan:
    """The plan of a network whose blocks are these, in any order; found by running it on the shapes of an example.

    Blocks that are not called once each, one on what the one before it gives, with the same things beside it, are a UserError
    that says which.
    """
    try:
        shapes, watched, made = _watched(on_meta(model), example, names)
    except UserError:
        raise
    except OWN_ERRORS as error:
        like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.empty(0))
        if like.is_meta:
            raise UserError(
                f"{type(model).__name__} runs on shapes alone, got {said_by(error)}; take it as an object, with nas.decouple"
            ) from None
        try:  # code that reads numbers off tensors runs on real ones
            shapes, watched, made = _watched(copy.deepcopy(model), _real(example, like), names)
        except UserError:
            raise
        except OWN_ERRORS as real:
            raise UserError(
                f"{type(model).__name__} runs on an example, got {said_by(real)}; give a batch as it takes it"
            ) from None
    calls = watched.calls
    order = tuple(name for name, *_ in calls)
    if sorted(order) != sorted(names):
        often = next((name for name in names if order.count(name) != 1), names[0])
        raise UserError(
            f"each of the blocks is called once, got {often}, which is called {order.count(often)} times; name others"
        )
    first_h, beside, given = _split(*calls[0][1:3])
    if first_h is None:
        raise UserError(f"a block is given the activation as its first argument, got {order[0]}, which is given none")
    flows = [part for part in beside if part.requires_grad]
    if flows:
        raise UserError(f"beside the activation nothing has a gradient, got {tuple(flows[0].shape)} beside {order[0]}")
    wraps = _wraps(calls[0][3], order[0])
    for (name, _, _, gave), (following, args, kwargs, _) in pairwise(calls):
        h, others, _ = _split(args, kwargs)
        same = len(others) == len(beside) and all(one is two for one, two in zip(others, beside, strict=True))
        if h is not (gave if wraps is None else gave[0]) or not same:
            raise UserError(
                f"a block is given what the one before it gives, and beside it what all are given, got something else between "
                f"{name} and {following}; name blocks of which that holds"
            )
    behind = {id(shapes.get_parameter(name)) for name in watched.behind if isinstance(attribute(shapes, name), nn.Parameter)}
    not_behind = [(name, parameter) for name, parameter in shapes.named_parameters() if id(parameter) not in behind]
    reached = torch.autograd.grad(made.sum(), [parameter for _, parameter in not_behind], allow_unused=True)
    passed_by = [name for (name, _), gradient in zip(not_behind, reached, strict=True) if gradient is not None]
    if passed_by:
        raise UserError(
            f"what comes behind the last block is made of what it gives, got {passed_by[0]}, whose gradient does not pass "
            f"{order[-1]}; name blocks that nothing skips"
        )
    both = sorted(watched.before & watched.behind)
    if any(isinstance(attribute(shapes, name), nn.Parameter) for name in both):
        raise UserError(
            f"blocks share no parameters, got {both[0]}, which is used before the first and behind the last; untie it"
        )
    return ListedPlan(
        order,
        _owners(shapes, watched.before),
        _owners(shapes, watched.behind - watched.before),
        given,
        wraps,
        len(beside),
        tree_structure(example),
        tuple(made.shape[1:]),
    )


def _watched(model: nn.Module, example: Any, names: Sequence[str]) -> tuple[nn.Module, _Watched, torch.Tensor]:
    """The network, what was seen of it, and what it gave."""
    for parameter in model.train().parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    drawn = torch.get_rng_state()
    watched = _Watched(model, names)
    try:
        with watched, torch.enable_grad(), torch.device(next(tensor.device for tensor in tree_leaves(example))):
            return model, watched, outputs_of(called(model, example), type(model).__name__)
    finally:
        torch.set_rng_state(drawn)


def _real(example: Any, like: torch.Tensor) -> Any:
    """Ones, which are valid as ids and as a mask, on the device of the network and in its precision."""

    def of(part: torch.Tensor) -> torch.Tensor:
        return torch.ones(part.shape, dtype=like.dtype if part.is_floating_point() else part.dtype, device=like.device)

    return tree_map_only(torch.Tensor, of, example)


def _owners(model: nn.Module, used: set[str]) -> tuple[str, ...]:
    """The outermost modules all of whose parameters are among those used, and the other tensors themselves."""
    found: list[str] = []
    for name in sorted(used):
        parents = [name.rsplit(".", depth)[0] for depth in range(name.count("."), 0, -1)]
        whole = [
            parent
            for parent in parents
            if {f"{parent}.{own}" for own, _ in model.get_submodule(parent).named_parameters()} <= used
        ]
        owner = whole[0] if whole else name
        if owner not in found:
            found.append(owner)
    return tuple(found)


class _Watched(TorchFunctionMode):
    """Notes the calls of the named blocks, and which parameters are used before the first and behind the last."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = []
        self.before: set[str] = set()
        self.behind: set[str] = set()
        self._inside = 0
        self._drawn = torch.get_rng_state()
        self._tensors = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        self._hooks = []
        for name in names:
            block = model.get_submodule(name)
            self._hooks.append(block.register_forward_pre_hook(self._begin))
            self._hooks.append(block.register_forward_hook(self._end(name), with_kwargs=True))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self._inside:
            used = {self._tensors.get(id(leaf)) for leaf in tree_leaves((args, kwargs or {}))} - {None}
            (self.behind if self.calls else self.before).update(used)  # type: ignore[arg-type]
        return function(*args, **(kwargs or {}))

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._inside += 1
        if self.calls and not torch.equal(self._drawn, torch.get_rng_state()):
            raise UserError(
                f"random numbers are drawn in blocks, not between them, got some behind {self.calls[-1][0]}; switch that off, as "
                "layer drop can be, or name other blocks"
            )

    def _end(self, name: str) -> Callable[..., Any]:
        def end(module: nn.Module, args: Any, kwargs: Any, made: Any) -> Any:
            self._inside -= 1
            self._drawn = torch.get_rng_state()
            cut = tree_map_only(torch.Tensor, _detached, made)
            self.calls.append((name, args, kwargs, cut))
            return cut

        return end


def _detached(tensor: torch.Tensor) -> torch.Tensor:
    """What a block gives, without what it was made of, so that gradients that pass it by are seen."""
    return tensor.detach().requires_grad_(tensor.requires_grad)


class _Reached(BaseException):
    """The first block is reached; what it is given. No exception of a network's own code catches it."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.args, self.kwargs = args, kwargs


@dataclass(frozen=True)
class _Held:
    """What a block is given beside tensors, as it is."""

    held: Any


_BESIDE = "beside"


def _stop(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    raise _Reached(args, kwargs)


def _split(args: Any, kwargs: Any) -> tuple[Any, list[torch.Tensor], Any]:
    """The activation, the tensors beside it, and how both lie in the arguments."""
    leaves, spec = tree_flatten((args, kwargs))
    h: torch.Tensor | None = None
    beside: list[torch.Tensor] = []
    placed: list[Any] = []
    for leaf in leaves:
        if not isinstance(leaf, torch.Tensor):
            placed.append(_Held(leaf))
        elif h is None:
            h = leaf
            placed.append(None)
        else:
            placed.append((_BESIDE, len(beside)))
            beside.append(leaf)
    return h, beside, (placed, spec)


def _mapped(given: Any, filled: Callable[[Any], Any]) -> Any:
    placed, spec = given
    return tree_unflatten([filled(part) for part in placed], spec)


def _wraps(made: Any, name: str) -> int | None:
    if isinstance(made, torch.Tensor):
        return None
    if isinstance(made, tuple) and made and isinstance(made[0], torch.Tensor) and all(part is None for part in made[1:]):
        return len(made) - 1
    raise UserError(f"a block gives an activation, or a tuple of one, got a {type(made).__name__} of {name}; name others")


def _drawn(values: torch.Tensor) -> Callable[[], None]:
    """Sets the random numbers that come next to those that come now."""
    states = torch.get_rng_state(), torch.cuda.get_rng_state(values.device) if values.is_cuda else None

    def again() -> None:
        torch.set_rng_state(states[0])
        if states[1] is not None:
            torch.cuda.set_rng_state(states[1], values.device)

    return again


@contextmanager
def _in_place_of(stubs: dict[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """The modules do something else when they are called."""
    for module, stub in stubs.items():
        module.forward = stub.__get__(module)
    try:
        yield
    finally:
        for module in stubs:
            del module.__dict__["forward"]


@contextmanager
def _in_mode_of(part: nn.Module, model: nn.Module) -> Iterator[None]:
    """The modules of the network that no part holds, such as itself, are in training where the part is."""
    own = set(part.modules())
    held = [module for module in model.modules() if module not in own]
    was = [module.training for module in held]
    for module in held:
        module.training = part.training
    try:
        yield
    finally:
        for module, flag in zip(held, was, strict=True):
            module.training = flag
