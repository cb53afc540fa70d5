"""What cannot be decoupled in one's own loop, refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from methods.method import Method
from methods.traits import Traits
from methods.wrapped import WrappedMethod
from spaces.activation import activation_shape, num_features
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.memory.in_place import traced_at
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError
from spaces.space import SearchSpace
from spaces.traced.example_shape import ExampleShape


def check_loss(loss: Callable[[torch.Tensor, Any], torch.Tensor] | None, known: Traits, method: str) -> None:
    """A loss of the user's is a function, without parameters, of a method that can learn from it."""
    if loss is None:
        return
    if not callable(loss):
        raise UserError(f"loss is a function (outputs, y) -> scalar, got a {type(loss).__name__}; give a torch.nn loss")
    known.check_loss()
    if "label_smoothing" in method:
        raise UserError(f"label_smoothing is of the method's own cross-entropy, got loss beside {method}; leave one of them out")
    trained = (
        [name for name, parameter in loss.named_parameters() if parameter.requires_grad] if isinstance(loss, nn.Module) else []
    )
    if trained:
        raise UserError(f"a loss has no parameters, since no block trains them, got {trained[0]}; make it part of the model")


def check_outputs(shape: tuple[int, ...], num_classes: int | None, loss: object) -> None:
    """The model's outputs, of `shape` without the batch, have features, and a loss where these lie at every pixel or token."""
    if not 1 <= len(shape) <= 3:
        raise UserError(
            f"a model's outputs are (N, D), tokens (N, T, D) or maps (N, C, H, W), got {('N', *shape)}; "
            "of one number a sample give (N, 1)"
        )
    outputs = num_features(shape)
    if num_classes not in (None, outputs):
        raise UserError(
            f"num_classes is how many outputs the model has, {outputs}, got {num_classes}; leave it out, or change its last layer"
        )
    if len(shape) > 1 and loss is None:
        raise UserError(
            f"outputs at every pixel or token have a loss of yours, got outputs {('N', *shape)} and no loss; "
            "give loss=torch.nn.functional.cross_entropy, or another"
        )


def check_input(x: Any, shape: tuple[Any, ...]) -> None:
    """A batch is like the example that the model was cut with: a tensor, as many by position, or the same names. What a block
    is not given it would leave out without a word."""
    wanted = _parts(shape)
    if isinstance(x, Mapping):
        given = "the names " + ", ".join(sorted(map(str, x)))
    elif isinstance(x, tuple | list):
        given = f"a tuple of {len(x)}"
    else:
        given = "a tensor" if isinstance(x, torch.Tensor) else f"a {type(x).__name__}"
    if given != wanted:
        raise UserError(f"a batch is like the example that the model was cut with, {wanted}, got {given}; give both alike")


def _parts(shape: tuple[Any, ...]) -> str:
    """What inputs of a shape are, in words."""
    if not isinstance(shape, ExampleShape) or shape.form == "one":
        return "a tensor"
    if shape.form == "several":
        return f"a tuple of {len(shape.parts)}"
    return "the names " + ", ".join(sorted(part.key for part in shape.parts))


def check_heads(net: DecoupledNet, point: Decoupling, space: SearchSpace, lookahead: int) -> None:
    """Every head gives outputs of the shape of the model's, so that one loss serves all."""
    for cut, spec, head in zip(point.cuts, point.heads, net.heads, strict=False):
        if spec == NO_HEAD:
            continue
        made, _ = traced_at(f"the head {spec}", head, space.template.example(cut + lookahead))
        if activation_shape(made) != space.template.output_shape:
            raise UserError(
                f"heads give what the model gives, {('N', *space.template.output_shape)}, got {('N', *activation_shape(made))} "
                f"from {spec}; take the head {'dense' if len(space.template.output_shape) > 1 else 'linear'}"
            )


def check_trains_the_model(method: Method, name: str) -> None:
    """What is trained answers by the model alone: no method's own modules are part of inference."""
    net, own = method.net, method
    while isinstance(own, WrappedMethod):
        own = own.base
    ends_as_the_model = net.backbone is not None and net.heads[-1] is net.backbone.classifier
    runs_as_the_model = all(method.inference_modules(k) == [block] for k, block in enumerate(net.blocks))
    if not (ends_as_the_model and runs_as_the_model and type(own).exit_logits is Method.exit_logits):
        raise UserError(
            f"the model alone answers once it is trained, got {name}, which adds to what answers; "
            "take dgl, or context=R0 of contsup"
        )
