"""``sarcore speckle`` and ``sarcore despeckle``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from sarcore.inference import FilteredImage
    from sarcore.inference.image_filter import Operator

Domain = Literal["auto", "intensity", "amplitude", "db", "log", "complex"]
RealDomain = Literal["auto", "intensity", "amplitude", "db", "log"]
Method = Literal["boxcar", "lee", "enhanced_lee", "kuan", "frost", "gamma_map", "refined_lee"]
Spread = Literal["none", "box", "gaussian", "hamming"]
In = Annotated[Positional[Path], arg(metavar="IN")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]


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
) -> None:
    """Add speckle to an image or GeoTIFF; tags and georeference are kept.

    Args:
        input: Image: TIFF, NPY (complex too), PNG or JPEG.
        output: File to write: .tif and .npy hold floating-point values, .png rounded 8 or 16 bit.
        looks: Looks of the speckle; 1 is the strongest.
        seed: The same seed gives the same speckle.
        domain: What the pixels are; auto finds out where the pixels tell.
        texture: Order of a Gamma texture; the smaller, the spikier.
        psf: Point spread that correlates neighbouring pixels.
        oversampling: Resolution over pixel spacing of the point spread.
        nodata: Value of pixels to leave alone, beside NaN; by default the one that the file declares.
    """
    from sarcore import ops

    spread = None if psf == "none" else (psf, oversampling)
    with ConsoleProgress() as progress:
        image = _open(input, output, domain, nodata, progress)
        _run(
            image,
            lambda x, mask, row: ops.speckle(
                x, looks, seed=seed, domain=image.domain, texture=texture, psf=spread, origin=(row, 0), mask=mask
            ),
            0, f"speckle, looks {looks:g}", output, progress,
        )  # fmt: skip


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
) -> None:
    """Filter the speckle of an image or GeoTIFF; tags and georeference are kept. Complex images give intensities.

    Args:
        input: Image: TIFF, NPY, PNG or JPEG.
        output: File to write: .tif and .npy hold floating-point values, .png rounded 8 or 16 bit.
        method: Filter.
        window: Side of the window in pixels, odd; 7 for refined_lee.
        looks: Looks of the image; estimated from its homogeneous blocks without it.
        domain: What the pixels are; auto finds out where the pixels tell.
        damping: Of frost and enhanced_lee: the larger, the more detail is kept.
        nodata: Value of pixels to leave out, beside NaN; by default the one that the file declares.
    """
    import torch

    from sarcore import inference, ops

    with ConsoleProgress() as progress:
        image = inference.detected(_open(input, output, domain, nodata, progress))
        channels = image.raster.pixels.shape[0]
        each = [looks] * channels if looks is not None else inference.estimated_looks(image)
        if looks is None:
            found = ", ".join(f"{value:.1f}" for value in each)
            progress.note(f"looks {found}, estimated from homogeneous blocks; declare them with --looks")

        def filtered(x: torch.Tensor, mask: torch.Tensor | None, row: int) -> torch.Tensor:
            del row
            bands = [
                ops.despeckle(
                    x[:, c : c + 1], method, window, each[c], domain=image.domain, damping=damping,
                    mask=None if mask is None else mask[:, c : c + 1],
                )
                for c in range(channels)
            ]  # fmt: skip
            return torch.cat(bands, dim=1)

        _run(image, filtered, window // 2, f"{method}, {window}x{window}", output, progress)


def _open(path: Path, output: Path, domain: str, nodata: float | None, progress: ConsoleProgress) -> FilteredImage:
    from sarcore.inference import check_output, open_image

    image = open_image(path, domain, nodata)
    check_output(output, image)
    if image.reason:
        progress.note(f"{path.name} holds {image.reason}; declare it with --domain")
    return image


def _run(
    image: FilteredImage, operator: Operator, reach: int, title: str, output: Path, progress: ConsoleProgress
) -> None:
    from sarcore.inference import filter_image, save_image

    channels, height, width = image.raster.pixels.shape
    progress.stage(title, height)
    pixels = filter_image(image, operator, reach=reach, on_rows=lambda rows: progress.step(rows, {}))
    for note in save_image(output, image, pixels):
        progress.note(note)
    progress.note(f"{output}: {channels} x {height} x {width}")
