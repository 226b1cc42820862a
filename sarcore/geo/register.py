"""Lay an optical image on a SAR image of the same place, and say whether it worked.

1. Structure maps of both: edges by their orientation, whatever their sign (`sarcore.geo.structure`).
2. Every shift, rotation and scale within the limits, on images reduced to about 256 pixels (`sarcore.geo.search`), and
   the transform of AKAZE points if there is one (`sarcore.geo.features`).
3. The best places, each refined; the best of them refined again at every finer level (`sarcore.geo.refine`).
4. The judgement: how much better than the best other place, how many tiles on their own lie where the transform puts
   them, and how much more mutual information the grey values have there than around. Images that cannot be laid on each
   other have a best place too; only these figures tell.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from sarcore.geo.evidence import LEAST, Evidence
from sarcore.geo.features import PointMatches, match_points
from sarcore.geo.levels import Level, levels_of
from sarcore.geo.margins import margin
from sarcore.geo.matches import TileMatches, match_tiles
from sarcore.geo.refine import Information, refine
from sarcore.geo.search import Candidate, Limits, search
from sarcore.geo.similarity import (
    MODELS,
    Array,
    Model,
    at_level,
    decomposed,
    displacement,
    middles,
    rotation_degrees,
    scale_of,
    similarity,
)

SMALLEST_SIDE = 96  # px
_NARROW, _LEAST_SIGNIFICANCE = 192, 3.0  # px of a side below which tiles must agree, and by how many sigma
_ELSEWHERE = 12.0  # px of the coarse level, beyond which a place is another one
_SURROUNDINGS = Limits(32.0, 6.0, 1.3)  # with px of the coarse level: searched at least, for other places
_HUGE = 1e18
_ROOM = 0.75  # degrees, and per cent of scale, that are searched beyond the limits


@dataclasses.dataclass(frozen=True)
class Registration:
    """A transform from optical to SAR pixels (x, y), and the figures by which it was judged.

    Attributes:
        matrix: (2, 3); pixel centres are whole numbers.
        success: whether all limits are met; `reasons` names the ones that are not.
        confidence: all evidence in one number; 3 is needed. See `sarcore.geo.evidence`.
        agreement: of the structures at the coarse level, in units of chance.
        ratio: agreement found, over that of the best other place, which may lie beyond the limits. 1 is a toss-up.
        tiles, inliers: parts compared on their own, and those that lie within 2 px of where the transform puts them.
        rmse: of the inliers, in pixels.
        significance: of the number of inliers, in standard deviations of chance; 3 is needed below 192 px of a side.
        information, information_z: mutual information of the grey values in nats, and by how many standard deviations
            it exceeds that of 24 shifts of 16 to 24 px.
        point_matches, point_inliers: of AKAZE.
    """

    matrix: Array
    model: Model
    success: bool
    reasons: tuple[str, ...]
    confidence: float
    agreement: float
    ratio: float
    tiles: int
    inliers: int
    rmse: float
    significance: float
    information: float
    information_z: float
    point_matches: int
    point_inliers: int
    matches: TileMatches = dataclasses.field(repr=False, compare=False)

    @property
    def rotation(self) -> float:
        """Degrees, from x towards y."""
        return rotation_degrees(self.matrix)

    @property
    def scale(self) -> float:
        """SAR pixels per optical pixel."""
        return scale_of(self.matrix)

    def sentences(self) -> list[str]:
        """The figures in words."""
        shift = self.matrix[:, 2]
        error = "" if math.isnan(self.rmse) else f", rmse {self.rmse:.2f} px"
        return [
            f"{self.model}: rotation {self.rotation:.2f} degrees, scale {self.scale:.4f}, its upper left "
            f"corner moved by {shift[0]:.1f} columns and {shift[1]:.1f} rows",
            f"agreement {self.ratio:.2f} times that of the best other place; {self.inliers} of {self.tiles} tiles lie "
            f"within 2 px on their own ({self.significance:.1f} sigma{error}); mutual information "
            f"{self.information_z:.1f} sigma above that around; {self.point_inliers} AKAZE inliers",
            f"confidence {self.confidence:.1f} of the {LEAST:g} that are needed",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the matches, for JSON."""
        values = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "matches"
        }
        rmse = None if math.isnan(self.rmse) else self.rmse
        return {**values, "matrix": self.matrix.tolist(), "reasons": list(self.reasons), "rmse": rmse,
                "rotation": self.rotation, "scale": self.scale}  # fmt: skip


