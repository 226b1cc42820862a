"""Units of radar images and the argument checks that speckle filters and looks share."""

from __future__ import annotations

import math

import torch

from sarcore.ops import _checks

DOMAINS = ("intensity", "amplitude", "db", "log")
_LOG_PER_DECIBEL = math.log(10) / 10


def window_size(window: object, x: torch.Tensor) -> int:
    """An odd window that fits into the images."""
    if isinstance(window, bool) or not isinstance(window, int):
        raise TypeError(f"window must be an int, got {type(window).__name__}")
    if not 3 <= window <= 31 or window % 2 == 0:
        raise ValueError(f"window must be odd and 3 to 31, got {window}")
    if x.numel() and window > min(x.shape[2:]):
        raise ValueError(f"window must fit into the images, x is {_checks.describe(x)}, got a window of {window}")
    return window


def positive(value: object, name: str) -> float:
    """A finite number above zero."""
    number = _checks.number(value, name)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {number}")
    return number


def negative(valid: torch.Tensor, domain: str) -> ValueError:
    """What to say of valid pixels, intensities or amplitudes, some of which are negative."""
    smallest = float(valid[valid < 0].min())
    units = "intensities" if domain == "intensity" else "amplitudes"
    return ValueError(
        f"x holds negative {units} (smallest {smallest:g}); if these are decibels pass domain='db', if they are "
        "no-data pass a mask that is False there"
    )


def valid_pixels(x: torch.Tensor, mask: torch.Tensor | None, domain: str) -> torch.Tensor:
    """Where a pixel counts: the mask says so and it is no NaN.

    On CUDA, where a check would wait for the device, and in compiled graphs a negative intensity or amplitude is one
    more kind of no-data; else it is refused.
    """
    valid = ~x.isnan() if mask is None else ~x.isnan() & mask
    if domain in ("intensity", "amplitude"):
        below = x < 0
        if x.device.type == "cpu" and not torch.compiler.is_compiling() and bool((below & valid).any()):
            raise negative(x[valid], domain)
        valid = valid & ~below
    return valid


def to_intensity(x: torch.Tensor, domain: str) -> torch.Tensor:
    """Values of the domain as intensities."""
    if domain == "intensity":
        return x
    if domain == "amplitude":
        return x.square()
    return (x * _LOG_PER_DECIBEL if domain == "db" else x).exp()


def from_intensity(intensity: torch.Tensor, domain: str) -> torch.Tensor:
    """Intensities as values of the domain."""
    if domain == "intensity":
        return intensity
    if domain == "amplitude":  # the slope at zero is taken as zero
        above = intensity > 0
        return torch.where(above, torch.where(above, intensity, 1).sqrt(), intensity)
    return intensity.log() / (_LOG_PER_DECIBEL if domain == "db" else 1.0)
