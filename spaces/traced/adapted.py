"""Another number of classes or of channels than a network was made for: its last or its first layer is replaced."""

from __future__ import annotations

import copy

import torch
from torch import nn

from spaces.notation.errors import UserError
from spaces.traced.tracer import attribute

Layer = nn.Linear | nn.Conv2d


def with_outputs(model: nn.Module, made: int, wanted: int) -> str:
    """Replace the last layer, which gives `made` numbers, by a new one that gives `wanted`; the name of the layer.

    A network without such a layer is a UserError.
    """
    found = [
        (name, layer)
        for name, layer in model.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == made)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == made and set(layer.kernel_size) == {1})
    ]
    if not found:
        raise UserError(
            f"the last layer of a network is a linear one or a 1x1 convolution, or is as wide as there are classes, got "
            f"{type(model).__name__}, which gives {made} numbers for {wanted} classes; make it for {wanted}"
        )
    name, layer = found[-1]
    bias = layer.bias is not None
    with torch.device(layer.weight.device):
        if isinstance(layer, nn.Linear):
            new: Layer = nn.Linear(layer.in_features, wanted, bias)
        else:
            new = nn.Conv2d(layer.in_channels, wanted, 1, bias=bias)
    replace(model, name, new.to(layer.weight.dtype))
    return name


def with_channels(model: nn.Module, wanted: int, *, trained: bool) -> str | None:
    """Replace the first convolution where it takes another number of channels than `wanted`; its name if it did.

    Of trained weights the sum over the channels stays what it is for grey images: each new channel has the mean over the old
    ones, times old / new.
    """
    found = next(((name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)), None)
    if found is None:
        return None
    name, layer = found
    if layer.in_channels == wanted or layer.groups != 1:
        return None
    with torch.device(layer.weight.device):
        new = like(layer, wanted).to(layer.weight.dtype)
    if trained:
        with torch.no_grad():
            mean = layer.weight.mean(dim=1, keepdim=True) * (layer.in_channels / wanted)
            new.weight.copy_(mean.expand_as(new.weight))
            if layer.bias is not None and new.bias is not None:
                new.bias.copy_(layer.bias)
    replace(model, name, new)
    return name


def like(layer: nn.Conv2d, channels: int) -> nn.Conv2d:
    """The same convolution, drawn anew, of other channels."""
    new = copy.deepcopy(layer)
    new.in_channels = channels
    new.weight = nn.Parameter(layer.weight.new_empty(layer.out_channels, channels, *layer.weight.shape[2:]))
    new.reset_parameters()
    return new


def replace(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put a module in another one's place."""
    parent, _, name = path.rpartition(".")
    setattr(attribute(model, parent) if parent else model, name, new)
