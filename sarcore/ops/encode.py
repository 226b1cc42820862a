"""`encode` and `decode`: physical values to the values of a network and back, and their registered ops."""

from __future__ import annotations

import math
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops._checks import describe
from sarcore.ops._register import borrow, register, register_gradient, register_once_differentiable
from sarcore.ops.radiometry import OUTPUTS, Radiometry

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGER = (torch.uint8, torch.uint16, torch.int16)


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    return borrow(tensor).view(-1)


# ------ the registered ops


def _encode(
    x: torch.Tensor, unit: str, scale: str, low: float, high: float, reserve: bool, nodata: float | None, out: str
) -> torch.Tensor:
    result = torch.empty(x.shape, dtype=OUTPUTS[out], device=x.device)
    threads = torch.get_num_threads()
    _core.encode(_flat(x), result.view(-1), unit, scale, low, high, reserve, nodata, threads)
    return result


def _encode_fake(
    x: torch.Tensor, unit: str, scale: str, low: float, high: float, reserve: bool, nodata: float | None, out: str
) -> torch.Tensor:
    return x.new_empty(x.shape, dtype=OUTPUTS[out])


def _encode_backward(
    gradient: torch.Tensor, x: torch.Tensor, unit: str, scale: str, low: float, high: float, nodata: float | None
) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    threads = torch.get_num_threads()
    _core.encode_backward(_flat(gradient), _flat(x), out.view(-1), unit, scale, low, high, nodata, threads)
    return out


def _encode_backward_fake(
    gradient: torch.Tensor, x: torch.Tensor, unit: str, scale: str, low: float, high: float, nodata: float | None
) -> torch.Tensor:
    return x.new_empty(x.shape)


def _decode(
    q: torch.Tensor, unit: str, scale: str, low: float, high: float, reserve: bool, nodata: float | None
) -> torch.Tensor:
    result = torch.empty(q.shape, dtype=_decoded_dtype(q), device=q.device)
    threads = torch.get_num_threads()
    _core.decode(_flat(q), result.view(-1), unit, scale, low, high, reserve, nodata, threads)
    return result


def _decode_fake(
    q: torch.Tensor, unit: str, scale: str, low: float, high: float, reserve: bool, nodata: float | None
) -> torch.Tensor:
    return q.new_empty(q.shape, dtype=_decoded_dtype(q))


def _decode_backward(
    gradient: torch.Tensor, q: torch.Tensor, unit: str, scale: str, low: float, high: float
) -> torch.Tensor:
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    threads = torch.get_num_threads()
    _core.decode_backward(_flat(gradient), _flat(q), out.view(-1), unit, scale, low, high, threads)
    return out


def _decode_backward_fake(
    gradient: torch.Tensor, q: torch.Tensor, unit: str, scale: str, low: float, high: float
) -> torch.Tensor:
    return q.new_empty(q.shape)


