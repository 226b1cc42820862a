"""Speckle: the multiplicative noise of coherent imaging, as a keyed random field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks, _radar
from sarcore.ops._register import borrow, borrow_mask, register, register_gradient
from sarcore.ops._speckle_arguments import DOMAINS, arguments_of, image_of
from sarcore.ops.point_spread import PointSpread

_ADDITIVE = ("db", "log")


def _write(
    x: torch.Tensor | None,
    out: torch.Tensor,
    mask: torch.Tensor | None,
    looks_of: torch.Tensor | None,
    index: torch.Tensor | None,
    origin: torch.Tensor | None,
    taps_y: torch.Tensor | None,
    taps_x: torch.Tensor | None,
    looks: float,
    y: int,
    x_origin: int,
    seed: int,
    domain: str,
    texture: float,
    conjugate: bool,
    *,
    refuse: bool,
) -> bool:
    return _core.speckle(
        x, borrow_mask(mask), torch.view_as_real(out) if out.is_complex() else out, looks,
        None if looks_of is None else borrow(looks_of), None if index is None else borrow(index), y, x_origin,
        None if origin is None else borrow(origin), seed % 2**64, domain, texture,
        None if taps_y is None else borrow(taps_y), None if taps_x is None else borrow(taps_x), conjugate,
        refuse, torch.get_num_threads(),
    )  # fmt: skip


def _forward(x: torch.Tensor, mask: torch.Tensor | None, check: bool, *arguments: Any) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    pixels = torch.view_as_real(x.detach().resolve_conj()) if x.is_complex() else x
    if _write(borrow(pixels), out, mask, *arguments, refuse=check):
        raise _radar.negative(x if mask is None else x[mask], arguments[9])
    return out


def _fake(x: torch.Tensor, *arguments: Any) -> torch.Tensor:
    return x.new_empty(x.shape)


def _field(like: torch.Tensor, *arguments: Any) -> torch.Tensor:
    out = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    _write(None, out, None, *arguments, refuse=False)
    return out


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, mask, _, *tensors = inputs[:8]
    ctx.save_for_backward(mask, *tensors)
    ctx.numbers = inputs[8:]


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    nothing = (None,) * 14
    *numbers, domain, texture, conjugate = ctx.numbers
    if domain in _ADDITIVE:
        return gradient, *nothing
    mask, *tensors = ctx.saved_tensors
    # The op is linear in x: its adjoint is the op with the conjugate field, whatever the sign of the gradient.
    back = torch.ops.sarcore.speckle(gradient, mask, False, *tensors, *numbers, domain, texture, not conjugate)
    return back, *nothing


_ARGUMENTS = (
    "Tensor? looks_of, Tensor? index, Tensor? origin, Tensor? taps_y, Tensor? taps_x, float looks, SymInt y, "
    "SymInt x_origin, SymInt seed, str domain, float texture, bool conjugate"
)
register(f"speckle(Tensor x, Tensor? mask, bool check, {_ARGUMENTS}) -> Tensor", _forward, _fake)
register(f"speckle_field(Tensor like, {_ARGUMENTS}) -> Tensor", _field, _fake)
register_gradient("speckle", _gradient, _setup_context)


def speckle(
    x: torch.Tensor,
    looks: float | Sequence[float] | torch.Tensor = 1.0,
    *,
    seed: int,
    domain: str = "intensity",
    texture: float | None = None,
    psf: PointSpread | None = None,
    index: int | Sequence[int] | torch.Tensor | None = None,
    origin: tuple[int, int] | torch.Tensor = (0, 0),
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Multiply images by fully developed speckle; a seed fixes every bit, on every device.

    >>> scene = torch.full((1, 1, 64, 64), 0.1)
    >>> speckled = speckle(scene, looks=4, seed=7)
    >>> patch = speckle(scene[..., 16:48, 20:52], looks=4, seed=7, origin=(16, 20))
    >>> torch.equal(patch, speckled[..., 16:48, 20:52])  # speckle of the crop = crop of the speckle
    True

    With g a unit-mean Gamma variable of shape L (density L^L g^(L-1) exp(-L g) / Gamma(L), variance 1/L) per pixel:

        intensity  y = x g                amplitude  y = x sqrt(g)
        db         y = x + 10 log10(g)    log        y = x + log(g)
        complex    y = x z, z circular Gaussian with |z|^2 = g, looks 1

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64 in the unit that `domain` names; complex64 for
            ``complex`` (the complex reflectivity, or the root of the intensity).
        looks: number of looks L > 0, any real number, or one per image, (N,).
        seed: 0 <= seed < 2^64. The numbers are Philox4x32-10 words keyed by the seed and counted by (image, channel, y,
            x, draw): not by batch, tiling, device or thread.
        domain: ``intensity``, ``amplitude``, ``db``, ``log`` or ``complex``.
        texture: order nu > 0 of a unit-mean Gamma texture on the intensity, independent from pixel to pixel: y is
            K-distributed, of variance (1 + 1/L)(1 + 1/nu) - 1. None: none.
        psf: correlates the speckle: a kind of `point_spread`, a pair (kind, oversampling), taps, or a pair of taps
            (along y, along x). The intensity's autocorrelation is that of the taps, squared; the moments stay exact.
            2L Gaussian fields are smoothed; where 2L is no integer the rest of the looks is uncorrelated. So are
            the looks above 2048 (4096 fields): the correlation of such speckle, 2 % of the mean, fades with more looks.
        index: number of the first image, or of each, (N,), 0 to 2^32 - 1: what an image gets in a data set should
            follow its number there, not its place in a batch. Default: place in the batch.
        origin: (y, x) of the images' first pixel in their scenes, in pixels, or one pair per image, (N, 2).
        mask: bool, broadcastable to x; where it is False x is kept as it is.

    Returns:
        Like x. Zeros stay zero, NaN stays NaN; g is at least 2^-126. The field is drawn in float32, the same for every
        dtype; the product is rounded to that of x. What leaves its range becomes zero or infinite: in float16 results
        below 3e-8 or above 65504, which speckle of half a look makes of 1e-3 and of 3e4.

    Note:
        L = 1 to 8: minus the logarithm of a product of uniforms; else Marsaglia and Tsang (2000). The same bits for any
        batch split, tiling, thread count, CPU or GPU. Linear in x, differentiable any number of times. No host
        synchronisation: on CUDA a negative intensity or amplitude, which the CPU refuses, becomes NaN.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed; negative intensities among them.

    Source: Goodman, Some fundamental properties of speckle, JOSA 66(11), 1976; Jakeman and Pusey, A model for
    non-Rayleigh sea echo, IEEE TAP 24(6), 1976 (texture); Salmon et al., SC 2011 (Philox).
    """
    domain = _checks.choice(domain, DOMAINS, "domain")
    x = image_of(x, domain)
    arguments = arguments_of(x, looks, seed, domain, texture, psf, index, origin)
    result: torch.Tensor = torch.ops.sarcore.speckle(x, _checks.mask_of(mask, x), True, *arguments)
    return result


