"""Speckle: the multiplicative noise of coherent imaging, as a keyed random field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, borrow_mask, register, register_gradient
from sarcore.ops.point_spread import PointSpread, taps_of

DOMAINS = ("intensity", "amplitude", "db", "log", "complex")
_ADDITIVE = ("db", "log")
_SHAPES = f"finite and above 0, {_checks.SMALLEST:g} to {_checks.LARGEST:g}"
_NEGATIVE = {
    "intensity": "if these are decibels, pass domain='db'; if they are no-data, pass a mask that is False there",
    "amplitude": "an amplitude is |z|; if these are decibels, pass domain='db'; if no-data, pass a mask, False there",
}


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
        domain = arguments[9]
        valid = x if mask is None else x[mask]
        smallest = valid[valid == valid].min().item()
        raise ValueError(
            f"x must hold no negative values for domain={domain!r}, its smallest is {smallest:.4g}; {_NEGATIVE[domain]}"
        )
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
            2L Gaussian fields are smoothed; where 2L is no integer the rest of the looks is uncorrelated.
        index: number of the first image, or of each, (N,), 0 to 2^32 - 1: what an image gets in a data set should
            follow its number there, not its place in a batch. Default: place in the batch.
        origin: (y, x) of the images' first pixel in their scenes, in pixels, or one pair per image, (N, 2).
        mask: bool, broadcastable to x; where it is False x is kept as it is.

    Returns:
        Like x. Zeros stay zero, NaN stays NaN; g is at least 2^-126, so nothing else becomes zero. The field is drawn
        in float32, the same for every dtype.

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
    x = _image(x, domain)
    arguments = _arguments(x, looks, seed, domain, texture, psf, index, origin)
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
    like = _image(torch.empty(tuple(shape), dtype=dtype, device=device), domain, "dtype")
    arguments = _arguments(like, looks, seed, domain, texture, psf, index, origin)
    result: torch.Tensor = torch.ops.sarcore.speckle_field(like, *arguments)
    return result


def _image(x: object, domain: str, name: str = "x") -> torch.Tensor:
    if isinstance(x, torch.Tensor) and x.is_complex() != (domain == "complex"):
        hint = "pass domain='complex'" if x.is_complex() else "pass torch.complex(x, torch.zeros_like(x))"
        raise TypeError(f"{name} must be {'complex64' if domain == 'complex' else 'real'} for domain={domain!r}, "
                        f"got {_checks.describe(x)}; {hint}")  # fmt: skip
    if domain == "complex":
        return _checks.complex_images(x, name)
    return _checks.floating_images(x, name)


def _arguments(
    x: torch.Tensor, looks: Any, seed: int, domain: str, texture: float | None, psf: Any, index: Any, origin: Any
) -> tuple[Any, ...]:
    if isinstance(seed, bool) or not isinstance(seed, (int, torch.SymInt)):
        raise TypeError(f"seed must be an int, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be 0 to 2^64 - 1, got {seed}")
    one, each = _looks(looks, x)
    if domain == "complex" and (each is not None or one != 1.0):
        raise ValueError(
            f"looks must be 1 for domain='complex': averaged looks have no phase, got {looks}; average |z|^2 with "
            "sarcore.ops.multilook instead"
        )
    if texture is not None and not _shape_fits(texture := _checks.number(texture, "texture")):
        raise ValueError(f"texture must be {_SHAPES}, the order of the Gamma texture, got {texture}")
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
    if not isinstance(looks, (torch.Tensor, list, tuple)):
        value = _checks.number(looks, "looks")
        if not _shape_fits(value):
            raise ValueError(f"looks must be {_SHAPES}, got {value}")
        return value, None
    each = _checks.constant(_tensor(looks, "looks"), "looks")
    if each.shape != (x.shape[0],) or each.is_complex() or each.dtype == torch.bool:
        raise ValueError(f"looks must be a number or one per image, ({x.shape[0]},), got {_checks.describe(each)}")
    if _readable(each) and not all(map(_shape_fits, each.tolist())):
        raise ValueError(f"looks must be {_SHAPES}, got {each.tolist()}")
    return 1.0, each.to(device=x.device, dtype=torch.float32)


def _index(index: Any, x: torch.Tensor) -> torch.Tensor | None:
    most = 2**32 - 1
    if index is None:
        return None
    if isinstance(index, int) and not isinstance(index, bool):
        first = _checks.integer(index, "index", 0, most - max(0, x.shape[0] - 1))
        return torch.arange(first, first + x.shape[0], device=x.device) if first else None
    if not isinstance(index, (torch.Tensor, list, tuple)):
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


def _shape_fits(value: float) -> bool:
    return _checks.SMALLEST <= value <= _checks.LARGEST  # float32 computes with a Gamma shape and its reciprocal


def _tensor(values: Any, name: str) -> torch.Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name} must be a number or hold one per image, got {values!r}: {error}") from None


def _readable(values: torch.Tensor) -> bool:
    return values.device.type == "cpu" and not torch.compiler.is_compiling()  # no waiting for a GPU, no traced values
