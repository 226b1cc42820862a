"""Draws docs/images/classes.png, the picture of the README: one synthetic patch of each simulated class."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch

from sarcore.data import SIMULATED_CLASSES, SIMULATED_RADIOMETRY, simulate_scene
from sarcore.ops import encode

SEED = 4


def main(path: str) -> None:
    figure, axes = plt.subplots(1, len(SIMULATED_CLASSES), figsize=(11.2, 1.85), layout="constrained")
    for axis, name in zip(axes, SIMULATED_CLASSES, strict=True):
        amplitude = np.sqrt(simulate_scene(name, 160, 4.0, SEED))
        image = encode(torch.from_numpy(amplitude), SIMULATED_RADIOMETRY)
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.axis("off")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