def register(
    sar: Array,
    optical: Array,
    *,
    model: Model = "similarity",
    max_shift: float = 64,
    max_rotation: float = 6,
    max_scale: float = 1.3,
    sar_mask: Array | None = None,
    optical_mask: Array | None = None,
) -> Registration:
    """Find the transform that lays an optical image on a SAR image of the same place, and judge it.

    >>> x = np.random.default_rng(0).random((24, 24)).repeat(8, 0).repeat(8, 1)
    >>> found = register(1 + x, 1 - np.roll(x, (5, -9), (0, 1)), model="shift", max_shift=16)
    >>> found.success, found.matrix.round().tolist()
    (True, [[1.0, 0.0, 9.0], [0.0, 1.0, -5.0]])

    Begins with the middles of the images on each other and one optical pixel as large as one SAR pixel.

    Args:
        sar: (H, W) or (C, H, W): amplitude, intensity or dB, any range; the magnitude of complex numbers is taken.
        optical: (H, W) or (C, H, W), any bands, range and size.
        model: shift; similarity (with rotation and scale); affine (begins with the similarity).
        max_shift: of the middle, in SAR pixels along either axis.
        max_rotation: in degrees; no more than 45.
        max_scale: s, of 1 / s to s; no more than 2.
        sar_mask, optical_mask: (H, W), True where a pixel is valid. NaN and what is beyond 1e18 are invalid; so are
            margins of one value, where both images have them.

    Returns:
        The transform and its figures. `success` False: no transform is to be trusted, this one neither.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.
    """
    images = _checked(sar, "sar"), _checked(optical, "optical")
    limits = _limits(model, max_shift, max_rotation, max_scale)
    masks = _mask(images[0], sar_mask, "sar_mask"), _mask(images[1], optical_mask, "optical_mask")
    masks = _without_margins(images, masks)
    levels = levels_of(*images, *masks)
    points, point_matrix = _points(levels, model)
    best, other = _places(levels[0], limits, model, point_matrix)
    matrix = best.matrix
    for coarser, level in zip([levels[0], *levels], levels, strict=False):
        matrix = at_level(matrix, level.factor / coarser.factor)
        step, within = (1.5 if level is levels[0] else 0.7), _beyond(limits, level)
        matrix, _ = refine(level.sar, level.optical, matrix, model=model, limits=within, step=step, tolerance=0.04)
    return _registration(levels, matrix, best.score, other, model, limits, points)


def _places(level: Level, limits: Limits, model: Model, proposed: Array | None) -> tuple[Candidate, float]:
    """The best place of the coarse level within the limits, and the agreement at the best that is elsewhere."""
    first: Model = "shift" if model == "shift" else "similarity"
    here = _beyond(limits, level)
    # With narrow limits too one has to see what agreement there is elsewhere, as far as where the ratio was weighed.
    within = here._replace(shift=max(here.shift, _SURROUNDINGS.shift))
    wide = Limits(*map(max, here, _SURROUNDINGS))
    searches = dict.fromkeys((within, wide))
    starts = [candidate.matrix for limits in searches for candidate in search(level.sar, level.optical, limits)]
    if proposed is not None:
        starts.append(proposed)
    refined = [
        Candidate(*refine(level.sar, level.optical, start, model=first, limits=wide, tolerance=0.2)) for start in starts
    ]
    refined.sort(key=lambda candidate: -candidate.score)
    size = level.optical.mask.shape
    inside = [x for x in refined if here.hold(*decomposed(x.matrix, level.sar.mask.shape, size))]
    nowhere = Candidate(similarity((0, 0), 0, 1, *middles(size, level.sar.mask.shape)), 0.0)
    best = inside[0] if inside else nowhere
    elsewhere = [x.score for x in refined if displacement(x.matrix, best.matrix, size) > _ELSEWHERE]
    return best, max(elsewhere, default=0.0)


def _points(levels: list[Level], model: Model) -> tuple[PointMatches, Array | None]:
    """AKAZE matches of the finest level of at most 1024 pixels, and their transform at the coarsest."""
    level = next(x for x in reversed(levels) if max(x.sar.mask.shape) <= 1024 or x is levels[0])
    grey = level.grey()
    points = match_points(*grey[:2], *grey[2:], model="shift" if model == "shift" else "similarity")
    if points.matrix is None:
        return points, None
    return points, at_level(points.matrix, levels[0].factor / level.factor)


