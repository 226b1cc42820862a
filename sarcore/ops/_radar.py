"""Units of radar images and the argument checks that speckle filters and looks share."""

from __future__ import annotations

import math

import torch

from sarcore.ops import _checks

DOMAINS = ("intensity", "amplitude", "db", "log")
DECIBELS_PER_DECADE = {"intensity": 10.0, "amplitude": 20.0, "complex": 20.0}
LOG_PER_DECIBEL = math.log(10) / 10
LOOKS = f"a finite number above 0, {_checks.SMALLEST:g} to {_checks.LARGEST:g}"


def window_size(window: object, x: torch.Tensor) -> int:
    """An odd window that fits into the images."""
    size = _checks.whole(window, "window")
    if not 3 <= size <= 31 or size % 2 == 0:
        raise ValueError(f"window must be odd and 3 to 31, got {size}")
    if x.numel() and size > min(x.shape[2:]):
        raise ValueError(f"window must fit into the images, x is {_checks.describe(x)}, got a window of {size}")
    return size


def looks_of(value: object, name: str) -> float:
    """A number of looks, or another shape of a Gamma variable."""
    number = _checks.number(value, name)
    if not looks_fit(number):
        raise ValueError(f"{name} must be {LOOKS}, got {number}")
    return number


def looks_fit(value: float) -> bool:
    """Whether float32 computes with a number of looks and with its reciprocal."""
    return _checks.SMALLEST <= value <= _checks.LARGEST


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
    if _checks.choice(domain, DOMAINS, "domain") == "intensity":
        return x
    if domain == "amplitude":
        return x.square()
    return (x * LOG_PER_DECIBEL if domain == "db" else x).exp()


def from_intensity(intensity: torch.Tensor, domain: str) -> torch.Tensor:
    """Intensities as values of the domain."""
    if _checks.choice(domain, DOMAINS, "domain") == "intensity":
        return intensity
    if domain == "amplitude":  # the slope at zero is taken as zero
        above = intensity > 0
        return torch.where(above, torch.where(above, intensity, 1).sqrt(), intensity)
    return intensity.log() / (LOG_PER_DECIBEL if domain == "db" else 1.0)


def to_decibels(x: torch.Tensor, domain: str) -> torch.Tensor:
    """Intensities or amplitudes in decibels."""
    return DECIBELS_PER_DECADE[domain] * torch.log10(x)


def slope_to_intensity(x: torch.Tensor, intensity: torch.Tensor, domain: str) -> torch.Tensor:
    """Derivative of the intensity by the domain's value x."""
    if domain == "intensity":
        return torch.ones_like(x)
    if domain == "amplitude":
        return 2 * x
    return intensity * LOG_PER_DECIBEL if domain == "db" else intensity


def slope_from_intensity(intensity: torch.Tensor, domain: str) -> torch.Tensor:
    """Derivative of the domain's value by the intensity, 0 at zero."""
    if domain == "intensity":
        return torch.ones_like(intensity)
    above = intensity > 0
    safe = torch.where(above, intensity, 1)
    slopes = {"amplitude": 0.5 * safe.rsqrt(), "db": 1 / LOG_PER_DECIBEL / safe, "log": 1 / safe}
    return torch.where(above, slopes[domain], 0)
