"""sarcore prep stitch: colours, orientation, place, and what happens to tiles that are not there."""

import warnings

import numpy as np
import pyproj
import pytest
import rasterio

from sarcore.cli import main
from sarcore.errors import DataError
from sarcore.geo.grid import Bounds
from sarcore.geo.http import Connection
from sarcore.geo.stitch import stitch
from sarcore.geo.tiles import TileWindow, position

from .geo_files import pixels_of
from .http_server import Answer, serving

POINT = (139.8107, 35.7101)
ZOOM = 18


def colour(x, y):
    """Another colour for each tile."""
    return (37 * x + 11) % 199 + 20, (53 * y + 7) % 199 + 20, (17 * x + 29 * y) % 199 + 20


def tile_pixels(x, y):
    """The colour of the tile; a red bar in the north, a green one in the west."""
    pixels = np.zeros((4, 256, 256), np.uint8)
    pixels[3] = 255
    pixels[:3] = np.array(colour(x, y))[:, None, None]
    pixels[:3, 40:240, :20] = np.array([0, 255, 0])[:, None, None]
    pixels[:3, :20] = np.array([255, 0, 0])[:, None, None]
    return pixels


def png(pixels):
    with warnings.catch_warnings(), rasterio.io.MemoryFile() as memory:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        profile = {"driver": "PNG", "width": pixels.shape[2], "height": pixels.shape[1], "count": len(pixels)}
        with memory.open(**profile, dtype=pixels.dtype) as out:
            out.write(pixels)
        return memory.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiles")
    for x, y in TileWindow.centred(*POINT, ZOOM, 900, 900).tiles():
        path = root / str(ZOOM) / str(x) / f"{y}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(tile_pixels(x, y)))
    return root


pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def test_every_pixel_is_where_and_what_it_was(folder, tmp_path):
    window = TileWindow.centred(*POINT, ZOOM, 600, 500)
    done = stitch(str(folder), tmp_path / "m.tif", window)
    found, valid = pixels_of(tmp_path / "m.tif")
    assert (found.shape, done.missing) == ((3, 500, 600), ())
    assert valid.all()
    to_lonlat = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.crs.to_epsg() == 3857
        assert [c.name for c in dataset.colorinterp] == ["red", "green", "blue"]
        for row, column in np.random.default_rng(0).integers(0, 500, (300, 2)):
            x, y = position(*to_lonlat.transform(*dataset.xy(row, column)), ZOOM)
            expected = tile_pixels(int(x), int(y))[:3, int(y % 1 * 256), int(x % 1 * 256)]
            assert np.array_equal(found[:, row, column], expected)
        middle = dataset.index(*pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(*POINT))
        assert np.abs(np.array(middle) - (250, 300)).max() <= 1


def test_a_reader_that_knows_nothing_of_this_sees_north_above_and_red_red(folder, tmp_path):
    cv2 = pytest.importorskip("cv2")
    x, y = (int(v) for v in position(*POINT, ZOOM))
    stitch(str(folder), tmp_path / "m.tif", TileWindow(ZOOM, x * 256, y * 256, 256, 256))
    blue, green, red = cv2.imread(str(tmp_path / "m.tif")).transpose(2, 0, 1)
    assert (red[:20] == 255).all()
    assert (blue[:20] == 0).all()
    assert (green[40:240, :20] == 255).all()
    assert (red[100, 100], green[100, 100], blue[100, 100]) == colour(x, y)


