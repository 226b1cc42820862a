"""The mathematics of map tiles, against pyproj and the formula of the document."""

import math

import numpy as np
import pyproj
import pytest

from sarcore.geo.grid import Bounds
from sarcore.geo.tiles import HALF, LATITUDE, TileWindow, position

MERCATOR = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)


def the_document(lat_deg, lon_deg, zoom):
    lat_rad = math.radians(lat_deg)
    n = 2.0**zoom
    x = int((lon_deg + 180.0) / 360.0 * n)
    y = int((1.0 - math.log(math.tan(lat_rad) + (1 / math.cos(lat_rad))) / math.pi) / 2.0 * n)
    return x, y


@pytest.mark.parametrize("zoom", [0, 1, 7, 18, 24])
def test_positions_agree_with_pyproj(zoom):
    points = np.random.default_rng(zoom).uniform([-180, -85], [180, 85], (200, 2))
    for lon, lat in points:
        x, y = position(lon, lat, zoom)
        east, north = MERCATOR.transform(lon, lat)
        side = 2 * HALF / 2**zoom
        assert abs(x * side - HALF - east) < 1e-6
        assert abs(HALF - y * side - north) < 1e-6
        assert (math.floor(x), math.floor(y)) == the_document(lat, lon, zoom)


def test_the_grid_of_a_window_agrees_with_pyproj():
    window = TileWindow(18, 232879 * 256 + 7, 103200 * 256 + 9, 500, 300)
    grid = window.grid()
    a, _, c, _, e, f = grid.transform
    assert a == -e
    assert a == pytest.approx(156543.03392804097 / 2**18, rel=1e-12)  # metres per pixel of zoom 0, as documented
    for column, row in ((0, 0), (499, 0), (250, 299)):
        lon, lat = MERCATOR.transform(c + a * column, f + e * row, direction="INVERSE")
        x, y = position(lon, lat, 18)
        assert (x * 256, y * 256) == pytest.approx((window.column + column, window.row + row), rel=0, abs=1e-5)


@pytest.mark.parametrize("zoom", [1, 9, 18])
def test_bounds_of_tiles_are_right_to_a_millionth_of_a_degree(zoom):
    """pyproj's degrees of a tile's corners against the formula of the map, without pyproj."""
    for x, y in np.random.default_rng(0).integers(0, 2**zoom, (50, 2)).tolist():
        found = TileWindow(zoom, 256 * x, 256 * y, 256, 256).grid().lonlat()
        west, east = (360 * i / 2**zoom - 180 for i in (x, x + 1))
        north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * i / 2**zoom)))) for i in (y, y + 1))
        assert (found.west, found.south) == pytest.approx((west, south), rel=0, abs=1e-6)
        assert (found.east, found.north) == pytest.approx((east, north), rel=0, abs=1e-6)


@pytest.mark.parametrize("size", [1, 2, 255, 1536])
def test_the_point_is_in_the_middle(size):
    """The document's window began at whole tiles, up to half a tile off."""
    for lon, lat in np.random.default_rng(1).uniform([-170, -80], [170, 80], (50, 2)):
        window = TileWindow.centred(lon, lat, 18, size, size)
        x, y = position(lon, lat, 18)
        assert abs(x * 256 - window.column - size / 2) <= 0.5
        assert abs(y * 256 - window.row - size / 2) <= 0.5


def test_the_window_of_bounds_covers_them():
    bounds = Bounds.of(139.807069, 35.707233, 139.814111, 35.714069)
    window = TileWindow.of(bounds, 18)
    found = window.grid().lonlat()
    pixel = 360 / 2**26
    assert found.west <= bounds.west < found.west + pixel
    assert found.east - pixel < bounds.east <= found.east
    assert found.north >= bounds.north > found.north - pixel
    assert found.south <= bounds.south < found.south + pixel
    exact = TileWindow.of(TileWindow(4, 5 * 256, 6 * 256, 256, 256).grid().lonlat(), 4)
    assert (exact.column, exact.row, exact.width, exact.height) == (5 * 256, 6 * 256, 256, 256)
    assert list(exact.tiles()) == [(5, 6)]


def test_windows_off_the_map_are_refused():
    with pytest.raises(ValueError, match="leave the map of 512 x 512 at zoom 1"):
        TileWindow.centred(0, 0, 1, 600, 600)
    with pytest.raises(ValueError, match="longitude, latitude"):
        position(35.7, 139.8, 18)
    with pytest.raises(ValueError, match="zoom must be"):
        position(0, 0, 31)
    assert position(0, LATITUDE, 3)[1] == pytest.approx(0, abs=1e-9)
