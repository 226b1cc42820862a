"""Checks of speckle's arguments, and their form for the registered op."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sarcore.ops import _checks, _radar
from sarcore.ops.point_spread import taps_of

DOMAINS = (*_radar.DOMAINS, "complex")


def image_of(x: object, domain: str, name: str = "x") -> torch.Tensor:
    """Images (N, C, H, W) of a dtype that the domain has: complex64 for ``complex``, else floating."""
    if isinstance(x, torch.Tensor) and x.is_complex() != (domain == "complex"):
        hint = "pass domain='complex'" if x.is_complex() else "pass torch.complex(x, torch.zeros_like(x))"
        raise TypeError(f"{name} must be {'complex64' if domain == 'complex' else 'real'} for domain={domain!r}, "
                        f"got {_checks.describe(x)}; {hint}")  # fmt: skip
    if domain == "complex":
        return _checks.complex_images(x, name)
    return _checks.floating_images(x, name)


def arguments_of(
    x: torch.Tensor, looks: Any, seed: int, domain: str, texture: float | None, psf: Any, index: Any, origin: Any
) -> tuple[Any, ...]:
    """The public arguments, checked against the images x, as the registered ops take them after x, mask and check.

    Numbers and tensors are told apart (looks for all images or one per image, in `looks_of`; the origin likewise), the
    seed is brought into the signed 64 bits of a schema, and no tensor is read on the host that is not there already.
    """
    seed = _checks.whole(seed, "seed")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be 0 to 2^64 - 1, got {seed}")
    one, each = _looks(looks, x)
    if domain == "complex" and (each is not None or one != 1.0):
        raise ValueError(
            f"looks must be 1 for domain='complex': averaged looks have no phase, got {looks}; average |z|^2 with "
            "sarcore.ops.multilook instead"
        )
    if texture is not None:
        texture = _radar.looks_of(texture, "texture")
    taps_y, taps_x = taps_of(psf, x.device)
    if isinstance(origin, torch.Tensor):
        origins = _integers(origin, "origin", (x.shape[0], 2), x.device, -(2**31), 2**31 - 1)
        y = x_origin = 0
    else:
        if not isinstance(origin, (tuple, list)) or len(origin) != 2:
            raise TypeError(f"origin must be a pair (y, x) or an (N, 2) tensor, got {origin!r}")
        origins, (y, x_origin) = None, (_checks.integer(v, "origin", -(2**31), 2**31 - 1) for v in origin)
    signed = seed - 2**64 if seed >= 2**63 else seed
    indices = _index(index, x)
    return each, indices, origins, taps_y, taps_x, one, y, x_origin, signed, domain, texture or 0.0, False


def _looks(looks: Any, x: torch.Tensor) -> tuple[float, torch.Tensor | None]:
    if isinstance(looks, torch.Tensor) and looks.ndim == 0 and looks.device.type == "cpu":
        looks = looks.item()
    if not isinstance(looks, (torch.Tensor, list, tuple)) and not _is_array(looks):
        return _radar.looks_of(looks, "looks"), None
    each = _checks.constant(_tensor(looks, "looks"), "looks")
    if each.shape != (x.shape[0],) or each.is_complex() or each.dtype == torch.bool:
        raise ValueError(f"looks must be a number or one per image, ({x.shape[0]},), got {_checks.describe(each)}")
    if _readable(each) and not all(map(_radar.looks_fit, each.tolist())):
        raise ValueError(f"looks must be {_radar.LOOKS}, got {each.tolist()}")
    return 1.0, each.to(device=x.device, dtype=torch.float32)


def _index(index: Any, x: torch.Tensor) -> torch.Tensor | None:
    most = 2**32 - 1
    if index is None:
        return None
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        first = _checks.integer(index, "index", 0, most - max(0, x.shape[0] - 1))
        return torch.arange(first, first + x.shape[0], device=x.device) if first else None
    if not isinstance(index, (torch.Tensor, list, tuple)) and not _is_array(index):
        raise TypeError(f"index must be an int or one per image, got {type(index).__name__}")
    return _integers(_tensor(index, "index"), "index", (x.shape[0],), x.device, 0, most)


def _integers(
    values: torch.Tensor, name: str, shape: tuple[int, ...], device: torch.device, low: int, high: int
) -> torch.Tensor:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers, got {_checks.describe(values)}")
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, a row per image, got {_checks.describe(values)}")
    values = values.to(torch.int64)  # uint64 has neither minimum nor maximum; beyond 2^63 it becomes negative
    if _readable(values) and values.numel() and not low <= int(values.min()) <= int(values.max()) <= high:
        raise ValueError(f"{name} must be {low} to {high}, got {int(values.min())} to {int(values.max())}")
    return values.to(device)


def _is_array(values: object) -> bool:
    return isinstance(values, np.ndarray) and values.ndim > 0


def _tensor(values: Any, name: str) -> torch.Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name} must be a number or hold one per image, got {values!r}: {error}") from None


def _readable(values: torch.Tensor) -> bool:
    return values.device.type == "cpu" and not torch.compiler.is_compiling()  # no waiting for a GPU, no traced values
