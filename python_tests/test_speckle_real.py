"""speckle against real homogeneous areas: the same law at the measured number of looks.

The areas follow from a rule, not from a result: of all square blocks on a grid of 16 pixels without a zero, the one
whose 8 x 8 cells have the smallest relative variance of their means. Both samples are taken at the correlation length
along each axis, the first lag at which the intensity's autocorrelation is below 0.05, because the Kolmogorov-Smirnov
test is one of independent samples.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.ops import speckle

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")


def single_look(folder: Path) -> np.ndarray:
    file = folder / "misc" / "isce3_uavsar_slc" / "winnipeg_frequencyA_HH.npy"
    if not file.is_file():
        pytest.skip(f"no file {file}")
    return np.abs(np.load(file).astype(np.complex128)) ** 2


def ground_range(folder: Path) -> np.ndarray:
    file = folder / "s1grd" / "Flevoland_600" / "Amplitude_VV.img"
    if not file.is_file():
        pytest.skip(f"no file {file}")
    return np.fromfile(file, ">f4").astype(np.float64).reshape(600, 600) ** 2


def most_homogeneous(intensity: np.ndarray, size: int) -> tuple[int, int]:
    found = []
    for y in range(0, intensity.shape[0] - size + 1, 16):
        for x in range(0, intensity.shape[1] - size + 1, 16):
            block = intensity[y : y + size, x : x + size]
            if (block > 0).all():
                cells = block.reshape(8, size // 8, 8, size // 8).mean((1, 3))
                found.append((cells.var() / cells.mean() ** 2, y, x))
    return min(found)[1:]


def correlation_length(block: np.ndarray, axis: int) -> int:
    centred = np.moveaxis(block - block.mean(), axis, 0)
    for lag in range(1, len(centred)):
        if abs((centred[lag:] * centred[:-lag]).mean()) < 0.05 * centred.var():
            return lag
    raise AssertionError("the block has structure")


SCENES = {  # reader, block, its place, looks measured there, correlation lengths (y, x)
    "UAVSAR single look, Winnipeg HH": (single_look, 96, (0, 0), 0.990, (1, 1)),
    "Sentinel-1 GRD, Flevoland VV": (ground_range, 64, (240, 528), 5.80, (3, 5)),
}


@pytest.mark.parametrize("scene", SCENES)
def test_speckle_at_the_measured_looks_passes_for_the_real_one(scene, test_data):
    read, size, place, looks, lengths = SCENES[scene]
    intensity = read(test_data)
    assert most_homogeneous(intensity, size) == place
    block = intensity[place[0] : place[0] + size, place[1] : place[1] + size]
    measured = block.mean() ** 2 / block.var()
    assert measured == pytest.approx(looks, abs=0.01)
    assert tuple(correlation_length(block, axis) for axis in (0, 1)) == lengths
    flat = torch.full((1, 1, size, size), block.mean(), dtype=torch.float64)
    ours = speckle(flat, measured, seed=2026)[0, 0].numpy()
    taken = (slice(None, None, lengths[0]), slice(None, None, lengths[1]))
    p = stats.ks_2samp(block[taken].ravel(), ours[taken].ravel()).pvalue
    assert p > 0.01
    # The test is able to refuse: with the 286 samples of the second scene, a quarter and four times the looks.
    for wrong in (measured / 4, 4 * measured):
        other = speckle(flat, wrong, seed=2026)[0, 0].numpy()
        assert stats.ks_2samp(block[taken].ravel(), other[taken].ravel()).pvalue < 0.01
