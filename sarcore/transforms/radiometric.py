"""Calibration errors, and the step from linear values to decibels."""

from __future__ import annotations

import math

import torch
from torch import nn

from sarcore.ops import _checks, _radar
from sarcore.ops._speckle_arguments import DOMAINS
from sarcore.transforms._random import Draw, Interval, RandomTransform, as_batch

_SUMMAND = {"db": 1.0, "log": _radar.LOG_PER_DECIBEL}  # what an offset of 1 dB adds
_LINEAR = ("intensity", "amplitude")


class RandomRadiometricOffset(RandomTransform):
    """Change the calibration of each sample by a few tenths of a decibel.

    >>> image = torch.full((1, 2, 2), -12.0)
    >>> offset = RandomRadiometricOffset(std_db=0.5, domain="db", seed=7)(image) + 12.0
    >>> bool((offset == offset[0, 0, 0]).all()), bool(offset.abs().max() < 3)  # one offset for the whole sample
    (True, True)

    With o the offset in dB, normal of mean 0 and deviation `std_db`, or uniform within `limits`:

        intensity  y = x 10^(o/10)      amplitude, complex  y = x 10^(o/20)
        db         y = x + o            log                 y = x + o log(10)/10

    All channels of a sample get one offset: the error of a receiver's gain or of an antenna pattern's correction.

    Args:
        std_db: standard deviation, 0 or more, in dB. Products are specified to a few tenths of a decibel to 1 dB.
        domain: unit of the images: ``intensity``, ``amplitude``, ``db``, ``log`` or ``complex``.
        p: probability that a sample is changed.
        seed: see `RandomTransform`.
        limits: (low, high) in dB, low < high: uniform in place of normal; `std_db` is not used then.

    Called with x, (C, H, W) or (N, C, H, W), floating (complex for ``complex``), on the CPU or CUDA, and an optional
    ``index`` (see `RandomTransform`), it returns a tensor like x; nothing is clipped. Differentiable in x. No host
    synchronisation.

    Raises:
        ValueError, TypeError: naming the argument.

    Source: Freeman, SAR calibration: an overview, IEEE TGRS 30(6), 1992.
    """

    def __init__(
        self,
        std_db: float = 1.0,
        domain: str = "intensity",
        p: float = 1.0,
        seed: int | None = None,
        *,
        limits: Interval | None = None,
    ) -> None:
        super().__init__(seed, p)
        self.std_db = _checks.number(std_db, "std_db")
        if not 0.0 <= self.std_db < math.inf:
            raise ValueError(f"std_db must be a finite number of decibels, 0 or more, got {self.std_db}")
        self.domain = _checks.choice(domain, DOMAINS, "domain")
        self.limits = None if limits is None else _checks.value_range(limits, "limits")

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Offsets of a batch."""
        if self.domain == "complex":
            x = _checks.complex_images(x, "x")
        else:
            x = _checks.floating_images(x, "x")
        u = draw.uniforms(x, 3)
        if self.limits is None:  # Box and Muller
            offset = self.std_db * torch.sqrt(-2.0 * torch.log(u[:, 1])) * torch.cos(2.0 * math.pi * u[:, 2])
        else:
            offset = self.limits[0] + (self.limits[1] - self.limits[0]) * u[:, 1]
        offset = torch.where(self.chosen(u[:, 0]), offset.reshape(-1, 1, 1, 1), 0.0)
        compute = torch.float64 if x.dtype == torch.float64 else torch.float32
        if self.domain in _SUMMAND:
            return (x + (offset * _SUMMAND[self.domain]).to(compute)).to(x.dtype)
        decades = offset * (1.0 / _radar.DECIBELS_PER_DECADE[self.domain])
        return (x * torch.pow(10.0, decades).to(compute)).to(x.dtype)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        size = f"std_db={self.std_db:g}" if self.limits is None else f"limits={self.limits}"
        return f"{size}, domain={self.domain!r}, {self._ending()}"


class ToDecibel(nn.Module):
    """Intensities or amplitudes in decibels.

    >>> ToDecibel()(torch.tensor([[[1.0, 0.01, 0.0]]]))
    tensor([[[  0., -20., -inf]]])
    >>> ToDecibel("amplitude", floor=-40)(torch.tensor([[[10.0, 0.1, 0.0]]]))
    tensor([[[ 20., -20., -40.]]])

    intensity: y = 10 log10(x); amplitude: y = 20 log10(x); with `floor`: y = max(y, floor).

    Args:
        domain: ``intensity`` or ``amplitude``.
        floor: smallest result, in dB: what zeros (in float32 also values below 1.2e-38) become. None: nothing is
            clipped, and zero becomes -inf, which a network turns into NaN: give a floor at the noise level of the
            product before training.

    Called with x, (C, H, W) or (N, C, H, W), floating, on the CPU or CUDA, it returns a tensor like x, in dB. NaN stays
    NaN. Computed in float32, float64 for float64. The gradient is 10 / (x log 10), 0 below the floor.

    Raises:
        ValueError, TypeError: naming the argument; on the CPU also for negative values. On CUDA, where that check would
            wait for the device, they become NaN.
    """

    def __init__(self, domain: str = "intensity", floor: float | None = None) -> None:
        super().__init__()
        self.domain = _checks.choice(domain, _LINEAR, "domain")
        self.floor = None if floor is None else _checks.number(floor, "floor")
        if self.floor is not None and not math.isfinite(self.floor):
            raise ValueError(f"floor must be a finite number of decibels, or None, got {self.floor}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convert (C, H, W) or (N, C, H, W)."""
        _checks.floating_images(as_batch(x), "x")
        if x.device.type == "cpu" and bool((x < 0).any()):
            raise ValueError(
                f"x must hold no negative values for domain={self.domain!r}, its smallest is "
                f"{x[x < 0].min().item():.4g}; if these are decibels already, leave ToDecibel out; if they are "
                "no-data, set them to NaN"
            )
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.floor is None:
            return _radar.to_decibels(wide, self.domain).to(x.dtype)
        # Below the floor the logarithm itself sees a positive number: at 0 its gradient would be infinity times zero.
        at_floor = 10.0 ** (self.floor / _radar.DECIBELS_PER_DECADE[self.domain])
        least = max(at_floor, torch.finfo(wide.dtype).tiny)
        decibels = _radar.to_decibels(wide.clamp(min=least), self.domain).clamp(min=self.floor)
        decibels = torch.where(wide <= least, self.floor, decibels)
        return torch.where(wide < 0, torch.nan, decibels).to(x.dtype)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"domain={self.domain!r}, floor={self.floor}"
