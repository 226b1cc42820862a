"""The speckle of a set of images: its looks and its point spread, from their most homogeneous parts.

An image is cut into cells, and 2 x 2 cells make a region. Of every cell the surface of second degree that fits its
intensities best is taken off, and what is left, over the cell's mean, has a variance and covariances with its
neighbours. Texture and edges can only raise the variance. The regions are chosen by two cells that lie across, and the
other two tell what speckle is there; then the other way round. So the choice of quiet regions does not make their
speckle quieter, as that of the highest number of looks does.

A surface fitted to correlated speckle takes part of it, and neighbours lose correlation. For a point spread how much
is known exactly: the covariance matrix of a cell is that of the speckle with the surfaces projected out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sarcore.ops import _checks, _radar
from sarcore.ops.point_spread import point_spread

LAGS = 3
LEAST_REGIONS = 8
_CELL = 16  # pixels; the longest point spread that such cells tell is 6 pixels
REGION = 2 * _CELL
_SMALLEST_CELL = 6
_SHARE, _ENOUGH = 0.03, 25  # of the regions that are taken, and how many at least
_LONGEST, _SHORTEST = 6.0, 1.1  # of what is told; shorter ones correlate neighbours by less than 4 %
_AT_ONCE = 1 << 21  # pixels
_REACH = 3.0  # standard deviations of speckle that must lie within the limits


@dataclass(frozen=True)
class SpeckleEstimate:
    """What `estimate_speckle` finds."""

    looks: float
    """Number of looks: one over the variance of unit-mean speckle."""
    oversampling: float
    """Of the gaussian `sarcore.ops.point_spread` alike along both axes, pixels; 0 is speckle without correlation."""
    oversampling_axes: tuple[float, float]
    """Those along y and along x."""
    correlation: tuple[tuple[float, ...], tuple[float, ...]]
    """Of intensities at lags 1, 2, 3 along y and along x, in the cells less their surfaces (which lowers them)."""
    expected: tuple[tuple[float, ...], tuple[float, ...]]
    """What such cells show of that gaussian point spread: beside `correlation` it tells how well it fits."""
    regions: int
    """How many regions were taken."""
    of_regions: int
    """How many there were."""


def estimate_speckle(
    images: Tensor,
    *,
    domain: str = "intensity",
    mask: Tensor | None = None,
    limits: tuple[float, float] | None = None,
) -> SpeckleEstimate:
    """Looks and point spread of the speckle in images, from the most homogeneous 3 % of them.

    >>> from sarcore.ops import speckle
    >>> found = estimate_speckle(speckle(torch.ones(4, 1, 160, 160), 4.0, seed=0, psf=("gaussian", 2.0)))
    >>> round(found.looks), round(found.oversampling)
    (4, 2)

    With u the residuals of a cell over its mean, c(d) = mean u[i] u[i + d] over the cells that are taken, and k(d; s)
    the same of unit-variance speckle of the gaussian point spread of s pixels,

        s = argmin sum over d = 1, 2, 3 along y and x of (c(d) / c(0) - k(d; s) / k(0; s))^2,  looks = k(0; s) / c(0)

    less the mean correlation of a cell's pixels, by which its own mean lowers c. Cells are 16 x 16 pixels, of images
    below 32 half a side.

    In speckle over a constant, and where 3 % of the regions are homogeneous, expect looks within 5 % and s within
    5 %; long point spreads give a few too many looks (the two halves of a region share some speckle: 3 % for 3 pixels,
    10 % for single looks of 4 pixels). Texture as fine as the
    resolution looks like speckle: where it is everywhere, as over towns, looks come out too few (by 40 % for
    settlements at 10 m) and s too long.

    Args:
        images: (N, C, H, W), floating, of one sensor, in the unit of `domain`; sides of 12 pixels or more.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``; looks and correlations are always those of intensities.
        mask: bool, broadcastable, True where a pixel counts. Cells with other pixels, NaN or zeros are left out.
        limits: (low, high) where the images were clipped, in the unit of `domain`: cells that reach them, or whose
            speckle would be expected to, are left out.

    Raises:
        ValueError: fewer than 8 regions without such pixels; images that are constant, or negative; an unknown domain.
        TypeError: images that are not floating, or no boolean mask.

    Source: the covariance of smoothed speckle is after Oliver and Quegan, Understanding Synthetic Aperture Radar
    Images, 1998, section 4.4; Foucher, Boucher and Benie, MIKON 2000, take the looks from local ones.
    """
    domain = _checks.choice(domain, _radar.DOMAINS, "domain")
    x = _checks.floating_images(images, "images").detach()
    side = min(_CELL, min(x.shape[2:]) // 2)
    if side < _SMALLEST_CELL:
        raise ValueError(f"images must be 12 x 12 pixels or larger, got {_checks.describe(x)}; declare the looks")
    surfaces = _surfaces(side)
    means, moments = _regions(x, domain, _checks.mask_of(mask, x), limits, surfaces)
    _check_count(len(means), side)
    found = _fitted(moments, surfaces)
    if limits is None:
        return found
    clear = _clear_of(limits, means, domain, found.looks)
    _check_count(int(clear.sum()), side)
    return _fitted(moments[clear], surfaces)


def _check_count(regions: int, side: int) -> None:
    if regions < LEAST_REGIONS:
        raise ValueError(
            f"images must have at least {LEAST_REGIONS} regions of {2 * side} x {2 * side} valid pixels that are not "
            f"clipped and not constant, got {regions}; declare the looks"
        )


def _surfaces(side: int) -> Tensor:
    """Orthonormal columns (side^2, 6) that span the surfaces of second degree."""
    t = torch.linspace(-1, 1, side, dtype=torch.float64)
    y, x = torch.meshgrid(t, t, indexing="ij")
    columns = [y**i * x**j for i in range(3) for j in range(3 - i)]
    basis: Tensor = torch.linalg.qr(torch.stack([c.flatten() for c in columns], 1))[0]
    return basis


def _regions(
    x: Tensor, domain: str, mask: Tensor | None, limits: tuple[float, float] | None, surfaces: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each region of valid cells: their mean intensities (n, 2, 2) and their moments (n, 2, 2, 1 + 2 LAGS)."""
    valid = _radar.valid_pixels(x, mask, domain)
    if limits is not None:
        valid = valid & (x > limits[0]) & (x < limits[1])
    found = []
    chunk = max(1, _AT_ONCE // (x.shape[2] * x.shape[3]))
    planes, known = x.flatten(0, 1).split(chunk), valid.flatten(0, 1).split(chunk)
    for values, counts in zip(planes, known, strict=True):
        intensity = _radar.to_intensity(torch.where(counts, values, torch.nan).double(), domain)
        found.append(_moments(torch.where(intensity > 0, intensity, torch.nan), surfaces.to(x.device)))
    means, moments = (torch.cat(parts) for parts in zip(*found, strict=True))
    whole = moments.isfinite().flatten(1).all(1) & (moments[..., 0] > 1e-12).flatten(1).all(1)
    return means[whole].cpu(), moments[whole].cpu()


def _moments(intensity: Tensor, surfaces: Tensor) -> tuple[Tensor, Tensor]:
    """Means and moments of the regions of planes (n, H, W); NaN where a pixel does not count."""
    side = math.isqrt(surfaces.shape[0])
    rows, columns = (length // (2 * side) for length in intensity.shape[1:])
    cut = intensity[:, : 2 * side * rows, : 2 * side * columns].reshape(-1, rows, 2, side, columns, 2, side)
    cells = cut.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, 2, 2, side * side)
    means = cells.mean(-1)
    u = cells / means[..., None]
    u = (u - (u @ surfaces) @ surfaces.T).reshape(-1, 2, 2, side, side)
    moments = [u.square().mean((-2, -1))]
    moments += [(u[..., lag:, :] * u[..., :-lag, :]).mean((-2, -1)) for lag in range(1, LAGS + 1)]
    moments += [(u[..., lag:] * u[..., :-lag]).mean((-2, -1)) for lag in range(1, LAGS + 1)]
    return means, torch.stack(moments, -1)


def _clear_of(limits: tuple[float, float], means: Tensor, domain: str, looks: float) -> Tensor:
    """Which regions have no speckle at the limits to speak of: 3 deviations of it are within (Wilson and Hilferty)."""
    low, high = _radar.to_intensity(torch.tensor(limits, dtype=torch.float64), domain).tolist()
    least, most = (max(0.0, 1 - 1 / (9 * looks) + z / (3 * looks**0.5)) ** 3 for z in (-_REACH, _REACH))
    cells = means.flatten(1)
    clear: Tensor = (cells.amax(1) * most < high) & (cells.amin(1) * least >= low)
    return clear


def _fitted(moments: Tensor, surfaces: Tensor) -> SpeckleEstimate:
    quiet = _quiet(moments)
    mean = quiet.mean(0)
    shown = mean[1:] / mean[0]

    def misfit(along_y: float, along_x: float) -> float:
        expected = _expected(along_y, along_x, surfaces)[0]
        return float((expected[1:] / expected[0] - shown).square().sum())

    both = _shortest_misfit(lambda s: misfit(s, s))
    along_y = along_x = both
    for _ in range(2):  # one axis is hardly felt on the other
        along_y = _shortest_misfit(lambda s, other=along_x: misfit(s, other))  # type: ignore[misc]
        along_x = _shortest_misfit(lambda s, other=along_y: misfit(other, s))  # type: ignore[misc]
    expected, own_mean = _expected(both, both, surfaces)
    named = (expected[1:] / expected[0]).tolist()
    seen = shown.tolist()
    return SpeckleEstimate(
        looks=max(float(expected[0] / mean[0]) - own_mean, 1e-3),
        oversampling=both,
        oversampling_axes=(along_y, along_x),
        correlation=(tuple(seen[:LAGS]), tuple(seen[LAGS:])),
        expected=(tuple(named[:LAGS]), tuple(named[LAGS:])),
        regions=len(quiet) // 2,
        of_regions=len(moments),
    )


def _quiet(moments: Tensor) -> Tensor:
    """Moments of two cells each of the quietest regions, as the other two cells tell them; without outliers."""
    halves = (moments[:, 0, 0] + moments[:, 1, 1]) / 2, (moments[:, 0, 1] + moments[:, 1, 0]) / 2
    count = min(max(round(_SHARE * len(moments)), _ENOUGH), max(2, len(moments) // 2))
    chosen = torch.cat([here[there[:, 0].argsort()[:count]] for here, there in (halves, halves[::-1])])
    # A region that is quiet in one half may have an edge in the other.
    residual = chosen[:, 0] - chosen[:, 0].median()
    kept = residual.abs() <= 3 * 1.4826 * residual.abs().median()
    return chosen[kept]


def _shortest_misfit(misfit: Callable[[float], float]) -> float:
    """The point spread of the least misfit by golden section, 0 where none fits as well."""
    ratio = (5**0.5 - 1) / 2
    low, high = 1.0, _LONGEST
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [misfit(s) for s in inner]
    while high - low > 1e-3:
        if values[0] < values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = misfit(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = misfit(inner[1])
    s = (low + high) / 2
    return 0.0 if s < _SHORTEST or misfit(0.0) <= misfit(s) else s


def _expected(along_y: float, along_x: float, surfaces: Tensor) -> tuple[Tensor, float]:
    """Moments of a cell of unit-variance speckle, and the mean correlation of its pixels.

    With S the correlation matrix of the pixels and Q the surfaces, P = 1 - Q Q', the residuals have the covariance
    P S P = S - Q (S Q)' - (S Q) Q' + Q (Q' S Q) Q'.
    """
    side = math.isqrt(surfaces.shape[0])
    rows, columns = _correlations(along_y, side), _correlations(along_x, side)
    q = surfaces.reshape(side, side, -1)
    sq = torch.einsum("ik,jl,klm->ijm", rows, columns, q)
    core = torch.einsum("ijm,ijn->mn", q, sq)
    other = sq - (q @ core) / 2  # so that Q other' + other Q' is what the surfaces take

    def at(dy: int, dx: int) -> Tensor:
        h, w = side - dy, side - dx
        taken = q[dy:, dx:] * other[:h, :w] + other[dy:, dx:] * q[:h, :w]
        return rows[0, dy] * columns[0, dx] - taken.sum() / (h * w)

    lags = [(0, 0), *((lag, 0) for lag in range(1, LAGS + 1)), *((0, lag) for lag in range(1, LAGS + 1))]
    return torch.stack([at(*lag) for lag in lags]), float(rows.mean() * columns.mean())


def _correlations(s: float, side: int) -> Tensor:
    """Correlation (side, side) of the intensities along one axis, for a gaussian point spread of s pixels."""
    lags = torch.zeros(side, dtype=torch.float64)
    lags[0] = 1.0
    if s:
        taps = point_spread("gaussian", s)  # of unit energy
        for lag in range(1, min(side, len(taps))):
            lags[lag] = (taps[lag:] * taps[:-lag]).sum().square()
    places = torch.arange(side)
    matrix: Tensor = lags[(places[:, None] - places[None]).abs()]
    return matrix
