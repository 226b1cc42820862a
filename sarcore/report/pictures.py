"""Pictures of radar images for documentation and notebooks: sheets of images on one grey scale, histograms by unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

BASELINE, AUGMENTED, QUIET, INK = "#5d7287", "#d0672a", "#a9b4bf", "#1d252c"
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}

Image = npt.NDArray[np.floating[Any]]


def image_sheet(
    path: str | Path, images: Mapping[str, Image], limits: tuple[float, float], *, columns: int = 4, side: float = 2.6
) -> Path:
    """Write a PNG with every image (H, W) under its title, all on one grey scale from limits[0] to limits[1].

    One scale for all, because a stretch per image hides what a filter does to the contrast. `side` is the width of an
    image in inches.
    """
    rows = -(-len(images) // columns)
    height, width = next(iter(images.values())).shape
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(columns * side, rows * (side * height / width + 0.3)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for axis in axes:
            axis.axis("off")
        for axis, (title, image) in zip(axes, images.items(), strict=False):
            axis.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
            axis.set_title(title)
        figure.savefig(path, dpi=100, metadata={"Software": None})
    return Path(path)


def unit_histograms(path: str | Path, values: Mapping[str, Image], *, bins: int = 120) -> Path:
    """Write a PNG with the histogram of every entry; the vertical lines are its mean (solid) and median (dashed).

    Titles are the keys; values are taken from the 0.1st to the 99.5th percentile.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(values), 2.3), layout="constrained")
        for axis, (title, image) in zip(np.atleast_1d(figure.subplots(1, len(values))), values.items(), strict=True):
            flat = np.asarray(image, dtype=np.float64).ravel()
            low, high = np.percentile(flat, (0.1, 99.5))
            axis.hist(flat, bins=bins, range=(low, high), color=BASELINE, histtype="stepfilled")
            axis.axvline(float(flat.mean()), color=AUGMENTED, linewidth=1.4, label="mean")
            axis.axvline(float(np.median(flat)), color=INK, linewidth=1.0, linestyle="--", label="median")
            axis.set_title(title)
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
        figure.axes[0].legend(loc="upper right")
        figure.savefig(path, dpi=100, metadata={"Software": None})
    return Path(path)
