"""Speckle filters: `despeckle`, its registered op and its gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

import sarcore._core as _core
from sarcore.ops import _checks, _radar
from sarcore.ops._register import borrow, borrow_mask, register, register_gradient, register_once_differentiable

METHODS = ("boxcar", "lee", "enhanced_lee", "kuan", "frost", "gamma_map", "refined_lee")
DIFFERENTIABLE = ("boxcar", "lee", "kuan")


def _forward(
    x: torch.Tensor, mask: torch.Tensor | None, method: str, window: int, looks: float, domain: str, damping: float
) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    threads = torch.get_num_threads()
    _core.despeckle(borrow(x), borrow_mask(mask), out, method, window, looks, domain, damping, threads)
    return out


def _forward_fake(
    x: torch.Tensor, mask: torch.Tensor | None, method: str, window: int, looks: float, domain: str, damping: float
) -> torch.Tensor:
    return x.new_empty(x.shape)


# ------ the gradient


def _box_sum(x: torch.Tensor, window: int) -> torch.Tensor:
    """Sums over windows, along x and along y, of images that are larger than the result by window - 1."""
    along_x = F.avg_pool2d(x, (1, window), stride=1, divisor_override=1)
    return F.avg_pool2d(along_x, (window, 1), stride=1, divisor_override=1)


def _window_sum(x: torch.Tensor, window: int) -> torch.Tensor:
    return _box_sum(F.pad(x, (window // 2,) * 4, mode="reflect"), window)


def _fold(x: torch.Tensor, radius: int, dim: int) -> torch.Tensor:
    """The transpose of reflection: what stands in the border is added to the pixel that was mirrored there."""
    size = x.shape[dim] - 2 * radius
    folded = x.narrow(dim, radius, size).clone()
    folded.narrow(dim, 1, radius).add_(x.narrow(dim, 0, radius).flip(dim))
    folded.narrow(dim, size - 1 - radius, radius).add_(x.narrow(dim, radius + size, radius).flip(dim))
    return folded


def _window_sum_transposed(x: torch.Tensor, window: int) -> torch.Tensor:
    spread = _box_sum(F.pad(x, (window - 1,) * 4), window)
    return _fold(_fold(spread, window // 2, 2), window // 2, 3)


def _backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    mask: torch.Tensor | None,
    method: str,
    window: int,
    looks: float,
    domain: str,
) -> torch.Tensor:
    """In float64, from sums alone: no scatter, so the same bits every time.

    With G = dL/dy and y = m + W (x - m), W = a (1 - Cu^2 m^2 / v) where that is positive (a = 1, or 1 / (1 + Cu^2) for
    Kuan) and v = q - m^2, q the mean square:
        dL/dx = G W + A'[G (1 - W + (x - m) (W_m - 2 m W_v)) / n] + 2 x A'[G (x - m) W_v / n]
    A' is the transpose of the window sum, W_m = -2 a Cu^2 m / v, W_v = a Cu^2 m^2 / v^2.
    """
    if x.numel() == 0:
        return torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    g, valid = gradient.double(), _radar.valid_pixels(x, mask, domain)
    unit = torch.where(valid, x, 1).double()
    i = torch.where(valid, _radar.to_intensity(unit, domain), 0)
    n = _window_sum(valid.double(), window).clamp_min(1)
    m = _window_sum(i, window) / n
    v = _window_sum(i * i, window) / n - m * m
    cu2, a = 1 / looks, 1 / (1 + 1 / looks) if method == "kuan" else 1.0
    active = (v > m * m * 2.0**-44) & (v > cu2 * m * m) & (method != "boxcar")
    v = torch.where(active, v, 1)
    w = torch.where(active, a * (1 - cu2 * m * m / v), 0)
    w_m, w_v = (torch.where(active, t, 0) for t in (-2 * a * cu2 * m / v, a * cu2 * m * m / (v * v)))
    g_out = torch.where(valid, g * _radar.slope_from_intensity(m + w * (i - m), domain), 0)
    to_mean = g_out * (1 - w + (i - m) * (w_m - 2 * m * w_v)) / n
    to_square = g_out * (i - m) * w_v / n
    result = g_out * w + _window_sum_transposed(to_mean, window)
    result = result + 2 * i * _window_sum_transposed(to_square, window)
    result = result * _radar.slope_to_intensity(unit, i, domain)
    if mask is not None:  # masked pixels keep their value
        result = torch.where(mask | x.isnan(), result, g)
    return torch.where(valid if mask is None else valid | ~mask & ~x.isnan(), result, 0).to(x.dtype)


def _backward_fake(
    gradient: torch.Tensor,
    x: torch.Tensor,
    mask: torch.Tensor | None,
    method: str,
    window: int,
    looks: float,
    domain: str,
) -> torch.Tensor:
    return x.new_empty(x.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, mask, ctx.method, ctx.window, ctx.looks, ctx.domain, _ = inputs
    ctx.save_for_backward(x, mask)


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    if ctx.method not in DIFFERENTIABLE:
        raise RuntimeError(
            f"sarcore.ops.despeckle has no gradient for method {ctx.method!r}; the methods "
            f"{', '.join(DIFFERENTIABLE)} have one"
        )
    x, mask = ctx.saved_tensors
    grad_x = torch.ops.sarcore.despeckle_backward(gradient, x, mask, ctx.method, ctx.window, ctx.looks, ctx.domain)
    return grad_x, None, None, None, None, None, None


register(
    "despeckle(Tensor x, Tensor? mask, str method, int window, float looks, str domain, float damping) -> Tensor",
    _forward,
    _forward_fake,
)
register(
    "despeckle_backward(Tensor gradient, Tensor x, Tensor? mask, str method, int window, float looks, str domain)"
    " -> Tensor",
    _backward,
    _backward_fake,
)
register_gradient("despeckle", _gradient, _setup_context)
register_once_differentiable("despeckle_backward")


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
    """Images with less speckle: every pixel moves towards the mean of its window, as far as its statistics allow.

    >>> x = torch.empty(1, 1, 100, 100).exponential_(generator=torch.Generator().manual_seed(0))  # one look
    >>> y = despeckle(x, "lee", window=7, looks=1)
    >>> [round(image.std().item(), 1) for image in (x, y)]
    [1.0, 0.2]
    >>> despeckle(10 * x.log10(), "refined_lee", domain="db").shape
    torch.Size([1, 1, 100, 100])

    With m and v the mean and the population variance of the n valid intensities x of the window, Cu^2 = 1 / looks,
    Ci^2 = v / m^2, the result y at the central pixel x is

        boxcar        m
        lee           m + W (x - m), W = max(0, 1 - Cu^2 / Ci^2)  [1, in the form of 5]
        kuan          m + W (x - m), W = max(0, (1 - Cu^2 / Ci^2) / (1 + Cu^2))  [4]
        enhanced_lee  m for Ci <= Cu; x for Ci >= Cmax = sqrt(1 + 2 / looks); else m w + x (1 - w),
                      w = exp(-damping (Ci - Cu) / (Cmax - Ci))  [5]
        frost         sum w x / sum w, w = exp(-damping Ci^2 d), d the distance to the centre in pixels  [3]
        gamma_map     m for Ci <= Cu; x for Ci >= sqrt(2) Cu; else (B m + sqrt(m^2 B^2 + 4 a looks m x)) / (2 a),
                      a = (1 + Cu^2) / (Ci^2 - Cu^2), B = a - looks - 1  [6]
        refined_lee   m + b (x - m), b = max(0, (v - m^2 Cu^2) / ((1 + Cu^2) v)), m and v over one of eight halves of
                      a 7 x 7 window, that on the centre's side of the strongest edge among nine 3 x 3 means; where
                      the strongest gradient is within 2.5 deviations of what speckle of 2 x 2 pixels a cell gives, over
                      the whole window  [2]

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64, in the unit of `domain`.
        method: one of the above. ``lee`` for its speed and its gradient, ``refined_lee`` where edges matter.
        window: odd, 3 to 31 and no larger than the images, in pixels; 7 for ``refined_lee``. Images are reflected at
            their borders without repeating the edge pixel. The time hardly depends on it, but for ``frost``.
        looks: number of looks of the speckle, any number above 0; `sarcore.ops.enl` measures it.
        domain: ``intensity``, ``amplitude`` (its square root), ``db`` (10 log10 of it) or ``log`` (its natural
            logarithm). The filter always works on intensities: what is preserved is the mean intensity, within 1 % on
            homogeneous ground. Two methods lower it: ``gamma_map``, the most likely value, by 0.6 % at 18 looks and by
            4.5 % at one; ``refined_lee`` where speckle is correlated (resampled products), in which it sees edges: by
            0.2 to 1.4 % on Sentinel-1 GRD of 5 looks, below 0.5 % at 14 looks, not on uncorrelated speckle.
        damping: of ``enhanced_lee`` and ``frost``, at least 0; larger keeps more of the image.
        mask: bool, broadcastable to x, True where a pixel is valid.

    Returns:
        Like x. Pixels that are masked or NaN are in no statistics; the former keep their value, the latter stay NaN.

    Note:
        Every result depends on its window alone, bit for bit: tiles that overlap by window - 1 give the whole image,
        for any thread count, on CPU and CUDA. Statistics are computed in float64: a variance below 2^-44 of the squared
        mean is 0, and intensities beyond 1e154 or below 1e-154 lose theirs, so scale such images. One infinite pixel
        makes every window that holds it NaN: mask it. Differentiable once in x with boxcar, lee and kuan; at the kink
        W = 0 the slope of W is 0.

    Raises:
        ValueError: a window, number of looks or damping that is not allowed; negative intensities or amplitudes at
            valid pixels (on CUDA, where a check would wait for the device, these count as NaN).
        TypeError: integers, whose unit must be declared first, or complex numbers, whose |z|^2 must be taken first.

    Source: [1] Lee, Digital image enhancement and noise filtering by use of local statistics, IEEE PAMI 1980. [2] Lee,
    Refined filtering of image noise using local statistics, CGIP 1981. [3] Frost et al., A model for radar images and
    its application to adaptive digital filtering of multiplicative noise, IEEE PAMI 1982. [4] Kuan et al., Adaptive
    noise smoothing filter for images with signal-dependent noise, IEEE PAMI 1985. [5] Lopes, Touzi, Nezry, Adaptive
    speckle filters and scene heterogeneity, IEEE TGRS 1990. [6] Lopes et al., Maximum a posteriori speckle filtering
    and first order texture models in SAR images, IGARSS 1990.
    """
    x = _checks.floating_images(x, "x")
    method = _checks.choice(method, METHODS, "method")
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    window = _radar.window_size(window, x)
    if method == "refined_lee" and window != 7:
        raise ValueError(f"window must be 7 for refined_lee, whose half windows are made for it, got {window}")
    looks = _radar.looks_of(looks, "looks")
    damping = _checks.number(damping, "damping")
    if not 0.0 <= damping < math.inf:
        raise ValueError(f"damping must be finite and not negative, got {damping}")
    mask = _checks.mask_of(mask, x)
    result: torch.Tensor = torch.ops.sarcore.despeckle(x, mask, method, window, looks, domain, damping)
    return result
