"""`run_scene`: any function of patches over a whole scene, in memory that does not grow with the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import torch

from sarcore.data import Scene, SceneWriter
from sarcore.inference.scene_arguments import (
    channels_of,
    check_output,
    check_types,
    identity,
    nodata_of,
    out_nodata_of,
    tiles_of,
)
from sarcore.inference.scene_parts import SceneParts
from sarcore.inference.scene_pixels import Array, Function, PatchFunction, ScenePixels
from sarcore.inference.scene_rows import BlendedRows, CroppedRows
from sarcore.inference.scene_run import SceneRun
from sarcore.inference.scene_tiles import CroppedTiles
from sarcore.ops import Radiometry
from sarcore.ops._checks import integer, number


def run_scene(
    scene: str | Path | Scene,
    fn: Function,
    out: str | Path,
    size: int | Sequence[int],
    overlap: int | Sequence[int],
    window: str = "hann",
    *,
    channels: Sequence[int] | None = None,
    radiometry: Radiometry | None = None,
    batch: int = 16,
    device: str | torch.device = "cpu",
    fill: float = 0.0,
    nodata: float | EllipsisType | None = ...,
    out_nodata: float | EllipsisType | None = ...,
    align: int = 1,
    positions: bool = False,
    resume: bool = True,
    on_rows: Callable[[int], None] | None = None,
    compression: str = "deflate",
    cog: bool = False,
    name: str | None = None,
    convert: Callable[[Array], Array] | None = None,
) -> Path:
    """Apply a function of patches to a scene and write the result with the scene's georeference.

    >>> from tempfile import mkdtemp
    >>> from sarcore.data import Scene
    >>> from sarcore.ops import despeckle
    >>> folder = Path(mkdtemp())
    >>> np.save(folder / "scene.npy", np.random.default_rng(0).gamma(4.0, 0.25, (300, 200)).astype(np.float32))
    >>> network = torch.nn.Conv2d(1, 2, 3, padding=1)
    >>> run_scene(folder / "scene.npy", network, folder / "features.npy", size=64, overlap=16).name
    'features.npy'
    >>> Scene.open(folder / "features.npy").shape
    (2, 300, 200)
    >>> lee = lambda x: despeckle(x, "lee", window=7, looks=4)  # its reach is 3 pixels: exact with an overlap of 6
    >>> _ = run_scene(folder / "scene.npy", lee, folder / "lee.npy", size=100, overlap=6, window="crop")
    >>> whole = lee(torch.from_numpy(np.load(folder / "scene.npy"))[None, None])[0]
    >>> np.array_equal(np.load(folder / "lee.npy").reshape(whole.shape), whole)
    True

    Blended: the patches of `PatchGrid(shape, size, size - overlap)`, mirrored at the border of the scene, their results
    averaged as by `sarcore.ops.merge_patches`:

        out = sum_k w_k fn(x_k) / sum_k w_k        over the patches k that cover a pixel

    Cropped (``window="crop"``): tiles that keep `size` pixels and see overlap // 2 more on every side, but nothing
    beyond the border of the scene, where they are pushed inwards: all have one size. For an operator whose result
    depends on `reach` pixels around, overlap >= 2 reach gives the bits of the whole scene in one piece.

    Args:
        scene: path of a file that `sarcore.data.Scene` opens, or an open scene.
        fn: gets x, (B, C, h, w), and gives (B, C', h, w), of the same C' and dtype each time. x is float32 (float64 and
            complex64 stay as they are) or what `radiometry` encodes. Gradients are off; a module must be in eval mode.
        out: file to write: .tif (.tiff), .npy or .png.
        size: side of a patch, or (h, w), in pixels. What the scene is smaller than, is mirrored; not with ``crop``.
        overlap: of neighbouring patches, or a pair, in pixels: less than `size`, but any number with ``crop``.
        window: the weights: ``hann``, ``gaussian``, ``triangular`` or ``flat``; or ``crop``.
        channels: numbers of the scene's channels that fn gets, counted from 0; all of them unless given.
        radiometry: the values as a network takes them, [0, 1]; integers as `out` are taken as float32.
        batch: patches that fn gets at a time; there may be fewer at the end of a row.
        device: where fn gets them and where they are blended.
        fill: what fn gets for pixels without data: those of the no-data value, and NaN.
        nodata: the no-data value of the scene and of the result, None for no such value; by default what the scene
            declares, else what `radiometry` does. The result has it where the scene has it, and NaN where the scene has
            NaN (the no-data value in integers), whatever fn gives there. Per channel, unless C' is not C: then where a
            channel of the scene lacks data, the result does.
        out_nodata: the no-data value of the result where another one is wanted; pixels that are NaN in the scene have
            it too. None: the result has none, and what fn gives there stays.
        align: every patch begins at a multiple of this many pixels, as a network wants that halves its images. `size`
            and `overlap` (half of it with ``crop``) must be multiples.
        positions: call fn(x, positions) with the (row, column) of each patch's upper left pixel in the scene, (B, 2).
        resume: go on with the rows that an unfinished run left.
        on_rows: hears how many rows of the result are finished; at first, where a run goes on, those that were.
        compression: of a .tif: ``deflate``, ``zstd``, ``lzw`` or ``none``.
        cog: write a cloud-optimised GeoTIFF.
        name: what fn does, in words, for the check below; by default the name of fn.
        convert: gets the finished rows (C', r, W) as arrays, from top to bottom and once, and gives what is written.

    Returns:
        The path `out`. There is a complete file or none.

    Note:
        Finished rows are kept in the folder ``<out>.parts``. After an interruption, even kill -9, the same call goes on
        there and ends in the same bytes. It refuses other arguments and another scene (name, size, time of change); as
        it cannot look into fn, it computes the first tile again and refuses what differs by more than 1e-3.
        Memory: some rows of tiles, whatever the height of the scene.
        Several processes (torchrun, or RANK and WORLD_SIZE in the environment) share the rows: each must make the call,
        with its own device. The last to finish puts the file together; all return when it is there.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed; a result of fn of another size.
        DataError: a scene that cannot be read, an output that cannot be written (full disk, missing folder, the scene
            itself), unfinished rows of another run.
    """
    check_types(fn, out, radiometry)
    source = scene if isinstance(scene, Scene) else Scene.open(scene)
    out = Path(out)
    check_output(out, source)
    device = torch.device(device)
    tiles = tiles_of(source, size, overlap, window, align)
    channels = channels_of(channels, source)
    missing, absent = nodata_of(nodata, source, radiometry), out_nodata_of(out_nodata)
    pixels = ScenePixels(source, channels, radiometry, number(fill, "fill"), missing, absent)
    function = PatchFunction(fn, device, positions=positions)
    batch = integer(batch, "batch", 1, 2**31 - 1)
    rows = (
        CroppedRows(pixels, function, tiles, batch)
        if isinstance(tiles, CroppedTiles)
        else BlendedRows(pixels, function, tiles, window, batch)
    )
    declared = {
        "scene": identity(source), "function": name or getattr(fn, "__qualname__", type(fn).__qualname__),
        "size": size, "overlap": overlap, "window": window, "channels": channels, "fill": repr(pixels.fill),
        "radiometry": None if radiometry is None else radiometry.to_dict(), "nodata": repr(pixels.nodata),
        **({} if align == 1 else {"align": align}), **({} if absent is ... else {"out_nodata": repr(absent)}),
    }  # fmt: skip
    parts = SceneParts(out.with_name(f"{out.name}.parts"), declared)

    def writer(file: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> SceneWriter:
        whole, value = (shape[0], *source.shape[1:]), pixels.declared(dtype)
        return SceneWriter(file, whole, dtype, like=source, nodata=value, compression=compression, cog=cog)

    SceneRun(rows, parts, out, writer, convert=convert, on_rows=on_rows).complete(resume=resume)
    return out