def _decoded_dtype(q: torch.Tensor) -> torch.dtype:
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def _keep_encode(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, *ctx.declared, _, ctx.nodata, _ = inputs
    ctx.save_for_backward(x)
    if not output.is_floating_point():
        ctx.mark_non_differentiable(output)


def _encode_gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    grad_x = torch.ops.sarcore.encode_backward(gradient, x, *ctx.declared, ctx.nodata)
    return grad_x, None, None, None, None, None, None, None


def _keep_decode(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    q, *ctx.declared, _, _ = inputs
    ctx.save_for_backward(q)


def _decode_gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    (q,) = ctx.saved_tensors
    return torch.ops.sarcore.decode_backward(gradient, q, *ctx.declared), None, None, None, None, None, None


_DECLARED = "str unit, str scale, float low, float high"
register(
    f"encode(Tensor x, {_DECLARED}, bool reserve, float? nodata, str out) -> Tensor",
    _encode,
    _encode_fake,
)
register(
    f"encode_backward(Tensor gradient, Tensor x, {_DECLARED}, float? nodata) -> Tensor",
    _encode_backward,
    _encode_backward_fake,
)
register(f"decode(Tensor q, {_DECLARED}, bool reserve, float? nodata) -> Tensor", _decode, _decode_fake)
register(f"decode_backward(Tensor gradient, Tensor q, {_DECLARED}) -> Tensor", _decode_backward, _decode_backward_fake)
register_gradient("encode", _encode_gradient, _keep_encode)
register_gradient("decode", _decode_gradient, _keep_decode)
register_once_differentiable("encode_backward")
register_once_differentiable("decode_backward")


# ------ the public functions


def encode(x: torch.Tensor, radiometry: Radiometry) -> torch.Tensor:
    """Physical values to the values of a network, in one pass.

    >>> encode(torch.tensor([0, 51, 255], dtype=torch.uint8), Radiometry("digital", 0, 255))
    tensor([0.0000, 0.2000, 1.0000])
    >>> encode(torch.tensor([3 + 4j, 0j]), Radiometry("complex", 0, 10, scale="amplitude", out="uint8"))
    tensor([128,   0], dtype=torch.uint8)

    With s the value of x on `radiometry.scale` (|z|^2 of complex numbers, 10 log10 of an intensity, 20 log10 of an
    amplitude and their inverses),

        t = clip((s - low) / (high - low), 0, 1)

    and for integers round(255 t), or 1 + round(254 t) where no-data is declared, ties to even (65535 and 65534 for
    uint16). Values beyond the limits are CLIPPED: that is what the limits declare. Zero intensity is -infinity decibels
    and becomes `low`.

    Args:
        x: any shape: uint8, uint16, int16 (not as decibels), float16, bfloat16, float32, float64, in
            `radiometry.unit`; complex64 for the unit ``complex``.
        radiometry: the declaration of the data set or scene.

    Returns:
        Shape of x, of type `radiometry.out`; no-data is NaN or code 0. Computed in float32, in float64 where x or the
        result is: the same bits for any thread count, on CPU and CUDA.

    Raises:
        TypeError: x is no tensor, or its dtype contradicts the unit (integers as decibels, complex numbers as real).
        ValueError: x contradicts the unit (negative intensities or amplitudes; decibels none of which is negative and
            some above 100), or holds NaN where `out` is an integer type and no `nodata` is declared. On CUDA, where
            this check would have to wait for the device, such negative values become NaN (code 0 of integers), NaN
            becomes code 0, and large decibels are clipped like others.

    Note:
        Differentiable once in x for floating `out`, zero where clipped, for no-data and at a zero amplitude or
        intensity, where the derivative of a root or logarithm is infinite. The gradient of complex x is PyTorch's.
    """
    check_radiometry(radiometry)
    tensor = check_unit(_check_tensor(x, "x"), radiometry, "x")
    reserve, nodata = nodata_of(radiometry)
    return torch.ops.sarcore.encode(  # type: ignore[no-any-return]
        tensor, radiometry.unit, radiometry.scale, radiometry.low, radiometry.high, reserve, nodata, radiometry.out
    )


def decode(q: torch.Tensor, radiometry: Radiometry) -> torch.Tensor:
    """Encoded values back to physical values, the inverse of `encode` for values within the limits.

    >>> decode(torch.tensor([0.0, 0.5]), Radiometry("db", -25.0, 0.0)).tolist()
    [-25.0, -12.5]
    >>> decode(torch.tensor([0, 255], dtype=torch.uint8), Radiometry("intensity", -20, 0, out="uint8", scale="db"))
    tensor([0.0100, 1.0000])

    s = low + t (high - low), converted from `radiometry.scale` to `radiometry.unit`. Within half a quantisation step of
    the scale: 1/510 of (high - low) for uint8. Of complex numbers the value on the scale comes back: the phase is gone.

    Args:
        q: any shape: of type `radiometry.out` where that is an integer type, else any floating type, in [0, 1].
        radiometry: the declaration with which q was encoded.

    Returns:
        Shape of q, in `radiometry.unit`: float64 for float64 q, else float32. NaN and code 0 become
        `radiometry.nodata` where that is declared; NaN stays NaN without.

    Raises:
        TypeError: q is no tensor or of another type than `radiometry.out` allows.
        ValueError: a value lies outside [0, 1] (on CUDA, where the check would have to wait, it becomes NaN).

    Note:
        Differentiable once in floating q; zero outside [0, 1], for no-data, and at the zero of a root or logarithm.
    """
    check_radiometry(radiometry)
    tensor = _check_tensor(q, "q")
    wanted = OUTPUTS[radiometry.out]
    if tensor.dtype not in (_FLOATING if wanted in _FLOATING else (wanted,)):
        allowed = "a floating type" if wanted in _FLOATING else radiometry.out
        raise TypeError(
            f"q must be {allowed}, as the radiometry declares out={radiometry.out!r}, got {describe(tensor)}; decode "
            "with the radiometry that encoded it, or dataclasses.replace(radiometry, out=...)"
        )
    return torch.ops.sarcore.decode(  # type: ignore[no-any-return]
        tensor, radiometry.unit, radiometry.scale, radiometry.low, radiometry.high, *nodata_of(radiometry)
    )


def intensity(z: torch.Tensor) -> torch.Tensor:
    """Intensity |z|^2 of single-look complex numbers.

    >>> intensity(torch.tensor([3 + 4j, 1j]))
    tensor([25.,  1.])

    Args:
        z: complex64, any shape.

    Returns:
        Shape of z, float32. Differentiable.

    Raises:
        TypeError: z is no complex64 tensor.
    """
    tensor = _check_tensor(z, "z")
    if not tensor.is_complex():
        raise TypeError(f"z must be complex64, got {describe(tensor)}; of an amplitude the intensity is x.square()")
    if tensor.dtype != torch.complex64:
        raise TypeError(f"z must be complex64, got {describe(tensor)}; convert it with z.to(torch.complex64)")
    return tensor.real.square() + tensor.imag.square()


def nodata_of(radiometry: Radiometry) -> tuple[bool, float | None]:
    """Whether no-data is declared, and its value beside NaN."""
    nodata = radiometry.nodata
    return nodata is not None, None if nodata is None or math.isnan(nodata) else nodata


def check_unit(x: torch.Tensor, radiometry: Radiometry, name: str) -> torch.Tensor:
    """A tensor whose dtype does not contradict the unit, and is one that the ops read."""
    unit = radiometry.unit
    if x.is_complex() != (unit == "complex"):
        raise TypeError(
            f"{name} must be complex64 for unit='complex' and real for others, got {describe(x)} for unit={unit!r}; "
            + (f"declare unit='complex' or take intensity({name})" if x.is_complex() else "declare the unit it is in")
        )
    if unit == "db" and x.dtype in _INTEGER:
        raise TypeError(
            f"{name} is {describe(x)}, but unit='db' declares decibels, which are floating-point numbers; declare "
            f"unit='digital' for 8-bit images, or convert {name} to decibels first"
        )
    if x.dtype not in (*_FLOATING, *_INTEGER, torch.complex64):
        raise TypeError(
            f"{name} must be uint8, uint16, int16, float16, bfloat16, float32, float64 or complex64, got "
            f"{describe(x)}; convert it to one of these, for example {name}.float()"
        )
    return x


def check_radiometry(radiometry: object) -> None:
    if not isinstance(radiometry, Radiometry):
        raise TypeError(f"radiometry must be a sarcore.Radiometry, got {type(radiometry).__name__}")


def _check_tensor(x: object, name: str) -> torch.Tensor:
    if not isinstance(x, torch.Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(x).__name__}; wrap NumPy arrays with torch.from_numpy"
        )
    if x.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got layout {x.layout}; call to_dense() first")
    if x.device.type not in ("cpu", "cuda", "meta"):
        raise ValueError(f"{name} must be on the CPU or a CUDA device, got {describe(x)}")
    return x
