"""Convolution and BatchNorm whose derivatives are cheap to derive once more.

What autograd does for a second derivative is slow in two places: it takes a grouped convolution's apart group by group, and
BatchNorm's into some thirty passes over the map. Both have closed forms. A convolution is bilinear, so the derivatives of
its gradients are convolutions again; those of BatchNorm's gradients are sums of three maps with factors for each channel.
Exact up to rounding, on every device. A third derivative does not exist here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from nas.strategies.sedona.second_order.batch_norm import batch_norm
from nas.strategies.sedona.second_order.convolution import PLAIN, conv
from spaces.notation.errors import UserError


@contextmanager
def twice_differentiable(module: nn.Module) -> Iterator[None]:
    """Inside, attention, recurrent layers and hardsigmoid take those of their kernels that have a second derivative and, but for
    LSTM and GRU on a GPU, a forward mode. An operation that torch cannot derive so is a UserError that names it."""
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    without_cudnn = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    # None leaves tf32 as it is: torch warns when it is set, even to its own default.
    without_mkldnn = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None) if recurrent else nullcontext()
    try:
        with sdpa_kernel(SDPBackend.MATH), without_cudnn, without_mkldnn, _Composed():
            yield
    except (RuntimeError, NotImplementedError) as error:  # torch has no class of its own for this
        missing = _MISSING.search(str(error))
        if missing is None:
            raise
        raise UserError(
            f"sedona differentiates training steps once more, got a network with {missing[1] or missing[2]}, of which torch has "
            "no such derivative; replace it, or search with another strategy"
        ) from None


_MISSING = re.compile(
    r"derivative for (?:aten::|')_?(\w+?)(?:_backward)?'? is not implemented|forward AD with (\w+) that does not support it"
)


class _Composed(TorchFunctionMode):
    """Functions whose fused kernel has no second derivative are computed from parts that have one."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.hardsigmoid:
            return F.relu6(args[0] + 3) / 6
        return function(*args, **(kwargs or {}))


class SecondOrder(TorchFunctionMode):
    """`with SecondOrder():` replaces 1-d to 3-d convolutions and training-mode BatchNorm in all that runs inside.

    BatchNorm's running statistics stay as they are: nothing inside reads them. Where saved tensors go through hooks, as in a
    checkpoint, nothing is replaced: autograd leaves all modes before the backward pass, which would compute it otherwise.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _REPLACEMENTS and _top_saved_tensors_default_hooks(False) is None:
            function = _REPLACEMENTS[function]
        return function(*args, **(kwargs or {}))


_REPLACEMENTS: dict[Any, Any] = dict.fromkeys(PLAIN.values(), conv) | {F.batch_norm: batch_norm}
