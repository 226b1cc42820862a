"""Simulated scenes, part 1: ground maps, noise fields, and their projection into a side-looking radar image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

INCIDENCE = np.deg2rad(38.0)  # the radar looks from the left, this far from the vertical
_WALL_SAMPLES = 4


@dataclass
class Ground:
    """What stands on every ground pixel: height in pixels, backscatter, and how strongly its walls double-bounce."""

    height: Floats
    sigma: Floats
    facade: Floats

    @classmethod
    def flat(cls, n: int, sigma: float | Floats) -> Ground:
        return cls(np.zeros((n, n)), np.zeros((n, n)) + sigma, np.zeros((n, n)))

    def put(self, where: Bools, height: Floats | float, sigma: Floats | float, facade: Floats | float = 0.0) -> None:
        """Place objects of a height, a backscatter and a wall strength on the pixels ``where``."""
        for field, value in ((self.height, height), (self.sigma, sigma), (self.facade, facade)):
            field[where] = value[where] if isinstance(value, np.ndarray) else value


def project(ground: Ground, rng: np.random.Generator) -> Floats:
    """Radar image (intensity in ground range) of a ground map, seen from the left at the incidence angle.

    A point of height z moves ``z / tan(incidence)`` towards the radar (layover, foreshortening), and is dark where a
    nearer point hides it: the running maximum of ``x + z tan(incidence)`` along range exceeds its own (shadow). A wall
    that faces the radar adds its own return over its layover and a double-bounce line at its foot, weaker the more it
    is turned away (cos^4) and broken by windows, gates and bushes (``rng``).
    """
    height, sigma = ground.height, ground.sigma
    n_rows, n_cols = height.shape
    towards, away = 1 / np.tan(INCIDENCE), np.tan(INCIDENCE)
    columns = np.broadcast_to(np.arange(n_cols, dtype=np.float64), height.shape)
    reach = columns + height * away
    lit = reach >= np.maximum.accumulate(reach, axis=1) - 1e-6
    image = _splat(sigma * lit, columns - height * towards)

    rows, cols = np.nonzero((np.diff(height, axis=1) > 0.3) & (ground.facade[:, 1:] > 0) & lit[:, :-1])
    foot, top = height[rows, cols], height[rows, cols + 1]
    detail = np.exp(0.7 * noise(n_rows, 2.5, rng))[rows, cols]
    strength = ground.facade[rows, cols + 1] * (top - foot) * _facing(height)[rows, cols] * detail
    _add(image, rows, cols - foot * towards, strength)  # ground and wall form a corner: all its returns have one range
    for k in range(_WALL_SAMPLES):
        z = foot + (top - foot) * (k + 0.5) / _WALL_SAMPLES
        _add(image, rows, cols + 1 - z * towards, 0.08 * strength / _WALL_SAMPLES)
    return blur(image, 1)


def _facing(height: Floats) -> Floats:
    """cos^4 of the angle between the radar's look direction and the uphill direction, 0 on far sides."""
    down, across = np.gradient(blur(height, 2))
    cosine: Floats = np.clip(across, 0, None) / (np.hypot(down, across) + 1e-9)
    return cosine**4


def _splat(energy: Floats, columns: Floats) -> Floats:
    image = np.zeros_like(energy)
    rows = np.broadcast_to(np.arange(energy.shape[0])[:, None], energy.shape)
    keep = energy > 0
    _add(image, rows[keep], columns[keep], energy[keep])
    return image


def _add(image: Floats, rows: Ints, columns: Floats, energy: Floats) -> None:
    """Add energy at fractional columns, shared linearly by the two nearest pixels."""
    n_rows, n_cols = image.shape
    left = np.floor(columns).astype(np.int64)
    share = columns - left
    for cols, part in ((left, 1 - share), (left + 1, share)):
        ok = (cols >= 0) & (cols < n_cols)
        flat = np.bincount(rows[ok] * n_cols + cols[ok], weights=(energy * part)[ok], minlength=image.size)
        image += flat.reshape(n_rows, n_cols)


