"""Measures of radar images: looks, and how well edges survive."""

from __future__ import annotations

import math

import torch

from sarcore.ops import _checks, _radar

_BLOCK = 16
_LEAST = 8  # blocks


def estimate_looks(
    x: torch.Tensor, *, domain: str = "intensity", mask: torch.Tensor | None = None, block: int = _BLOCK
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
    x = _checks.floating_images(x, "x").detach()
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    block = _checks.integer(block, "block", 2, 2**15)
    valid = _radar.valid_pixels(x, _checks.mask_of(mask, x), domain)
    intensity = _radar.to_intensity(torch.where(valid, x, torch.nan).double(), domain)
    pixels = _blocks(torch.where(intensity > 0, intensity, torch.nan), block)
    pixels = pixels[~pixels.isnan().any(-1)]
    if pixels.shape[0] < _LEAST:
        raise ValueError(
            f"x must have at least {_LEAST} whole blocks of {block} x {block} valid pixels, got "
            f"{pixels.shape[0]}; declare the looks"
        )
    enl = pixels.mean(-1).square() / pixels.var(-1).clamp_min(torch.finfo(torch.float64).tiny)
    upper = enl.sort().values[-max(1, math.ceil(enl.numel() / 5)) :].median().item()
    if upper > 1e9:
        raise ValueError("x is constant: it has no speckle whose looks could be counted")
    return upper / (1.0 + 1.28 * math.sqrt(2.0 / block**2))


def edge_correlation(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Correlation of two images' edges: 1 where a filter gave back the edges of the reference, 0 where none is left.

    >>> x = torch.rand(2, 1, 32, 32)
    >>> edge_correlation(x, x).tolist()
    [1.0, 1.0]

    With D the 3 x 3 Laplacian (8 in the centre, -1 around it) of the pixels inside the border,

        sum (D image - mean)(D reference - mean) / sqrt(sum (D image - mean)^2 sum (D reference - mean)^2)

    Args:
        image, reference: (N, C, H, W), floating, one unit; H and W at least 3.

    Returns:
        (N,) float64, -1 to 1; NaN where one of them is constant.

    Raises:
        ValueError: shapes differ or are too small.

    Source: Sattar, Floreby, Salomonsson, Lovstrom, Image enhancement based on a nonlinear multiscale method, IEEE TIP
    6(6), 1997.
    """
    if image.shape != reference.shape or image.ndim != 4 or min(image.shape[-2:]) < 3:
        raise ValueError(
            "image and reference must be (N, C, H, W) of one shape, 3 x 3 pixels or larger, got "
            f"{tuple(image.shape)} and {tuple(reference.shape)}"
        )
    first, second = _laplacian(image), _laplacian(reference)
    product = (first * second).sum(1)
    return product / (first.square().sum(1) * second.square().sum(1)).sqrt()


def _laplacian(x: torch.Tensor) -> torch.Tensor:
    wide = x.double()
    around = torch.nn.functional.avg_pool2d(wide, 3, stride=1) * 9
    edges = (9 * wide[:, :, 1:-1, 1:-1] - around).flatten(1)
    return edges - edges.mean(1, keepdim=True)


def _blocks(x: torch.Tensor, block: int) -> torch.Tensor:
    rows, columns = x.shape[2] // block, x.shape[3] // block
    if not rows or not columns:
        return x.new_empty(0, block * block)
    whole = x[:, :, : rows * block, : columns * block]
    return whole.unfold(2, block, block).unfold(3, block, block).reshape(-1, block * block)
