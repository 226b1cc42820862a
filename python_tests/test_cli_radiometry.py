"""sarcore radiometry: what it prints."""

from pathlib import Path

import numpy as np
import pytest

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
