"""The speckle filters in float64 NumPy, pixel by pixel from the formulas of the papers: the oracle of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

TO_INTENSITY = {
    "intensity": lambda x: x,
    "amplitude": lambda x: x**2,
    "db": lambda x: 10 ** (x / 10),
    "log": np.exp,
}
FROM_INTENSITY = {
    "intensity": lambda i: i,
    "amplitude": np.sqrt,
    "db": lambda i: 10 * np.log10(i),
    "log": np.log,
}


def windows(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, size, size): the neighbourhood of every pixel, reflected without repeating the edge."""
    padded = np.pad(image, size // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size))


def moments(x: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Mean and population variance of the valid values."""
    values = x[valid]
    return float(values.mean()), float(values.var())


def lee(x: float, m: float, v: float, looks: float) -> float:
    """Lee 1980: the minimum mean square error of x = m + W (x - m) for multiplicative noise of variance 1 / looks."""
    return m if v == 0 else m + max(0.0, 1 - (1 / looks) * m**2 / v) * (x - m)


def kuan(x: float, m: float, v: float, looks: float) -> float:
    return m if v == 0 else m + max(0.0, (1 - (1 / looks) * m**2 / v) / (1 + 1 / looks)) * (x - m)


def enhanced_lee(x: float, m: float, v: float, looks: float, damping: float) -> float:
    cu, ci, top = looks**-0.5, np.sqrt(v) / m if m else 0.0, np.sqrt(1 + 2 / looks)
    if ci <= cu:
        return m
    if ci >= top:
        return x
    w = np.exp(-damping * (ci - cu) / (top - ci))
    return m * w + x * (1 - w)


def gamma_map(x: float, m: float, v: float, looks: float) -> float:
    """The larger root of a y^2 / m + (looks + 1 - a) y - looks x = 0, a the order of the scene's gamma distribution."""
    cu, ci = looks**-0.5, np.sqrt(v) / m if m else 0.0
    if ci <= cu:
        return m
    if ci >= np.sqrt(2) * cu:
        return x
    a = (1 + cu**2) / (ci**2 - cu**2)
    return float(np.roots([a / m, looks + 1 - a, -looks * x]).max())


def frost(window: np.ndarray, valid: np.ndarray, m: float, v: float, damping: float) -> float:
    r = window.shape[0] // 2
    dy, dx = np.mgrid[-r : r + 1, -r : r + 1]
    weights = np.exp(-damping * (v / m**2 if m else 0.0) * np.hypot(dy, dx))
    return float((weights * window)[valid].sum() / weights[valid].sum())


# Gradient masks on the 3 x 3 grid of sub-means, the two sub-means on either side, and the half windows of those sides.
DY, DX = np.mgrid[-3:4, -3:4]
EDGES = [
    ([[1, 1, 1], [0, 0, 0], [-1, -1, -1]], (0, 1), (2, 1), DY <= 0, DY >= 0),
    ([[1, 0, -1], [1, 0, -1], [1, 0, -1]], (1, 0), (1, 2), DX <= 0, DX >= 0),
    ([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]], (0, 2), (2, 0), DX >= DY, DX <= DY),
    ([[1, 1, 0], [1, 0, -1], [0, -1, -1]], (0, 0), (2, 2), DX + DY <= 0, DX + DY >= 0),
]


def half_window(window: np.ndarray, valid: np.ndarray, looks: float) -> np.ndarray:
    """Lee 1981: the half of a 7 x 7 window that lies on the centre's side of the strongest edge; all where it is flat.

    Flat: the strongest gradient is within 2.5 standard deviations of what speckle gives on the mean of the grid, where
    2 x 2 pixels are one independent sample.
    """
    means = np.zeros((3, 3))
    for i, j in [(1, 1), *np.ndindex(3, 3)]:
        part = np.s_[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        means[i, j] = window[part][valid[part]].mean() if valid[part].any() else means[1, 1]
    close = 1e-9 * means.max()  # windows at a border are mirror images: equal up to rounding is equal
    strengths = np.array([abs(float((np.array(mask) * means).sum())) for mask, *_ in EDGES])
    weights = np.zeros((7, 7))
    for i, j in np.ndindex(3, 3):
        weights[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += (1 - i) / 9
    deviation = 2 * np.sqrt((weights**2).sum()) * means.mean() / np.sqrt(looks)
    if strengths.max() <= 2.5 * deviation:
        return np.ones((7, 7), bool)
    _, first, second, half_first, half_second = EDGES[int(np.argmax(strengths >= strengths.max() - close))]
    nearer = abs(means[first] - means[1, 1]) <= abs(means[second] - means[1, 1]) + close
    return half_first if nearer else half_second


def refined_lee(x: float, window: np.ndarray, valid: np.ndarray, looks: float) -> float:
    m, v = moments(window, valid & half_window(window, valid, looks))
    if v == 0:
        return m
    b = max(0.0, (v - m**2 / looks) / ((1 + 1 / looks) * v))
    return m + b * (x - m)


def despeckle_intensity(
    image: np.ndarray, valid: np.ndarray, method: str, window: int, looks: float, damping: float
) -> np.ndarray:
    out = np.full(image.shape, np.nan)
    neighbours, counted = windows(image, window), windows(valid, window)
    for at in map(tuple, np.argwhere(valid)):
        values, good, x = neighbours[at], counted[at], image[at]
        m, v = moments(values, good)
        simple: dict[str, Any] = {
            "boxcar": lambda x=x, m=m, v=v: m,
            "enl": lambda x=x, m=m, v=v: m**2 / v if v else np.inf,
            "lee": lambda x=x, m=m, v=v: lee(x, m, v, looks),
            "kuan": lambda x=x, m=m, v=v: kuan(x, m, v, looks),
            "enhanced_lee": lambda x=x, m=m, v=v: enhanced_lee(x, m, v, looks, damping),
            "gamma_map": lambda x=x, m=m, v=v: gamma_map(x, m, v, looks),
            "frost": lambda w=values, g=good, m=m, v=v: frost(w, g, m, v, damping),
            "refined_lee": lambda x=x, w=values, g=good: refined_lee(x, w, g, looks),
        }
        out[at] = simple[method]()
    return out


def despeckle(
    x: np.ndarray,
    method: str,
    window: int = 7,
    looks: float = 1.0,
    domain: str = "intensity",
    damping: float = 1.0,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """(..., H, W) of any float dtype to float64; masked pixels keep their value."""
    x = np.asarray(x, np.float64)
    out = np.empty_like(x)
    for at in np.ndindex(*x.shape[:-2]):
        valid = ~np.isnan(x[at]) if mask is None else ~np.isnan(x[at]) & mask[at]
        filtered = despeckle_intensity(
            TO_INTENSITY[domain](np.where(valid, x[at], 1.0)), valid, method, window, looks, damping
        )
        if method != "enl":
            filtered = np.where(valid, FROM_INTENSITY[domain](filtered), x[at])
        out[at] = filtered
    return out
