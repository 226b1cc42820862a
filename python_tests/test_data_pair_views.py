"""PairViews: joint and independent crops, flips, disturbed registration, and the engine's batches of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.data import PairedFolder, PairViews, UnpairedFolder, read_image, scene_shifts
from sarcore.data.pair_views import rotated
from sarcore.engine.batches import batches
from sarcore.engine.order import BatchOrder
from sarcore.errors import DataError

from .pair_sets import grey, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six pairs in three scenes of which both images show the same random field, of several sizes."""
    rng = np.random.default_rng(0)
    images = {}
    for i in range(6):
        field = rng.integers(0, 256, (1, 30 + i, 40 - i), dtype=np.uint8)
        images |= {f"s1_{i // 2}/x_s1_{i // 2}_p{i}.png": field, f"s2_{i // 2}/x_s2_{i // 2}_p{i}.png": field}
    return put(tmp_path, images)


def test_pairs_are_cropped_and_flipped_together(root: Path) -> None:
    folder = PairedFolder.open(root)
    views = PairViews(folder, 16)
    torch.manual_seed(1)
    seen, flips = set(), 0
    whole = folder[3][0]
    windows = whole.unfold(1, 16, 1).unfold(2, 16, 1)[0]
    for _ in range(200):
        a, b = views[3]
        assert a.shape == b.shape == (1, 16, 16)
        assert torch.equal(a, b)
        straight, turned = ((windows == x[0]).all(3).all(2).nonzero().tolist() for x in (a, a.flip(2)))
        assert len(straight) + len(turned) == 1  # a crop of the image, mirrored or not, never turned upside down
        flips += len(turned)
        seen.add(tuple((straight + turned)[0]))
    assert 70 < flips < 130
    rows, columns = (set(side) for side in zip(*seen, strict=True))
    assert (min(rows), max(rows), min(columns), max(columns)) == (0, 33 - 16, 0, 37 - 16)  # up to the borders


def test_without_flip_and_room_a_view_is_the_image(root: Path) -> None:
    folder = PairedFolder.open(root).subset([0])
    whole = PairedFolder.open(put(root / "square", {"trainA/1.png": grey(3, (8, 8)), "trainB/1.png": grey(5, (8, 8))}))
    for view, image in zip(PairViews(whole, 8)[0], whole[0], strict=True):
        assert torch.equal(view, image)
    windows = folder[0][0].unfold(1, 16, 1).unfold(2, 16, 1)[0]
    assert all((windows == PairViews(folder, 16, flip=False)[0][0][0]).all(3).all(2).any() for _ in range(20))


def test_images_without_partners_are_cropped_each_by_itself(root: Path) -> None:
    views = PairViews(UnpairedFolder.open(root).subset([0], [0]), 16)
    torch.manual_seed(0)
    assert not any(torch.equal(*views[0]) for _ in range(20))


@pytest.mark.parametrize("kind", [PairedFolder, UnpairedFolder])
@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_batches_follow_from_seed_and_step_with_any_workers(
    root: Path, kind: type[PairedFolder] | type[UnpairedFolder], memory_limit: int
) -> None:
    views = PairViews(kind.open(root), 16, memory_limit=memory_limit)
    order = BatchOrder(len(views), 4, seed=3)

    def first(start: int, count: int, workers: int) -> list[list[torch.Tensor]]:
        source = batches(views, order, start, num_workers=workers, to_device=lambda batch: batch)
        found = [next(source) for _ in range(count)]
        source.close()
        return found

    alone, beside = first(0, 4, 0), first(0, 4, 2)
    assert alone[0][0].shape == (4, 1, 16, 16)
    resumed = [None, None, *first(2, 2, 0)]
    for i, (one, other) in enumerate(zip(alone, beside, strict=True)):
        for k in range(2):
            assert torch.equal(one[k], other[k])
            assert i < 2 or torch.equal(one[k], resumed[i][k])  # type: ignore[index]
    assert not torch.equal(alone[0][0], alone[1][0])