def speckle_field(
    shape: Sequence[int],
    looks: float | Sequence[float] | torch.Tensor = 1.0,
    *,
    seed: int,
    domain: str = "intensity",
    texture: float | None = None,
    psf: PointSpread | None = None,
    index: int | Sequence[int] | torch.Tensor | None = None,
    origin: tuple[int, int] | torch.Tensor = (0, 0),
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """The speckle that `speckle` applies, alone: factors, or terms for ``db`` and ``log``.

    >>> g = speckle_field((1, 1, 64, 64), looks=4, seed=7)
    >>> x = torch.rand(1, 1, 64, 64)
    >>> torch.equal(x * g, speckle(x, looks=4, seed=7))
    True

    Args:
        shape: (N, C, H, W).
        dtype: default float32, complex64 for the domain ``complex``.
        device: where the field is drawn; its bits do not depend on it.
        looks, seed, domain, texture, psf, index, origin: as in `speckle`.

    Returns:
        (N, C, H, W), without unit (dB for ``db``).

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.
    """
    domain = _checks.choice(domain, DOMAINS, "domain")
    if not isinstance(shape, (tuple, list)) or len(shape) != 4:
        raise ValueError(f"shape must be (N, C, H, W), got {shape!r}")
    shape = [_checks.integer(n, "shape", 0, 2**63 - 1) for n in shape]
    dtype = dtype or (torch.complex64 if domain == "complex" else torch.float32)
    like = image_of(torch.empty(tuple(shape), dtype=dtype, device=device), domain, "dtype")
    arguments = arguments_of(like, looks, seed, domain, texture, psf, index, origin)
    result: torch.Tensor = torch.ops.sarcore.speckle_field(like, *arguments)
    return result
