"""``sarcore export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    *,
    format: Literal["onnx", "torch"] = "onnx",
    direction: Literal["AtoB", "BtoA"] | None = None,
) -> None:
    """Write a trained network as one file for other programs: ONNX, or a program of torch.export.

    Images of any size and number go in; the radiometries are in the file. It is compared with the network at several
    sizes and written only if it agrees to 1e-4.

    Args:
        run: Run folder of `train`, whose best checkpoint is taken, or one of its checkpoints.
        out: The file: .onnx, or .pt2 for torch.
        format: ONNX, for any runtime, or torch, for `torch.export.load`.
        direction: AtoB from SAR to optical, BtoA the other way; a Pix2Pix has only one.
    """
    from sarcore.experiments.export_run import export_run

    exported, notes = export_run(run, out, format, direction=direction)
    console = Console(highlight=False)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    shapes = ", ".join("x".join(map(str, shape)) for shape in exported.shapes)
    text = (
        f"{out} ({out.stat().st_size / 1e6:.1f} MB), compared at {shapes}: largest difference {exported.difference:.2g}"
    )
    console.print(text, markup=False, soft_wrap=True)
