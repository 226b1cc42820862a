"""Real scenes from file to file: ENVI (big-endian), GeoTIFF in decibels and intensity, complex NPY, PNG of 8 bit."""

import numpy as np
import pytest
import rasterio
import torch

from sarcore import ops
from sarcore.cli import main
from sarcore.data import Scene
from sarcore.inference import run_scene

SCENES = {
    "s1grd/Lake_512/Amplitude_VV.img": "amplitude",
    "misc/pyrosar_s1/S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db.tif": "db",
    "misc/whu_s1_vh/sentinel1_113_20171021_1220_VH_city_1_1.tif": "intensity",
    "misc/sen1floods11_spain/Spain_7370579_S1Hand.tif": "db",
    "misc/isce3_uavsar_slc/winnipeg_frequencyA_HH.npy": "complex",
    "sar1024/003.png": "amplitude",
}


def scene_of(test_data, name):
    if not (test_data / name).is_file():
        pytest.skip(f"{name} is not in {test_data}")
    return Scene.open(test_data / name)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", SCENES)
def test_despeckle_from_file_to_file(test_data, tmp_path, name, capsys):
    scene, domain = scene_of(test_data, name), SCENES[name]
    out = tmp_path / "out.tif"
    options = ["--looks", "4", "--tile", "200", *(["--domain", domain] if domain != "complex" else [])]
    assert main(["despeckle", str(scene.path), str(out), *options]) == 0, capsys.readouterr().err
    x = torch.from_numpy(scene.read())[None]
    if domain == "complex":
        x = ops.intensity(x)
    x = x if x.dtype == torch.float64 else x.float()
    mask = None if scene.nodata is None else x != scene.nodata
    real = "intensity" if domain == "complex" else domain
    expected = ops.despeckle(x, "lee", 7, 4.0, domain=real, mask=mask)[0]
    np.testing.assert_array_equal(Scene.open(out).read(), expected)
    if scene.path.suffix in (".tif", ".img"):
        with rasterio.open(scene.path) as before, rasterio.open(out) as after:
            assert after.transform == before.transform
            # A GeoTIFF says EPSG:4326 for what the header of ENVI spells out.
            assert after.crs == before.crs or (scene.path.suffix == ".img" and after.crs.to_epsg() == 4326)
            assert after.nodata == before.nodata or (np.isnan(after.nodata) and np.isnan(before.nodata))
            assert after.descriptions == before.descriptions


@pytest.mark.parametrize("name", SCENES)
def test_the_identity_blended_gives_the_scene(test_data, tmp_path, name):
    scene = scene_of(test_data, name)
    out = run_scene(scene, lambda x: x, tmp_path / "out.tif", 160, 80)
    before, after = scene.read(), Scene.open(out).read()
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))


def test_eight_bit_from_png_to_png(test_data, tmp_path):
    scene, out = scene_of(test_data, "sar1024/003.png"), tmp_path / "out.png"
    assert main(["despeckle", str(scene.path), str(out), "--domain", "amplitude", "--looks", "4"]) == 0
    x = torch.from_numpy(scene.read())[None].float()
    expected = ops.despeckle(x, "lee", 7, 4.0, domain="amplitude")[0].round().clamp(0, 255)
    found = Scene.open(out).read()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
