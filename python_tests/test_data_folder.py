"""sarcore.data.folder, manifest and split."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.data import PatchFolder, Split, check_leakage, read_image, split_by_scene, write_image
from sarcore.errors import DataError
from sarcore.ops import encode


def fill(root: Path, names: list[str], *, shape: tuple[int, ...] = (6, 8), dtype: str = "uint8", seed: int = 0) -> Path:
    """Random patches at root/name."""
    rng = np.random.default_rng(seed)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        high = 65535 if dtype == "uint16" else 255
        write_image(path, rng.uniform(0, high, shape).astype(dtype))
    return root


def scenes(**scenes_of: dict[str, int]) -> list[str]:
    """File names class/<scene>_0_<number>.png from class=dict(scene=count)."""
    return [f"{c}/{s}_0_{i}.png" for c, by in scenes_of.items() for s, n in by.items() for i in range(n)]


def test_open_class_folders(tmp_path: Path) -> None:
    root = fill(tmp_path, scenes(water={"b": 2}, city={"a": 2, "b": 1}))
    (root / ".hidden").mkdir()
    (root / "README.txt").write_text("not an image")
    folder = PatchFolder.open(root)
    assert folder.classes == ["city", "water"]
    assert folder.labels.tolist() == [0, 0, 0, 1, 1]
    assert folder.scenes == ["a", "a", "b", "b", "b"]
    assert folder.scenes_known
    assert folder.class_counts() == {"city": 3, "water": 2}
    assert folder.shape == (1, 6, 8)
    assert folder.radiometry == Radiometry("digital", 0.0, 255.0)
    assert not folder.synthetic
    image, label = folder[3]
    assert label == 1
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.numpy(), read_image(folder.paths[3]) / 255, atol=1e-7)


def test_arrays_match_items(tmp_path: Path) -> None:
    folder = PatchFolder.open(fill(tmp_path, scenes(water={"b": 2}, city={"a": 3})))
    patches, labels = folder.arrays()
    assert patches.dtype == torch.uint8
    assert torch.equal(labels, folder.labels)
    items = torch.stack([folder[i][0] for i in range(len(folder))])
    batch = folder.__getitems__([3, 1])
    assert [label for _, label in batch] == [folder[3][1], folder[1][1]]
    assert torch.equal(torch.stack([image for image, _ in batch]), items[[3, 1]])
    assert torch.equal(encode(patches, folder.radiometry), items)


def test_subset_and_of_class_keep_the_label_numbers(tmp_path: Path) -> None:
    folder = PatchFolder.open(fill(tmp_path, scenes(water={"b": 2}, city={"a": 3})))
    water = folder.of_class("water")
    assert water.labels.tolist() == [1, 1]
    assert water.classes == folder.classes
    assert water.class_counts() == {"city": 0, "water": 2}
    chosen = folder.subset([4, 0])
    assert chosen.paths == [folder.paths[4], folder.paths[0]]
    assert torch.equal(chosen[1][0], folder[0][0])
    with pytest.raises(DataError, match="no class 'sea'; its classes are city, water"):
        folder.of_class("sea")


def test_train_sub_folder_and_scene_unknown(tmp_path: Path) -> None:
    fill(tmp_path / "train", ["a/x.png", "a/y.png", "b/x.png", "b/s_1_2.png"])
    folder = PatchFolder.open(tmp_path)
    assert folder.classes == ["a", "b"]
    assert not folder.scenes_known
    assert folder.scenes == ["train/a/x.png", "train/a/y.png", "s", "train/b/x.png"]


def test_manifest_decides_class_and_scene(tmp_path: Path) -> None:
    fill(tmp_path, ["p/1.png", "p/2.png", "p/3.png", "p/4.png", "p/left_out.png"])
    rows = ["file,scene,class", "p/1.png,s1,sea", "p/2.png,s1,land", "p/3.png,s2,sea", "p/4.png,s2,land"]
    (tmp_path / "labels.csv").write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
    folder = PatchFolder.open(tmp_path)
    assert folder.classes == ["land", "sea"]
    assert folder.labels.tolist() == [1, 0, 1, 0]
    assert folder.scenes == ["s1", "s1", "s2", "s2"]
    other = tmp_path / "other.csv"
    other.write_text("file\np/1.png\np/left_out.png\n")
    assert PatchFolder.open(tmp_path, manifest=other).classes == ["p"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,class\na,b\n", "columns file, class"),
        ("file,class\np/1.png,a\np/9.png,a\n", r"line 3 .*p/9\.png, which does not exist"),
        ("file,class\np/1.png,a\np/1.png,b\n", r"line 3 .*p/1\.png a second time"),
        ("file,class\n,a\n", "line 2 .*names no file"),
        ("file,class\n", "lists no patch"),
    ],
)
def test_bad_manifest(tmp_path: Path, text: str, message: str) -> None:
    fill(tmp_path, ["p/1.png", "p/2.png"])
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        PatchFolder.open(tmp_path)


def test_missing_empty_and_flat_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        PatchFolder.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is empty"):
        PatchFolder.open(tmp_path)
    fill(tmp_path, ["1.png", "2.png"])
    with pytest.raises(DataError, match="holds 2 images but no class sub-folder"):
        PatchFolder.open(tmp_path)
    with pytest.raises(DataError, match="is a file, not a folder"):
        PatchFolder.open(tmp_path / "1.png")
    (tmp_path / "sea").mkdir()
    with pytest.raises(DataError, match="sea holds no image"):
        PatchFolder.open(tmp_path)


def test_class_with_one_image(tmp_path: Path) -> None:
    fill(tmp_path, scenes(water={"b": 1}, city={"a": 3}))
    with pytest.raises(DataError, match=r"'water' .*single image, .*b_0_0\.png"):
        PatchFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((6, 9), "uint8", r"c_0_0\.png is 6 x 9 .* centre-crop all patches to one size, for example 6 x 6"),
        ((3, 6, 8), "uint8", r"c_0_0\.png is 6 x 8 pixels, 3 channels.* one number of channels"),
        ((6, 8), "uint16", r"c_0_0\.png .*uint16, .* one data type"),
    ],
)
def test_the_first_odd_file_is_named(tmp_path: Path, shape: tuple[int, ...], dtype: str, message: str) -> None:
    fill(tmp_path, scenes(city={"a": 3}, water={"b": 2}))
    fill(tmp_path, scenes(water={"c": 2}), shape=shape, dtype=dtype)
    with pytest.raises(DataError, match=message):
        PatchFolder.open(tmp_path)


def test_corrupt_file_in_the_middle(tmp_path: Path) -> None:
    fill(tmp_path, scenes(city={"a": 4}), shape=(64, 64))
    bad = tmp_path / "city" / "a_0_2.png"
    content = bytearray(bad.read_bytes())
    bad.write_bytes(content[:-40])
    with pytest.raises(DataError, match=r"a_0_2\.png is truncated"):
        PatchFolder.open(tmp_path)
    content[200:260] = bytes(60)  # whole by its header, damaged inside
    bad.write_bytes(content)
    folder = PatchFolder.open(tmp_path)
    with pytest.raises(DataError, match=r"a_0_2\.png is corrupt"):
        folder[2]
    with pytest.raises(DataError, match=r"a_0_2\.png is corrupt"):
        folder.arrays()


def test_file_that_changed_after_opening(tmp_path: Path) -> None:
    folder = PatchFolder.open(fill(tmp_path, scenes(city={"a": 3})))
    write_image(folder.paths[1], np.zeros((5, 5), dtype=np.uint8))
    with pytest.raises(DataError, match="6 x 8 .* 5 x 5 .* open the folder again"):
        folder[1]


@pytest.mark.parametrize(("dtype", "memory"), [("uint16", torch.uint16), ("float32", torch.float32)])
def test_default_limits_are_percentiles_of_the_whole_set(tmp_path: Path, dtype: str, memory: torch.dtype) -> None:
    suffix = ".png" if dtype == "uint16" else ".tif"
    names = [name.replace(".png", suffix) for name in scenes(city={"a": 3}, sea={"b": 3})]
    folder = PatchFolder.open(fill(tmp_path, names, shape=(20, 20), dtype=dtype))
    values = np.stack([read_image(path) for path in folder.paths])
    low, high = np.percentile(values.astype(np.float64), (0.5, 99.5))
    assert folder.radiometry.low == pytest.approx(low, rel=1e-4)
    assert folder.radiometry.high == pytest.approx(high, rel=1e-4)
    patches, _ = folder.arrays()
    assert patches.dtype == memory
    assert torch.equal(encode(patches, folder.radiometry)[2], folder[2][0])


def test_declared_radiometry_wins_and_constant_data_ask_for_it(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "a" / f"{number}.npy"
        path.parent.mkdir(exist_ok=True)
        write_image(path, np.full((4, 4), 3.0, dtype=np.float32))
    with pytest.raises(DataError, match="constant"):
        PatchFolder.open(tmp_path)
    folder = PatchFolder.open(tmp_path, radiometry=Radiometry("db", 0.0, 6.0))
    assert folder[0][0].unique().tolist() == [0.5]
    write_image(tmp_path / "a" / "1.npy", np.full((4, 4), np.nan, dtype=np.float32))
    with pytest.raises(DataError, match=r"1\.npy holds NaN"):
        folder[1]


def big_folder(tmp_path: Path) -> PatchFolder:
    rng = np.random.default_rng(5)
    layout = {c: {f"s{s}": int(rng.integers(2, 9)) for s in range(k, k + 12)} for k, c in enumerate("abc")}
    layout["rare"] = {"s3": 4, "s20": 3}
    layout["once"] = {"s4": 3}
    return PatchFolder.open(fill(tmp_path, scenes(**layout), shape=(4, 5)))


def test_split_is_disjoint_complete_and_close_to_the_fractions(tmp_path: Path) -> None:
    folder = big_folder(tmp_path)
    for seed in range(4):
        split = split_by_scene(folder, (0.6, 0.2, 0.2), seed=seed)
        parts = [split.train, split.val, split.test]
        assert sorted(split.train + split.val + split.test) == list(range(len(folder)))
        names = [{folder.scenes[i] for i in part} for part in parts]
        assert sum(len(part) for part in names) == len(set.union(*names))
        counts = [folder.subset(part).class_counts() for part in parts]
        for name in "abc":
            total = folder.class_counts()[name]
            for part, fraction in zip(counts, (0.6, 0.2, 0.2), strict=True):
                assert abs(part[name] / total - fraction) < 0.13
        assert min(counts[0]["rare"], counts[2]["rare"]) > 0
        assert counts[0]["once"] == 3
        assert check_leakage(folder, split) == []


def test_split_is_fixed_by_the_seed_and_val_may_be_nothing(tmp_path: Path) -> None:
    folder = big_folder(tmp_path)
    assert split_by_scene(folder, seed=3) == split_by_scene(folder, seed=3)
    assert len({tuple(split_by_scene(folder, seed=s).test) for s in range(5)}) > 1
    assert split_by_scene(folder, (0.8, 0.0, 0.2)).val == []


def test_split_of_patches_without_scene_is_stratified(tmp_path: Path) -> None:
    folder = PatchFolder.open(fill(tmp_path, [f"{c}/n{i}.png" for c in "ab" for i in range(20)], shape=(4, 5)))
    split = split_by_scene(folder, (0.5, 0.0, 0.5))
    assert folder.subset(split.train).class_counts() == {"a": 10, "b": 10}


def test_split_errors(tmp_path: Path) -> None:
    folder = PatchFolder.open(fill(tmp_path, scenes(a={"s": 3}, b={"s": 2})))
    with pytest.raises(DataError, match="one scene"):
        split_by_scene(folder)
    for fractions in [(0.5, 0.1, 0.1), (1.0, 0.0, 0.0), (1.2, -0.4, 0.2)]:
        with pytest.raises(ValueError, match="fractions"):
            split_by_scene(folder, fractions)


def test_leakage_is_found(tmp_path: Path) -> None:
    folder = PatchFolder.open(fill(tmp_path, scenes(a={"s": 2, "t": 2}, b={"u": 2})))
    write_image(folder.paths[5], read_image(folder.paths[0]))
    messages = check_leakage(folder, Split([0, 1, 4], [2], [3, 5], seed=0))
    assert len(messages) == 3
    assert any("1 patches of train and test have equal pixels" in m and "u_0_1.png" in m for m in messages)
    assert any("1 scenes are in val and in test, for example t" in m for m in messages)
    assert any("1 scenes are in train and in test, for example u" in m for m in messages)
    assert "1 patches are in train and in test" in check_leakage(folder, Split([0], [], [0], seed=0))[0]


def test_split_json(tmp_path: Path) -> None:
    split = Split([0, 2], [], [1], seed=7)
    assert Split.load(split.save(tmp_path / "split.json")) == split
    (tmp_path / "bad.json").write_text('{"train": [1]}')
    for name in ("bad.json", "none.json"):
        with pytest.raises(DataError, match=name):
            Split.load(tmp_path / name)


def test_terrain160(test_data: Path) -> None:
    folder = PatchFolder.open(test_data / "terrain160")
    assert (len(folder), len(folder.classes), len(set(folder.scenes))) == (984, 6, 59)
    assert folder.shape == (1, 160, 160)
    split = split_by_scene(folder)
    for part in (split.train, split.test):
        assert min(folder.subset(part).class_counts().values()) > 0
    assert check_leakage(folder, split) == []


def test_mstar_sizes_differ_by_class(test_data: Path) -> None:
    with pytest.raises(DataError, match=r"BMP2/hb03787\.jpeg is 128 x 128 .*centre-crop"):
        PatchFolder.open(test_data / "mstar" / "train")
