"""Convolution and BatchNorm whose derivatives are cheap to derive once more.

What autograd does for a second derivative is slow in two places: it takes a grouped convolution's apart group by group, and
BatchNorm's into some thirty passes over the map. Both have closed forms. A convolution is bilinear, so the derivatives of
its gradients are convolutions again; those of BatchNorm's gradients are sums of three maps with factors for each channel.
Exact up to rounding, on every device. A third derivative does not exist here.
"""

from __future__ import annotations

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


@contextmanager
def twice_differentiable(module: nn.Module) -> Iterator[None]:
    """Inside, attention and recurrent layers take those of their kernels that have a second derivative and, but for LSTM and
    GRU on a GPU, a forward mode."""
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    without_cudnn = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    # None leaves tf32 as it is: torch warns when it is set, even to its own default.
    without_mkldnn = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None) if recurrent else nullcontext()
    with sdpa_kernel(SDPBackend.MATH), without_cudnn, without_mkldnn:
        yield


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
