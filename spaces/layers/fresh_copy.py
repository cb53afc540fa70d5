"""Copies of a backbone's units with weights of their own."""

from __future__ import annotations

import copy

from torch import nn

_DRAWN = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.LSTM)  # by a backbone's `draw`, which the caller applies to the copy


def fresh_copy(unit: nn.Module) -> nn.Module:
    """A copy whose layers start anew: norms as the identity, all that can reset itself drawn as torch or its author does.

    Convolutions, linear and recurrent layers are for the caller to draw. A bare parameter, such as a layer's scale, keeps the
    unit's value.
    """
    unit = copy.deepcopy(unit)
    for layer in unit.modules():
        if isinstance(layer, _DRAWN) or any(parameter.is_meta for parameter in layer.parameters(recurse=False)):
            continue
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)  # of attention
        if reset is not None:
            reset()
    return unit
