"""``sarcore speckle`` and ``sarcore despeckle``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    import torch

    from sarcore.data import Scene

Domain = Literal["auto", "intensity", "amplitude", "db", "log", "complex"]
RealDomain = Literal["auto", "intensity", "amplitude", "db", "log"]
Method = Literal["boxcar", "lee", "enhanced_lee", "kuan", "frost", "gamma_map", "refined_lee"]
Spread = Literal["none", "box", "gaussian", "hamming"]
In = Annotated[Positional[Path], arg(metavar="IN")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]

_BAND = 1 << 23  # pixels of a row of tiles, so that memory does not grow with the width either
_CALL = 1 << 22  # pixels that the operator gets at a time


def speckle(
    input: In,
    output: Out,
    /,
    *,
    looks: float,
    seed: int = 0,
    domain: Domain = "auto",
    texture: float | None = None,
    psf: Spread = "none",
    oversampling: float = 2.0,
    nodata: float | None = None,
    tile: int = 2048,
    resume: bool = True,
) -> None:
    """Add speckle to an image or a scene of any size; tags and georeference are kept.

    Args:
        input: Image: TIFF, ENVI, NPY (complex too), NPZ, PNG or JPEG.
        output: File to write: .tif and .npy hold floating-point values, .png rounded 8 or 16 bit.
        looks: Looks of the speckle; 1 is the strongest.
        seed: The same seed gives the same speckle.
        domain: What the pixels are; auto finds out where the pixels tell.
        texture: Order of a Gamma texture; the smaller, the spikier.
        psf: Point spread that correlates neighbouring pixels.
        oversampling: Resolution over pixel spacing of the point spread.
        nodata: Value of pixels to leave alone, beside NaN; by default the one that the file declares.
        tile: Largest side of the tiles that are worked on, in pixels; the result does not depend on it.
        resume: Begin anew, instead of going on with the rows that an interrupted run left.
    """
    import torch

    from sarcore import ops

    spread = None if psf == "none" else (psf, oversampling)
    with _progress() as progress:
        scene, unit = _open(input, output, domain, nodata, progress)

        def speckled(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            first = torch.zeros(len(x), dtype=torch.int64)  # every tile is a part of the same image
            return ops.speckle(
                x, looks, seed=seed, domain=unit, texture=texture, psf=spread, index=first, origin=positions
            )

        title = f"speckle, looks {looks:g}"
        details = f"seed {seed}, domain {unit}, texture {texture}, psf {spread}"
        _run(scene, speckled, output, 0, (title, details), progress, tile=tile, resume=resume, positions=True)


def despeckle(
    input: In,
    output: Out,
    /,
    *,
    method: Method = "lee",
    window: int = 7,
    looks: float | None = None,
    domain: RealDomain = "auto",
    damping: float = 1.0,
    nodata: float | None = None,
    tile: int = 2048,
    resume: bool = True,
) -> None:
    """Filter the speckle of an image or a scene of any size; tags and georeference are kept. |z|^2 of complex ones.

    Args:
        input: Image: TIFF, ENVI, NPY, NPZ, PNG or JPEG.
        output: File to write: .tif and .npy hold floating-point values, .png rounded 8 or 16 bit.
        method: Filter.
        window: Side of the window in pixels, odd; 7 for refined_lee.
        looks: Looks of the image; estimated from its homogeneous blocks without it.
        domain: What the pixels are; auto finds out where the pixels tell.
        damping: Of frost and enhanced_lee: the larger, the more detail is kept.
        nodata: Value of pixels to leave out, beside NaN; by default the one that the file declares.
        tile: Largest side of the tiles that are worked on, in pixels; the result does not depend on it.
        resume: Begin anew, instead of going on with the rows that an interrupted run left.
    """
    import torch

    from sarcore import inference, ops

    with _progress() as progress:
        scene, unit = _open(input, output, domain, nodata, progress, window=7 if method == "refined_lee" else window)
        each = [looks] * scene.shape[0] if looks is not None else inference.estimated_looks(scene, unit)
        if looks is None:
            found = ", ".join(f"{value:.1f}" for value in each)
            progress.note(f"looks {found}, estimated from homogeneous blocks; declare them with --looks")

        def filtered(x: torch.Tensor) -> torch.Tensor:
            x, real = (ops.intensity(x), "intensity") if unit == "complex" else (x, unit)
            bands = [
                ops.despeckle(x[:, c : c + 1], method, window, each[c], domain=real, damping=damping)
                for c in range(len(each))
            ]
            return torch.cat(bands, dim=1) if len(bands) > 1 else bands[0]

        title, details = f"{method}, {window}x{window}", f"looks {each}, domain {unit}, damping {damping:g}"
        _run(scene, filtered, output, max(0, window - 1), (title, details), progress, tile=tile, resume=resume)


def _progress() -> ConsoleProgress:
    # Of several processes the first one speaks for all.
    return ConsoleProgress(console=Console(highlight=False, quiet=os.environ.get("RANK", "0") != "0"))


def _open(
    path: Path, output: Path, domain: str, nodata: float | None, progress: ConsoleProgress, *, window: int = 1
) -> tuple[Scene, str]:
    from sarcore.data import Scene
    from sarcore.errors import DataError
    from sarcore.inference import check_output, scene_domain

    scene = Scene.open(path, nodata=nodata)
    check_output(output, scene)
    height, width = scene.shape[1:]
    if min(height, width) < window:
        raise DataError(f"the window must fit into the scene, {path} of {height} x {width} pixels; got {window}")
    unit, reason = scene_domain(scene, domain)
    if reason:
        progress.note(f"{path.name} holds {reason}")
    return scene, unit


def _run(
    scene: Scene,
    operator: Callable[..., torch.Tensor],
    output: Path,
    overlap: int,
    name: tuple[str, str],
    progress: ConsoleProgress,
    *,
    tile: int,
    resume: bool,
    positions: bool = False,
) -> None:
    from sarcore.inference import lost_georeference, rounding_for, run_scene

    if tile < 1:
        raise ValueError(f"tile must be 1 or more, got {tile}")
    channels, height, width = scene.shape
    rounding = rounding_for(output, scene)
    progress.stage(name[0], height)
    begun = False

    def started(*arguments: torch.Tensor) -> torch.Tensor:
        nonlocal begun
        begun = True
        return operator(*arguments)

    def rows(finished: int) -> None:
        if not begun:
            progress.note(f"{finished} of {height} rows were finished before; going on from there")
        progress.step(finished, {})

    size = _even(height, min(tile, _BAND // (width * channels) + 1)), _even(width, tile)
    run_scene(
        scene, started, output, size, overlap, "crop", batch=max(1, _CALL // tile**2), fill=float("nan"),
        positions=positions, resume=resume, on_rows=rows, name=", ".join(name), convert=rounding,
    )  # fmt: skip
    for note in [*([] if rounding is None else rounding.notes()), *lost_georeference(output, scene)]:
        progress.note(note)
    progress.note(f"{output}: {channels} x {height} x {width}")


def _even(length: int, most: int) -> int:
    """The size of equal parts of a length, none larger than `most`."""
    return -(-length // -(-length // most))
