"""``sarcore radiometry``."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from tyro.conf import Positional


def radiometry(
    file: Positional[Path],
    /,
    *,
    unit: str | None = None,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1.0, 99.0),
    nodata: float | None = None,
) -> None:
    """Tell what the numbers of a scene are and propose the radiometry to declare.

    Args:
        file: GeoTIFF, ENVI, NPY, NPZ, PNG or JPEG; a large one is read block by block.
        unit: The unit, where it is known: intensity, amplitude, db, complex or digital.
        scale: Unit on which the values are mapped to [0, 1]; db for intensity, amplitude and complex without it.
        percentiles: The percentiles of the scene that become 0 and 1.
        nodata: Value of pixels without data, nan for NaN; by default the one that the file declares.
    """
    from sarcore.data import Scene, scene_limits, scene_unit
    from sarcore.data.limits import radiometry_of

    console = Console(highlight=False, soft_wrap=True)
    scene = Scene.open(file)
    channels, height, width = scene.shape
    console.print(f"{file}: {channels} x {height} x {width} {scene.dtype}", markup=False)
    if nodata is None and scene.nodata is not None:
        console.print(f"no-data: {scene.nodata:g}, which the file declares", markup=False)
    if unit is None:
        guess = scene_unit(scene, nodata)
        unit = guess.unit
        console.print(f"unit: {unit} ({guess.confidence}: {guess.reason})", markup=False)
    scale = scale or ("digital" if unit == "digital" else "db")
    limits, each = scene_limits(scene, unit, scale, percentiles, nodata)
    for number, (low, high) in sorted(each.items()) if channels > 1 else ():
        console.print(f"channel {number}, {_names(percentiles)}: {low:.5g} to {high:.5g} {scale}", markup=False)
    found = radiometry_of(limits, scene, unit, scale=scale, percentiles=percentiles, nodata=nodata)
    console.print(f"{_names(percentiles)}: {found.low:.5g} to {found.high:.5g} {scale}", markup=False)
    console.print("declare:", _declaration(found.to_dict()), markup=False)


def _names(percentiles: tuple[float, float]) -> str:
    return f"percentiles {percentiles[0]:g} and {percentiles[1]:g}"


def _declaration(values: dict[str, str | float | None]) -> str:
    parts = [repr(values["unit"]), f"{values['low']:.5g}", f"{values['high']:.5g}"]
    if values["nodata"] is not None:
        nodata = values["nodata"]
        parts.append(f'nodata=float("{nodata}")' if isinstance(nodata, str) else f"nodata={nodata:g}")
    if values["scale"] != values["unit"]:
        parts.append(f"scale={values['scale']!r}")
    return f"sarcore.Radiometry({', '.join(parts)})"
