"""sarcore.data.simulator: reproducible, speckled as declared, distinguishable by structure rather than brightness."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.data import (
    SIMULATED_CLASSES,
    SIMULATED_RADIOMETRY,
    PatchFolder,
    check_leakage,
    simulate_reflectivity,
    simulate_scene,
    split_by_scene,
    write_simulated,
)
from sarcore.data.scene_radar import INCIDENCE, Ground, cells, noise, project
from sarcore.errors import DataError
from sarcore.ops import encode


def digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        state.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return state.hexdigest()


@pytest.mark.parametrize("name", SIMULATED_CLASSES)
def test_reflectivity_is_positive_structured_and_fixed_by_the_seed(name: str) -> None:
    first = simulate_reflectivity(name, 96, seed=3)
    assert first.shape == (96, 96)
    assert first.dtype == np.float32
    assert first.min() > 0
    assert np.isfinite(first).all()
    assert first.std() > 0.05 * first.mean()
    np.testing.assert_array_equal(first, simulate_reflectivity(name, 96, seed=3))
    assert not np.array_equal(first, simulate_reflectivity(name, 96, seed=4))


@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_speckle_has_mean_one_variance_one_over_looks_and_no_correlation(looks: float) -> None:
    speckle = simulate_scene("bare", 256, looks, seed=8) / simulate_reflectivity("bare", 256, seed=8)
    n = speckle.size
    assert abs(speckle.mean() - 1) < 5 / np.sqrt(n * looks)
    assert speckle.var() == pytest.approx(1 / looks, rel=0.06)
    centred = speckle - speckle.mean()
    assert abs((centred[:, 1:] * centred[:, :-1]).mean() / speckle.var()) < 5 / np.sqrt(n)


def test_a_building_has_layover_double_bounce_and_shadow_where_geometry_says() -> None:
    n, left, right, height = 80, 40, 56, 6.0
    ground = Ground.flat(n, 0.1)
    block = np.zeros((n, n), dtype=bool)
    block[20:60, left:right] = True
    ground.put(block, height, 0.1, facade=2.0)
    row = project(ground, np.random.default_rng(0))[30:50].mean(axis=0)
    layover, shadow = height / np.tan(INCIDENCE), height * np.tan(INCIDENCE)
    assert abs(int(row.argmax()) - (left - 1)) <= 1  # the foot of the wall that faces the radar
    assert row[int(left - layover) + 2 : left - 2].min() > 0.15  # roof, wall and ground add up
    dark = np.flatnonzero(row < 0.05)
    assert dark.min() == pytest.approx(right - layover, abs=2.5)  # from the far edge of the displaced roof
    assert dark.max() == pytest.approx(right + shadow, abs=2.5)
    np.testing.assert_allclose(row[5:25], 0.1, rtol=1e-6)
    np.testing.assert_allclose(row[68:75], 0.1, rtol=1e-6)


def test_flat_ground_is_projected_unchanged() -> None:
    sigma = np.random.default_rng(0).random((24, 24))
    image = project(Ground(np.zeros((24, 24)), sigma, np.zeros((24, 24))), np.random.default_rng(0))
    kernel = np.array([0.25, 0.5, 0.25])
    inner = sum(
        kernel[i] * kernel[j] * sigma[i : 22 + i, j : 22 + j] for i in range(3) for j in range(3)
    )  # nothing moves, only the impulse response widens
    np.testing.assert_allclose(image[1:-1, 1:-1], inner, atol=1e-12)


def test_noise_and_cells() -> None:
    rng = np.random.default_rng(1)
    field = noise(64, 12, rng, octaves=3)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)
    x = np.broadcast_to(np.arange(64.0) - 32, (64, 64))
    index, near, far = cells(x, 5, 9, rng)
    assert (near >= 0).all()
    assert (far > 0).all()
    widths = near + far
    assert widths.min() >= 5
    assert widths.max() <= 9
    assert (np.diff(index, axis=1) >= 0).all()


def test_brightness_alone_does_not_tell_the_class() -> None:
    images, labels = [], []
    for label, name in enumerate(SIMULATED_CLASSES):
        for seed in range(10):
            amplitude = np.sqrt(simulate_scene(name, 160, 4.0, seed=50 + seed))
            scene = encode(torch.from_numpy(amplitude), SIMULATED_RADIOMETRY).numpy()
            images.append([scene.mean(), scene.std(), np.abs(scene[:, 4:] - scene[:, :-4]).mean()])
            labels.append(label)
    features, truth = np.array(images), np.array(labels)

    def nearest_mean_accuracy(columns: list[int]) -> float:
        x = features[:, columns] / features[:, columns].std(axis=0)
        centres = np.stack([x[truth == k].mean(axis=0) for k in range(len(SIMULATED_CLASSES))])
        return float((((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1) == truth).mean())

    assert 0.2 < nearest_mean_accuracy([0]) < 0.7
    assert nearest_mean_accuracy([0, 1, 2]) > nearest_mean_accuracy([0]) + 0.1


def test_written_folder_opens_splits_and_repeats_byte_for_byte(tmp_path: Path) -> None:
    first = write_simulated(tmp_path / "a", scenes_per_class=2, patches_per_scene_side=2, size=40, looks=3.0, seed=9)
    second = write_simulated(tmp_path / "b", scenes_per_class=2, patches_per_scene_side=2, size=40, looks=3.0, seed=9)
    other = write_simulated(tmp_path / "c", scenes_per_class=2, patches_per_scene_side=2, size=40, looks=3.0, seed=10)
    assert digest(first) == digest(second)
    assert digest(first) != digest(other)
    folder = PatchFolder.open(first)
    assert folder.classes == sorted(SIMULATED_CLASSES)
    assert set(folder.class_counts().values()) == {8}
    assert folder.shape == (1, 40, 40)
    assert len(set(folder.scenes)) == 14
    assert folder.scenes_known
    assert folder.synthetic
    split = split_by_scene(folder, (0.5, 0.0, 0.5))
    assert check_leakage(folder, split) == []
    card = json.loads((first / "dataset.json").read_text())
    assert card["synthetic"] is True
    assert (card["seed"], card["looks"]) == (9, 3.0)
    assert card["radiometry"] == SIMULATED_RADIOMETRY.to_dict()


def test_pixels_are_the_scene_at_the_one_limit(tmp_path: Path) -> None:
    folder = PatchFolder.open(write_simulated(tmp_path / "a", scenes_per_class=1, size=32, seed=2))
    patches, labels = folder.arrays()
    seed = int(np.random.SeedSequence([2, 0]).generate_state(1, np.uint64)[0])
    scene = np.sqrt(simulate_scene("forest", 64, 4.0, seed=seed).astype(np.float64))
    expected = np.clip(scene / SIMULATED_RADIOMETRY.high, 0, 1) * 255
    forest = patches[labels == folder.classes.index("forest"), 0].numpy()  # in reading order of the scene
    stitched = np.block([[forest[0], forest[1]], [forest[2], forest[3]]])
    assert np.abs(stitched - expected).max() <= 0.501


def test_out_dir_in_use_and_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "precious").write_text("x")
    with pytest.raises(DataError, match="used exists and is not an empty folder"):
        write_simulated(used, size=32)
    assert [p.name for p in used.iterdir()] == ["precious"]
    replace = os.replace
    calls = []

    def fills_up(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fills_up)
    with pytest.raises(OSError, match="No space left"):
        write_simulated(tmp_path / "new", size=32)
    assert [p.name for p in tmp_path.iterdir()] == ["used"]


def test_argument_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'sea' is unknown; use one of settlement"):
        simulate_reflectivity("sea", 64, seed=0)
    with pytest.raises(ValueError, match="16 pixels"):
        simulate_scene("water", 8, 4.0, seed=0)
    for looks in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="looks"):
            simulate_scene("water", 32, looks, seed=0)
    with pytest.raises(ValueError, match="seed"):
        simulate_scene("water", 32, 4.0, seed=-1)
    with pytest.raises(ValueError, match="scenes_per_class"):
        write_simulated(tmp_path / "x", scenes_per_class=0)
    assert list(tmp_path.iterdir()) == []
