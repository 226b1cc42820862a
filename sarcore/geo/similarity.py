"""2 x 3 matrices that take pixels (x, y) of one image to pixels of another: `shift`, `similarity` and `affine`."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Model = Literal["shift", "similarity", "affine"]
MODELS: tuple[Model, ...] = get_args(Model)


def similarity(
    shift: tuple[float, float] | Array, degrees: float, scale: float, centre_from: Array, centre_to: Array
) -> Array:
    """Turn and scale about one centre, which comes to lie at the other plus the shift.

    >>> similarity((3, 0), 90, 2, np.array([1, 1]), np.array([5, 5])).round(6).tolist()
    [[0.0, -2.0, 10.0], [2.0, 0.0, 3.0]]
    """
    t = math.radians(degrees)
    turn = scale * np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]])
    return np.column_stack([turn, np.asarray(centre_to) + np.asarray(shift) - turn @ np.asarray(centre_from)])


def compose(second: Array, first: Array) -> Array:
    """The matrix that does `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def inverse(matrix: Array) -> Array:
    """The matrix of the way back."""
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


def at_level(matrix: Array, factor: float) -> Array:
    """A matrix between two images for the same images with pixels `factor` times as large.

    Pixel centres are whole numbers, so that the middle of the first 2 x 2 pixels, (0.5, 0.5), becomes (0, 0).
    """
    half = (factor - 1) / 2
    result = np.array(matrix, dtype=float)
    result[:, 2] = (matrix[:, :2] @ np.array([half, half]) + matrix[:, 2] - half) / factor
    return result


def apply(matrix: Array, points: Array) -> Array:
    """Points (N, 2) after the matrix."""
    result: Array = points @ matrix[:, :2].T + matrix[:, 2]
    return result


def displacement(matrix: Array, other: Array, size: tuple[int, int]) -> float:
    """Mean distance in pixels between where two matrices take a grid of points over an image of (height, width).

    >>> displacement(np.eye(2, 3), np.array([[1, 0, 3], [0, 1, 4]]), (10, 10))
    5.0
    """
    x, y = np.meshgrid(np.linspace(0, size[1] - 1, 9), np.linspace(0, size[0] - 1, 9))
    points = np.column_stack([x.ravel(), y.ravel()])
    return float(np.hypot(*(apply(matrix, points) - apply(other, points)).T).mean())


def rotation_degrees(matrix: Array) -> float:
    """Angle of the rotation nearest to the matrix."""
    return math.degrees(math.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]))


def scale_of(matrix: Array) -> float:
    """Square root of the area to which the matrix takes a pixel."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def middles(size_from: tuple[int, ...], size_to: tuple[int, ...]) -> tuple[Array, Array]:
    """Middles (x, y) of two images of (height, width)."""
    return (np.array(size_from[::-1]) - 1) / 2, (np.array(size_to[::-1]) - 1) / 2


def decomposed(matrix: Array, fixed: tuple[int, ...], moving: tuple[int, ...]) -> tuple[Array, float, float]:
    """Shift of the middle of the moving image from that of the fixed one, rotation in degrees, and scale."""
    moving_middle, fixed_middle = middles(moving, fixed)
    shift = matrix[:, :2] @ moving_middle + matrix[:, 2] - fixed_middle
    return shift, rotation_degrees(matrix), scale_of(matrix)
