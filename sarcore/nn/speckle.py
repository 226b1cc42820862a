"""Speckle as the last layer of a network that makes radar images: the network then makes reflectivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sarcore.ops import speckle, speckle_field
from sarcore.ops.encode import check_radiometry
from sarcore.ops.point_spread import PointSpread
from sarcore.ops.radiometry import Radiometry

_AMPLITUDE = Radiometry("amplitude", 0.0, 1.0)
_DECIBELS = 10.0 / math.log(10.0)


class SpeckleLayer(nn.Module):
    """Multiply encoded reflectivity by physical speckle, in its own unit, and encode the product again.

    >>> layer = SpeckleLayer(looks=4, radiometry=Radiometry("intensity", -25, 0, scale="db"))
    >>> y = layer(torch.full((1, 1, 64, 64), 0.6), seed=7)  # -10 dB everywhere
    >>> tile = layer(torch.full((1, 1, 8, 8), 0.6), seed=7, origin=(16, 20))
    >>> torch.equal(tile, y[..., 16:24, 20:28])
    True

    With s = low + x (high - low) the value on the scale of the radiometry and g unit-mean Gamma speckle of L looks,

        intensity  s' = s g        amplitude  s' = s sqrt(g)        db  s' = s + 10 log10(g)
        y = clip((s' - low) / (high - low), 0, 1)

    What leaves the limits is clipped, as `sarcore.ops.encode` clips measured images of this radiometry, and takes
    no gradient there.

    Args:
        looks: number of looks L > 0; with ``learned`` the first one.
        learned: L = exp(``log_looks``), a parameter. Its gradient is the pathwise one of the field at a fixed value of
            the distribution function (implicit reparametrisation), within 0.1 % below ten looks, 1 % at 40, 2 % at 300:
            torch's Gamma sampler knows it to 5e-4, and more and more of it is constant.
        radiometry: of the images; None: amplitudes with the limits 0 and 1. Its no-data value plays no part: NaN stays
            NaN.
        psf: correlates the speckle, as in `sarcore.ops.speckle`; not with ``learned``, whose gradient knows pixels that
            are drawn one by one.

    Called with x (N, C, H, W) in [0, 1], any floating type (arithmetic in float32 at least), and ``seed``, ``index``
    and ``origin`` as in `sarcore.ops.speckle`: a pixel's speckle follows from them and its place alone, so tiles agree
    with the whole, and an image looks the same in any batch. Returns the shape and type of x.

    Raises:
        ValueError, TypeError: naming the argument; units without physical meaning (``digital``) are refused.

    Source: Goodman, Some fundamental properties of speckle, JOSA 66(11), 1976; Figurnov et al., Implicit
    reparameterization gradients, arXiv 1805.08498.
    """

    def __init__(
        self,
        looks: float = 1.0,
        *,
        learned: bool = False,
        radiometry: Radiometry | None = None,
        psf: PointSpread | None = None,
    ) -> None:
        super().__init__()
        self.radiometry = _AMPLITUDE if radiometry is None else radiometry
        check_radiometry(self.radiometry)
        if self.radiometry.unit == "digital":
            raise ValueError(
                "speckle multiplies intensities, and unit='digital' does not say how the numbers follow from them; "
                "declare what they are, for example Radiometry('amplitude', 0, 255) or Radiometry('db', -25, 0)"
            )
        if learned and psf is not None:
            raise ValueError("learned looks need speckle without correlation; leave out psf or learned")
        speckle_field((1, 1, 1, 1), looks, seed=0, psf=psf)  # the op's own checks, here where the mistake was made
        self.psf = psf
        self.log_looks: nn.Parameter | None = None
        if learned:
            self.log_looks = nn.Parameter(torch.tensor(math.log(looks)))
        self._looks = float(looks)

    @property
    def looks(self) -> float:
        """The number of looks as it is now (of learned ones on a GPU this waits for the device)."""
        return self._looks if self.log_looks is None else math.exp(self.log_looks.item())

    def forward(
        self,
        x: torch.Tensor,
        *,
        seed: int,
        index: int | Sequence[int] | torch.Tensor | None = None,
        origin: tuple[int, int] | torch.Tensor = (0, 0),
    ) -> torch.Tensor:
        """Speckled images of a batch of reflectivities."""
        low, span = self.radiometry.low, self.radiometry.high - self.radiometry.low
        value = low + span * x.to(torch.promote_types(x.dtype, torch.float32))
        scale = self.radiometry.scale or self.radiometry.unit
        if self.log_looks is None and not (torch.is_grad_enabled() and value.requires_grad):
            value = speckle(value, self._looks, seed=seed, domain=scale, psf=self.psf, index=index, origin=origin)
        else:  # the same bits; the field is kept for the gradient, for which the op would draw it again
            field = self._field(value, seed, scale, index, origin)
            value = value + field if scale == "db" else value * field
        return ((value - low) / span).clamp(0.0, 1.0).to(x.dtype)

    def _field(self, like: torch.Tensor, seed: int, scale: str, index: Any, origin: Any) -> torch.Tensor:
        """The field, with its gradient by the looks where they are learned."""
        if self.log_looks is None:
            return speckle_field(
                like.shape, self._looks, seed=seed, domain=scale, psf=self.psf, index=index, origin=origin,
                dtype=like.dtype, device=like.device,
            )  # fmt: skip
        looks = self.log_looks.float().exp()
        held = looks.detach()
        field = speckle_field(
            like.shape, held.expand(like.shape[0]), seed=seed, domain=scale, index=index, origin=origin,
            dtype=like.dtype, device=like.device,
        )  # fmt: skip
        if not (torch.is_grad_enabled() and looks.requires_grad):
            return field
        # Zero, with the gradient that the field has: plain arithmetic, through which compilers see.
        return field + _slope(field, held, scale) * (looks - held).to(field.dtype)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        learned = self.log_looks is not None
        return f"looks={self.looks:g}, learned={learned}, radiometry={self.radiometry!r}, psf={self.psf!r}"


def _slope(field: torch.Tensor, looks: torch.Tensor, scale: str) -> torch.Tensor:
    """Derivative of each value of a field by the number of looks, where the distribution function keeps its value.

    With G of a Gamma distribution of shape L and distribution function F, g = G / L: dG/dL = -(dF/dL) / (dF/dG), which
    torch's sampler knows, and the relative change of g is (dG/dL) / G - 1 / L.
    """
    if scale == "db":
        g, relative = (field / _DECIBELS).exp(), torch.full_like(field, _DECIBELS)
    else:
        g, relative = (field.square(), 0.5 * field) if scale == "amplitude" else (field, field)
    unscaled = g * looks
    return relative * (torch._standard_gamma_grad(looks.to(g.dtype).expand_as(g), unscaled) / unscaled - 1.0 / looks)
