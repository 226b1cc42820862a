"""``sarcore prep register``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

Model = Literal["shift", "similarity", "affine"]
Optical = Annotated[Positional[Path], arg(metavar="OPTICAL")]
Sar = Annotated[Positional[Path], arg(metavar="SAR")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]


def register(
    optical: Optical,
    sar: Sar,
    output: Out,
    /,
    *,
    model: Model = "similarity",
    max_shift: float = 64,
    max_rotation: float = 6,
    max_scale: float = 1.3,
    picture: Path | None = None,
    force: bool = False,
) -> None:
    """Lay an optical image on a SAR image of the same place, and say how well it went; a failure writes nothing.

    Args:
        optical: Optical image; its georeference, if it has one, says where the search begins.
        sar: SAR image, whose grid is taken.
        output: The .tif to write; its figures go to a .json beside it.
        model: shift; similarity, with rotation and scale; affine.
        max_shift: How far the middle may be off, in SAR pixels along either axis.
        max_rotation: How far it may be turned, in degrees.
        max_scale: How much larger or smaller its pixels may be than the georeference, or else equal pixels, say.
        picture: .png that shows the matches, and both images in a checkerboard before and after.
        force: Write the image although the registration failed.
    """
    from sarcore.errors import DataError
    from sarcore.geo.register_files import register_files

    with ConsoleProgress() as progress:
        found = register_files(
            optical, sar, output, model=model, max_shift=max_shift, max_rotation=max_rotation, max_scale=max_scale,
            picture=picture, force=force, on_note=lambda text: progress.note(f"note: {text}"),
        )  # fmt: skip
        for line in found.sentences():
            progress.note(line)
        if picture is not None:
            progress.note(f"wrote {picture}")
        if not found.success and not force:
            look = "" if picture is not None else "; --picture FILE.png shows what was found"
            raise DataError(
                f"{optical} could not be laid on {sar}: {'; '.join(found.reasons)}. Nothing was written{look}; "
                "--max-shift, --max-rotation and --max-scale say where to search"
            )
        progress.note(f"wrote {output} and {output.with_suffix('.json').name}")
