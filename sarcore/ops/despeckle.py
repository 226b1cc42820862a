"""Speckle filters: `despeckle`, its registered op and its gradient."""

from __future__ import annotations

import math

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, borrow_mask, register

METHODS = ("boxcar", "lee", "enhanced_lee", "kuan", "frost", "gamma_map", "refined_lee")
DOMAINS = ("intensity", "amplitude", "db", "log")


def _forward(
    x: torch.Tensor,
    mask: torch.Tensor | None,
    method: str,
    window: int,
    looks: float,
    domain: str,
    damping: float,
) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    threads = torch.get_num_threads()
    _core.despeckle(borrow(x), borrow_mask(mask), out, method, window, looks, domain, damping, threads)
    return out


def _forward_fake(
    x: torch.Tensor,
    mask: torch.Tensor | None,
    method: str,
    window: int,
    looks: float,
    domain: str,
    damping: float,
) -> torch.Tensor:
    return x.new_empty(x.shape)


register(
    "despeckle(Tensor x, Tensor? mask, str method, int window, float looks, str domain, float damping) -> Tensor",
    _forward,
    _forward_fake,
)


def radar_images(x: object, name: str) -> torch.Tensor:
    """A (N, C, H, W) tensor of a floating dtype; what integers and complex numbers mean is for the caller to say."""
    if isinstance(x, torch.Tensor):
        if x.is_complex():
            raise TypeError(f"{name} is complex, {_checks.describe(x)}; take |z|^2 first (sarcore.ops.intensity)")
        if not x.is_floating_point():
            raise TypeError(
                f"{name} holds integers, {_checks.describe(x)}, whose unit is not known; declare a sarcore.Radiometry "
                "and decode first (sarcore.ops.decode)"
            )
    return _checks.images(x, name)


def window_size(window: object, x: torch.Tensor) -> int:
    """An odd window that fits into the images."""
    if isinstance(window, bool) or not isinstance(window, int):
        raise TypeError(f"window must be an int, got {type(window).__name__}")
    if not 3 <= window <= 31 or window % 2 == 0:
        raise ValueError(f"window must be odd and 3 to 31, got {window}")
    if x.numel() and window > min(x.shape[2:]):
        raise ValueError(
            f"window must not be larger than the images, {x.shape[2]} x {x.shape[3]}, got {window}; "
            f"x is {_checks.describe(x)}"
        )
    return window


def positive(value: object, name: str) -> float:
    """A finite number above zero."""
    number = _checks.number(value, name)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {number}")
    return number


def despeckle(
    x: torch.Tensor,
    method: str = "lee",
    window: int = 7,
    looks: float = 1.0,
    *,
    domain: str = "intensity",
    damping: float = 1.0,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """The images with less speckle, (N, C, H, W)."""
    x = radar_images(x, "x")
    method = _checks.choice(method, METHODS, "method")
    domain = _checks.choice(domain, DOMAINS, "domain")
    window = window_size(window, x)
    if method == "refined_lee" and window != 7:
        raise ValueError(f"window must be 7 for refined_lee, whose half windows are made for it, got {window}")
    looks = positive(looks, "looks")
    damping = _checks.number(damping, "damping")
    if not 0.0 <= damping < math.inf:
        raise ValueError(f"damping must be finite and not negative, got {damping}")
    mask = _checks.mask_of(mask, x)
    result: torch.Tensor = torch.ops.sarcore.despeckle(x, mask, method, window, looks, domain, damping)
    return result
