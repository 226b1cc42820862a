"""Where in all shifts, rotations and scales two structure maps agree: correlations by the Fourier transform."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sarcore.geo.similarity import Array, displacement, similarity
from sarcore.geo.structure import Structure

if TYPE_CHECKING:
    import torch

SMALLEST_OVERLAP = 0.3  # of what the smaller of the two images has that is valid
_STEP = 2.0  # px, between neighbouring candidates at 0.35 of the image's side: less than the width of a peak
_PEAKS = 2  # of every rotation and scale
_WIDTH = 4  # px, half the side of the square that a peak takes
_KEEP, _APART = 8, 8.0  # places that are refined, and the mean displacement in pixels between them
_OTHERS, _FAR = 3, 24.0  # places so far from the best that no refinement leads to it
_COARSER = 4  # pixels, whose overlap is computed as one


class Limits(NamedTuple):
    """What is searched: shifts of the middle in pixels along either axis, rotation in degrees, scale 1 / s to s."""

    shift: float
    rotation: float = 6.0
    scale: float = 1.3

    def hold(self, shift: Array, degrees: float, scale: float) -> bool:
        """Whether a transform is within."""
        turned = abs(degrees) <= self.rotation + 1e-9
        scaled = abs(math.log(scale)) <= math.log(self.scale) + 1e-9
        return turned and scaled and float(np.abs(shift).max()) <= self.shift + 1e-9


class Candidate(NamedTuple):
    """A transform from the moving image to the fixed one, and the correlation there."""

    matrix: Array
    score: float


def search(fixed: Structure, moving: Structure, limits: Limits) -> list[Candidate]:
    """The transforms with the largest correlations, best first: eight places, and three that are surely others.

    The score of a transform is sum Re(conj(fixed) moving) / sqrt(n) over the n valid pixels of the overlap: chance
    correlations of fields that are the same everywhere have one variance, whatever the overlap.

    Args:
        fixed, moving: maps of any two sizes, whose middles lie about on each other.
        limits: in pixels of the maps.
    """
    import torch

    height, width = fixed.mask.shape
    correlations = _Correlations(fixed, moving, math.ceil(limits.shift))
    radius = 0.35 * max(height, width)
    rotations = _grid(limits.rotation, math.degrees(_STEP / radius))
    scales = np.exp(_grid(math.log(limits.scale), _STEP / radius))
    found: list[Candidate] = []
    with torch.no_grad():
        for degrees in rotations:
            for scale in scales:
                found += correlations.peaks(float(degrees), float(scale))
    found.sort(key=lambda candidate: -candidate.score)
    size = moving.mask.shape
    places = _distinct(found, size, _KEEP, _APART)
    others = [x for x in found if places and displacement(x.matrix, places[0].matrix, size) > _FAR]
    chosen = places + [x for x in _distinct(others, size, _OTHERS, _FAR) if all(x is not place for place in places)]
    return sorted(chosen, key=lambda candidate: -candidate.score)


def _distinct(candidates: list[Candidate], size: tuple[int, int], count: int, apart: float) -> list[Candidate]:
    """The first candidates of which none is within `apart` pixels of one before."""
    chosen: list[Candidate] = []
    for candidate in candidates:
        if all(displacement(candidate.matrix, other.matrix, size) > apart for other in chosen):
            chosen.append(candidate)
        if len(chosen) == count:
            break
    return chosen


def _grid(limit: float, step: float) -> Array:
    """Values from -limit to limit, about `step` apart, 0 among them."""
    count = math.ceil(limit / step - 1e-9)
    return np.linspace(-limit, limit, 2 * count + 1)


class _Correlations:
    """Correlation over all shifts, with the transforms of the fixed map done once."""

    def __init__(self, fixed: Structure, moving: Structure, reach: int) -> None:
        self.moving, self.reach = moving, reach
        self.height, self.width = fixed.mask.shape
        self.field = _transform(fixed.field, self._padded(self.height, reach), self._padded(self.width, reach))
        # The overlap changes slowly with the shift: pixels four times as large tell it.
        self.few = math.ceil(reach / _COARSER) + 1
        self.small_size = math.ceil(self.height / _COARSER), math.ceil(self.width / _COARSER)
        self.small = self._real(self._reduced(fixed.mask, np.eye(2, 3), self.small_size))
        self.smallest = SMALLEST_OVERLAP * min(float(fixed.mask.sum()), float(moving.mask.sum()))

    def peaks(self, degrees: float, scale: float) -> list[Candidate]:
        """The best shifts of one rotation and scale."""
        import cv2

        reach = self.reach
        fixed_middle = (np.array([self.width, self.height]) - 1) / 2
        moving_middle = (np.array(self.moving.mask.shape[::-1]) - 1) / 2
        drawn = similarity((reach, reach), degrees, scale, moving_middle, fixed_middle)
        size = (self.width + 2 * reach, self.height + 2 * reach)
        field = cv2.warpAffine(self.moving.field, drawn, size, flags=cv2.INTER_LINEAR)
        overlap = self._overlap(similarity((0, 0), degrees, scale, moving_middle, fixed_middle))
        score = np.where(overlap >= self.smallest, self._product(field, degrees) / np.sqrt(np.maximum(overlap, 1)), 0)
        found = []
        for _ in range(_PEAKS):
            y, x = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
            if score[y, x] <= 0:
                break
            shift = (x - reach, y - reach)
            matrix = similarity(shift, degrees, scale, moving_middle, fixed_middle)
            found.append(Candidate(matrix, float(score[y, x])))
            score[max(0, y - _WIDTH) : y + _WIDTH + 1, max(0, x - _WIDTH) : x + _WIDTH + 1] = 0
        return found

    def _product(self, field: Array, degrees: float) -> Array:
        """Real part of the correlation, for the shifts -reach to reach along either axis."""
        import torch

        moved = _transform(field, *self.field.shape)
        sums = _corner(torch.fft.ifft2(self.field * moved.conj()), 2 * self.reach)
        t = math.radians(2 * degrees)  # the angles of the edges turn with the image
        real: Array = (sums.real * math.cos(t) + sums.imag * math.sin(t)).numpy()
        return real

    def _overlap(self, matrix: Array) -> Array:
        """Valid pixels that both images have, for the same shifts."""
        import cv2
        import torch

        placed = matrix.copy()
        placed[:, 2] += _COARSER * self.few
        size = self.small_size[0] + 2 * self.few, self.small_size[1] + 2 * self.few
        moved = self._real(self._reduced(self.moving.mask, placed, size))
        padded = self._padded(self.small_size[0], self.few), self._padded(self.small_size[1], self.few)
        sums = _corner(torch.fft.irfft2(self.small * moved.conj(), s=padded), 2 * self.few).numpy()
        side, start = 2 * self.reach + 1, self.few - self.reach / _COARSER
        to = np.array([[1 / _COARSER, 0, start], [0, 1 / _COARSER, start]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found: Array = cv2.warpAffine(sums * _COARSER**2, to, (side, side), flags=flags)
        return found

    def _real(self, mask: Array) -> torch.Tensor:
        import torch

        size = self._padded(self.small_size[0], self.few), self._padded(self.small_size[1], self.few)
        transform: torch.Tensor = torch.fft.rfft2(torch.from_numpy(mask), s=size)
        return transform

    @staticmethod
    def _padded(side: int, reach: int) -> int:
        """Circular sums of this length mix no two shifts within the reach."""
        import cv2

        return int(cv2.getOptimalDFTSize(side + 2 * reach))

    @staticmethod
    def _reduced(mask: Array, matrix: Array, size: tuple[int, int]) -> Array:
        """A mask after a matrix, on pixels four times as large."""
        import cv2

        reduced: Array = cv2.warpAffine(mask, _shrunk(matrix), size[::-1], flags=cv2.INTER_LINEAR)
        return reduced


def _shrunk(matrix: Array) -> Array:
    """The matrix to pixels four times as large, from pixels as they are."""
    result = np.array(matrix, dtype=float) / _COARSER
    result[:, 2] -= 0.5 - 0.5 / _COARSER
    return result


def _corner(sums: torch.Tensor, reach: int) -> torch.Tensor:
    """The shifts from -reach to 0 along both axes."""
    import torch

    rows = torch.cat([sums[-reach:], sums[:1]])
    return torch.cat([rows[:, -reach:], rows[:, :1]], dim=1)


def _transform(field: Array, height: int, width: int) -> torch.Tensor:
    import torch

    numbers = torch.view_as_complex(torch.from_numpy(np.ascontiguousarray(field)))
    transform: torch.Tensor = torch.fft.fft2(numbers, s=(height, width))
    return transform
