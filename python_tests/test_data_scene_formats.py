"""Scene: ENVI, NPY, NPZ, images, what else GDAL reads; and the real scenes in their own formats."""

import pickle

import numpy as np
import pytest
import rasterio

from sarcore.data import Scene, write_image
from sarcore.errors import DataError

from .scene_files import GEO, noise, write

ENVI_TYPES = {
    "uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "complex64": 6, "complex128": 9, "uint16": 12,
    "uint32": 13, "int64": 14, "uint64": 15,
}  # fmt: skip
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def write_envi(path, pixels, interleave="bsq", order=0, offset=0, **more):
    count, height, width = pixels.shape
    stored = pixels.transpose(AXES.get(interleave, (0, 1, 2)))
    path.write_bytes(b"x" * offset + stored.astype(stored.dtype.newbyteorder(">" if order else "<")).tobytes())
    fields = {
        "samples": width, "lines": height, "bands": count, "header offset": offset, "interleave": interleave,
        "data type": ENVI_TYPES[pixels.dtype.name], "byte order": order, "file type": "ENVI Standard",
    }  # fmt: skip
    lines = ["ENVI", "description = {", "  lines = 3 is not", "  a field}"]
    lines += [f"{name} = {value}" for name, value in (fields | more).items()]
    path.with_suffix(".hdr").write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("interleave", AXES)
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("dtype", ENVI_TYPES)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_envi(tmp_path, dtype, order, interleave):
    pixels = noise((3, 20, 30), dtype)
    path = write_envi(tmp_path / "a.img", pixels, interleave, order, offset=7)
    wanted = pixels.astype(np.complex64) if pixels.dtype.kind == "c" else pixels
    for name in (path, path.with_suffix(".hdr")):
        scene = Scene.open(name)
        assert (scene.name, scene.path, scene.shape, scene.dtype) == ("a", path, (3, 20, 30), wanted.dtype)
        found = scene.read(2, 3, 15, 20)
        np.testing.assert_array_equal(found, wanted[:, 2:17, 3:23])
        assert found.dtype.isnative
        assert found.flags.c_contiguous
    assert (scene.crs, scene.transform, scene.nodata, scene.tags) == (None, None, None, ())
    with rasterio.open(path) as gdal:
        np.testing.assert_array_equal(gdal.read().astype(wanted.dtype), scene.read())


def test_envi_places_names_and_no_data(tmp_path):
    more = {
        "band names": "{ VV,\n VH }",
        "Data Ignore Value": "-9999",
        "map info": "{UTM, 1, 1, 620048.25, 4830114.5, 20, 10, 31, North, WGS-84}",
    }
    scene = Scene.open(write_envi(tmp_path / "a.dat", noise((2, 20, 30), "float32"), **more))
    assert (scene.band_names, scene.nodata) == (("VV", "VH"), -9999)
    assert scene.transform == (20, 0, 620048.25, 0, -10, 4830114.5)
    assert rasterio.CRS.from_wkt(scene.crs).to_epsg() == 32631
    assert scene.georeferenced
    again = pickle.loads(pickle.dumps(Scene.open(tmp_path / "a.hdr")))
    np.testing.assert_array_equal(again.read(), scene.read())


def test_wrong_envi_headers(tmp_path):
    pixels = noise((2, 20, 30), "float32")
    for more, message in (
        ({"lines": 21}, r"a.img is truncated \(4800 of 5040 bytes by its header a.hdr\)"),
        ({"lines": "x"}, "lines = x, which is no whole number"),
        ({"data type": 7}, "data type 7"),
        ({"interleave": "tile"}, "interleave 'tile'"),
        ({"file compression": 1}, "is compressed"),
        ({"data ignore value": "none"}, "data ignore value = none, which is no number"),
    ):
        path = write_envi(tmp_path / "a.img", pixels, **more)
        with pytest.raises(DataError, match=message):
            Scene.open(path)
    path.unlink()
    with pytest.raises(DataError, match="binary file of the ENVI header .*a.hdr is missing"):
        Scene.open(path.with_suffix(".hdr"))
    (tmp_path / "b.hdr").write_text("RASTER HEADER")
    (tmp_path / "b.bin").write_bytes(b"\0" * 100)
    for name in ("b.hdr", "b.bin"):
        with pytest.raises(DataError, match=name):
            Scene.open(tmp_path / name)


