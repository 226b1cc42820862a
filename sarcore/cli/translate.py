"""``sarcore translate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from sarcore.data import Scene
    from sarcore.inference import Translator

Unit = Literal["intensity", "amplitude", "db", "complex", "digital"]
Window = Literal["crop", "hann", "gaussian", "triangular", "flat"]


def translate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    input: Annotated[Positional[Path], arg(metavar="IN")],
    output: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    *,
    direction: Literal["AtoB", "BtoA"] | None = None,
    norm_stats: Literal["frozen", "global", "patch"] = "frozen",
    size: int = 512,
    overlap: int | None = None,
    window: Window | None = None,
    channels: tuple[int, ...] = (),
    unit: Unit | None = None,
    nodata: float | None = None,
    seed: int = 0,
    batch: int = 1,
    device: str = "auto",
    cog: bool = False,
    resume: bool = True,
) -> None:
    """Translate an image, a folder of images or a scene of any size; tags and georeference are kept.

    Args:
        run: Run folder of a CycleGAN or a Pix2Pix, or one of its checkpoints.
        input: Image or scene: TIFF, ENVI, NPY, NPZ, PNG or JPEG; or a folder of images.
        output: File to write: .tif, .png or .npy; of a folder the folder to write.
        direction: AtoB makes optical images of SAR images, BtoA the other way; a Pix2Pix has one.
        norm_stats: Of a scene larger than a tile: frozen takes a sample's statistics, global those of the whole scene,
            patch those of each tile, which makes seams.
        size: Side of a tile in pixels; what is no larger is translated in one piece.
        overlap: Of neighbouring tiles in pixels; by default what the network reaches.
        window: How tiles are joined: crop, or averaged with the weights of a window; by default crop where that is
            exact, else hann.
        channels: Channels to translate, counted from 0; all without it.
        unit: Unit of the image, where it is not that of the training.
        nodata: Value of pixels without data, beside NaN; by default the one that the file declares.
        seed: Of the speckle, where the model adds speckle to SAR images.
        batch: Tiles that the network gets at a time.
        device: cpu, cuda or cuda:1; auto takes a GPU where there is one.
        cog: Write a cloud-optimised GeoTIFF.
        resume: Begin anew, instead of going on with what an interrupted run left.
    """
    import torch

    from sarcore.experiments.translation import load_translator

    # Of several processes the first one speaks for all.
    console = Console(highlight=False, quiet=os.environ.get("RANK", "0") != "0")
    with ConsoleProgress(console=console) as progress:
        translator = load_translator(run, direction)
        translator.seed = seed
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        progress.note(f"{translator} on {device}")
        options = {
            "size": size, "overlap": overlap, "window": window, "norm_stats": norm_stats, "channels": channels or None,
            "unit": unit, "nodata": ... if nodata is None else nodata, "batch": batch, "device": device, "cog": cog,
            "resume": resume,
        }  # fmt: skip
        if input.is_dir():
            _folder(translator, input, output, progress, options)
        else:
            _scene(translator, input, output, progress, options)


def _folder(
    translator: Translator, folder: Path, out: Path, progress: ConsoleProgress, options: dict[str, Any]
) -> None:
    from sarcore.data import Scene
    from sarcore.inference import translate_folder
    from sarcore.inference.translate_folder import images_of

    files = images_of(folder)
    _warn_of_grey(translator, Scene.open(files[0]), progress, options)
    progress.stage("images", len(files))
    files = translate_folder(translator, folder, out, on_image=lambda done: progress.step(done, {}), **options)
    progress.note(f"{out}: {len(files)} images")


def _scene(translator: Translator, file: Path, out: Path, progress: ConsoleProgress, options: dict[str, Any]) -> None:
    from sarcore.data import Scene
    from sarcore.inference import lost_georeference, translate_scene

    scene = Scene.open(file)
    _warn_of_grey(translator, scene, progress, options)
    if scene.nodata is None and options["nodata"] is ... and scene.mask(0, 0, 1, 1) is not None:
        progress.note(
            f"{file} has a mask of pixels without data, which is not read here: they are translated like any other. "
            "Give their value, as in --nodata 0"
        )
    stage = ""

    def begin(title: str, total: int) -> None:
        nonlocal stage
        if stage != title:
            stage = title
            progress.stage(title, total)

    def layers(known: int, of: int) -> None:
        begin("statistics, layers", of)
        progress.step(known, {})

    def rows(finished: int) -> None:
        begin("rows", scene.shape[1])
        progress.step(finished, {})

    translate_scene(translator, scene, out, on_rows=rows, on_layer=layers, **options)
    for note in lost_georeference(out, scene):
        progress.note(note)
    _, height, width = scene.shape
    progress.note(f"{out}: {translator.channels[1]} x {height} x {width}")


def _warn_of_grey(translator: Translator, scene: Scene, progress: ConsoleProgress, options: dict[str, Any]) -> None:
    """SAR images are often saved as three equal channels, which a model of colours takes for one of its images."""
    from sarcore.inference.translation_values import is_grey

    colours = translator.direction == "BtoA" and translator.channels[0] == scene.shape[0] == 3
    if colours and options["channels"] is None and is_grey(scene):
        progress.note(
            f"warning: the three channels of {scene.path} are equal, and BtoA takes optical images in colour; of a SAR "
            "image the direction is AtoB"
        )
