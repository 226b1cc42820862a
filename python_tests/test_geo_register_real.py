"""Registration of real Sentinel-1 and Sentinel-2 pairs that were warped. The whole study: bench/register_study.py."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from sarcore.data.images import read_image
from sarcore.geo.register import register
from sarcore.geo.similarity import compose, displacement, similarity


def pair(data: Path, scene: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """SAR and optical image, of a whole scene or of the middle of it."""
    sar, optical = (read_image(data / "scenes1024" / kind / f"{scene}.png") for kind in ("sar", "opt"))
    part = slice((1024 - size) // 2, (1024 + size) // 2)
    return sar[:1, part, part], optical[:, part, part]


def warped(image: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, mask and matrix of a warp within the limits that are promised."""
    rng = np.random.default_rng(seed)
    size = image.shape[:0:-1]
    middle = (np.array(size) - 1) / 2
    scale = math.exp(rng.uniform(math.log(0.8), math.log(1.25)))
    matrix = similarity(rng.uniform(-64, 64, 2), rng.uniform(-5, 5), scale, middle, middle)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inside = cv2.warpAffine(np.ones(size[::-1], np.float32), matrix, size, flags=flags) > 0.999
    return np.stack([cv2.warpAffine(band, matrix, size, flags=flags) for band in image]), inside, matrix


@pytest.mark.parametrize("scene", ["003", "274"])
def test_a_warped_pair_is_found_again(test_data: Path, scene: str) -> None:
    sar, optical = pair(test_data, scene, 512)
    straight = register(sar, optical, max_shift=24, max_rotation=1, max_scale=1.03)
    assert straight.success, straight.reasons
    moved, inside, matrix = warped(optical, seed=int(scene))
    found = register(sar, moved, optical_mask=inside)
    assert found.success, found.reasons
    assert displacement(found.matrix, compose(straight.matrix, matrix), (512, 512)) < 2


def test_narrow_limits_are_no_failure(test_data: Path) -> None:
    """Confidence 2.5 while only the places within the limits were looked at."""
    folder = test_data / "scenes1024"
    sar, optical = (read_image(folder / kind / "003.png")[:, :512, 256:768] for kind in ("sar", "opt"))
    found = register(sar[:1], optical, max_shift=16, max_rotation=1, max_scale=1.02)
    assert found.success, found.reasons
    assert found.ratio > 1.5
    other = pair(test_data, "274", 512)[1]
    assert not register(sar[:1], other, max_shift=16, max_rotation=1, max_scale=1.02).success


@pytest.mark.parametrize(("scene", "top", "left", "right"), [("003", 800, 512, False), ("274", 464, 320, True)])
def test_a_narrow_image_needs_tiles_that_agree(test_data: Path, scene: str, top: int, left: int, right: bool) -> None:
    """The first has 2.0 sigma and confidence 3.2; its ends are moved by 3 and by 17 px."""
    sar, optical = (
        read_image(test_data / "scenes1024" / kind / f"{scene}.png")[:, top : top + 96, left : left + 384]
        for kind in ("sar", "opt")
    )
    found = register(sar[:1], optical)
    assert found.confidence > 3
    assert found.success == right, found.reasons
    assert right or "96 px narrow" in found.reasons[0]


def test_akaze_alone_finds_nothing_between_the_sensors(test_data: Path) -> None:
    """Why there is a search at all."""
    from sarcore.geo.features import match_points

    sar, optical = pair(test_data, "274", 512)
    assert match_points(sar[0], optical.mean(axis=0)).matrix is None


def test_another_place_is_a_failure(test_data: Path) -> None:
    moved, inside, _ = warped(pair(test_data, "274", 512)[1], seed=1)
    found = register(pair(test_data, "003", 512)[0], moved, optical_mask=inside)
    assert not found.success


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["003", "274"])
def test_whole_scenes(test_data: Path, scene: str) -> None:
    sar, optical = pair(test_data, scene, 1024)
    straight = register(sar, optical, max_shift=24, max_rotation=1, max_scale=1.03)
    for seed in range(2):
        moved, inside, matrix = warped(optical, seed)
        found = register(sar, moved, optical_mask=inside)
        assert found.success, found.reasons
        assert displacement(found.matrix, compose(straight.matrix, matrix), (1024, 1024)) < 2


@pytest.mark.slow
def test_against_the_offsets_measured_before(test_data: Path) -> None:
    """Another correlation of whole scenes, to whole pixels: the crops agree within what the scenes' terrain varies."""
    rows = [line.split(",") for line in (test_data / "pairs256" / "estimated_offsets.csv").read_text().split()[1:]]
    missed = []
    for scene, dx, dy, peak in rows:
        if float(peak) < 4.3:
            continue
        folder = test_data / "pairs256"
        sar, optical = (read_image(folder / f"{s}_{scene}" / f"volkov_{s}_{scene}_p0.png") for s in ("s1", "s2"))
        found = register(sar[:1], optical, model="shift", max_shift=24)
        assert found.success, (scene, found.reasons)
        missed.append(np.hypot(found.matrix[0, 2] + float(dx), found.matrix[1, 2] + float(dy)))
    assert len(missed) > 5
    assert np.median(missed) < 2.5
