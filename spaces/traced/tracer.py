"""A network's forward as a graph: torch.fx, with the shape of everything known while it is traced."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map, tree_map_only

from spaces.memory.in_place import BatchNormFromShapes
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS, said_by
from spaces.traced.outputs import outputs_of

# In a node's meta: what it is in the run that was traced, tensors on the meta device; and the module, not looked into, that it is
# the call of or lies in.
VALUE, MODULE = "value", "module"
CONSTANT = "_tensor_constant"  # how the names of tensors begin that a network's code made without an input


class CannotTrace(UserError):
    """The forward of a network cannot be followed; where, and what to do."""


class Known:
    """A proxy whose value is known, so that code may ask for its length, iterate over it and branch on it."""

    node: fx.Node

    def __len__(self) -> int:
        return len(self.node.meta[VALUE])

    def __index__(self) -> int:
        return self.node.meta[VALUE].__index__()

    def __int__(self) -> int:
        return int(self.node.meta[VALUE])

    def __float__(self) -> float:
        return float(self.node.meta[VALUE])

    def __getattr__(self, name: str) -> KnownAttribute:
        return KnownAttribute(self, name)  # type: ignore[arg-type]  # a part of proxies only


class KnownProxy(Known, fx.Proxy):
    """Of a node."""


class KnownAttribute(Known, fx.proxy.Attribute):
    """Of an attribute of another proxy; its node is made when it is asked for."""


class Tracer(fx.Tracer):
    """Traces the forward of `model` and of the modules in `opened`; all others are single nodes, called as they are.

    Each node's `meta["value"]` is what it is for `example`, tensors without storage. Code that branches on values, such as
    shapes, takes the branch of the example, so a graph is compared with that of another batch size. The network is left as it
    was.
    """

    proxy_buffer_attributes = True

    def __init__(self, opened: frozenset[str]) -> None:
        super().__init__(autowrap_functions=(torch.arange,))
        self.opened = opened
        self._evaluating = False

    def graph_of(self, model: nn.Module, example: Any) -> fx.Graph:
        """The graph for an example of the input: a tensor, a tuple of positional or a dict of keyword arguments.

        What cannot be traced is a UserError that names where.
        """
        self._example = tree_map_only(torch.Tensor, lambda part: torch.empty_like(part, device="meta"), example)
        self._shapes = on_meta(model)
        for parameter in self._shapes.parameters():
            parameter.requires_grad_(parameter.is_floating_point())  # so that values show where gradients would flow
        self._at = "its inputs"
        constants = set(model.__dict__)
        drawn = torch.get_rng_state()
        try:
            with torch.enable_grad():
                graph = self.trace(model)
        except UserError:
            raise
        except (fx.proxy.TraceError, *OWN_ERRORS) as error:
            raise CannotTrace(
                f"the forward of {type(model).__name__} is followed from its inputs to its outputs, got stuck behind {self._at} "
                f'({said_by(error)}); name the list of its blocks, units="layers.*"'
            ) from error
        finally:
            self.constants = {name: model.__dict__.pop(name) for name in set(model.__dict__) - constants}
        if not torch.equal(drawn, torch.get_rng_state()):
            torch.set_rng_state(drawn)
            raise CannotTrace(
                f"random numbers are drawn inside of modules, got {type(model).__name__}, which draws some in its own forward; "
                'give it a module that draws them, or name the list of its blocks, units="layers.*"'
            )
        return graph

    def create_args_for_root(self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None) -> Any:
        """One placeholder a tensor of the example."""
        given = {id(part): path for path, part in leaves_of(self._example)}

        def placeholder(part: Any) -> Any:
            proxy = self.create_proxy("placeholder", given[id(part)], (), {})
            return proxy

        def run() -> Any:
            arguments = tree_map(placeholder, self._example)
            if isinstance(arguments, dict):
                made = root_fn(self.root, **arguments)
            else:
                made = root_fn(self.root, *(arguments if isinstance(arguments, tuple) else (arguments,)))
            return outputs_of(made, type(self.root).__name__)

        return run, []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Modules that are not opened are single nodes."""
        return module_qualified_name not in self.opened

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As torch.fx does it, but for what is run to know values."""
        if self._evaluating or m not in (self.submodule_paths or {}):  # one that the forward makes for itself has no name
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """As torch.fx does it, but for what is run to know values."""
        return attr_val if self._evaluating else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> KnownProxy:
        """With a value."""
        return KnownProxy(node, self)

    def create_proxy(
        self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *rest: Any, **named: Any
    ) -> Any:
        """The node, and its value."""
        if not torch.is_grad_enabled():
            raise CannotTrace(
                f"gradients are switched off inside of modules, got {type(self.root).__name__}, whose own forward does it behind "
                f'{self._at}; give it a module that does, or name the list of its blocks, units="layers.*"'
            )
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **named)
        node = proxy.node
        if VALUE not in node.meta:
            self._evaluating = True
            try:
                with torch.device("meta"), _Shapes():
                    node.meta[VALUE] = self._value(node)
            except (RuntimeError, AssertionError) as error:
                if node.op != "call_module":
                    raise
                sizes = ", ".join(str(tuple(part.shape[1:])) for _, part in leaves_of(self._example))
                raise UserError(
                    f"inputs are of a size that the network takes, got {sizes}, at which {described(node)} of "
                    f"{type(self.root).__name__} fails ({said_by(error)}); take larger ones, or another network"
                ) from None
            finally:
                self._evaluating = False
            self._at = described(node)
            node.meta[MODULE] = str(node.target) if node.op == "call_module" else None
        return proxy

    def create_arg(self, a: Any) -> Any:
        """As torch.fx does it; tensors that the code made without an input become nodes here, and have values too."""
        made = super().create_arg(a)
        if isinstance(made, fx.Node) and VALUE not in made.meta:
            made.meta[VALUE] = self._value(made)
        return made

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Of the value, where it is no number of a tensor."""
        return bool(obj.node.meta[VALUE])

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Over the parts of the value."""
        return iter([operator.getitem(obj, i) for i in range(len(obj.node.meta[VALUE]))])

    def keys(self, obj: fx.Proxy) -> Any:
        """Of a dict."""
        return obj.node.meta[VALUE].keys()

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return dict(leaves_of(self._example))[str(node.target)]
        if node.op == "get_attr":
            return attribute(self._shapes if str(node.target) not in self.root.__dict__ else self.root, str(node.target))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda used: used.meta[VALUE])
        args = tree_map_only(torch.Tensor, lambda part: part.to("meta"), args)
        if node.op == "call_module":
            return self._shapes.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]


class _Shapes(BatchNormFromShapes):
    """With its gradient."""

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        made = super().__torch_function__(function, types, given, named)
        return given[0].clone() if function is F.batch_norm and not made.requires_grad else made


def leaves_of(example: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors of an example with names that can stand in code: `x`, `x_0`, `x_name`."""
    if isinstance(example, torch.Tensor):
        return [("x", example)]
    parts = example.items() if isinstance(example, dict) else enumerate(example)
    return [(f"x_{name}", part) for name, part in parts]


def on_meta(model: nn.Module) -> nn.Module:
    """The same network without storage, in torch's default precision, which examples are in; nothing of its weights is copied."""
    memo: dict[int, Any] = {id(buffer): buffer.detach().to("meta") for buffer in model.buffers()}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    return copy.deepcopy(model, memo).to(torch.get_default_dtype())


def attribute(root: Any, path: str) -> Any:
    """What lies at a dotted path below a module."""
    for name in path.split("."):
        root = getattr(root, name)
    return root


def described(node: fx.Node) -> str:
    """How messages call a node: the module, or the operation."""
    if node.op == "call_module":
        return str(node.target)
    return str(getattr(node.target, "__name__", node.target))
