"""Every op in plain PyTorch, slow and obvious: the oracle of the tests and a column of the benchmarks."""

from __future__ import annotations

import torch

from sarcore.ops.radiometry import Radiometry


def valid_pixels(mask: torch.Tensor | None, *images: torch.Tensor) -> torch.Tensor:
    """Pixels that count: the mask says so and no image is NaN there."""
    valid = torch.ones_like(images[0], dtype=torch.bool) if mask is None else mask.expand_as(images[0])
    for image in images:
        valid = valid & ~image.isnan()
    return valid


def _weights(x: torch.Tensor, valid: torch.Tensor, bins: int, limits: tuple[float, float]) -> torch.Tensor:
    """(N, C, pixels, bins): what each pixel adds to each bin."""
    low, high = limits
    position = (torch.where(valid, x, low).flatten(2) - low) * (bins / (high - low)) - 0.5
    position = position.clamp(0, bins - 1)
    distance = (position[..., None] - torch.arange(bins, device=x.device)).abs()
    return (1 - distance).clamp_min(0) * valid.flatten(2)[..., None]


def soft_histogram(
    x: torch.Tensor, bins: int = 64, range: tuple[float, float] = (0.0, 1.0), *, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """`sarcore.ops.soft_histogram` with kernel ``linear``, through a pixels x bins tensor.

    >>> soft_histogram(torch.full((1, 1, 2, 2), 0.5), bins=2).tolist()
    [[[2.0, 2.0]]]
    """
    return _weights(x, valid_pixels(mask, x), bins, range).sum(2)


def histogram_loss(
    input: torch.Tensor,
    target: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    omega: float = 0.001,
    distance: str = "l2",
    spatial: str = "l2",
    normalize: str = "probability",
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`sarcore.ops.histogram_loss` with reduction ``none``.

    >>> x = torch.rand(3, 1, 8, 8)
    >>> histogram_loss(x, x, bins=8).tolist()
    [0.0, 0.0, 0.0]
    """
    valid = valid_pixels(mask, input, target)
    pixels = valid.flatten(2).sum(2)
    difference = _weights(input, valid, bins, range).sum(2) - _weights(target, valid, bins, range).sum(2)
    if normalize == "probability":
        difference = difference / pixels[..., None]
    if distance == "emd":
        difference = difference.cumsum(2)
    histogram_term = (difference.square() if distance == "l2" else difference.abs()).mean(2)
    residual = torch.where(valid, input, 0) - torch.where(valid, target, 0)
    residual = residual.square() if spatial == "l2" else residual.abs()
    return (histogram_term + omega * residual.flatten(2).sum(2) / pixels).mean(1)


def joint_histogram(
    x: torch.Tensor,
    y: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    range_y: tuple[float, float] | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`sarcore.ops.joint_histogram`, as a product of two pixels x bins tensors.

    >>> joint_histogram(torch.zeros(1, 1, 3, 1), torch.ones(1, 1, 3, 1), bins=2).tolist()
    [[[[0.0, 3.0], [0.0, 0.0]]]]
    """
    valid = valid_pixels(mask, x, y)
    weights_x = _weights(x, valid, bins, range)
    return weights_x.transpose(2, 3) @ _weights(y, valid, bins, range_y or range)


def mutual_information(
    x: torch.Tensor,
    y: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    range_y: tuple[float, float] | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`sarcore.ops.mutual_information`, as the divergence of the joint distribution from the product of its marginals.

    >>> x = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1)
    >>> round(mutual_information(x, x, bins=2).item(), 4)
    0.6931
    """
    joint = joint_histogram(x, y, bins, range, range_y=range_y, mask=mask)
    p = joint / joint.sum((2, 3), keepdim=True)
    independent = p.sum(3, keepdim=True) * p.sum(2, keepdim=True)
    tiny = torch.finfo(p.dtype).tiny
    terms = p * (p.clamp_min(tiny) / independent.clamp_min(tiny)).log()
    return terms.sum((2, 3)).mean(1)


def _converted(x: torch.Tensor, unit: str, scale: str | None) -> torch.Tensor:
    """From one unit to another by way of the intensity."""
    if unit == scale:
        return x
    if unit == "complex":
        power = x.real**2 + x.imag**2
    else:
        power = {"intensity": lambda: x, "amplitude": lambda: x**2, "db": lambda: 10 ** (x / 10)}[unit]()
    return power if scale == "intensity" else power.sqrt() if scale == "amplitude" else 10 * power.log10()


def encode(x: torch.Tensor, radiometry: Radiometry) -> torch.Tensor:
    """`sarcore.ops.encode` of floating or complex x to floating values without a cast and without a refusal.

    >>> encode(torch.tensor([-30.0, -12.5]), Radiometry("db", -25, 0)).tolist()
    [0.0, 0.5]
    """
    s = _converted(x, radiometry.unit, radiometry.scale)
    t = ((s - radiometry.low) / (radiometry.high - radiometry.low)).clamp(0, 1)
    return t if radiometry.nodata is None else t.masked_fill(x == radiometry.nodata, float("nan"))


def decode(q: torch.Tensor, radiometry: Radiometry) -> torch.Tensor:
    """`sarcore.ops.decode` of floating q.

    >>> decode(torch.tensor([0.5]), Radiometry("db", -25, 0)).tolist()
    [-12.5]
    """
    s = radiometry.low + q * (radiometry.high - radiometry.low)
    x = _converted(s, radiometry.scale or "", radiometry.scale if radiometry.unit == "complex" else radiometry.unit)
    return x if radiometry.nodata is None else x.masked_fill(q.isnan(), radiometry.nodata)


def _weights_along(n: int, m: int, scale: float | None, mode: str, stretched: bool) -> torch.Tensor:
    """(m, n) float64: what each of n pixels adds to each of m results."""
    step = 1 / scale if scale else n / m
    j, pixels = torch.arange(m, dtype=torch.float64), torch.arange(n, dtype=torch.float64)
    center = (step * (j + 0.5))[:, None]
    if mode == "area":
        covered = (pixels < ((j + 1) * n / m).ceil()[:, None]) & (pixels >= (j * n / m).floor()[:, None])
        return covered.double() / covered.sum(1, keepdim=True)
    if mode.startswith("nearest"):
        chosen = (step * j if mode == "nearest" else center[:, 0]).floor().clamp(0, n - 1)
        return (pixels == chosen[:, None]).double()
    margin = 0 if stretched or mode == "lanczos" else 3
    reach = torch.arange(-margin, n + margin, dtype=torch.float64)
    u = ((reach + 0.5 - center) / (max(step, 1.0) if stretched else 1.0)).abs()
    a = -0.5 if stretched else -0.75
    near, far = ((a + 2) * u - (a + 3)) * u * u + 1, (((u - 5) * u + 8) * u - 4) * a
    weights = {
        "bilinear": (1 - u).clamp_min(0),
        "bicubic": torch.where(u < 1, near, torch.where(u < 2, far, 0.0)),
        "lanczos": torch.where(u < 3, torch.sinc(u) * torch.sinc(u / 3), 0.0),
    }[mode]
    if not margin:
        return weights / weights.sum(1, keepdim=True)
    return weights.new_zeros(m, n).index_add_(1, reach.long().clamp(0, n - 1), weights)


def resample(
    x: torch.Tensor,
    size: tuple[int, int],
    scale: tuple[float, float] | None = None,
    *,
    mode: str = "bicubic",
    antialias: bool = True,
    range: tuple[float, float] | None = None,
) -> torch.Tensor:
    """`sarcore.ops.resample` of floating or complex x to `size`, through dense matrices of weights in float64.

    >>> resample(torch.tensor([[[[0.0, 8.0]]]]), (1, 4), mode="bilinear").tolist()
    [[[[0.0, 2.0, 6.0, 8.0]]]]
    """
    height, width = x.shape[2:]
    stretched = antialias and (size[0] < height or size[1] < width) and mode in ("bilinear", "bicubic", "lanczos")
    down = _weights_along(height, size[0], scale[0] if scale else None, mode, stretched).to(x.dtype)
    across = _weights_along(width, size[1], scale[1] if scale else None, mode, stretched).to(x.dtype)
    result = down @ x @ across.T
    return result if range is None else result.clamp(*range)
