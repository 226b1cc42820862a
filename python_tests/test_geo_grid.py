"""Bounds and grids, against pyproj."""

import math

import numpy as np
import pyproj
import pytest
import rasterio

from sarcore.errors import DataError
from sarcore.geo.crop import crop
from sarcore.geo.grid import Bounds, Grid, utm_zone
from sarcore.geo.raster import parse_crs, project
from sarcore.geo.warp import common_grid, warp

from .geo_files import write_geotiff

TOKYO = (139.807069, 35.707233, 139.814111, 35.714069)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 1, 0, 3), (0, 3, 2, 1), (2, 3, 0, 1)])
def test_corners_come_in_any_order(order):
    assert Bounds.of(*(TOKYO[k] for k in order)) == Bounds(*TOKYO)


@pytest.mark.parametrize(
    ("corners", "says"),
    [
        ((35.707, 139.807, 35.714, 139.814), "is it given as latitude, longitude"),
        ((0, 91, 1, 92), "latitudes lie between -90 and 90"),
        ((181, 0, 182, 1), "longitudes lie between -180 and 180"),
        ((-179, 0, 179, 1), "antimeridian"),
        ((5, 0, 5, 1), "hold no area"),
        ((math.nan, 0, 1, 1), "finite"),
    ],
)
def test_what_is_no_rectangle_is_refused(corners, says):
    with pytest.raises(ValueError, match=says):
        Bounds.of(*corners)


@pytest.mark.parametrize("lon", [-180.0, -177.1, -0.1, 0.0, 5.9, 6.0, 139.8, 180.0])
@pytest.mark.parametrize("lat", [-79.0, -0.5, 0.5, 50.0])
def test_the_utm_zone_covers_the_point(lon, lat):
    zone = pyproj.CRS(utm_zone(lon, lat))
    west, south, east, north = zone.area_of_use.bounds
    assert south <= lat <= north
    assert west <= lon <= east or (abs(lon) == 180 and abs(west) == 180)


def test_utm_ends():
    with pytest.raises(ValueError, match="UTM ends at the latitudes"):
        utm_zone(0, 85)


def test_a_grid_covers_its_bounds_and_fits_its_neighbours():
    grid = Grid.utm_around(Bounds(*TOKYO), 3.0)
    assert grid.crs == "EPSG:32654"
    t = np.linspace(0, 1, 301)
    west, south, east, north = TOKYO
    lon, lat = np.meshgrid(west + t * (east - west), south + t * (north - south))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(lon, lat)
    left, bottom, right, top = grid.bounds
    for inside, outside in ((x.min() - left, "left"), (right - x.max(), "right"), (y.min() - bottom, "bottom")):
        assert 0 <= inside < 3, outside
    assert 0 <= top - y.max() < 3
    other = Grid.utm_around(Bounds.of(139.81, 35.71, 139.82, 35.72), 3.0)
    assert (np.array([grid.transform, other.transform])[:, [2, 5]] % 3 == 0).all()
    assert grid.gsd == (3.0, 3.0)
    # 637 x 760 m, as the bounds of the document are: 212 x 253 pixels of 3 m and the edges
    assert 212 <= grid.width <= 217
    assert 253 <= grid.height <= 257


def test_outlines_follow_the_curves():
    """The parallel of a wide area bends up in UTM: its corners alone would cut the middle off."""
    bounds = Bounds.of(6.0, 60.0, 12.0, 61.0)
    grid = Grid.utm_around(bounds, 100.0)
    corners = project(np.array([[6.0, 60.0], [12.0, 60.0]]), "EPSG:4326", grid.crs)
    assert grid.bounds[1] < corners[:, 1].min() - 1000


def test_lonlat_of_a_grid_holds_it():
    grid = Grid("EPSG:32633", (10, 0, 400000, 0, -10, 6000000), 500, 300)
    found = grid.lonlat()
    back = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    lon, lat = back.transform(*np.meshgrid(np.linspace(400000, 405000, 21), np.linspace(5997000, 6000000, 21)))
    assert np.allclose([found.west, found.south, found.east, found.north], [lon.min(), lat.min(), lon.max(), lat.max()])


def test_projection_agrees_with_pyproj():
    rng = np.random.default_rng(0)
    points = rng.uniform([138, -60], [144, 60], (50, 2))
    expected = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32654", always_xy=True).transform(*points.T)
    assert np.allclose(project(points, "EPSG:4326", "EPSG:32654"), np.stack(expected, axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "says"),
    [("EPSG:9001", r"code of a unit \(metre\)"), ("EPSG:1", "no coordinate system"), ("nonsense", "that PROJ knows")],
)
def test_what_is_no_system_is_refused(name, says):
    with pytest.raises(DataError, match=says):
        parse_crs(name)


def test_bad_grids_are_refused():
    with pytest.raises(ValueError, match="gsd must be a positive number"):
        Grid.utm_around(Bounds(*TOKYO), -1.0)
    with pytest.raises(ValueError, match="pixels along a side"):
        Grid.utm_around(Bounds(*TOKYO), 1e-6)
    with pytest.raises(DataError, match="no finite coordinates"):
        Grid.over(np.array([[0.0, np.inf], [1.0, 1.0]]), "EPSG:3857", 1e5)


@pytest.mark.parametrize(
    ("crs", "corner", "zone"),
    [("EPSG:32660", (703000, 5767000), "EPSG:32660"), ("EPSG:4326", (199.9, 10), "EPSG:32604"),
     ("EPSG:4326", (-160.1, -10), "EPSG:32704")],
)  # fmt: skip
def test_the_zone_of_a_file_beside_the_antimeridian_or_beyond_180(tmp_path, crs, corner, zone):
    size = 40 if crs != "EPSG:4326" else 0.001
    transform = (size, 0, corner[0], 0, -size, corner[1])
    path = write_geotiff(tmp_path / "a.tif", np.ones((100, 100), np.uint8), crs, transform)
    grid = common_grid([path], gsd=100)
    assert grid.crs == zone
    assert warp(path, tmp_path / "b.tif", grid).valid > 0.9


def test_an_extent_that_is_no_rectangle_of_longitudes(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", np.ones((99, 99), np.uint8), "EPSG:3031", (1e3, 0, -5e4, 0, -1e3, 5e4))
    with pytest.raises(DataError, match=r"covers x -50000 to 49000, y -49000 to 50000 in EPSG:3031; asked for is long"):
        crop(path, tmp_path / "b.tif", Bounds.of(10, 50, 11, 51))
    with pytest.raises(DataError, match=r"covers x -50000 to 49000.*; the grid covers longitude"):
        warp(path, tmp_path / "b.tif", Grid.utm_around(Bounds.of(10, -71, 10.1, -70.9), 1000))


def test_longitudes_from_0_to_360(tmp_path):
    pixels = np.arange(100 * 360, dtype=np.uint16).reshape(100, 360)
    path = write_geotiff(tmp_path / "a.tif", pixels, "EPSG:4326", (1, 0, 0, 0, -1, 50))
    for west in (-160, 20):
        crop(path, tmp_path / "b.tif", Bounds.of(west, 40, west + 5, 42))
        column = west % 360
        with rasterio.open(tmp_path / "b.tif") as out:
            np.testing.assert_array_equal(out.read(1), pixels[8:10, column : column + 5])
