"""Argument checks of the public functions: the message names the argument, what it was and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch

DTYPES = (torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_BINS = 4096
LARGEST, SMALLEST = 1e37, 1e-30  # limits of a range, and its width: differences and bins / width stay within float32


def describe(tensor: torch.Tensor) -> str:
    """Shape, dtype and device in a few words."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"


def layout(tensor: torch.Tensor) -> str:
    """How a tensor that is not dense lies in memory, and what to do."""
    if tensor.is_nested:
        return "a nested tensor; call torch.nested.to_padded_tensor or pass its parts one by one"
    return f"layout {tensor.layout}; call to_dense() first"


def images(x: object, name: str, dtypes: Sequence[torch.dtype] = DTYPES) -> torch.Tensor:
    """A (N, C, H, W) tensor of one of the dtypes that the op reads."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(x).__name__}; wrap NumPy arrays with torch.from_numpy"
        )
    if x.layout != torch.strided or x.is_nested:
        raise ValueError(f"{name} must be a dense tensor, got {layout(x)}")
    if x.ndim != 4:
        raise ValueError(f"{name} must be (N, C, H, W), got {describe(x)}")
    if x.dtype not in dtypes:
        allowed = ", ".join(str(d).removeprefix("torch.") for d in dtypes)
        raise TypeError(f"{name} must be one of {allowed}, got {describe(x)}")
    if x.device.type not in ("cpu", "cuda", "meta"):
        raise ValueError(f"{name} must be on the CPU or a CUDA device, got {describe(x)}")
    return x


def floating_images(x: object, name: str) -> torch.Tensor:
    """A (N, C, H, W) tensor of physical values: floating, because an integer says nothing of its unit."""
    if isinstance(x, torch.Tensor) and not x.is_floating_point():
        hint = (
            "take |z|^2 with sarcore.ops.intensity"
            if x.is_complex()
            else "integers have no unit: declare one with sarcore.Radiometry and convert with sarcore.ops.decode"
        )
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, got {describe(x)}; {hint}")
    return images(x, name)


def complex_images(x: object, name: str) -> torch.Tensor:
    """A (N, C, H, W) tensor of complex64."""
    if isinstance(x, torch.Tensor) and x.dtype != torch.complex64:
        raise TypeError(f"{name} must be complex64, got {describe(x)}; convert it with {name}.to(torch.complex64)")
    if isinstance(x, torch.Tensor) and x.layout == torch.strided:
        if x.ndim != 4:
            raise ValueError(f"{name} must be (N, C, H, W), got {describe(x)}")
        images(x.real, name)
        return x
    return images(x, name)


def constant(value: torch.Tensor, name: str) -> torch.Tensor:
    """A tensor that gets no gradient, and does not wait for one."""
    if value.requires_grad:
        raise ValueError(f"{name} must not require a gradient, which the op does not give it; pass {name}.detach()")
    return value


def whole(value: object, name: str) -> int:
    """An integer of Python or NumPy; a symbolic one of torch.compile passes as it is."""
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    return int(value)


def integer(value: object, name: str, low: int, high: int) -> int:
    """An integer within limits; a symbolic one of torch.compile passes as it is."""
    number = whole(value, name)
    if not isinstance(number, torch.SymInt) and not low <= number <= high:
        raise ValueError(f"{name} must be {low} to {high}, got {number}")
    return number


def pair(x: object, y: object, name_x: str, name_y: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Two image batches of one shape and device; of two floating dtypes the wider one is taken, which loses nothing."""
    a, b = images(x, name_x), images(y, name_y)
    if a.shape != b.shape:
        raise ValueError(f"{name_y} must have the shape of {name_x}, {tuple(a.shape)}, got {describe(b)}")
    if a.device != b.device:
        raise ValueError(f"{name_y} must be on the device of {name_x}, {a.device}, got {describe(b)}")
    if a.dtype != b.dtype:
        if not (a.is_floating_point() and b.is_floating_point()):
            raise TypeError(
                f"{name_x} and {name_y} must have one dtype, got {a.dtype} and {b.dtype}; convert one of them"
            )
        wider = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(wider), b.to(wider)
    return a, b


def mask_of(mask: object, x: torch.Tensor) -> torch.Tensor | None:
    """A boolean mask, True where a pixel counts, expanded to the shape of x."""
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        got = f"{mask.dtype}" if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a torch.bool tensor, True where a pixel counts, got {got}")
    if mask.device != x.device:
        raise ValueError(f"mask must be on the device of the images, {x.device}, got {describe(mask)}")
    try:
        return mask.expand(x.shape).contiguous()
    except RuntimeError:
        raise ValueError(f"mask must broadcast to {tuple(x.shape)}, got {describe(mask)}") from None


def bin_count(bins: object, highest: int = MAX_BINS) -> int:
    """A number of bins."""
    return integer(bins, "bins", 2, highest)


def number(value: object, name: str) -> float:
    """A real number as a float. A truth value is none: True would pass for 1."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    except OverflowError:
        raise ValueError(f"{name} must be a number that a float can hold, got one beyond it") from None


def value_range(limits: object, name: str = "range") -> tuple[float, float]:
    """(low, high), low < high, of a size that float32 can compute with."""
    if not isinstance(limits, (tuple, list)):
        raise TypeError(f"{name} must be a pair (low, high), got {type(limits).__name__}")
    if len(limits) != 2:
        raise ValueError(f"{name} must be a pair (low, high), got {limits!r}")
    low, high = number(limits[0], name), number(limits[1], name)
    if not -LARGEST <= low < high <= LARGEST:
        raise ValueError(f"{name} must be low < high within +-{LARGEST:g}, got ({low}, {high})")
    if high - low < SMALLEST:
        raise ValueError(f"{name} must be at least {SMALLEST:g} wide, got ({low}, {high}); scale the images up")
    return low, high


def choice(value: object, allowed: Sequence[str], name: str) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value
