"""A conv-BN-ReLU unit, and the max-pool before it, that keep nothing but their input for the backward pass."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from spaces.activation import Activation

# On a CPU temporaries are made for parts of the batch: of so many elements, which stay in its cache, but not in more parts
# than are needed to make them small beside the whole.
PART, MOST_PARTS = 2**16, 32


def is_lean(unit: nn.Module, x: Activation) -> TypeGuard[nn.Sequential]:
    """Whether `lean` can run the unit: [max-pool 2x2,] convolution without bias, BatchNorm, ReLU; training, no autocast.

    Exactly these classes: a subclass may compute something else.
    """
    if type(unit) is not nn.Sequential or len(unit) not in (3, 4) or not isinstance(x, torch.Tensor):
        return False
    *pool, conv, norm, relu = unit
    autocast = torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)
    return (
        all(type(part) is nn.MaxPool2d and str(part) == str(nn.MaxPool2d(2)) for part in pool)
        and type(conv) is nn.Conv2d
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and isinstance(conv.padding, tuple)
        and type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and type(relu) is nn.ReLU
        and not autocast
    )


def lean(unit: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """unit(x) and its gradients, as the plain unit's up to rounding, from half of the memory of a checkpointed unit.

    Autograd's kernels hold the convolution's output, the unit's output and two gradients at once; here the gradient of
    the convolution's output takes its place, and what else is needed is computed in parts of the batch.
    """
    *pool, conv, norm, _ = unit
    if pool:
        x = _MaxPool.apply(x) if x.requires_grad else pool[0](x)
    geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)
    return _ConvNormReLU.apply(x, conv.weight, norm.weight, norm.bias, norm, geometry)


class _ConvNormReLU(torch.autograd.Function):
    """relu(BatchNorm(conv(x))) with batch statistics. Keeps x and two numbers a channel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        norm: nn.BatchNorm2d,
        geometry: Any,
    ) -> torch.Tensor:
        z = F.conv2d(x, weight, None, *geometry)
        count = z.numel() // z.shape[1]
        mean = z.mean((0, 2, 3), keepdim=True)
        squares = torch.zeros_like(mean)
        for part in _parts(z.sub_(mean)):
            squares += part.square().sum((0, 2, 3), keepdim=True)
        deviation = (squares / count + norm.eps).rsqrt()
        _track(norm, mean.flatten(), squares.flatten() / (count - 1))
        for part in _parts(z):
            part.mul_(deviation).mul_(gamma.view_as(mean)).add_(beta.view_as(mean)).relu_()
        ctx.save_for_backward(x, weight, gamma, beta, mean, deviation)
        ctx.geometry = geometry
        return z

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, gamma, beta, mean, deviation = ctx.saved_tensors
        z = F.conv2d(x, weight, None, *ctx.geometry)
        gamma, beta = gamma.view_as(mean), beta.view_as(mean)
        dgamma, dbeta = torch.zeros_like(mean), torch.zeros_like(mean)
        for part, given in zip(_parts(z), _parts(grad), strict=True):
            part.sub_(mean).mul_(deviation)
            passed = _passed(part, gamma, beta, given)
            dbeta += passed.sum((0, 2, 3), keepdim=True)
            dgamma += passed.mul_(part).sum((0, 2, 3), keepdim=True)
        count = z.numel() // z.shape[1]
        for part, given in zip(_parts(z), _parts(grad), strict=True):
            passed = _passed(part, gamma, beta, given)
            part.mul_(-dgamma / count).add_(passed).sub_(dbeta / count).mul_(gamma * deviation)
        dweight, shape = conv2d_weight(x, weight.shape, z, *ctx.geometry), x.shape
        ctx.maybe_clear_saved_tensors()
        del x  # before its gradient takes as much again
        dx = conv2d_input(shape, weight, z, *ctx.geometry) if ctx.needs_input_grad[0] else None
        return dx, dweight, dgamma.flatten(), dbeta.flatten(), None, None


class _MaxPool(torch.autograd.Function):
    """2x2 max-pool that keeps where the maxima were, 4 bytes each, and not its input."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y, where = F.max_pool2d(x, 2, return_indices=True)
        ctx.save_for_backward(where.int())
        ctx.size = x.shape[2:]
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (where,) = ctx.saved_tensors
        return F.max_unpool2d(grad, where.long(), [2, 2], output_size=ctx.size)


def _parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Views of parts of the batch; on a GPU the whole, as each part would launch kernels of its own."""
    if tensor.is_cuda:
        return (tensor,)
    return tensor.tensor_split(min(len(tensor), MOST_PARTS, max(1, tensor.numel() // PART)))


def _passed(normalised: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """What the ReLU lets through of grad; the rounding is that of the forward pass."""
    y = (normalised * gamma).add_(beta)
    return torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=y)


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Move the running statistics as BatchNorm does."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance, norm.momentum)
