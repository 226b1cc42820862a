"""Synthetic SAR scenes of seven land-cover classes: a drawn reflectivity map times speckle.

The data are made up: they serve demos and tests, and say nothing about a real sensor. The scale is that of a pixel of
about 2.5 m; the radar looks from the left. A seed fixes every byte for one version of NumPy and Pillow: NumPy, which
draws the reflectivity, may change its random streams between versions; the speckle is that of `sarcore.ops.speckle`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sarcore.data.images import write_bytes, write_image
from sarcore.data.scene_built import industrial, settlement, transport
from sarcore.data.scene_open import agriculture, bare, forest, water
from sarcore.data.scene_radar import Ground, project
from sarcore.errors import DataError
from sarcore.ops import PatchGrid, Radiometry, extract_patches, speckle

_DRAW: dict[str, Callable[[int, np.random.Generator], Ground]] = {
    "settlement": settlement,
    "industrial": industrial,
    "agriculture": agriculture,
    "forest": forest,
    "bare": bare,
    "water": water,
    "transport": transport,
}
SIMULATED_CLASSES = tuple(_DRAW)
SIMULATED_RADIOMETRY = Radiometry("amplitude", 0.0, 1.25)  # one limit for every simulated set, so that sets compare

_MARGIN = 24  # drawn around the scene, because layover and shadow come in from outside
_GAIN_DB = 1.5  # scenes of one class differ by up to this much, so that brightness alone does not tell the class
_VERSION = 2  # raise when the pictures of a seed change


def simulate_reflectivity(class_name: str, size: int, seed: int) -> npt.NDArray[np.float32]:
    """Speckle-free radar reflectivity (linear intensity) of one scene, float32 (size, size), fixed by the seed.

    Raises ValueError for an unknown class, a size below 16 and a negative seed.

    >>> simulate_reflectivity("water", 32, seed=0).shape
    (32, 32)
    """
    rng = np.random.Generator(np.random.PCG64(_seed_of(class_name, size, seed, stream=0)))
    image = project(_DRAW[class_name](size + 2 * _MARGIN, rng), rng)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    gain = 10 ** (rng.uniform(-_GAIN_DB, _GAIN_DB) / 10)
    floor = 0.004  # thermal noise
    return (image * gain + floor).astype(np.float32)


def simulate_scene(class_name: str, size: int, looks: float, seed: int) -> npt.NDArray[np.float32]:
    """Speckled intensity, float32 (size, size): the reflectivity times `sarcore.ops.speckle`.

    Fully developed, spatially independent speckle: mean 1, variance 1 / looks. Raises ValueError as
    `simulate_reflectivity` does, and for looks that are not finite and above 0.

    >>> bool((simulate_scene("forest", 32, 4.0, seed=1) == simulate_scene("forest", 32, 4.0, seed=1)).all())
    True
    """
    key = int(_seed_of(class_name, size, seed, stream=1).generate_state(1, np.uint64)[0])
    reflectivity = torch.from_numpy(simulate_reflectivity(class_name, size, seed))
    scene: npt.NDArray[np.float32] = speckle(reflectivity[None, None], looks, seed=key)[0, 0].numpy()
    return scene


def write_simulated(
    out_dir: str | Path,
    *,
    scenes_per_class: int = 3,
    patches_per_scene_side: int = 2,
    size: int = 160,
    looks: float = 4.0,
    seed: int = 0,
) -> Path:
    """Write a folder for `PatchFolder.open` of 8-bit amplitude patches of all seven classes, and return its path.

    Every scene is cut into patches_per_scene_side^2 patches ``<class>/<scene>_<row>_<col>.png``; labels.csv names their
    scene and dataset.json says that the set is synthetic, and from which seed. The same arguments give the same bytes.
    A failure leaves nothing behind. Raises DataError when ``out_dir`` exists and is not empty, ValueError for counts
    below 1 and as `simulate_scene` does.

    >>> folder = write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=1, patches_per_scene_side=1, size=32)
    >>> sorted(p.name for p in folder.iterdir())[-3:]
    ['settlement', 'transport', 'water']
    """
    if min(scenes_per_class, patches_per_scene_side) < 1:
        raise ValueError(
            "scenes_per_class and patches_per_scene_side must be 1 or more, "
            f"got {scenes_per_class} and {patches_per_scene_side}"
        )
    out_dir = Path(out_dir)
    if out_dir.exists() and not (out_dir.is_dir() and not any(out_dir.iterdir())):
        raise DataError(f"{out_dir} exists and is not an empty folder; give another path or remove it")
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=out_dir.parent, prefix=f".{out_dir.name}."))
    try:
        partial.chmod(0o755)
        lines = ["file,class,scene,row,col"]
        for class_name in SIMULATED_CLASSES:
            for number in range(scenes_per_class):
                scene_seed = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
                scene = simulate_scene(class_name, patches_per_scene_side * size, looks, scene_seed)
                lines += _write_patches(partial, class_name, f"{class_name}{number:03d}", scene, size)
        write_bytes(partial / "labels.csv", ("\n".join(lines) + "\n").encode())
        card = _card(scenes_per_class, patches_per_scene_side, size, looks, seed)
        write_bytes(partial / "dataset.json", (json.dumps(card, indent=2) + "\n").encode())
        os.replace(partial, out_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return out_dir


def _card(scenes_per_class: int, patches_per_scene_side: int, size: int, looks: float, seed: int) -> dict[str, object]:
    return {
        "synthetic": True,
        "source": "sarcore.data.write_simulated",
        "version": _VERSION,
        "classes": list(SIMULATED_CLASSES),
        "scenes_per_class": scenes_per_class,
        "patches_per_scene_side": patches_per_scene_side,
        "size": size,
        "looks": looks,
        "seed": seed,
        "radiometry": SIMULATED_RADIOMETRY.to_dict(),
    }


def _write_patches(
    folder: Path, class_name: str, scene_name: str, intensity: npt.NDArray[np.float32], size: int
) -> list[str]:
    (folder / class_name).mkdir(exist_ok=True)
    patches = extract_patches(np.sqrt(intensity), size, radiometry=SIMULATED_RADIOMETRY, dtype=torch.uint8)
    lines = []
    for patch, position in zip(patches, PatchGrid(intensity.shape, size).positions(), strict=True):
        row, col = (position // size).tolist()
        name = f"{class_name}/{scene_name}_{row}_{col}.png"
        write_image(folder / name, patch.numpy())
        lines.append(f"{name},{class_name},{scene_name},{row},{col}")
    return lines


def _seed_of(class_name: str, size: int, seed: int, stream: int) -> np.random.SeedSequence:
    if class_name not in _DRAW:
        raise ValueError(f"simulated class {class_name!r} is unknown; use one of {', '.join(SIMULATED_CLASSES)}")
    if size < 16:
        raise ValueError(f"a simulated scene needs a size of 16 pixels or more, got {size}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    return np.random.SeedSequence([seed, SIMULATED_CLASSES.index(class_name), stream])