def _registration(
    levels: list[Level], matrix: Array, score: float, other: float, model: Model, limits: Limits, points: PointMatches
) -> Registration:
    finest, coarsest = levels[-1], levels[0]
    tiles = match_tiles(finest.sar, finest.optical, matrix)
    sar, optical, sar_mask, optical_mask = coarsest.grey()
    grey = Information(sar, sar_mask, optical, optical_mask)
    information, above = grey.gain(at_level(matrix, coarsest.factor / finest.factor))
    judged = Evidence(score / other if other > 0 else 1.0, tiles.significance, above)
    shift, degrees, scale = decomposed(matrix, finest.sar.mask.shape, finest.optical.mask.shape)
    reasons = judged.reasons(shift * finest.factor, degrees, scale, limits)
    side = min(*finest.sar.mask.shape, *finest.optical.mask.shape)
    if side < _NARROW and tiles.significance < _LEAST_SIGNIFICANCE:  # the right place, and an end far from its own
        reasons += (
            f"the images are {side} px narrow, and tiles agree by {tiles.significance:.1f} sigma: it must be "
            f"{_LEAST_SIGNIFICANCE:g} where a side has less than {_NARROW}",
        )
    return Registration(
        matrix=at_level(matrix, 1 / finest.factor), model=model, success=not reasons, reasons=reasons,
        confidence=judged.confidence, agreement=score, ratio=judged.ratio, tiles=len(tiles.fixed),
        inliers=int(tiles.inliers.sum()), rmse=tiles.rmse * finest.factor, significance=tiles.significance,
        information=information, information_z=above, point_matches=len(points.fixed),
        point_inliers=int(points.inliers.sum()), matches=tiles.enlarged(finest.factor),
    )  # fmt: skip


def _beyond(limits: Limits, level: Level) -> Limits:
    """Limits at a level, with room beyond: what then is found there and not within has no place within."""
    rotation, scale = limits.rotation and limits.rotation + _ROOM, limits.scale
    return Limits(limits.shift / level.factor + 2, rotation, scale + 0.01 * _ROOM if scale > 1 else scale)


def _limits(model: Model, shift: float, rotation: float, scale: float) -> Limits:
    if model not in MODELS:
        raise ValueError(f"model is {model!r}; it must be one of {', '.join(MODELS)}")
    for name, value, low, high in (
        ("max_shift", shift, 1, 4096),
        ("max_rotation", rotation, 0, 45),
        ("max_scale", scale, 1, 2),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}; it must be from {low} to {high}")
    return Limits(shift, 0, 1) if model == "shift" else Limits(shift, rotation, scale)


def _checked(image: Array, name: str) -> Array:
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.dtype.kind not in "uifcb":
        raise TypeError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; it must be numbers (H, W) or (C, H, W)"
        )
    if min(array.shape[-2:]) < SMALLEST_SIDE:
        height, width = array.shape[-2:]
        raise ValueError(f"{name} has {height} x {width} pixels; it must have {SMALLEST_SIDE} at least on either side")
    real = np.abs(array) if array.dtype.kind == "c" else array
    with np.errstate(over="ignore"):
        pixels = (real if real.ndim == 3 else real[None]).astype(np.float32)
    # Larger ones are no-data values that the file does not declare, and their squares no numbers.
    return np.where(np.abs(pixels) < _HUGE, pixels, np.float32(np.nan))


def _mask(image: Array, mask: Array | None, name: str) -> Array:
    valid = np.asarray(np.isfinite(image).all(axis=0))
    if mask is not None:
        if np.shape(mask) != valid.shape:
            raise ValueError(f"{name} has shape {np.shape(mask)}; it must have the image's, {valid.shape}")
        valid &= np.asarray(mask).astype(bool)
    if valid.sum() < SMALLEST_SIDE**2:
        raise ValueError(f"{name} leaves {valid.sum()} valid pixels; there must be {SMALLEST_SIDE**2} at least")
    return valid


def _without_margins(images: tuple[Array, Array], masks: tuple[Array, Array]) -> tuple[Array, Array]:
    """The masks, without margins of one value: their edges lie on each other although the places are others.

    Where only one image has such a margin, its edge has nothing to lie on, and it may be a thing: water, or a cloud.
    """
    margins = margin(images[0], masks[0]), margin(images[1], masks[1])
    if not (margins[0].any() and margins[1].any()):
        return masks
    inner = masks[0] & ~margins[0], masks[1] & ~margins[1]
    for name, mask in zip(("sar", "optical"), inner, strict=True):
        if mask.sum() < SMALLEST_SIDE**2:
            raise ValueError(
                f"{name} has one value everywhere but in {mask.sum()} pixels; there must be {SMALLEST_SIDE**2} at least"
            )
    return inner
