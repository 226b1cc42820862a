"""Images against a reference: PSNR, SSIM, MS-SSIM, mean absolute error, spectral angle, ERGAS; NaN is no-data."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from sarcore.ops import _checks

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of Wang, Simoncelli and Bovik 2003, finest first
_SIGMA = 1.5
_WINDOW = 11
_K1, _K2 = 0.01, 0.03


def psnr(image: torch.Tensor, reference: torch.Tensor, data_range: float = 1.0) -> torch.Tensor:
    """Peak signal-to-noise ratio of each image, in decibels.

    >>> x = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    >>> [round(v, 6) for v in psnr(x + 0.1, x).tolist()]
    [20.0, 20.0]

    10 log10 (data_range^2 / mean (image - reference)^2) over the pixels and channels valid in both, in float64.

    Args:
        image, reference: (N, C, H, W), of one shape and unit. NaN is no-data.
        data_range: width of the range that the reference may take, in its unit: 1 for encoded images in [0, 1].

    Returns:
        (N,) float64; infinite for equal images, NaN for those without valid pixels.

    Raises:
        ValueError: shapes that differ, or a reference wider than `data_range`.
    """
    a, b, known = pair_of(image, reference)
    _check_range(b, known, data_range)
    error = torch.where(known, a - b, 0).square().flatten(1).sum(1) / known.flatten(1).sum(1)
    return 10 * torch.log10(data_range**2 / error)


def mean_absolute_error(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of each image, in its unit.

    >>> mean_absolute_error(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.25)).tolist()
    [0.25, 0.25]

    mean |image - reference| over the pixels and channels valid in both, in float64.

    Args:
        image, reference: (N, C, H, W), of one shape and unit. NaN is no-data.

    Returns:
        (N,) float64; NaN for images without valid pixels.

    Raises:
        ValueError: shapes that differ.
    """
    a, b, known = pair_of(image, reference)
    return torch.where(known, a - b, 0).abs().flatten(1).sum(1) / known.flatten(1).sum(1)


def ssim(image: torch.Tensor, reference: torch.Tensor, data_range: float = 1.0) -> torch.Tensor:
    """Structural similarity of each image: 1 for equal images.

    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim(x, x).tolist()
    [1.0, 1.0]

    With the means, variances and covariance in a Gaussian window of 11 x 11 pixels, standard deviation 1.5,

        (2 mu_x mu_y + C1)(2 sigma_xy + C2) / ((mu_x^2 + mu_y^2 + C1)(sigma_x^2 + sigma_y^2 + C2))

    C1 = (0.01 data_range)^2, C2 = (0.03 data_range)^2, averaged over the windows that lie inside the image and hold
    no no-data pixel, and over channels, in float64.

    Args:
        image, reference: (N, C, H, W), of one shape and unit, 11 x 11 pixels or larger. NaN is no-data.
        data_range: width of the range that the reference may take, in its unit: 1 for encoded images in [0, 1].

    Returns:
        (N,) float64; NaN for images without a valid window.

    Raises:
        ValueError: shapes that differ or are too small, or a reference wider than `data_range`.

    Source: Wang, Bovik, Sheikh, Simoncelli, Image quality assessment, IEEE TIP 13(4), 2004.
    """
    a, b, known = pair_of(image, reference)
    _check_range(b, known, data_range)
    luminance, contrast = _windows(a, b, known, data_range)
    return (luminance * contrast).flatten(1).nanmean(1)


def ms_ssim(image: torch.Tensor, reference: torch.Tensor, data_range: float = 1.0, scales: int = 5) -> torch.Tensor:
    """Structural similarity over several scales, of each image: 1 for equal images.

    >>> x = torch.rand(2, 1, 48, 48)
    >>> ms_ssim(x, x, scales=3).tolist()
    [1.0, 1.0]

    The contrast and structure of `ssim` at every scale (each the mean of 2 x 2 pixels of the one before), the whole of
    it at the coarsest, averaged over windows and channels, and multiplied with exponents (0.0448, 0.2856, 0.3001,
    0.2363, 0.1333). Fewer scales take the first of them, divided by their sum. Negative means count as 0.

    Args:
        image, reference: as in `ssim`; sides of at least 11 x 2^(scales - 1) pixels: 176 for five, 44 for three.
        data_range: as in `ssim`.
        scales: 1 to 5.

    Returns:
        (N,) float64; NaN for images without a valid window at one of the scales.

    Raises:
        ValueError: shapes that differ or are too small, or a reference wider than `data_range`.

    Source: Wang, Simoncelli, Bovik, Multiscale structural similarity for image quality assessment, Asilomar 2003.
    """
    a, b, known = pair_of(image, reference)
    _check_range(b, known, data_range)
    scales = _checks.integer(scales, "scales", 1, len(SCALES))
    least = _WINDOW << (scales - 1)
    if min(a.shape[2:]) < least:
        raise ValueError(
            f"images must be {least} x {least} pixels or larger for {scales} scales, got {_checks.describe(image)}; "
            "pass fewer scales"
        )
    weights = torch.tensor(SCALES[:scales], dtype=torch.float64, device=a.device)
    a, b = (torch.where(known, x, torch.nan) for x in (a, b))
    means = []
    for scale in range(scales):
        luminance, contrast = _windows(a, b, ~a.isnan(), data_range)
        means.append((luminance * contrast if scale == scales - 1 else contrast).flatten(1).nanmean(1))
        a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
    return (torch.stack(means, 1).clamp_min(0) ** (weights / weights.sum())).prod(1)


