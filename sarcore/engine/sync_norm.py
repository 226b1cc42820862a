"""Batch normalisation over the batch of all processes.

torch's SyncBatchNorm refuses CPU tensors. This one asks of the processes only that they can add: twice on the way
forward (mean, then variance about it: two passes lose no digits), once on the way back.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from sarcore.engine.distributed import world_size


class SyncBatchNorm(_BatchNorm):
    """`nn.BatchNorm*d` whose batch statistics are those of the batch of all processes; every part has its own.

    In eval mode, and for a single process, it is plain batch normalisation. Inputs (N, C, ...), equal in shape in all
    processes; statistics and sums in float32 (float64 for float64).

    >>> SyncBatchNorm(4).eval()(torch.rand(2, 4, 3, 3)).shape
    torch.Size([2, 4, 3, 3])

    Raises:
        ValueError: a training batch with a single value per channel.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation needs (N, C, ...), a tensor of {tuple(input.shape)} was given.")

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # a compiler cannot see through the exchange
    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        count = input.numel() // input.shape[1] * world_size()
        if count < 2:
            raise ValueError(f"batch statistics need more than one value per channel, got {tuple(input.shape)}.")
        result: tuple[Tensor, ...] = _SyncedNorm.apply(input, self.weight, self.bias, self.eps, count)  # type: ignore[no-untyped-call]
        output, mean, variance = result
        if self.track_running_stats:
            self._track(mean, variance * (count / (count - 1)))
        return output

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
            raise AssertionError("running statistics are tracked in buffers")
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


class _SyncedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        dims, shape = _dims(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = _sum_of_all(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        variance = _sum_of_all(centred.square().sum(dims)) / count
        inverse = (variance + eps).rsqrt()
        output = centred * (inverse if weight is None else inverse * weight).view(shape)
        if bias is not None:
            output += bias.view(shape)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.count = count
        ctx.mark_non_differentiable(mean, variance)
        return output.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        dims, shape = _dims(x)
        wide = grad.to(inverse.dtype)
        normal = (x.to(inverse.dtype) - mean.view(shape)) * inverse.view(shape)
        sums = torch.stack((wide.sum(dims), (wide * normal).sum(dims)))
        # Of the weights each process keeps its own share, whose mean is taken with all other gradients.
        grad_bias, grad_weight = sums.unbind()
        if ctx.needs_input_grad[0]:
            mean_grad, mean_product = (_sum_of_all(sums.clone()) / ctx.count).unbind()
            scale = inverse if weight is None else inverse * weight
            grad_x = (wide - mean_grad.view(shape) - normal * mean_product.view(shape)) * scale.view(shape)
            return grad_x.to(x.dtype), *_wanted(ctx, grad_weight, grad_bias), None, None
        return None, *_wanted(ctx, grad_weight, grad_bias), None, None


def _wanted(ctx: Any, weight: Tensor, bias: Tensor) -> tuple[Tensor | None, Tensor | None]:
    return weight if ctx.needs_input_grad[1] else None, bias if ctx.needs_input_grad[2] else None


def _dims(x: Tensor) -> tuple[list[int], list[int]]:
    """The axes that are averaged over, and the shape of one value per channel."""
    return [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]


def _sum_of_all(value: Tensor) -> Tensor:
    dist.all_reduce(value)
    return value


def synchronise_batch_norm(module: nn.Module) -> None:
    """Replace the BatchNorm layers within a module by synchronised ones with the same weights and buffers, in place."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            setattr(module, name, _synchronised(child))
        else:
            synchronise_batch_norm(child)


def _synchronised(norm: _BatchNorm) -> SyncBatchNorm:
    made = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made._parameters, made._buffers = norm._parameters, norm._buffers
    made.training = norm.training
    return made
