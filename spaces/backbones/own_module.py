"""A user's own network, an `nn.Module` as it is."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from spaces.backbone import Backbone
from spaces.construction import Construction
from spaces.notation.errors import UserError
from spaces.notation.factory import check_made
from spaces.notation.own_modules import import_factory
from spaces.traced.library_model import library_backbone

CHANNELS, CLASSES = ("in_channels", "in_chans"), ("num_classes", "num_labels")


def own_module(
    input_shape: tuple[Any, ...],
    num_classes: int,
    *,
    path: str,
    weights: str | None = None,
    digest: str | None = None,
    units: str | None = None,
) -> Backbone:
    """Your own network: `path` is a function or a class that makes an `nn.Module`, such as my_package.make_net.

    It is given `num_classes` and `in_channels` where it takes arguments of these names, and else made without; then its last
    layer is replaced where it has another number of classes. Its units are found by tracing it; `units` is a pattern of the
    modules with which they end, such as `layers.*`. `weights` is a file of a state dict that it starts from. What is no
    `nn.Module`, or cannot be traced, is a UserError.

    path  the function or class that makes it
    """
    factory = import_factory("network", path)
    parameters = inspect.signature(factory).parameters
    known = dict.fromkeys(CLASSES, num_classes) | dict.fromkeys(CHANNELS, input_shape[0])
    given = {name: value for name, value in known.items() if name in parameters}
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and name not in given
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise UserError(
            f"a network is made of num_classes and in_channels at most, got {path}, which needs {needed[0]}; give it a default"
        )

    def make() -> nn.Module:
        made = factory(**given)
        check_made(f"network {path}", made, nn.Module)
        return made

    return library_backbone(
        path,
        make,
        input_shape,
        num_classes,
        construction=Construction(path.replace(":", "."), keywords=given),
        weights=weights,
        digest=digest,
        units=units,
    )
