"""Point spreads of a radar: the taps that correlate speckle from pixel to pixel."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TypeAlias

import torch

from sarcore.ops import _checks

KINDS = ("box", "gaussian", "hamming")
MAX_TAPS = 33

PointSpread: TypeAlias = "str | tuple[str, float] | torch.Tensor | Sequence[torch.Tensor]"


def point_spread(kind: str, oversampling: float = 2.0) -> torch.Tensor:
    """Taps of unit energy of a point spread, for both axes alike.

    >>> point_spread("box", 2.0).tolist()
    [0.4082482904638631, 0.8164965809277261, 0.4082482904638631]

    With s the oversampling (resolution over pixel spacing) and x the distance in pixels, before the division by
    sqrt(sum h^2):

        box       h(x) = the part of pixel x that lies within +-s/2
        gaussian  h(x) = exp(-4 log(2) x^2 / s^2), so that s is the full width at half of the amplitude
        hamming   h(x) = 0.54 sinc(x/s) + 0.23 (sinc(x/s - 1) + sinc(x/s + 1)), the response to a Hamming-weighted band
                  of 1/s of the sampling rate, cut at 4 s

    Args:
        kind: ``box``, ``gaussian`` or ``hamming``.
        oversampling: s, 1 to 4 for ``hamming``, to 10 for ``gaussian``, to 32 for ``box``, in pixels.

    Returns:
        (k,) float64, k odd and at most 33.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 2004, chapters 3 and 4.
    """
    kind = _checks.choice(kind, KINDS, "psf")
    s = _checks.number(oversampling, "oversampling")
    most = {"box": 32.0, "gaussian": 10.0, "hamming": 4.0}[kind]
    if not 1.0 <= s <= most:
        raise ValueError(f"oversampling of a {kind} point spread must be 1 to {most:g} pixels, got {s}")
    radius = {"box": math.ceil((s - 1) / 2), "gaussian": math.ceil(1.6 * s), "hamming": math.ceil(4 * s)}[kind]
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    if kind == "box":
        taps = (s / 2 - (x.abs() - 0.5)).clamp(0, 1)
    elif kind == "gaussian":
        taps = torch.exp(-4 * math.log(2) * (x / s) ** 2)
    else:
        taps = 0.54 * torch.sinc(x / s) + 0.23 * (torch.sinc(x / s - 1) + torch.sinc(x / s + 1))
    return taps / taps.square().sum().sqrt()


def _named_taps(kind: str, oversampling: float, device: str) -> torch.Tensor:
    return point_spread(kind, oversampling).to(device=device, dtype=torch.float32)


@functools.lru_cache(maxsize=32)
def _kept_taps(kind: str, oversampling: float, device: str) -> torch.Tensor:
    with torch.inference_mode(False):  # a tensor made in inference mode could not be used in training later
        return _named_taps(kind, oversampling, device)


def taps_of(psf: PointSpread | None, device: torch.device) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Taps along y and along x, float32 of unit energy on the device; (None, None) without a point spread.

    Raises:
        TypeError: psf is none of the forms of `PointSpread`, or its taps are no floating-point tensors.
        ValueError: an unknown kind, an oversampling beyond its limits, an even number of taps or more than 33, taps
            without finite energy, one that requires a gradient, or a 2-D point spread that is not separable.
    """
    if psf is None:
        return None, None
    if isinstance(psf, str):
        psf = (psf, 2.0)
    if isinstance(psf, torch.Tensor) and psf.ndim == 2:
        psf = _separated(psf)
    if isinstance(psf, torch.Tensor):
        psf = (psf, psf)
    if not isinstance(psf, (tuple, list)) or len(psf) != 2:
        raise TypeError(
            f"psf must be a kind ({', '.join(KINDS)}), a pair (kind, oversampling), a tensor of taps or a pair of them "
            f"(along y, along x), got {type(psf).__name__}"
        )
    first, second = psf
    if isinstance(first, str):
        named = _named_taps if torch.compiler.is_compiling() else _kept_taps  # dynamo traces no cache
        both = named(first, _checks.number(second, "oversampling"), str(device))
        return both, both
    return _normalised(first, device), _normalised(second, device)


def _normalised(taps: object, device: torch.device) -> torch.Tensor:
    if not isinstance(taps, torch.Tensor) or not taps.is_floating_point():
        raise TypeError(f"psf must hold floating-point tensors of taps, got {_what(taps)}")
    if taps.ndim != 1 or taps.shape[0] % 2 == 0 or taps.shape[0] > MAX_TAPS:
        raise ValueError(f"psf must have an odd number of taps, at most {MAX_TAPS}, along an axis, got {_what(taps)}")
    wide = _checks.constant(taps, "psf").to(device=device, dtype=torch.float64)
    energy = wide.square().sum()
    if taps.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_energy(taps.detach().double().square().sum().item())
    return (wide / energy.sqrt()).to(torch.float32)


def _separated(psf: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if not psf.is_floating_point() or psf.numel() == 0:
        raise TypeError(f"psf must hold floating-point tensors of taps, got {_what(psf)}")
    wide = psf.detach().to(torch.float64)
    if torch.compiler.is_compiling():
        raise ValueError("psf must be taps along y and along x under torch.compile: a 2-D one must be read to split it")
    _check_energy(wide.square().sum().item())
    u, s, v = torch.linalg.svd(wide)
    if s.shape[0] > 1 and s[1] > 1e-5 * s[0]:
        raise ValueError("psf must be separable: a 2-D point spread of rank 1, or taps along y and along x")
    return u[:, 0], v[0]


def _check_energy(energy: float) -> None:
    if not 0.0 < energy < math.inf:
        raise ValueError(f"psf must have finite taps that are not all zero, got the energy {energy}")


def _what(taps: object) -> str:
    return _checks.describe(taps) if isinstance(taps, torch.Tensor) else type(taps).__name__
