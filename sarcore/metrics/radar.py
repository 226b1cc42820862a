"""Measures of radar images: looks, the ratio image, log-cumulants and radiometric bias."""

from __future__ import annotations

import math

import torch

from sarcore.ops import _checks, _radar

BLOCK = 16
LEAST_BLOCKS = 8


def estimate_looks(
    x: torch.Tensor, *, domain: str = "intensity", mask: torch.Tensor | None = None, block: int = BLOCK
) -> float:
    """Equivalent number of looks of the speckle in an image, from its most homogeneous blocks.

    >>> from sarcore.ops import speckle
    >>> round(estimate_looks(speckle(torch.ones(1, 1, 256, 256), looks=4, seed=0)))
    4

    Every block of block x block pixels has the ENL mean^2 / variance of its intensities, variance over n - 1; texture
    and edges can only lower it. A block's ENL is uncertain by sqrt(2 / n) (6 %) in independent speckle, more in
    correlated speckle, so the highest block is too high; taken is the median of the upper fifth, less that scatter's
    mean excess over its median: 1.28 sqrt(2 / n) of it. Expect 10 to 20 %, and too few looks where nothing is
    homogeneous.

    Args:
        x: (N, C, H, W), floating, of one sensor and channel, in the unit of `domain`.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``; looks are always those of the intensity.
        mask: bool, broadcastable, True where a pixel counts; blocks with other pixels, NaN or zeros are left out.
        block: side of a block in pixels, 2 or more.

    Returns:
        The looks, a number above 0.

    Raises:
        ValueError: fewer than 8 blocks are left, or the image is constant; negative intensities or amplitudes at
            valid pixels (on CUDA, where a check would wait for the device, these do not count); an unknown domain.
        TypeError: x is no floating tensor, the mask no boolean one, or `block` no integer.

    Source: after Foucher, Boucher and Benie, Maximum likelihood estimation of the number of looks in SAR images,
    MIKON 2000, who take the mode of the distribution of block estimates.
    """
    enl = block_looks(x, domain, mask, block)
    if enl.numel() < LEAST_BLOCKS:
        raise ValueError(
            f"x must have at least {LEAST_BLOCKS} whole blocks of {block} x {block} valid pixels, got "
            f"{enl.numel()}; declare the looks"
        )
    looks = looks_of_blocks(enl, block)
    if math.isinf(looks):
        raise ValueError("x is constant: it has no speckle whose looks could be counted")
    return looks


def block_looks(x: torch.Tensor, domain: str, mask: torch.Tensor | None, block: int) -> torch.Tensor:
    """ENL of every block of valid pixels, float64 (blocks,): what `looks_of_blocks` takes, in any number of parts."""
    x = _checks.floating_images(x, "x").detach()
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    block = _checks.integer(block, "block", 2, 2**15)
    valid = _radar.valid_pixels(x, _checks.mask_of(mask, x), domain)
    intensity = _radar.to_intensity(torch.where(valid, x, torch.nan).double(), domain)
    pixels = _blocks(torch.where(intensity > 0, intensity, torch.nan), block)
    pixels = pixels[~pixels.isnan().any(-1)]
    if not pixels.numel():  # torch warns of the variance of nothing
        return pixels.new_empty(0)
    return pixels.mean(-1).square() / pixels.var(-1).clamp_min(torch.finfo(torch.float64).tiny)


def looks_of_blocks(enl: torch.Tensor, block: int) -> float:
    """Looks from the ENL of all blocks: NaN from too few of them, infinite where they are constant."""
    if enl.numel() < LEAST_BLOCKS:
        return math.nan
    upper = enl.sort().values[-max(1, math.ceil(enl.numel() / 5)) :].median().item()
    return upper / (1.0 + 1.28 * math.sqrt(2.0 / block**2)) if upper <= 1e9 else math.inf


def _blocks(x: torch.Tensor, block: int) -> torch.Tensor:
    rows, columns = x.shape[2] // block, x.shape[3] // block
    if not rows or not columns:
        return x.new_empty(0, block * block)
    whole = x[:, :, : rows * block, : columns * block]
    return whole.unfold(2, block, block).unfold(3, block, block).reshape(-1, block * block)


