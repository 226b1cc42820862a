"""What the speckle of a data set is, as the settings of generative models declare theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from sarcore.data.patch_scenes import open_scenes, set_radiometry
from sarcore.errors import DataError
from sarcore.experiments.patches import Patches, Scenario, encoded, scenario_view
from sarcore.metrics import SpeckleEstimate, estimate_speckle
from sarcore.metrics.speckle_model import REGION
from sarcore.models.reflectivity import GenerativeConfig, domain_and_limits

Config = TypeVar("Config", bound=GenerativeConfig)
_MOST = 2048  # patches that are looked at, evenly over the set


def estimate_of(patches: Patches, scenario: Scenario = "hard") -> SpeckleEstimate:
    """`estimate_speckle` of patches as a scenario shows them, in the unit that they stand for.

    Reduced patches have speckle of their own: more looks and a shorter point spread. A crop has that of the patch.

    Raises ``DataError`` where no speckle can be told from the patches.
    """
    known = domain_and_limits(patches.radiometry)
    low, high = known["limits"]
    step = -(-len(patches) // _MOST)
    images = encoded(patches, range(0, len(patches), step))
    clipped = (images <= 0.0) | (images >= 1.0)
    # What was clipped before it was reduced is no speckle either: NaN makes more of the same.
    images = images.masked_fill(clipped, float("nan"))
    if scenario == "intermediate":
        images = scenario_view(images, scenario)
    try:
        return estimate_speckle(low + (high - low) * images, domain=known["domain"], limits=(low, high))
    except ValueError as error:
        raise DataError(f"the speckle of the patches cannot be told: {error}") from error


def speckle_of(patches: Patches, scenario: Scenario = "hard") -> dict[str, Any]:
    """The settings ``looks``, ``oversampling``, ``domain`` and ``limits`` for patches as a scenario shows them.

    >>> import torch
    >>> from sarcore.experiments.patches import PatchTensor
    >>> from sarcore.ops import Radiometry, speckle
    >>> images = speckle(torch.full((20, 1, 64, 64), 60.0), 4.0, seed=0, domain="amplitude").byte()
    >>> found = speckle_of(PatchTensor(images, torch.zeros(20), Radiometry("digital", 0.0, 255.0)))
    >>> round(found["looks"]), found["oversampling"], found["domain"], found["limits"]
    (4, 0.0, 'amplitude', (0.0, 255.0))

    Raises ``DataError`` where no speckle can be told from the patches.
    """
    found = estimate_of(patches, scenario)
    given = {"looks": round(found.looks, 3), "oversampling": round(found.oversampling, 3)}
    return {**given, **domain_and_limits(patches.radiometry)}


def with_speckle(config: Config, patches: Patches, scenario: Scenario = "hard") -> Config:
    """The settings with what the data decide: ``domain`` and ``limits``, and of speckle of 0 looks that of the patches.

    Given looks stay. So does a given ``oversampling``; and learned speckle has none, its looks begin with the estimate.

    Raises ``DataError`` where no speckle can be told from the patches.
    """
    if config.speckle == "none" or config.looks:
        return dataclasses.replace(config, **domain_and_limits(patches.radiometry))
    found = speckle_of(patches, scenario)
    if config.speckle == "learned" or config.oversampling:
        found["oversampling"] = config.oversampling
    return dataclasses.replace(config, **found)


def estimate_of_scenes(files: Sequence[Path], unit: str | None = None) -> tuple[SpeckleEstimate, str]:
    """`estimate_speckle` of bands of scenes of one sensor, and the unit that it took their values for.

    ``unit`` is found out where it is None; grey values count as amplitudes. Raises ``DataError`` as
    `sarcore.data.Scene.open`, for units that cannot be told or differ, and where no speckle can be.
    """
    opened = open_scenes(files)
    unit = set_radiometry(opened, unit, low=0.0, high=1.0)[0].unit
    domain = {"complex": "intensity", "digital": "amplitude"}.get(unit, unit)
    limits = None
    if unit == "digital" and opened.dtype.kind == "u":
        limits = (0.0, float(np.iinfo(opened.dtype).max))
    side, tiles = REGION, []
    for name, scene in opened.scenes.items():
        for window in scene.sample():
            band, valid = opened.read(name, *window)
            pixels = torch.from_numpy(np.abs(band) ** 2 if unit == "complex" else band.astype(np.float32))
            pixels = pixels.masked_fill(~torch.from_numpy(valid), float("nan"))
            rows, columns = (length // side for length in pixels.shape[1:])
            cut = pixels[:, : side * rows, : side * columns].reshape(-1, rows, side, columns, side)
            tiles.append(cut.transpose(2, 3).reshape(-1, 1, side, side))
    try:
        return estimate_speckle(torch.cat(tiles), domain=domain, limits=limits), unit
    except ValueError as error:
        raise DataError(f"the speckle of the scenes cannot be told: {error}") from error
