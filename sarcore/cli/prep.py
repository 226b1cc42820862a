"""``sarcore prep``: two satellites' files become images on one grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from sarcore.geo.crop import Part
    from sarcore.geo.grid import Grid

Method = Literal["auto", "nearest", "bilinear", "cubic", "lanczos", "average"]
Unit = Literal["intensity", "amplitude", "db"]
Files = Annotated[Positional[tuple[Path, ...]], arg(metavar="IN... OUT")]
In = Annotated[Positional[Path], arg(metavar="IN")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]
Corners = Annotated[tuple[float, float, float, float], arg(metavar="LON1 LAT1 LON2 LAT2")]


def crop(input: In, output: Out, /, *, bounds: Corners, crs: str | None = None) -> None:
    """Cut the part of a georeferenced file that lies within longitudes and latitudes; pixels are copied as they are.

    Args:
        input: GeoTIFF or another georeferenced raster.
        output: The .tif to write.
        bounds: Two opposite corners in degrees, in any order.
        crs: Coordinate system of a file that has a transform but names no system, for example EPSG:32654.
    """
    from sarcore.geo.crop import crop as write_crop
    from sarcore.geo.grid import Bounds

    with ConsoleProgress() as progress:

        def start(part: Part, grid: Grid) -> None:
            if not part.whole:
                progress.note(f"note: the bounds reach beyond {input}; what it holds of them is written")
            progress.note(f"{part.width} x {part.height} pixels of {gsd_text(grid)} in {system_text(grid)}")
            progress.stage("pixels", part.width * part.height)

        write_crop(
            input, output, Bounds.of(*bounds), crs=crs, on_start=start, on_pixels=lambda done: progress.step(done, {})
        )
        progress.note(f"wrote {output}")


def warp(
    files: Files,
    /,
    *,
    gsd: float | None = None,
    crs: str | None = None,
    bounds: Corners | None = None,
    like: Path | None = None,
    resampling: Method = "auto",
    unit: Unit | None = None,
    nodata: float | None = None,
    source_crs: str | None = None,
) -> None:
    """Put georeferenced files on one grid: square pixels of a UTM zone, or those of another file.

    Args:
        files: Georeferenced rasters, one or more, and last the .tif to write; for several a folder, which gets a .tif
            of the same name for each.
        gsd: Side of a pixel in metres, or in the unit of --crs.
        crs: Coordinate system of the grid; the UTM zone of the area's middle without it.
        bounds: Two opposite corners in degrees, in any order; without them the area that all inputs share.
        like: File whose grid is taken, instead of the three above.
        resampling: auto is bilinear, and the mean of all pixels where the grid is coarser by two or more.
        unit: What SAR pixels are: decibels and amplitudes are averaged as intensities.
        nodata: Value for pixels without data in files that declare none; floating-point files get NaN, others a mask.
        source_crs: Coordinate system of inputs that have a transform but name no system.
    """
    from sarcore.geo.grid import Bounds
    from sarcore.geo.warp import common_grid
    from sarcore.geo.warp import warp as write_warped

    if len(files) < 2:
        raise ValueError("give a file to read and one to write: sarcore prep warp IN OUT --gsd 10")
    inputs, output = files[:-1], files[-1]
    outputs = _outputs(inputs, output)
    area = None if bounds is None else Bounds.of(*bounds)
    grid = common_grid(inputs, gsd=gsd, crs=crs, bounds=area, like=like, source_crs=source_crs)
    with ConsoleProgress() as progress:
        progress.note(f"grid: {grid.width} x {grid.height} pixels of {gsd_text(grid)} in {system_text(grid)}")
        if len(inputs) > 1:
            output.mkdir(parents=True, exist_ok=True)
        for source, target in zip(inputs, outputs, strict=True):
            if unit is None and resampling != "nearest" and _looks_like_decibels(source):
                progress.note(f"note: {source} looks like decibels; with --unit db they are averaged as intensities")
            progress.stage(source.name, grid.width * grid.height)
            done = write_warped(
                source, target, grid, source_crs=source_crs, method=resampling, unit=unit, nodata=nodata,
                on_pixels=lambda count: progress.step(count, {}),
            )  # fmt: skip
            share = f", {100 * done.valid:.1f} % with data" if done.valid < 1 else ""
            progress.note(f"wrote {target}: {done.method}, {done.ratio:.3g} pixels of the file to one{share}")


def _outputs(inputs: tuple[Path, ...], output: Path) -> list[Path]:
    if len(inputs) == 1:
        return [output]
    if output.suffix:
        raise ValueError(f"{len(inputs)} inputs need a folder as OUT, got {output}")
    names = [path.stem for path in inputs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"several inputs are called {', '.join(twice)}; warp them one by one, with --like or --bounds")
    return [output / f"{name}.tif" for name in names]


def _looks_like_decibels(path: Path) -> bool:
    """Whether the middle of a floating-point image reads as decibels."""
    from sarcore.data.units import detect_unit
    from sarcore.errors import DataError
    from sarcore.geo.raster import opened, read

    with opened(path) as dataset:
        if not dataset.dtypes[0].startswith("float"):
            return False
        width, height = min(dataset.width, 512), min(dataset.height, 512)
        seen = read(dataset, (dataset.width - width) // 2, (dataset.height - height) // 2, width, height)
        try:
            return detect_unit(seen, dataset.nodata).unit == "db"
        except DataError:
            return False


def stitch(
    source: Annotated[Positional[str], arg(metavar="SOURCE")],
    output: Out,
    /,
    *,
    point: Annotated[tuple[float, float] | None, arg(metavar="LON LAT")] = None,
    bounds: Corners | None = None,
    zoom: int = 18,
    tiles: int = 6,
    tile_size: int = 256,
    token_env: str | None = None,
    cache: Path | None = None,
) -> None:
    """Put map tiles together into a GeoTIFF; tiles that are not there are masked.

    Args:
        source: Folder of zoom/x/y.png, or an address or path such as https://host/{z}/{x}/{y}.png.
        output: The .tif to write.
        point: Longitude and latitude of the middle of the image.
        bounds: Two opposite corners in degrees instead of a point.
        zoom: Zoom of the tiles.
        tiles: Side of the image around the point, in tiles.
        tile_size: Side of a tile in pixels.
        token_env: Environment variable with the token that the server wants.
        cache: Folder that keeps the tiles of a server, so that an interrupted run goes on.
    """
    from sarcore.geo.grid import Bounds
    from sarcore.geo.http import Connection, token_from
    from sarcore.geo.stitch import stitch as write_mosaic
    from sarcore.geo.tiles import TileWindow

    if (point is None) == (bounds is None):
        raise ValueError("say where: --point LON LAT, or --bounds LON1 LAT1 LON2 LAT2")
    if point is not None:
        window = TileWindow.centred(*point, zoom, tiles * tile_size, tiles * tile_size, tile_size)
    else:
        assert bounds is not None
        window = TileWindow.of(Bounds.of(*bounds), zoom, tile_size)
    token = None if token_env is None else token_from(token_env, needed=True)
    connection = None
    if source.startswith(("http://", "https://")):
        connection = Connection([source], token=token, token_name=token_env or "")
    with ConsoleProgress() as progress:
        progress.stage("tiles", len(window.rows()) * len(window.columns()))
        done = write_mosaic(
            source, output, window, connection=connection, cache=cache, on_tile=lambda count: progress.step(count, {})
        )
        if done.missing:
            named = ", ".join(f"{zoom}/{x}/{y}" for x, y in done.missing)
            progress.note(f"{len(done.missing)} tiles are not there and masked: {named}")
        progress.note(f"wrote {output}: {window.width} x {window.height} pixels of {done.found} tiles, in EPSG:3857")


def gsd_text(grid: Grid) -> str:
    """Size of a pixel with its unit."""
    from sarcore.geo.raster import parse_crs

    unit = "degrees" if parse_crs(grid.crs).is_geographic else parse_crs(grid.crs).linear_units
    across, down = grid.gsd
    size = f"{across:.6g}" if abs(across - down) < 1e-9 * across else f"{across:.6g} x {down:.6g}"
    return f"{size} {unit}"


def system_text(grid: Grid) -> str:
    """EPSG code of a grid, or the name in its WKT."""
    return grid.crs if grid.crs.startswith("EPSG:") else grid.crs.split('"')[1]
