"""``sarcore looks``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg


def looks(
    data: Annotated[Positional[tuple[Path, ...]], arg(metavar="DATA")],
    /,
    *,
    unit: str | None = None,
    out: Path | None = None,
) -> None:
    """Estimate the number of looks and the point spread of speckle, from the most homogeneous 3 % of images.

    Args:
        data: A folder of patches, a folder of scenes, or scenes.
        unit: Of scenes, where it is known: intensity, amplitude, db, complex or digital.
        out: JSON file to write the estimate to.
    """
    from sarcore.data import PatchFolder
    from sarcore.data.scene_patches import scenes_in
    from sarcore.engine import write_json
    from sarcore.experiments.speckle_estimate import estimate_of, estimate_of_scenes
    from sarcore.models.reflectivity import physical

    console = Console(highlight=False, soft_wrap=True)
    if not data:
        raise ValueError("looks needs a folder of patches, a folder of scenes, or scenes")
    scenes = scenes_in(data[0]) if len(data) == 1 and data[0].is_dir() else list(data)
    if scenes:
        found, taken = estimate_of_scenes(scenes, unit)
        console.print(f"{len(scenes)} scene{'s' if len(scenes) > 1 else ''}, unit: {taken}", markup=False)
    elif unit is not None:
        raise ValueError("--unit is for scenes; of patches it is declared with the set")
    else:
        folder = PatchFolder.open(data[0])
        found, taken = estimate_of(folder), physical(folder.radiometry).unit
        console.print(f"{len(folder)} patches, unit: {taken}", markup=False)
    axes = " and ".join(f"{s:.2f} along {axis}" for s, axis in zip(found.oversampling_axes, "yx", strict=True))
    console.print(f"regions: the {found.regions} most homogeneous of {found.of_regions}")
    console.print(f"looks: {found.looks:.2f}")
    console.print(f"point spread: gaussian of {found.oversampling:.2f} pixels ({axes}); 0 is none")
    console.print(f"neighbours at 1, 2, 3 pixels: {_pair(found.correlation)}, expected {_pair(found.expected)}")
    console.print(f"declare: --speckle fixed --looks {found.looks:.3g} --oversampling {found.oversampling:.3g}")
    if out is not None:
        write_json(out, {"data": [str(path) for path in data], "unit": taken, **dataclasses.asdict(found)})


def _pair(axes: tuple[tuple[float, ...], ...]) -> str:
    return " and ".join(", ".join(f"{r:.2f}" for r in axis) for axis in axes)
