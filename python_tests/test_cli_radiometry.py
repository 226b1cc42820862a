"""sarcore radiometry: what it prints."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import write_image


def test_the_declaration_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).gamma(4, 0.25, (200, 200)).astype(np.float32)
    path = write_image(tmp_path / "[red].tif", x)
    assert main(["radiometry", str(path)]) == 0
    out = capsys.readouterr().out
    assert "[red].tif: 1 x 200 x 200 float32" in out
    assert "unit: intensity (likely: no value is negative" in out
    declared = eval(out.split("declare: sarcore.")[1], {"Radiometry": Radiometry})
    assert (declared.unit, declared.scale) == ("intensity", "db")
    low, high = 10 * np.log10(np.percentile(x, (1, 99)))
    assert (declared.low, declared.high) == pytest.approx((low, high), abs=0.01)


def test_options_channels_and_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(-12, 3, (2, 50, 50)).astype(np.float32)
    x[0, :5] = np.nan
    path = write_image(tmp_path / "a.npy", x)
    assert main(["radiometry", str(path), "--nodata", "nan", "--percentiles", "5", "95"]) == 0
    out = capsys.readouterr().out
    assert "unit: db (likely" in out
    assert "channel 1, percentiles 5 and 95:" in out
    assert 'nodata=float("nan"))' in out
    assert main(["radiometry", str(path), "--unit", "intensity"]) == 1
    assert "declared as intensity, but" in capsys.readouterr().err
    assert main(["radiometry", str(tmp_path / "none.tif")]) == 1
    assert "does not exist" in capsys.readouterr().err
    image = write_image(tmp_path / "a.png", np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    assert main(["radiometry", str(image)]) == 0
    assert "declare: sarcore.Radiometry('digital', " in capsys.readouterr().out


def test_no_data_of_the_file_is_used_and_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(-12, 3, (1, 200, 200)).astype(np.float32)
    x[:, :70] = -9999
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, x, photometric="minisblack", extratags=[(42113, 2, 0, "-9999", True)])
    assert main(["radiometry", str(path)]) == 0
    out = capsys.readouterr().out
    assert "no-data: -9999, which the file declares" in out
    assert "nodata=-9999)" in out
    declared = eval(out.split("declare: sarcore.")[1], {"Radiometry": Radiometry})
    assert declared.low == pytest.approx(np.percentile(x[:, 70:], 1), abs=0.01)
    bare = write_image(tmp_path / "b.tif", x)
    for options in ([], ["--unit", "db"]):
        assert main(["radiometry", str(bare), *options]) == 1
        assert "no-data value" in capsys.readouterr().err


def test_a_wrong_unit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_image(tmp_path / "a.tif", np.random.default_rng(0).uniform(10, 900, (64, 64)).astype(np.float32))
    assert main(["radiometry", str(path), "--unit", "db"]) == 1
    assert "look like intensities or digital numbers" in capsys.readouterr().err


def test_a_compressed_scene_is_never_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    x = np.random.default_rng(0).gamma(4, 0.25, (4, 900, 800)).astype(np.float32)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, x, photometric="minisblack", compression="zlib", rowsperstrip=16)

    def whole(*_: object, **__: object) -> None:
        raise AssertionError("decoded whole")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", whole)
    assert main(["radiometry", str(path)]) == 0
    out = capsys.readouterr().out
    assert "4 x 900 x 800 float32" in out
    assert "unit: intensity" in out
    for channel in range(4):
        found = re.search(rf"channel {channel}, percentiles 1 and 99: (\S+) to (\S+) db", out)
        assert found
        wanted = 10 * np.log10(np.percentile(x[channel], (1, 99)))
        np.testing.assert_allclose([float(value) for value in found.groups()], wanted, atol=0.01)
