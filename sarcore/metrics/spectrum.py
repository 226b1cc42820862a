"""Second-order statistics of image sets: power by radial frequency, and correlation of neighbours."""

from __future__ import annotations

import torch

from sarcore.ops import _checks

BINS = 32
LAGS = 8
MOST_LAGS = 4095
_FLOOR = 1e-20  # power below it is that of constant images: float32 rounding of values near 1 leaves 1e-15
_AT_ONCE = 1 << 21  # pixels, so that the complex copy stays small


def radial_spectrum(images: torch.Tensor, bins: int = BINS) -> torch.Tensor:
    """Decimal logarithm of the mean power at each radial frequency, from 0 to Nyquist.

    >>> spectrum = radial_spectrum(torch.randn(16, 1, 64, 64))
    >>> spectrum.shape, bool(spectrum.abs().max() < 0.5)
    (torch.Size([32]), True)

    With m the mean of an image's valid pixels and f = sqrt(fy^2 + fx^2) in cycles per pixel, bin k holds

        log10 mean over images, channels and 0 < f in [k, k + 1) / (2 bins) of |FFT2(x - m)|^2 / (H W)

    so white noise of variance v is flat at log10 v. f = 1/2 belongs to the last bin; the corners beyond it and f = 0
    are left out. No window is applied. No-data pixels (NaN) are filled with m, and the power of the image divided by
    the share of valid ones. A bin without a frequency, where images have fewer than 2 bins pixels along a side, is
    interpolated between its neighbours; power below 1e-20 (constant images) is given as -20.

    Args:
        images: (N, C, H, W), of the dtypes of `sarcore.ops.soft_histogram`.
        bins: 2 to 4096.

    Returns:
        (bins,) float64, log10 of unit^2; NaN where no image has a valid pixel.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed; images of a single pixel.

    Source: radially averaged as Durall, Keuper, Keuper, Watch your up-convolution, CVPR 2020.
    """
    return finished_spectrum(*spectrum_sums(images, bins))


def spectrum_sums(images: torch.Tensor, bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the power in each bin and how many frequencies it is a sum of, both (bins,) float64: they add up."""
    x = _checks.images(images, "images").detach()
    _checks.bin_count(bins)
    height, width = x.shape[2:]
    if x.numel() and min(height, width) < 2:
        raise ValueError(f"images must be 2 x 2 pixels or larger to have a spectrum, got {_checks.describe(x)}")
    power, frequencies = x.new_zeros(2, bins, dtype=torch.float64)
    if not x.numel():
        return power, frequencies
    index = _ring_index(height, width, bins, x.device)
    inside = index < bins
    per_image = torch.bincount(index[inside], minlength=bins).double()
    for chunk in x.flatten(0, 1).split(max(1, _AT_ONCE // (height * width))):
        flat, share = centred(chunk)
        known = share > 0  # the others are 0 everywhere
        energy = torch.fft.fft2(flat).abs().square() / share.where(known, 1)[:, None, None]
        power.index_add_(0, index[inside], energy.sum(0)[inside] / (height * width))
        frequencies += per_image * known.sum()
    return power, frequencies


def finished_spectrum(power: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """The spectrum of sums of `spectrum_sums`: mean, logarithm, and empty bins between their neighbours."""
    known = (frequencies > 0).nonzero().flatten()
    if not known.numel():
        return torch.full_like(power, torch.nan)
    values = (power[known] / frequencies[known]).clamp_min(_FLOOR).log10()
    bins = torch.arange(len(power), device=power.device)
    right = torch.searchsorted(known, bins).clamp_max(len(known) - 1)
    left = torch.where(known[right] > bins, right - 1, right).clamp_min(0)
    between = (known[right] - known[left]).clamp_min(1).double()
    t = ((bins - known[left]).double() / between).clamp(0, 1)
    return torch.lerp(values[left], values[right], t)


def autocorrelation(images: torch.Tensor, lags: int = LAGS) -> torch.Tensor:
    """Correlation of pixels with their neighbours, down the columns (azimuth) and along the rows (range).

    >>> r = autocorrelation(torch.randn(16, 1, 64, 64), lags=3)
    >>> r.shape, bool(r.abs().max() < 0.05)
    (torch.Size([2, 3]), True)

    With m the mean of an image's valid pixels, and the means taken over all images, channels and valid pairs,

        r[0, l - 1] = mean (x[i + l, j] - m)(x[i, j] - m) / mean (x - m)^2,  r[1, l - 1] the same along j

    Correlated speckle falls off over the resolution in pixels; a generator's checkerboard alternates in sign.

    Args:
        images: (N, C, H, W), of the dtypes of `sarcore.ops.soft_histogram`. NaN is no-data.
        lags: largest distance in pixels, 1 to 4095, less than H and W.

    Returns:
        (2, lags) float64; NaN where all images are constant or no pair is valid.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.
    """
    return correlation_of_sums(*lag_sums(images, lags))


def lag_sums(images: torch.Tensor, lags: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of products at lag 0 to `lags` and their numbers, both (2, lags + 1) float64: they add up."""
    x = _checks.images(images, "images").detach()
    lags = _checks.integer(lags, "lags", 1, MOST_LAGS)
    if x.numel() and lags >= min(x.shape[2:]):
        raise ValueError(f"lags must be less than the images' sides, got {lags} and x of {_checks.describe(x)}")
    products, pairs = x.new_zeros(2, 2, lags + 1, dtype=torch.float64)
    if not x.numel():
        return products, pairs
    for chunk in x.flatten(0, 1).split(max(1, _AT_ONCE // (x.shape[2] * x.shape[3]))):
        flat = centred(chunk)[0]
        valid = (~chunk.isnan()).double()
        for axis in (0, 1):
            for lag in range(lags + 1):
                size = chunk.shape[1 + axis] - lag
                for total, values in ((products, flat), (pairs, valid)):
                    ahead = values.narrow(1 + axis, lag, size)
                    total[axis, lag] += (ahead * values.narrow(1 + axis, 0, size)).sum()
    return products, pairs


def correlation_of_sums(products: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """The correlations (2, lags) of the sums of `lag_sums`."""
    means = products / pairs
    return means[:, 1:] / torch.where(means[:, :1] > 0, means[:, :1], torch.nan)


def centred(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, H, W) images less the mean of their valid pixels, 0 at the others, and the shares of the valid ones."""
    x = images.double()
    valid = ~x.isnan()
    mean = x.nanmean((1, 2), keepdim=True)
    residual = x - mean
    # What rounding of the mean leaves of constant images is no texture.
    known = residual.abs() > mean.abs() * 2.0**-48
    return torch.where(known, residual, 0.0), valid.double().mean((1, 2))


def _ring_index(height: int, width: int, bins: int, device: torch.device) -> torch.Tensor:
    """(H, W) bin of each frequency of an FFT; `bins` for f = 0 and beyond Nyquist, which belong to none."""
    # Squared distances in whole numbers: a frequency on an edge falls on the same side for every size.
    y = (torch.fft.fftfreq(height, dtype=torch.float64) * height).round().long() * width
    x = (torch.fft.fftfreq(width, dtype=torch.float64) * width).round().long() * height
    radius = 2 * bins * (y[:, None].square() + x[None, :].square()).double().sqrt() / (height * width)
    ring = radius.floor().long().clamp_max(bins - 1)
    none = (radius > bins) | (radius == 0)
    return torch.where(none, bins, ring).to(device)
