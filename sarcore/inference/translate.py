"""A trained translation applied to arrays and to scenes of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import get_args

import numpy as np
import torch

from sarcore.data import Scene
from sarcore.errors import DataError
from sarcore.inference.norm_statistics import NormStats, footprint, needs_statistics
from sarcore.inference.run_scene import run_scene
from sarcore.inference.scene_arguments import WINDOWS, channels_of, check_output, identity, nodata_of
from sarcore.inference.scene_pixels import Array, ScenePixels
from sarcore.inference.scene_statistics import KeptStatistics, exact_network, frozen_network, whole_network
from sarcore.inference.scene_tiles import CroppedTiles
from sarcore.inference.translation_values import (
    TargetValues,
    check_values,
    is_grey,
    missing_value,
    source_radiometry,
)
from sarcore.inference.translator import Translator
from sarcore.models import reach
from sarcore.ops import Radiometry
from sarcore.ops._checks import choice, integer


def translate_images(translator: Translator, images: Array) -> Array:
    """Translate images that fit into memory, each in one piece.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh())
    >>> translator = Translator(network, Radiometry("db", -25, 0), Radiometry("digital", 0, 255), direction="AtoB")
    >>> colours = translate_images(translator, np.full((1, 40, 30), -12.0, np.float32))
    >>> colours.shape, colours.dtype
    ((3, 40, 30), dtype('uint8'))

    Args:
        translator: a direction of a model.
        images: (C, H, W) or (N, C, H, W) in the unit of `translator.source`.

    Returns:
        The translations, (C', H, W) or (N, C', H, W), in the unit of `translator.target`: integers where that declares
        the whole range of 8 or 16 bit, else float32. Where a pixel has no data in one of its channels, the result has
        none either: the no-data value of the target or of the source, NaN, or 0 of integers.

    Raises:
        DataError: values that contradict the source's unit.
        ValueError: another number of dimensions or channels.
    """
    if images.ndim not in (3, 4):
        raise ValueError(f"images must be (C, H, W) or (N, C, H, W), got the shape {images.shape}")
    batch = images if images.ndim == 4 else images[None]
    device = next((weight.device for weight in translator.network.parameters()), torch.device("cpu"))
    results = []
    for number, image in enumerate(batch):
        scene = Scene.open(image, nodata=translator.source.nodata)
        check_values(scene, translator.source, None)
        pixels = ScenePixels(scene, None, translator.source, 0.0, scene.nodata)
        values = TargetValues(translator.target, missing_value(scene, scene.nodata))
        raw = np.require(image, requirements="W")
        each = translator.changed(whole_network(translator.network, pixels, device))
        y = values.physical(each(pixels.prepared(raw)[None].to(device), index=number))[0].cpu().numpy()
        valid = pixels.valid(raw)
        if valid is not None:
            y = np.where(valid, y, np.float32(values.nodata))
        results.append(values.rounded(y))
    return np.stack(results) if images.ndim == 4 else results[0]


def translate_scene(
    translator: Translator,
    scene: str | Path | Scene,
    out: str | Path,
    *,
    size: int = 512,
    overlap: int | None = None,
    window: str | None = None,
    norm_stats: NormStats = "frozen",
    channels: Sequence[int] | None = None,
    unit: str | None = None,
    nodata: float | EllipsisType | None = ...,
    batch: int = 1,
    index: int = 0,
    device: str | torch.device = "cpu",
    resume: bool = True,
    on_rows: Callable[[int], None] | None = None,
    on_layer: Callable[[int, int], None] | None = None,
    compression: str = "deflate",
    cog: bool = False,
) -> Path:
    """Translate a scene of any size, in constant memory, with its georeference and without seams.

    >>> from tempfile import mkdtemp
    >>> from sarcore.models import ResNetGenerator
    >>> network = ResNetGenerator(1, 3, width=4, blocks=1)
    >>> translator = Translator(network, Radiometry("db", -25, 0), Radiometry("digital", 0, 255), direction="AtoB")
    >>> folder = Path(mkdtemp())
    >>> scene = Scene.open(np.random.default_rng(0).uniform(-25, 0, (1, 100, 130)).astype(np.float32))
    >>> out = translate_scene(translator, scene, folder / "tiled.tif", size=32, norm_stats="global")
    >>> tiled, whole = Scene.open(out).read(), translate_images(translator, scene.read())
    >>> int(np.abs(tiled.astype(int) - whole).max()) <= 1  # a rounding apart at most
    True

    A scene up to `size` is translated in one piece, where no choice below matters. The result is in the unit of
    `translator.target`, of integers where that declares the whole range of 8 or 16 bit, else float32.

    Args:
        translator: a direction of a model.
        scene: path of a file that `sarcore.data.Scene` opens, or an open scene, in the unit of `translator.source`.
        out: file to write: .tif (.tiff), .npy or .png.
        size: side of a tile in pixels; made a multiple of what the network halves.
        overlap: of neighbouring tiles in pixels. By default what the network reaches with the window ``crop`` (see
            there), a quarter of the size with others.
        window: how tiles are joined. ``crop``: each sees `overlap` / 2 pixels beyond what it keeps; with the network's
            reach the result is that of the scene in one piece. ``hann``, ``gaussian``, ``triangular``, ``flat``:
            averaged with these weights. By default ``crop`` where the network reaches no farther than `size` / 2 (or
            `norm_stats` is ``global``) and its statistics are fixed, else ``hann``.
        norm_stats: of networks that normalise by the statistics of what they see (instance normalisation; others need
            none): ``frozen``, found once per scene from 16 tiles; ``global``, the exact ones of the whole scene, for
            which the scene passes through the network once per normalisation; ``patch``, of each tile its own, as in
            training, which makes seams.
        channels: numbers of the scene's channels to translate, counted from 0. All of them unless given; the first of
            three equal ones, as grey images are often saved, for a network that takes one.
        unit: of the scene, where it is not that of the source: intensity, amplitude, db or complex.
        nodata: the no-data value of the scene; by default what it or the source declares.
        batch: tiles at a time.
        index: number of the scene; scenes of other numbers have other speckle, where the translator adds any.
        device: where the network computes; it is moved there.
        resume: go on with the rows, and the ``global`` statistics, that an unfinished run left.
        on_rows: hears how many rows are finished.
        on_layer: hears how many of how many normalisations have their ``global`` statistics.
        compression: of a .tif: ``deflate``, ``zstd``, ``lzw`` or ``none``.
        cog: write a cloud-optimised GeoTIFF.

    Returns:
        The path `out`. There is a complete file or none.

    Raises:
        DataError: values that contradict the source's unit or limits; other channels than the network has; an output
            that cannot be written or cannot hold the result.
        ValueError, TypeError: naming the argument, what it was and what is allowed.

    Note:
        Pixels without data reach the network as 0, count in no statistics (but those of ``patch``), and have none in
        the result: there it has the no-data value of the target, else that of the scene where no valid pixel can have
        it, else NaN, or 0 of integers, which their valid pixels then do not take. Several processes share the rows as
        in `run_scene`; each finds the statistics.
    """
    source = scene if isinstance(scene, Scene) else Scene.open(scene)
    out = Path(out)
    check_output(out, source)
    choice(norm_stats, get_args(NormStats), "norm_stats")
    if window is not None:
        choice(window, WINDOWS, "window")
    radiometry, channels, missing = check_scene(translator, source, channels, unit, nodata)
    values = TargetValues(translator.target, missing_value(source, missing))
    values.check_file(out.suffix.lower(), translator.channels[1])
    plan = _Plan.of(translator, source, size, overlap, window, norm_stats)
    device = torch.device(device)
    translator = translator.to(device)
    about = f"{translator}, weights {translator.checksum()}, {norm_stats} statistics, index {index}"
    keep = KeptStatistics(
        out.with_name(f"{out.name}.statistics"),
        {"scene": identity(source), "of": about, "channels": channels, "radiometry": radiometry.to_dict(),
         "nodata": repr(missing), "size": plan.size, "halo": plan.halo},
    )  # fmt: skip
    if plan.fixed:
        pixels = ScenePixels(source, channels, radiometry, 0.0, missing)
        if plan.whole or norm_stats == "frozen":
            network = (whole_network if plan.whole else frozen_network)(translator.network, pixels, device)
        else:
            if not resume:
                keep.remove()
            network = exact_network(translator.network, pixels, plan.tiles(source), batch, device, on_layer, keep)
        translator = translator.changed(network)

    # NaN stays NaN in floating-point results; the file needs to declare it no more than the scene did.
    absent = ... if missing is None and values.dtype.kind == "f" else values.nodata

    def translated(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return values.physical(translator(x, positions, index=index))

    run_scene(
        source, translated, out, plan.size, plan.overlap, plan.window, channels=channels, radiometry=radiometry,
        batch=batch, device=device, nodata=missing, out_nodata=absent, align=plan.align, positions=True,
        resume=resume, on_rows=on_rows, compression=compression, cog=cog, name=about,
        convert=values.rounded,
    )  # fmt: skip
    keep.remove()
    return out


def check_scene(
    translator: Translator,
    scene: Scene,
    channels: Sequence[int] | None = None,
    unit: str | None = None,
    nodata: float | EllipsisType | None = ...,
) -> tuple[Radiometry, list[int] | None, float | None]:
    """Radiometry, channels and no-data value with which a scene is translated; refused is what contradicts the model.

    >>> network = torch.nn.Conv2d(1, 3, 3, padding=1)
    >>> translator = Translator(network, Radiometry("db", -25, 0), Radiometry("digital", 0, 255), direction="AtoB")
    >>> check_scene(translator, Scene.open(np.zeros((1, 9, 9), np.uint8)))
    Traceback (most recent call last):
    sarcore.errors.DataError: the image: the image holds uint8, but decibels are fractions; declare what the integers
    are; the model takes the unit 'db' (db from -25 to 0)
    """
    radiometry = source_radiometry(translator.source, unit)
    chosen = _channels(translator, scene, channels)
    missing = nodata_of(nodata, scene, radiometry)
    check_values(scene if missing is None else Scene.open(scene, nodata=missing), radiometry, chosen)
    return radiometry, chosen, missing


@dataclass(frozen=True)
class _Plan:
    """How a scene is cut for a network."""

    size: int
    overlap: int
    window: str
    align: int
    fixed: bool  # whether statistics of the scene are wanted
    halo: int
    whole: bool = False  # whether the scene is one piece

    @classmethod
    def of(
        cls,
        translator: Translator,
        scene: Scene,
        size: int,
        overlap: int | None,
        window: str | None,
        norm_stats: str,
    ) -> _Plan:
        network = translator.network
        align, minimum = footprint(network)
        size = max(minimum, _up(integer(size, "size", 1, 2**31 - 1), align))
        by_image = needs_statistics(network)
        fixed = by_image and norm_stats != "patch"
        if max(scene.shape[1:]) <= size:
            return cls(size, 0, "crop", align, fixed, 0, whole=True)
        halo = _halo(
            translator, align, needed=overlap is None and (window == "crop" or (fixed and norm_stats == "global"))
        )
        if window is None:
            exact = halo is not None and (halo <= size // 2 or norm_stats == "global") and (fixed or not by_image)
            window = "crop" if exact else "hann"
        if overlap is None:
            overlap = 2 * (halo or 0) if window == "crop" else max(align, size // 4 // align * align)
        unit = 2 * align if window == "crop" else align
        return cls(size, _up(overlap, unit), window, align, fixed, overlap // 2 if halo is None else halo)

    def tiles(self, scene: Scene) -> CroppedTiles:
        """The tiles from which exact statistics are taken, whatever the result is made of."""
        halo = _up(self.halo, self.align)
        return CroppedTiles(scene.shape[1:], (self.size, self.size), (halo, halo), align=self.align)


def _halo(translator: Translator, align: int, *, needed: bool) -> int | None:
    """What the network reaches to any side, as a multiple of its halvings; None where that is not known."""
    try:
        return _up(max(reach(translator.network)), align)
    except ValueError as error:
        if needed:
            raise ValueError(f"overlap must be given for a network whose reach is not known ({error})") from error
        return None


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _channels(translator: Translator, scene: Scene, channels: Sequence[int] | None) -> list[int] | None:
    chosen = channels_of(channels, scene)
    count = scene.shape[0] if chosen is None else len(chosen)
    if chosen is None and (count, translator.channels[0]) == (3, 1) and is_grey(scene):
        return [0]
    if count != translator.channels[0]:
        other = "optical images are translated BtoA" if translator.direction == "AtoB" else "SAR images AtoB"
        way = f"; {other}" if count == translator.channels[1] else ""
        raise DataError(
            f"{scene.path or 'the image'} has {count} channels{'' if chosen is None else ' chosen'}, and {translator} "
            f"takes {translator.channels[0]}; choose them as channels (--channels 0, counted from 0){way}"
        )
    return chosen