def blur(image: Floats, passes: int) -> Floats:
    """Binomial (1, 2, 1) / 4 smoothing along both axes: the width of the radar's impulse response."""
    for _ in range(passes):
        for axis in (0, 1):
            padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            first, last = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
            image = 0.5 * image + 0.25 * (first + last)
    return image


def noise(n: int, cell: float, rng: np.random.Generator, octaves: int = 1, stretch: float = 1.0) -> Floats:
    """Smooth random field (n, n), mean 0, standard deviation 1, details of ``cell`` pixels (times ``stretch`` in x)."""
    total = np.zeros((n, n))
    for octave in range(octaves):
        size_y, size_x = max(cell / 2**octave, 1.5), max(cell * stretch / 2**octave, 1.5)
        lattice = rng.standard_normal((int(n / size_y) + 4, int(n / size_x) + 4))
        rows = _interpolate(lattice, n, size_y, rng.random())
        total += 0.55**octave * _interpolate(rows.T, n, size_x, rng.random()).T
    spread = total.std()
    field: Floats = (total - total.mean()) / (spread if spread > 0 else 1.0)
    return field


def _interpolate(lattice: Floats, n: int, cell: float, offset: float) -> Floats:
    position = np.arange(n) / cell + offset
    left = position.astype(np.int64)
    t = position - left
    t = (t * t * (3 - 2 * t))[:, None]
    return lattice[left] * (1 - t) + lattice[left + 1] * t


def rotated_axes(n: int, angle: float) -> tuple[Floats, Floats]:
    """Coordinates (u, v) in pixels of an n x n map about its centre, turned by ``angle`` (radians)."""
    x = np.arange(n) - n / 2.0
    y = x[:, None]
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def cells(
    coordinate: Floats, low: float, high: float, rng: np.random.Generator, rows: Ints | None = None
) -> tuple[Ints, Floats, Floats]:
    """Irregular intervals of width U(low, high) along a coordinate: index, distance to the near end, to the far end.

    With ``rows``, every row index has its own shift of the interval ends, so that neighbours do not line up.
    """
    reach = float(np.abs(coordinate).max()) + 2 * high
    if rows is not None:
        coordinate = coordinate + rng.uniform(-high, high, int(rows.max()) + 1)[rows]
    ends = -reach + np.cumsum(rng.uniform(low, high, int(2 * reach / low) + 3))
    index = np.searchsorted(ends, coordinate.ravel(), side="right").reshape(coordinate.shape)
    index = np.clip(index, 1, len(ends) - 1)
    return index.astype(np.int64), coordinate - ends[index - 1], ends[index] - coordinate


def pick(values: Floats, *indices: Ints) -> Floats:
    """One random value per cell: look-up in a table, cell numbers taken modulo the table."""
    chosen: Floats = values[tuple(i % s for i, s in zip(indices, values.shape, strict=True))]
    return chosen


def crowns(n: int, spacing: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Tree crowns on a jittered lattice: a dome height (0 to about 1) per pixel and a random number per tree."""
    m = int(n / spacing) + 3
    centres = np.mgrid[0:m, 0:m] + rng.random((2, m, m))
    tall, tone = rng.uniform(0.45, 1.0, (m, m)), rng.random((m, m))
    position = np.arange(n) / spacing + 1
    cell = position.astype(np.int64)
    y, x = position[:, None], position[None, :]
    best, winner = np.zeros((n, n)), np.zeros((n, n), dtype=np.int64)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            tree = ((cell + i) * m)[:, None] + (cell + j)[None, :]
            dome = tall.take(tree) - ((y - centres[0].take(tree)) ** 2 + (x - centres[1].take(tree)) ** 2) / 0.6
            winner = np.where(dome > best, tree, winner)
            np.maximum(best, dome, out=best)
    return best, tone.take(winner)