def ratio_statistics(filtered: torch.Tensor, noisy: torch.Tensor, *, domain: str = "intensity") -> tuple[float, float]:
    """Mean and variance of the ratio image noisy / filtered: 1 and 1 / L where a filter took L-look speckle alone.

    >>> from sarcore.ops import speckle
    >>> scene = torch.rand(1, 1, 256, 256) + 1
    >>> mean, variance = ratio_statistics(scene, speckle(scene, looks=4, seed=0))
    >>> round(mean, 1), round(variance, 2)
    (1.0, 0.25)

    A mean other than 1 is a radiometric bias; a variance below 1 / L says that speckle is left, one above it that
    structure was taken as well. Population variance, in float64, over all images and channels.

    Args:
        filtered, noisy: (N, C, H, W), floating, of one shape, in the unit of `domain`. Pixels that are NaN in either,
            or whose filtered intensity is 0, are left out.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``; the ratio is always that of intensities.

    Returns:
        (mean, variance); NaN where no pixel is left.

    Raises:
        ValueError: shapes that differ, negative intensities or amplitudes (on CUDA no-data).
        TypeError: images that are not floating.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 1998, chapter 6.
    """
    ratio = ratio_of(filtered, noisy, domain)
    return float(ratio.mean()), float(ratio.var(correction=0)) if ratio.numel() else math.nan


def ratio_of(filtered: torch.Tensor, noisy: torch.Tensor, domain: str) -> torch.Tensor:
    """The values of the ratio image, float64 (pixels,)."""
    below, above = intensity_pair(filtered, noisy, domain, ("filtered", "noisy"))
    known = below > 0
    return above[known] / below[known]


def radiometric_bias(image: torch.Tensor, reference: torch.Tensor, *, domain: str = "intensity") -> float:
    """How much brighter an image is than its reference, in decibels of the mean intensity.

    >>> x = torch.rand(2, 1, 32, 32)
    >>> round(radiometric_bias(2 * x, x), 4)
    3.0103

    10 log10 (sum of the image's intensities / sum of the reference's), in float64, over the pixels valid in both.

    Args:
        image, reference: (N, C, H, W), floating, of one shape, in the unit of `domain`. NaN is no-data.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``; means are always those of intensities.

    Returns:
        Decibels, 0 without bias; -inf for an image of zeros, NaN without valid pixels or where both are zero.

    Raises:
        ValueError: shapes that differ, negative intensities or amplitudes (on CUDA no-data).
        TypeError: images that are not floating.
    """
    first, second = intensity_pair(image, reference, domain, ("image", "reference"))
    return float(10 * torch.log10(first.sum() / second.sum()))


def log_cumulants(images: torch.Tensor, *, domain: str = "intensity") -> torch.Tensor:
    """First three cumulants of the natural logarithm of the intensity, which tell textures and speckle apart.

    >>> x = torch.empty(4, 1, 256, 256, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    >>> [round(k) for k in log_cumulants(x).tolist()]  # single look: psi(1), psi'(1), psi''(1) = -0.58, 1.64, -2.40
    [-1, 2, -2]

    With y = ln I: mean y, mean (y - mean)^2, mean (y - mean)^3, in float64 over all images and channels. Speckle of L
    looks and mean intensity m has psi(L) - ln L + ln m, psi'(L), psi''(L); texture raises the second.

    Args:
        images: (N, C, H, W), floating, in the unit of `domain`. NaN and intensities of 0 are no-data.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``.

    Returns:
        (3,) float64; NaN without valid pixels.

    Raises:
        ValueError: negative intensities or amplitudes (on CUDA no-data); an unknown domain.
        TypeError: images that are not floating.

    Source: Nicolas, Introduction aux statistiques de deuxieme espece, Traitement du Signal 19(3), 2002.
    """
    y = log_intensities(images, domain)
    mean = y.mean()
    residual = y - mean
    return torch.stack([mean, residual.square().mean(), residual.pow(3).mean()])


def log_intensities(images: torch.Tensor, domain: str) -> torch.Tensor:
    """Natural logarithms of the valid intensities above 0, float64 (pixels,)."""
    x = _checks.floating_images(images, "images").detach()
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    values = x[_radar.valid_pixels(x, None, domain)].double()
    if domain in ("db", "log"):
        return values * _radar.LOG_PER_DECIBEL if domain == "db" else values
    values = values[values > 0]
    return values.log() if domain == "intensity" else 2 * values.log()


def intensity_pair(
    first: torch.Tensor, second: torch.Tensor, domain: str, names: tuple[str, str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Intensities of the pixels that are valid in both images, float64 (pixels,) each."""
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    for x, name in ((first, names[0]), (second, names[1])):
        _checks.floating_images(x, name)
    a, b = (x.detach() for x in _checks.pair(first, second, *names))
    valid = _radar.valid_pixels(a, None, domain) & _radar.valid_pixels(b, None, domain)
    return _radar.to_intensity(a[valid].double(), domain), _radar.to_intensity(b[valid].double(), domain)