def spectral_angle(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Mean angle between the channel vectors of the pixels of each image, in radians.

    >>> x = torch.rand(2, 3, 8, 8) + 0.1
    >>> spectral_angle(2 * x, x).tolist()
    [0.0, 0.0]

    The angle between image[:, i, j] and reference[:, i, j] does not see brightness, only the proportions of the
    channels. 2 atan2(|u - v|, |u + v|) of the unit vectors, exact for small angles where acos is not; in float64.

    Args:
        image, reference: (N, C, H, W), of one shape and unit, C at least 2. Pixels that are NaN or all zero in either
            have no angle and are left out.

    Returns:
        (N,) float64, 0 to pi; NaN for images without valid pixels.

    Raises:
        ValueError: shapes that differ, or a single channel.

    Source: Kruse et al., The spectral image processing system, Remote Sensing of Environment 44, 1993.
    """
    a, b, _ = pair_of(image, reference)
    if a.shape[1] < 2:
        raise ValueError(f"images must have 2 channels or more to have a spectral angle, got {_checks.describe(image)}")
    u, v = (x / x.norm(dim=1, keepdim=True) for x in (a, b))  # 0 / 0 is NaN, which has no angle either
    angles = 2 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))
    return angles.flatten(1).nanmean(1)


def ergas(image: torch.Tensor, reference: torch.Tensor, ratio: float = 4.0) -> torch.Tensor:
    """Relative global error of each image in synthesis (ERGAS): 0 for equal images, below 3 is good.

    >>> x = torch.full((1, 2, 8, 8), 2.0)
    >>> round(ergas(x + 0.2, x, ratio=1).item(), 5)
    10.0

    100 / ratio sqrt(mean over channels of MSE_c / mu_c^2), mu_c the mean of the reference, over the pixels valid in
    both, in float64.

    Args:
        image, reference: (N, C, H, W), of one shape and unit, one in which means are positive. NaN is no-data.
        ratio: pixel size of the coarse image by that of the fine one; 1 where nothing was resampled.

    Returns:
        (N,) float64; NaN for images one of whose channels has no valid pixel.

    Raises:
        ValueError: shapes that differ, a ratio of 0 or less, or a channel of the reference with a mean of 0 or less
            (decibels have no relative error: pass intensities or amplitudes).

    Source: Wald, Quality of high resolution synthesised images: is there a simple criterion?, 2000.
    """
    a, b, known = pair_of(image, reference)
    ratio = _checks.number(ratio, "ratio")
    if not 0 < ratio < math.inf:
        raise ValueError(f"ratio must be a finite number above 0, got {ratio}")
    pixels = known.sum((2, 3))
    error = torch.where(known, a - b, 0).square().sum((2, 3)) / pixels
    mean = torch.where(known, b, 0).sum((2, 3)) / pixels
    if bool((mean <= 0).any()):
        raise ValueError(
            f"reference must have positive means, got {float(mean[mean <= 0].min()):g}; ERGAS is relative to them: "
            "pass intensities or amplitudes"
        )
    return 100 / ratio * (error / mean.square()).mean(1).sqrt()


def pair_of(image: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Both images in float64, and where both have data."""
    first, second = _checks.pair(image, reference, "image", "reference")
    a, b = first.detach().double(), second.detach().double()
    return a, b, ~(a.isnan() | b.isnan())


def _check_range(reference: torch.Tensor, known: torch.Tensor, data_range: float) -> None:
    """A range that is too small is a unit mistaken for another, and would raise the score."""
    if not 0 < _checks.number(data_range, "data_range") < math.inf:
        raise ValueError(f"data_range must be a finite number above 0, got {data_range}")
    values = reference[known]
    if values.numel() and float(values.max() - values.min()) > data_range * (1 + 1e-6):
        raise ValueError(
            f"reference spans {float(values.min()):g} to {float(values.max()):g}, more than data_range {data_range:g}; "
            "encode the images or pass the width of their range"
        )


def _windows(
    a: torch.Tensor, b: torch.Tensor, known: torch.Tensor, data_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Luminance and contrast-structure of every window inside the images, NaN where it holds a no-data pixel."""
    if min(a.shape[2:]) < _WINDOW:
        raise ValueError(f"images must be {_WINDOW} x {_WINDOW} pixels or larger, got {_checks.describe(a)}")
    x, y = torch.where(known, a, 0), torch.where(known, b, 0)
    mean_x, mean_y, xx, yy, xy = _smooth(torch.stack([x, y, x * x, y * y, x * y]))
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    spread = (xx - mean_x.square()) + (yy - mean_y.square())
    contrast = (2 * (xy - mean_x * mean_y) + c2) / (spread + c2)
    holes = functional.max_pool2d((~known).double(), _WINDOW, stride=1) > 0
    return torch.where(holes, torch.nan, luminance), torch.where(holes, torch.nan, contrast)


def _smooth(x: torch.Tensor) -> torch.Tensor:
    """Gaussian windows along the last two axes: shifted sums, as torch's float64 convolution is ten times slower."""
    weights = [math.exp(-0.5 * (k / _SIGMA) ** 2) for k in range(-(_WINDOW // 2), _WINDOW // 2 + 1)]
    total = sum(weights)
    for dim in (-2, -1):
        size = x.shape[dim] - _WINDOW + 1
        smooth = x.narrow(dim, 0, size) * (weights[0] / total)
        for k in range(1, _WINDOW):
            smooth.add_(x.narrow(dim, k, size), alpha=weights[k] / total)
        x = smooth
    return x