def test_decoded_images_are_kept_and_items_do_not_change_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = PairViews(PairedFolder.open(root), 16)
    plain = PairViews(PairedFolder.open(root), 16, memory_limit=0)
    held = [image.copy() for image in views.folder.a.held or []]
    assert len(held) == 6
    assert plain.folder.a.held is None
    torch.manual_seed(0)
    first = [views[i] for i in range(6)]
    torch.manual_seed(0)
    for (a, b), (c, d) in zip(first, [plain[i] for i in range(6)], strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    for a, _ in first:
        a.zero_()
    assert all((x == y).all() for x, y in zip(held, views.folder.a.held or [], strict=True))
    for path in root.rglob("*.png"):
        path.unlink()
    assert views[0][0].shape == (1, 16, 16)
    with pytest.raises(DataError, match="does not exist"):
        plain[0]


def test_too_small_images_are_refused_by_name(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"image s1_0/x_s1_0_p0 of .* has 30 x 40 pixels to crop from, and a crop needs 31"
    ):
        PairViews(PairedFolder.open(root), 31)
    with pytest.raises(DataError, match=r"has 2\d x 3\d pixels to crop from, and a crop needs 30"):
        PairViews(PairedFolder.open(root), 30, shift=8)
    with pytest.raises(DataError, match="needs 28 and 3 around it for the rotation"):
        PairViews(PairedFolder.open(root), 28, rotation=5)
    with pytest.raises(DataError, match="image s2_"):
        PairViews(UnpairedFolder.open(root).subset([5], [0]), 31)
    with pytest.raises(ValueError, match="no partners"):
        PairViews(UnpairedFolder.open(root), 16, shift=1)
    for wrong in ({"size": 0}, {"size": 8, "shift": -1}, {"size": 8, "rotation": 90.0}):
        with pytest.raises(ValueError, match="must be"):
            PairViews(PairedFolder.open(root), **wrong)  # type: ignore[arg-type]


def test_a_shift_is_one_direction_per_scene_and_of_its_length(root: Path) -> None:
    scenes = [str(i) for i in range(400)]
    for pixels in (1, 2, 4, 8, 16):
        lengths = [math.hypot(*offset) for offset in scene_shifts(scenes, pixels, seed=1).values()]
        assert abs(float(np.mean(lengths)) - pixels) < 0.15
        assert max(abs(length - pixels) for length in lengths) < 0.71
    assert scene_shifts(scenes, 0) == dict.fromkeys(sorted(scenes), (0, 0))
    angles = [math.atan2(y, x) for x, y in scene_shifts(scenes, 16).values()]
    assert abs(np.exp(1j * np.array(angles)).mean()) < 0.1  # all directions alike
    assert scene_shifts(scenes, 16, seed=1) != scene_shifts(scenes, 16, seed=2)
    assert scene_shifts(["7"], 16)["7"] == scene_shifts(scenes, 16)["7"]  # whatever else there is
    folder = PairedFolder.open(root)
    views = PairViews(folder, 16, flip=False, shift=4, seed=5)
    assert views.folder.offsets is not None
    assert [views.folder.offsets[i] for i in (0, 2, 4)] == [views.folder.offsets[i] for i in (1, 3, 5)]
    a, b = views[0]
    dx, dy = views.folder.offsets[0]
    overlap = a[:, max(0, dy) : 16 + min(0, dy), max(0, dx) : 16 + min(0, dx)]
    assert torch.equal(overlap, b[:, max(0, -dy) : 16 + min(0, -dy), max(0, -dx) : 16 + min(0, -dx)])


def test_a_rotation_turns_b_alone_about_its_centre(tmp_path: Path) -> None:
    image = torch.rand(2, 7, 7, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(rotated(image, 90), torch.rot90(image, 1, (1, 2)), atol=1e-5)
    assert torch.equal(rotated(torch.full((1, 6, 9), 0.25), 7), torch.full((1, 6, 9), 0.25))
    y, x = np.mgrid[0:60, 0:90].astype(np.float32)
    ramps = np.stack([x, y])  # the value of a pixel is its place, so a turned image tells where it looked
    angle = math.radians(10)
    turned = rotated(torch.from_numpy(ramps), 10).numpy()[:, 20:40, 30:60]
    dx, dy = x[20:40, 30:60] - 44.5, y[20:40, 30:60] - 29.5
    np.testing.assert_allclose(turned[0], 44.5 + math.cos(angle) * dx - math.sin(angle) * dy, atol=1e-3)
    np.testing.assert_allclose(turned[1], 29.5 + math.sin(angle) * dx + math.cos(angle) * dy, atol=1e-3)
    images = {f"s{d}_{r}/x_s{d}_{r}_p0.npy": ramps for d in (1, 2) for r in range(8)}
    views = PairViews(PairedFolder.open(put(tmp_path, images)), 32, flip=False, rotation=10)
    signs = set()
    for i in range(8):
        a, b = views[i]
        step = (b[1, 16, 17] - b[1, 16, 16]) / (a[0, 16, 17] - a[0, 16, 16])
        signs.add(round(math.degrees(math.asin(float(step)))))
    assert signs == {10, -10}


def test_the_offsets_of_the_real_pairs_improve_their_registration(test_data: Path) -> None:
    # The sign of `shifted` is that of the table: the edges of both sensors agree better at its offsets.
    table = np.genfromtxt(test_data / "pairs256" / "estimated_offsets.csv", delimiter=",", names=True, dtype=None,
                          encoding="utf-8", converters={0: str})  # fmt: skip
    offsets = {str(row["scene"]): (int(row["dx"]), int(row["dy"])) for row in table}
    folder = PairedFolder.open(test_data / "pairs256")

    def agreement(pairs: PairedFolder) -> float:
        found = []
        for i in range(0, len(pairs), 2):
            edges = [np.hypot(*np.gradient(x.float().log1p().mean(0).numpy())) for x in pairs.pair(i)]
            found.append(np.corrcoef(edges[0].ravel(), edges[1].ravel())[0, 1])
        return float(np.mean(found))

    opposite = {scene: (-dx, -dy) for scene, (dx, dy) in offsets.items()}
    right, none, wrong = agreement(folder.shifted(offsets)), agreement(folder), agreement(folder.shifted(opposite))
    assert right > none > wrong
    assert read_image(folder.a.places[0].path).shape == (1, 256, 256)


def test_images_of_16_bit_are_flipped_too(tmp_path: Path) -> None:
    ramp = np.arange(0, 60000, 60000 // 64, dtype=np.uint16)[:64].reshape(1, 8, 8)
    views = PairViews(PairedFolder.open(put(tmp_path, {"trainA/1.tif": ramp, "trainB/1.tif": ramp})), 8)
    torch.manual_seed(0)
    rises = {bool((a[0, :, 1:] > a[0, :, :-1]).all()) for a, _ in (views[0] for _ in range(20))}
    assert rises == {True, False}
