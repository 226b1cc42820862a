"""The simplex method of Nelder and Mead: a minimum without derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sarcore.geo.similarity import Array


def minimise(
    function: Callable[[Array], float], start: Array, step: float, *, tolerance: float, evaluations: int
) -> tuple[Array, float]:
    """A local minimum near the start, and the value there.

    >>> bowl = lambda p: float(((p - [1, -2]) ** 2).sum())
    >>> x, value = minimise(bowl, np.zeros(2), 1.0, tolerance=1e-4, evaluations=200)
    >>> x.round(3).tolist(), round(value, 5)
    ([1.0, -2.0], 0.0)

    Args:
        function: of a vector (n,).
        start: (n,), in units in which all components matter alike.
        step: first distance of the trial points, in those units.
        tolerance: size of the simplex at which the search ends.
        evaluations: of the function, at most (but for the few of the step begun).

    Source: Nelder and Mead, The Computer Journal 7(4), 1965.
    """
    points = np.vstack([start, start + step * np.eye(len(start))])
    values = np.array([function(point) for point in points])
    done = len(points)
    while done < evaluations and np.abs(points[1:] - points[0]).max() > tolerance:
        order = np.argsort(values, kind="stable")
        points, values = points[order], values[order]
        centre = points[:-1].mean(axis=0)
        trial = 2 * centre - points[-1]
        value = function(trial)
        done += 1
        if value < values[0]:
            beyond = 2 * trial - centre
            further = function(beyond)
            done += 1
            points[-1], values[-1] = (beyond, further) if further < value else (trial, value)
        elif value < values[-2]:
            points[-1], values[-1] = trial, value
        else:
            better, worse = (trial, value) if value < values[-1] else (points[-1].copy(), values[-1])
            inside = (centre + better) / 2
            nearer = function(inside)
            done += 1
            if nearer < worse:
                points[-1], values[-1] = inside, nearer
            else:
                points[1:] = (points[0] + points[1:]) / 2
                values[1:] = [function(point) for point in points[1:]]
                done += len(points) - 1
    best = int(values.argmin())
    return points[best], float(values[best])