def test_npy_and_npz(tmp_path):
    z = noise((2, 30, 40), "complex128")
    big = noise((30, 40), "float32").astype(">f4")
    np.save(tmp_path / "z.npy", z)
    np.save(tmp_path / "big.npy", big)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(z.real))
    np.savez(tmp_path / "one.npz", vv=big)
    np.savez_compressed(tmp_path / "two.npz", vv=big, vh=z)
    for name, wanted in (("z.npy", z.astype(np.complex64)), ("big.npy", big[None]), ("one.npz", big[None]),
                         ("two.npz#vv", big[None]), ("two.npz#vh", z.astype(np.complex64)),
                         ("fortran.npy", z.real)):  # fmt: skip
        scene = Scene.open(f"{tmp_path}/{name}")
        found = scene.read(3, 4, 20, 30)
        np.testing.assert_array_equal(found, wanted[:, 3:23, 4:34])
        assert found.dtype == scene.dtype == wanted.dtype.newbyteorder("=")
        assert (scene.crs, scene.tags, scene.name) == (None, (), name.split(".")[0])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(scene)).read(), wanted)
    with pytest.raises(DataError, match=r"two.npz holds 2 arrays \(vv, vh\); name one: .*two.npz#vv"):
        Scene.open(tmp_path / "two.npz")
    with pytest.raises(DataError, match="holds no array 'hh' but vv, vh"):
        Scene.open(tmp_path / "two.npz#hh")
    np.save(tmp_path / "flat.npy", np.zeros(3, dtype=np.complex64))
    with pytest.raises(DataError, match=r"flat.npy is \(3,\)"):
        Scene.open(tmp_path / "flat.npy")
    for name in ("short.npy", "short.npz"):
        (tmp_path / name).write_bytes(b"\x93NUMPY")
        with pytest.raises(DataError, match=name):
            Scene.open(tmp_path / name)
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(DataError, match="objects.npy"):
        Scene.open(tmp_path / "objects.npy")


def test_images(tmp_path):
    for dtype, count in (("uint8", 1), ("uint8", 3), ("uint16", 1)):
        pixels = noise((count, 30, 40), dtype)
        scene = Scene.open(write_image(tmp_path / "a.png", pixels))
        assert (scene.shape, scene.dtype, scene.tags) == ((count, 30, 40), np.dtype(dtype), ())
        np.testing.assert_array_equal(scene.read(1, 2, 20, 30), pixels[:, 1:21, 2:32])
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut.png is truncated"):
        Scene.open(tmp_path / "cut.png")


def test_a_world_file_places_an_image(tmp_path):
    path = write_image(tmp_path / "a.png", noise((1, 30, 40), "uint8"))
    (tmp_path / "a.pgw").write_text("10\n0\n0\n-10\n500005\n4000005\n")
    scene = Scene.open(path)
    assert scene.transform == (10, 0, 500000, 0, -10, 4000010)
    assert scene.georeferenced


def test_what_else_gdal_reads(tmp_path):
    pixels = noise((2, 100, 120), "uint16")
    source = write(tmp_path / "a.tif", pixels, **(GEO | {"nodata": 5}))
    rasterio.shutil.copy(source, tmp_path / "a.vrt", driver="VRT")
    scene = Scene.open(tmp_path / "a.vrt")
    assert (scene.shape, scene.dtype, scene.nodata) == ((2, 100, 120), np.uint16, 5)
    np.testing.assert_array_equal(scene.read(10, 20, 50, 60, [1]), pixels[1:, 10:60, 20:80])
    assert scene.transform == (20, 0, 620048.25, 0, -10, 4830114.5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scene)).read(), pixels)
    scene.close()
    source.unlink()
    with pytest.raises(DataError, match=r"a.vrt is corrupt or cannot be read"):
        scene.read()


def test_real_envi_scenes(test_data):
    headers = sorted((test_data / "s1grd").glob("*/*.hdr"))
    if not headers:
        pytest.skip("no s1grd in the real data")
    for header in headers:
        scene = Scene.open(header)
        with rasterio.open(header.with_suffix(".img")) as gdal:
            np.testing.assert_array_equal(scene.read(channels=0)[0], gdal.read(1))
            assert scene.transform == tuple(gdal.transform)[:6]
            assert rasterio.CRS.from_wkt(scene.crs) == gdal.crs
        assert (scene.dtype, scene.band_names) == (np.float32, (header.stem,))
        assert scene.mapped().dtype == ">f4"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_geotiffs_arrays_and_images(test_data):
    files = sorted((test_data / "misc").glob("*/*.tif"))
    for file in files:
        scene = Scene.open(file)
        with rasterio.open(file) as gdal:
            np.testing.assert_array_equal(scene.read(), gdal.read())
            assert scene.band_names == gdal.descriptions
            assert str(scene.nodata) == str(gdal.nodata)
    for file in sorted((test_data / "misc").glob("*/*.npy")):
        np.testing.assert_array_equal(Scene.open(file).read()[0], np.load(file))
    for file in sorted((test_data / "sar1024").glob("*.png"))[:2]:
        assert (Scene.open(file).shape, Scene.open(file).dtype) == ((1, 1024, 1024), np.uint8)
