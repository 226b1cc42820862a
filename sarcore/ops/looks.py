"""Numbers of looks: `enl` measures them, `multilook` makes them."""

from __future__ import annotations

import torch

from sarcore.ops import _checks, _radar


def enl(
    x: torch.Tensor, window: int | None = 7, *, domain: str = "intensity", mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Equivalent number of looks: the squared mean over the variance of the intensity.

    >>> x = torch.empty(1, 1, 200, 200).exponential_(generator=torch.Generator().manual_seed(0))
    >>> enl(x).shape, round(enl(x, window=None).item(), 1)
    (torch.Size([1, 1, 200, 200]), 1.0)

    ENL = mean^2 / variance, population variance, over the valid pixels of the window around each pixel, or of the whole
    image. Over homogeneous ground it is the number of looks that make such speckle; over texture it is lower.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64, in the unit of `domain`.
        window: odd, 3 to 31 and no larger than the images, in pixels; None for one number per image and channel.
            Borders reflect as in `despeckle`.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log`` (natural logarithm of the intensity). The number is that
            of the intensities whatever the domain.
        mask: bool, broadcastable to x, True where a pixel counts. NaN pixels never count.

    Returns:
        (N, C, H, W), or (N, C) for `window` None; float64 for float64 images, else float32. Infinite where the variance
        is 0 (below 2^-44 of the squared mean). NaN at pixels that do not count, and for images without any that does.
        No gradient.

    Raises:
        ValueError: a window that does not fit; negative intensities or amplitudes at valid pixels (on CUDA these count
            as NaN).
        TypeError: integers or complex numbers.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 1998, section 4.3.
    """
    x = _checks.floating_images(x, "x").detach()
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    mask = _checks.mask_of(mask, x)
    result = torch.float64 if x.dtype == torch.float64 else torch.float32
    if window is not None:
        window = _radar.window_size(window, x)
        local: torch.Tensor = torch.ops.sarcore.despeckle(x.to(result), mask, "enl", window, 1.0, domain, 1.0)
        return local
    valid = _radar.valid_pixels(x, mask, domain)
    intensity = torch.where(valid, _radar.to_intensity(torch.where(valid, x, 1).double(), domain), 0)
    pixels = valid.sum((2, 3))
    mean = intensity.sum((2, 3)) / pixels
    residual = torch.where(valid, intensity - mean[..., None, None], 0)
    variance = residual.square().sum((2, 3)) / pixels
    looks = torch.where(variance > mean.square() * 2.0**-44, mean.square() / variance, torch.inf)
    return torch.where(pixels > 0, looks, torch.nan).to(result)


def multilook(
    x: torch.Tensor,
    looks: tuple[int, int] = (2, 2),
    *,
    domain: str = "intensity",
    mask: torch.Tensor | None = None,
    partial: str = "drop",
) -> torch.Tensor:
    """Mean intensity of blocks of pixels: fewer pixels, more looks.

    >>> multilook(torch.tensor([[[[1.0, 3.0, 9.0], [5.0, 7.0, 9.0]]]])).tolist()
    [[[[4.0]]]]
    >>> z = torch.complex(torch.randn(1, 1, 64, 64), torch.randn(1, 1, 64, 64))  # single-look complex
    >>> multilook(z, (4, 1)).shape
    torch.Size([1, 1, 16, 64])

    The mean over the valid pixels of each block of looks[0] x looks[1] intensities, in the unit of `domain` again.
    Blocks begin at the first row and column. Independent pixels of L looks give looks[0] looks[1] L looks.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32, float64, in the unit of `domain`; or complex64, which is
            detected as |z|^2.
        looks: (along H, azimuth; along W, range), in pixels, each at least 1 and at most the size of the image.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log`` (natural logarithm of the intensity). The mean is that
            of the intensities: the mean of decibels is lower (by 2.5 dB for single-look images).
        mask: bool, broadcastable to x, True where a pixel counts. NaN pixels never count.
        partial: what happens to incomplete blocks at the bottom and on the right: ``drop`` leaves them out, as SAR
            processors do, ``keep`` takes the mean of the pixels that are there.

    Returns:
        (N, C, h, w), h = H // looks[0], w = W // looks[1] (rounded up for ``keep``), of the dtype of x (real for
        complex x). NaN for blocks without a valid pixel. Summed in float64, so that large blocks lose nothing.
        Differentiable in x.

    Raises:
        ValueError: looks that are no two positive integers or exceed the image; negative intensities or amplitudes at
            valid pixels (on CUDA and in compiled graphs these count as NaN).
        TypeError: integer images, or complex ones that are not complex64.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 1998, section 4.3.
    """
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    partial = _checks.choice(partial, ("drop", "keep"), "partial")
    if isinstance(x, torch.Tensor) and x.is_complex():
        if domain != "intensity":
            raise ValueError(f"domain must be 'intensity' for complex x, which is detected as |z|^2, got {domain!r}")
        x = _checks.complex_images(x, "x")
        x = x.real.square() + x.imag.square()
    x = _checks.floating_images(x, "x")
    block = _block(looks, x)
    mask = _checks.mask_of(mask, x)
    valid = _radar.valid_pixels(x, mask, domain)
    n, c, h, w = x.shape
    whole = partial == "drop"
    if x.numel() == 0:
        sizes = [s // b if whole else -(-s // b) for s, b in zip((h, w), block, strict=True)]
        return x.new_empty((n, c, *sizes))
    # The unit is converted in float32 at least; sums in float32 would lose digits in blocks of thousands of pixels.
    wide = torch.where(valid, x, 1).to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    intensity = torch.where(valid, _radar.to_intensity(wide, domain), 0)
    total = torch.nn.functional.avg_pool2d(intensity.double(), block, ceil_mode=not whole)
    share = torch.nn.functional.avg_pool2d(valid.double(), block, ceil_mode=not whole)
    mean = torch.where(share > 0, total / torch.where(share > 0, share, 1), torch.nan)
    return _radar.from_intensity(mean, domain).to(x.dtype)


def _block(looks: object, x: torch.Tensor) -> tuple[int, int]:
    if not isinstance(looks, (tuple, list)) or len(looks) != 2:
        raise ValueError(f"looks must be a pair (azimuth, range), got {looks!r}")
    rows, columns = (_checks.whole(k, "each of the looks") for k in looks)
    if min(rows, columns) < 1:
        raise ValueError(f"looks must be at least (1, 1), got {(rows, columns)}")
    if x.numel() and (rows > x.shape[2] or columns > x.shape[3]):
        raise ValueError(f"looks must fit into the images, x is {_checks.describe(x)}, got {(rows, columns)}")
    return rows, columns
