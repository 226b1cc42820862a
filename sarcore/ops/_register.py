"""The only caller of torch.library: how a function over the compiled core becomes `torch.ops.sarcore.<name>`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_library = torch.library.Library("sarcore", "DEF")

# torch >= 2.11 hands the core a DLPack table that reads any tensor; the older capsule protocol refuses tensors that
# require grad.
_has_exchange_table = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")


def borrow(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as the core may read it: contiguous, and detached where torch's DLPack asks for it."""
    return tensor.contiguous() if _has_exchange_table else tensor.detach().contiguous()


def borrow_view(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as it lies in memory, without a copy."""
    return tensor if _has_exchange_table else tensor.detach()


def borrow_mask(mask: torch.Tensor | None) -> torch.Tensor | None:
    """A boolean mask as bytes, which every DLPack version can carry."""
    return None if mask is None else mask.contiguous().view(torch.uint8)


def register(schema: str, implementation: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Defines an op with one implementation for CPU and CUDA tensors and its shape rule."""
    name = schema.split("(", 1)[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, implementation, "CPU")
    _library.impl(name, implementation, "CUDA")
    torch.library.register_fake(f"sarcore::{name}", fake, lib=_library)


def register_gradient(name: str, backward: Callable[..., Any], setup_context: Callable[..., None]) -> None:
    """Makes an op differentiable; `backward` calls another registered op, so that it compiles too.

    What torch.library.register_autograd does, without the parts that an op of tensors and numbers does not need: a call
    on a tiny tensor costs a third less.
    """
    op = getattr(torch.ops.sarcore, name).default
    below = torch._C._after_autograd_keyset
    tensors = [i for i, argument in enumerate(op._schema.arguments) if "Tensor" in str(argument.type)]

    def forward(ctx: Any, *arguments: Any) -> Any:
        output = op.redispatch(arguments[-1] & below, *arguments[:-1])
        setup_context(ctx, arguments[:-1], output)
        return output

    def differentiate(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        return (*backward(ctx, *gradients), None)

    gradient_of: Any = type(
        f"GradientOf_{name}",
        (torch.autograd.Function,),
        {"forward": staticmethod(forward), "backward": staticmethod(differentiate)},
    )

    def dispatch(keyset: Any, *arguments: Any) -> Any:
        if torch.is_grad_enabled():
            for i in tensors:
                if arguments[i] is not None and arguments[i].requires_grad:
                    return gradient_of.apply(*arguments, keyset)
        return op.redispatch(keyset & below, *arguments)

    _library.impl(name, dispatch, "Autograd", with_keyset=True)


def register_once_differentiable(name: str) -> None:
    """A backward op that says so when somebody differentiates it again."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del ctx, inputs, output

    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        del ctx, gradients
        raise RuntimeError(
            f"sarcore.ops.{name.removesuffix('_backward')} is differentiable once, not twice: "
            "compute its gradient without create_graph=True, or use sarcore.reference for second derivatives"
        )

    register_gradient(name, backward, setup_context)