def test_missing_tiles_are_masked_and_listed(folder, tmp_path, capsys):
    window = TileWindow.centred(*POINT, ZOOM, 1536, 1536)  # the document's 6 x 6 tiles
    done = stitch(str(folder), tmp_path / "m.tif", window)
    _, valid = pixels_of(tmp_path / "m.tif")
    there = {(x, y) for x, y in window.tiles() if (folder / str(ZOOM) / str(x) / f"{y}.png").exists()}
    assert set(done.missing) == set(window.tiles()) - there
    assert done.found == len(there)
    for row, column in np.random.default_rng(0).integers(0, 1536, (300, 2)):
        assert valid[row, column] == (((window.column + column) // 256, (window.row + row) // 256) in there)
    words = ["prep", "stitch", f"{folder}/{{z}}/{{x}}/{{y}}.png", str(tmp_path / "c.tif"), "--point", *map(str, POINT)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert (
        f"{len(done.missing)} tiles are not there and masked: {ZOOM}/{window.columns()[0]}/{window.rows()[0]}" in text
    )
    assert np.array_equal(pixels_of(tmp_path / "c.tif")[0], pixels_of(tmp_path / "m.tif")[0])


def test_transparent_grey_and_palette_tiles(tmp_path):
    window = TileWindow(2, 0, 0, 1024, 256)
    base = tmp_path / "2"
    grey = np.full((1, 256, 256), 77, np.uint8)
    half = tile_pixels(1, 0)
    half[3, :128] = 0
    half[3, 128:] = 100
    table = np.zeros((1, 256, 256), np.uint8)
    table[:, :, 128:] = 1
    with rasterio.io.MemoryFile() as memory:
        with memory.open(driver="PNG", width=256, height=256, count=1, dtype="uint8") as out:
            out.write(table)
            out.write_colormap(1, {0: (1, 2, 3, 255), 1: (250, 10, 20, 255)})
        palette = memory.read()
    both = np.concatenate([grey, np.full_like(grey, 255)])
    for x, data in enumerate((png(grey), png(half), palette, png(both))):
        (base / str(x)).mkdir(parents=True)
        (base / str(x) / "0.png").write_bytes(data)
    stitch(str(tmp_path), tmp_path / "m.tif", window)
    found, valid = pixels_of(tmp_path / "m.tif")
    assert (found[:, :, :256] == 77).all()
    assert not valid[:128, 256:512].any()
    assert np.array_equal(found[:, 128:, 256:512], half[:3, 128:])
    assert np.array_equal(found[:, 5, 512], [1, 2, 3])
    assert np.array_equal(found[:, 5, 700], [250, 10, 20])
    assert (found[:, :, 768:] == 77).all()


def test_from_a_server(folder, tmp_path, monkeypatch, capsys):
    window = TileWindow.centred(*POINT, ZOOM, 400, 400)
    gone = next(iter(window.tiles()))

    def answer(request):
        if request.headers.get("authorization") != "Bearer sesame":
            return Answer(status=401)
        _, z, x, y = request.path.split("/")
        path = folder / z / x / y
        return Answer(path.read_bytes()) if (int(x), int(y[:-4])) != gone else Answer(status=404)

    with serving(answer) as server:
        source = server.url + "/{z}/{x}/{y}.png"
        words = ["prep", "stitch", source, str(tmp_path / "m.tif"), "--point", *map(str, POINT), "--tiles", "2"]
        words += ["--tile-size", "256", "--cache", str(tmp_path / "cache")]
        assert main(words) == 1
        assert "/18/" in (text := capsys.readouterr().err)
        assert "wants a token (401)" in text
        assert main([*words, "--token-env", "TILES_TOKEN"]) == 1
        assert "put it into the environment variable TILES_TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("TILES_TOKEN", "sesame")
        assert main([*words, "--token-env", "TILES_TOKEN"]) == 0
        assert "wrote" in capsys.readouterr().out
        asked = len(server.requests)
        connection = Connection([source], token="sesame")
        done = stitch(source, tmp_path / "n.tif", window, connection=connection, cache=tmp_path / "cache")
        assert len(server.requests) == asked + 1  # what is not there is asked for again
    assert done.missing == (gone,)
    found, valid = pixels_of(tmp_path / "n.tif")
    stitch(str(folder), tmp_path / "o.tif", window)
    expected = pixels_of(tmp_path / "o.tif")[0]
    assert np.array_equal(found[:, valid], expected[:, valid])
    assert 0 < (~valid).sum() < 256 * 256


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(status=403), r"does not allow this without a token \(403\)"),
        (Answer(status=500), "answered 500 5 times"),
        (Answer(b"no image"), "is no image that can be read"),
        (Answer(png(np.zeros((3, 512, 512), np.uint8))), "has 512 x 512 pixels, not 256"),
        (Answer(status=404), r"none of the \d tiles of zoom 18 is there"),
        (Answer(png(np.zeros((1, 256, 256), np.uint16))), "1 bands of uint16"),
    ],
)
def test_other_troubles_stop_and_leave_nothing(tmp_path, answer, says):
    window = TileWindow.centred(*POINT, ZOOM, 257, 257)
    with serving(lambda _: answer) as server, pytest.raises(DataError, match=says):
        stitch(server.url + "/{z}/{x}/{y}", tmp_path / "m.tif", window, connection=Connection(wait=0))
    assert not list(tmp_path.iterdir())


def test_wrong_sources(tmp_path, capsys):
    window = TileWindow.of(Bounds.of(0, 0, 1, 1), 3)
    for source, says in (
        (str(tmp_path), "there is no folder"),
        ("https://a.org/{z}/{x}.png", "must hold {z}, {x} and {y}"),
        ("https://a.org/{z}/{x}/{y}/{token}", "no other braces"),
        ("{z}/{x}/{y", "must hold"),
    ):
        with pytest.raises(DataError, match=says):
            stitch(source, tmp_path / "m.tif", window)
    assert main(["prep", "stitch", str(tmp_path), str(tmp_path / "m.tif")]) == 1
    assert "say where: --point LON LAT, or --bounds" in capsys.readouterr().err


def test_a_page_of_apology_is_not_kept_as_a_tile(folder, tmp_path):
    window = TileWindow.centred(*POINT, ZOOM, 100, 100)
    broken = [True]

    def answer(request):
        _, z, x, y = request.path.split("/")
        return Answer(b"<html>later</html>" if broken[0] else (folder / z / x / y).read_bytes())

    with serving(answer) as server:
        source = server.url + "/{z}/{x}/{y}.png"
        with pytest.raises(DataError, match="is no image"):
            stitch(source, tmp_path / "m.tif", window, cache=tmp_path / "cache")
        broken[0] = False
        assert not stitch(source, tmp_path / "m.tif", window, cache=tmp_path / "cache").missing
