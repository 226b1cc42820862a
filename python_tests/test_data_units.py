"""sarcore.data.units: what the numbers say, on simulated speckle and on real scenes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from sarcore.data import check_unit, detect_unit
from sarcore.errors import DataError


def speckle(looks: float, shape: tuple[int, ...] = (300, 300), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


@pytest.mark.parametrize("looks", [1, 1.5, 2, 4.4, 9, 16, 49])
def test_speckle_tells_intensity_from_amplitude(looks) -> None:
    for seed in range(4):
        x = speckle(looks, seed=seed)
        for gain in (1.0, 1e-4, 3e5):
            intensity, amplitude = detect_unit(gain * x), detect_unit(torch.from_numpy(gain * np.sqrt(x)))
            assert (intensity.unit, amplitude.unit) == ("intensity", "amplitude")
            assert intensity.confidence == amplitude.confidence == "likely"
            assert "skewness / variation" in intensity.reason
        assert detect_unit(10 * np.log10(x)).unit == "db"
    assert detect_unit((1000 * np.sqrt(speckle(4))).astype(np.uint16)).unit == "amplitude"


def test_borders_without_data_are_left_out() -> None:
    for border in (0.0, np.nan, -9999.0):
        x = np.stack([speckle(4), speckle(4, seed=1)])
        x[:, :100] = border
        assert detect_unit(x, nodata=-9999.0).unit == "intensity"


def test_types_are_certain() -> None:
    assert detect_unit(np.zeros((2, 2), dtype=np.complex64)).unit == "complex"
    guess = detect_unit(np.zeros((2, 2), dtype=np.uint8))
    assert (guess.unit, guess.confidence) == ("digital", "certain")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((20, 20), np.nan), "no valid pixel"),
        (np.ones((200, 200)), "0 of the 400 blocks"),
        (speckle(1, (30, 30)), "25 of the 400 blocks"),
        (speckle(1, (5, 500)), "blocks of speckle needed"),
        (np.arange(-20, 20), "whole numbers"),
        (np.linspace(-9999, 1, 500).reshape(20, 25), "no-data value"),
        (np.linspace(-0.01, 1, 500).reshape(20, 25), "noise subtracted"),
    ],
)
def test_what_cannot_be_told_is_said(x, message) -> None:
    with pytest.raises(DataError, match=f"cannot be told: .*{message}.*declare it"):
        detect_unit(x)


def test_contradictions_are_refused() -> None:
    x = speckle(4)
    decibels = 10 * np.log10(x)
    for fine, unit in ((x, "intensity"), (x, "amplitude"), (decibels, "db"), (x * 10, "db"), (decibels, "digital")):
        check_unit(fine, unit)
    check_unit(np.array([1.0, -5.0, np.nan]), "intensity", nodata=-5.0)
    check_unit(torch.zeros(3, dtype=torch.complex64), "complex")
    check_unit(np.zeros(3, dtype=np.uint8), "amplitude")
    for wrong, unit, message in (
        (decibels, "intensity", "declared as intensity, but .* negative .*declare unit 'db'"),
        (decibels, "amplitude", "declared as amplitude"),
        (decibels, "complex", "contradicts the declared unit 'complex'"),
        (x + 0j, "intensity", "complex.* contradicts the declared unit 'intensity'"),
        (x * 1000, "db", "look like intensities or digital numbers"),
        (np.append(decibels.ravel(), np.float32(-9999)), "db", "down to -9999.*no-data value"),
        (np.append(decibels.ravel(), np.float32(300)), "db", "between .* and 300"),
        (x * 1000, "log", "logarithms of intensities.* none beyond 23.03"),
        (np.zeros(3, dtype=np.int16), "log", "int16, but decibels are fractions"),
        (np.zeros(3, dtype=np.uint8), "db", "uint8, but decibels are fractions"),
    ):
        with pytest.raises(DataError, match=message):
            check_unit(wrong, unit)
    check_unit(np.array([-12.5, -9999, np.inf, np.nan]), "db", nodata=-9999)
    check_unit(np.log(x), "log")
    with pytest.raises(ValueError, match="declared must be one of"):
        check_unit(x, "dB")


def test_arguments_are_named() -> None:
    for function in (detect_unit, lambda x: check_unit(x, "db")):
        with pytest.raises(TypeError, match="x must be a NumPy array or a tensor, got list"):
            function([1.0, 2.0])
        with pytest.raises(TypeError, match="x must hold numbers, got bool"):
            function(np.zeros((9, 9), dtype=bool))
    assert detect_unit(torch.from_numpy(speckle(4)).to(torch.bfloat16)).unit == "intensity"


def test_no_data_is_compared_in_the_type_of_the_pixels() -> None:
    x = speckle(4)
    x[:, :20] = np.float32(-9999.9)
    assert detect_unit(x, nodata=-9999.9).unit == "intensity"
    check_unit(x, "intensity", nodata=-9999.9)
    digital = (1000 * np.sqrt(speckle(4))).astype(np.uint16)
    assert detect_unit(digital, nodata=-9999.0).unit == "amplitude"


def real_scenes(folder: Path) -> dict[str, tuple[np.ndarray, str]]:
    found = {}
    for name in ("winnipeg", "SanAnd_138"):
        z = np.load(folder / f"misc/isce3_uavsar_slc/{name}_frequencyA_HH.npy")
        found |= {f"{name} complex": (z, "complex"), name: (np.abs(z), "amplitude")}
        found[f"{name} squared"] = (np.abs(z) ** 2, "intensity")
    for path in sorted((folder / "misc/whu_s1_vh").glob("*.tif")):
        x = tifffile.imread(path)
        found |= {path.stem: (x, "intensity"), f"{path.stem} root": (np.sqrt(x), "amplitude")}
    for path in (*(folder / "misc/pyrosar_s1").glob("*.tif"), *(folder / "misc").glob("sen1*/*S1Hand.tif")):
        found[path.stem] = (tifffile.imread(path), "db")
    for header in sorted((folder / "s1grd").glob("*/Amplitude_V?.hdr")):
        fields = dict(line.split(" = ", 1) for line in header.read_text().splitlines() if " = " in line)
        size = int(fields["lines"]), int(fields["samples"])
        x = np.fromfile(header.with_suffix(".img"), ">f4").reshape(size)
        name = f"{header.parent.name} {header.stem[-2:]}"
        found |= {name: (x, "amplitude"), f"{name} squared": (x.astype(np.float32) ** 2, "intensity")}
    return found


def test_units_of_real_scenes(test_data: Path) -> None:
    """35 of 36: the amplitude of the UAVSAR scene over mountains has more texture than speckle."""
    scenes = real_scenes(test_data)
    wrong = [name for name, (x, unit) in scenes.items() if detect_unit(x).unit != unit]
    assert wrong == ["SanAnd_138"]
