"""The filters on homogeneous areas of real scenes: more looks, the same mean, speckle in the ratio image.

The areas are the 40 x 40 blocks, on a grid of 10 pixels, with the largest equivalent number of looks of their scene;
found once, written down here. The looks given to the filters are those measured in the block.

Three effects have limits of their own. Gamma MAP takes the mode of a skewed distribution and so lowers the mean, the
more the fewer looks: by 0.6 % at 18 looks and 4.5 % at one. Refined Lee takes blobs of correlated speckle for edges and
lowers the mean by up to 1.4 % in scenes of about 5 looks. And a filter that keeps a part of the pixel has that part in
both sides of the ratio, which lowers the ratio's mean and raises its looks. Pixels of the detected scenes are
correlated (resampled): their ratio images have more looks than the scene.

What a user gets is measured on all scenes: the looks from `estimate_looks`, the ten blocks with the most looks that do
not overlap, and the mean of their changes.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.metrics import estimate_looks
from sarcore.ops import despeckle, enl
from sarcore.ops.despeckle import METHODS

DETECTED = {"Lake_512": (450, 90, 36.6), "chicago_city_512": (150, 410, 18.5)}  # top, left, looks
SINGLE_LOOK = {"winnipeg_frequencyA_HH": (0, 40, 1.13)}

# Largest deviation allowed, in per cent: of the mean, and of the ratio image's mean.
DETECTED_LIMITS = dict.fromkeys(METHODS, (1.0, 2.0))
SINGLE_LOOK_LIMITS = {
    "boxcar": (1.0, 2.0),
    "lee": (1.0, 6.0),
    "enhanced_lee": (1.0, 6.0),
    "kuan": (1.0, 4.0),
    "frost": (1.0, 8.5),
    "gamma_map": (5.0, 2.0),
    "refined_lee": (1.0, 4.0),
}

# Of the mean over ten homogeneous blocks: least and largest change in per cent, by the scene's number of looks.
FEW_LOOKS = ["Flevoland_600", "Frankfurt_512", "SanFrancisco_650", "panama_700"]  # 4.7 to 5.8
MANY_LOOKS = ["Lake_512", "chicago_city_512"]  # 23 and 14
BLOCK_LIMITS = {
    **{(method, "few"): (-0.8, 0.8) for method in METHODS},
    **{(method, "many"): (-0.5, 0.5) for method in METHODS},
    ("gamma_map", "few"): (-1.4, 0.0),
    ("refined_lee", "few"): (-1.8, 0.5),
}


def detected_scene(folder: Path, name: str) -> torch.Tensor:
    """(1, 1, H, W) amplitudes of a Sentinel-1 scene: ENVI, big-endian float32."""
    path = folder / "s1grd" / name / "Amplitude_VV.img"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    size = int(name.rsplit("_", 1)[1])
    return torch.from_numpy(np.fromfile(path, ">f4").astype(np.float32).reshape(1, 1, size, size))


def single_look_scene(folder: Path, name: str) -> torch.Tensor:
    """(1, 1, H, W) amplitudes |z| of a single-look complex scene."""
    path = folder / "misc" / "isce3_uavsar_slc" / f"{name}.npy"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return torch.from_numpy(np.abs(np.load(path))).float()[None, None]


def check(scene: torch.Tensor, place: tuple[int, int, float], method: str, limits: tuple[float, float]) -> float:
    """Filters the amplitudes of a scene and looks at the intensities of the block; the looks of the ratio image."""
    top, left, looks = place

    def block(image: torch.Tensor) -> torch.Tensor:
        return image[..., top : top + 40, left : left + 40].double().square()

    before = block(scene)
    assert enl(before, None).item() == pytest.approx(looks, rel=0.01)
    after = block(despeckle(scene, method, 7, looks, domain="amplitude"))
    assert enl(after, None).item() > 2 * looks
    assert 100 * abs((after.mean() / before.mean()).item() - 1) < limits[0]
    ratio = before / after
    assert 100 * abs(ratio.mean().item() - 1) < limits[1]
    return enl(ratio, None).item()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DETECTED)
def test_detected_scenes(test_data, name, method):
    ratio_looks = check(detected_scene(test_data, name), DETECTED[name], method, DETECTED_LIMITS[method])
    assert DETECTED[name][2] < ratio_looks < 2.5 * DETECTED[name][2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SINGLE_LOOK)
def test_single_look_scene(test_data, name, method):
    ratio_looks = check(single_look_scene(test_data, name), SINGLE_LOOK[name], method, SINGLE_LOOK_LIMITS[method])
    assert 0.97 * SINGLE_LOOK[name][2] < ratio_looks < 1.55 * SINGLE_LOOK[name][2]


def homogeneous_blocks(
    intensity: torch.Tensor, count: int = 10, side: int = 40, step: int = 10
) -> list[tuple[int, int]]:
    """Top and left of the blocks of most looks that do not overlap, of (H, W) intensities."""
    windows = intensity.unfold(0, side, step).unfold(1, side, step)
    looks = windows.mean((-1, -2)).square() / windows.var((-1, -2))
    found: list[tuple[int, int]] = []
    for place in looks.flatten().argsort(descending=True).tolist():
        top, left = (step * k for k in divmod(place, looks.shape[1]))
        if all(abs(top - t) >= side or abs(left - o) >= side for t, o in found):
            found.append((top, left))
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("name", [*FEW_LOOKS, *MANY_LOOKS])
def test_change_of_the_mean_on_every_scene(test_data, name):
    scene = detected_scene(test_data, name)
    looks = estimate_looks(scene, domain="amplitude")
    assert 4 < looks < 7 if name in FEW_LOOKS else 13 < looks < 30
    before = scene.double().square()[0, 0]
    blocks = homogeneous_blocks(before)
    for method in METHODS:
        after = despeckle(scene, method, 7, looks, domain="amplitude").double().square()[0, 0]
        ratios = [after[t : t + 40, o : o + 40].mean() / before[t : t + 40, o : o + 40].mean() for t, o in blocks]
        low, high = BLOCK_LIMITS[method, "few" if name in FEW_LOOKS else "many"]
        assert low < 100 * (np.mean(ratios) - 1) < high, (method, looks)
