"""PairedFolder and UnpairedFolder: layouts, partners by name, radiometry, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.data import PairedFolder, UnpairedFolder, data_fingerprint, read_image, write_image
from sarcore.data.pair_layout import common_name, layout_of, list_pairs, scene_of
from sarcore.errors import DataError

from .pair_sets import grey, put, sen12


def test_sen12_folders_are_paired_by_name_and_know_their_scene(tmp_path: Path) -> None:
    folder = PairedFolder.open(sen12(tmp_path, {"8": 2, "11": 1}))
    assert folder.keys == ["s1_11/x_s1_11_p0", "s1_8/x_s1_8_p0", "s1_8/x_s1_8_p1"]
    assert folder.scenes == ["11", "8", "8"]
    assert folder.scenes_known
    assert folder.parts == [None, None, None]
    assert folder.channels == (1, 3)
    for i in range(3):
        a, b = folder.pair(i)
        assert a.dtype == b.dtype == torch.uint8
        assert int(b.max()) == int(a.max()) + 1  # written one after the other


@pytest.mark.parametrize("inner", [False, True])
def test_a_season_is_part_of_the_scene_from_wherever_it_is_opened(tmp_path: Path, inner: bool) -> None:
    sen12(tmp_path, {"8": 1}, "ROIs1970_fall")
    sen12(tmp_path, {"8": 1}, "ROIs1868_summer")
    root = tmp_path / "ROIs1970_fall" if inner else tmp_path
    expected = ["ROIs1970_fall_8"] if inner else ["ROIs1868_summer_8", "ROIs1970_fall_8"]
    assert PairedFolder.open(root).scenes == expected
    assert [scene_of(place.path) for place in PairedFolder.open(root).a.places] == expected  # the names agree


def test_only_the_name_itself_is_changed_to_find_a_partner(tmp_path: Path) -> None:
    # I2-06: .replace("A/", "B/") and .replace("s1_", "s2_") on whole paths went wrong in such folders.
    root = tmp_path / "DATA" / "s1_all" / "trainA_set"
    folder = PairedFolder.open(sen12(root, {"3": 1}))
    assert folder.b.places[0].path == root / "s2_3" / "x_s2_3_p0.png"
    folder = PairedFolder.open(
        put(tmp_path / "A" / "ab", {"trainA/tiles1_A.png": grey(1), "trainB/tiles1_A.png": grey(2)})
    )
    assert folder.b.places[0].path == tmp_path / "A" / "ab" / "trainB" / "tiles1_A.png"


def test_a_and_b_folders_have_parts_and_partners_of_any_format(tmp_path: Path) -> None:
    sar, optical = np.linspace(0, 4, 96, dtype=np.float32).reshape(1, 8, 12), np.ones((13, 8, 12), dtype=np.uint16)
    optical[0] = 9
    root = put(
        tmp_path,
        {
            "trainA/bay_0_0.tif": sar,
            "trainB/bay_0_0.npy": optical,
            "testA/sea_0_0.tif": sar,
            "testB/sea_0_0.npy": optical,
        },
    )
    folder = PairedFolder.open(root)
    assert list(zip(folder.parts, folder.scenes, strict=True)) == [("test", "sea"), ("train", "bay")]
    assert folder.channels == (1, 13)
    a, b = folder[1]
    assert a.dtype == b.dtype == torch.float32
    assert (a.shape, b.shape) == ((1, 8, 12), (13, 8, 12))
    train = PairedFolder.open(root, part="train")
    assert train.keys == ["trainA/bay_0_0"]
    assert train.radiometry_a == folder.radiometry_a  # of the whole set, whatever part is taken
    with pytest.raises(DataError, match=r"no part 'val' \(it has: test, train\); make one with `sarcore split"):
        folder.of_part("val")
    with pytest.raises(ValueError, match="part must be"):
        folder.of_part("validation")


def test_side_by_side_images_are_cut_in_the_middle(tmp_path: Path) -> None:
    image = np.concatenate([grey(10, channels=3), grey(200, channels=3)], axis=2)
    image[0, :, 12:] = 100  # the optical half is coloured
    folder = PairedFolder.open(put(tmp_path, {"train/1.png": image, "val/1.png": image}))
    assert folder.parts == ["train", "val"]
    assert folder.channels == (1, 3)
    a, b = folder.pair(0)
    assert a.unique().tolist() == [10]
    assert torch.equal(b, torch.from_numpy(image[:, :, 12:]))
    with pytest.raises(DataError, match="1.png is 13 pixels wide; A and B side by side need an even width"):
        PairedFolder.open(put(tmp_path / "odd", {"train/1.png": grey(1, (8, 13))}))


def test_a_manifest_names_files_scenes_and_parts(tmp_path: Path) -> None:
    root = put(tmp_path, {"x/1.png": grey(1), "y/eins.png": grey(2), "x/2.png": grey(3), "y/zwei.png": grey(4)})
    (root / "pairs.csv").write_text("a,b,scene,part\nx/2.png,y/zwei.png,bay,test\nx/1.png,y/eins.png,sea,\n")
    folder = PairedFolder.open(root)
    assert (folder.keys, folder.scenes, folder.parts) == (["x/1", "x/2"], ["sea", "bay"], [None, "test"])
    assert [int(folder.pair(i)[1].max()) for i in range(2)] == [2, 4]
    (root / "other.csv").write_text("a, b\nx/1.png, y/zwei.png\n")  # as people write lists
    assert int(PairedFolder.open(root, manifest=root / "other.csv").pair(0)[1].max()) == 4


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a,b,part\nx/1.png,y/9.png,", "line 2 of the manifest .* names .*y/9.png, which does not exist"),
        ("a,b,part\nx/1.png,y/1.png,valid", "has the part 'valid'; allowed are train, val, test or none"),
        ("a,b\nx/1.png,y/1.png\nx/1.png,y/1.png", "line 3 of the manifest .* names x/1 again"),
        ("a,b\n,", "line 2 of the manifest .* names no file"),
        ("file,class\nx/1.png,1", "needs a header line with the columns a and b"),
        ("a,b\n", "hold no image"),
    ],
)
def test_a_bad_manifest_is_refused_by_line(tmp_path: Path, lines: str, message: str) -> None:
    root = put(tmp_path, {"x/1.png": grey(1), "y/1.png": grey(2)})
    (root / "pairs.csv").write_text(lines)
    with pytest.raises(DataError, match=message):
        PairedFolder.open(root)


@pytest.mark.parametrize("missing", ["s1_8/x_s1_8_p0.png", "s2_8/x_s2_8_p0.png"])
def test_a_missing_partner_is_an_error_for_pairs_and_none_for_sets(tmp_path: Path, missing: str) -> None:
    sen12(tmp_path, {"8": 2})
    (tmp_path / missing).unlink()
    left = missing.replace("s1_", "s9_").replace("s2_", "s1_").replace("s9_", "s2_")
    with pytest.raises(DataError, match=rf"the image .*{re.escape(left)} has no partner of its name in [AB] \(1 such"):
        PairedFolder.open(tmp_path)
    assert sorted((len(UnpairedFolder.open(tmp_path).a), len(UnpairedFolder.open(tmp_path).b))) == [1, 2]


def test_what_is_no_folder_of_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        PairedFolder.open(tmp_path / "none")
    put(tmp_path, {"water/1.png": grey(1)})
    assert layout_of(tmp_path) is None
    with pytest.raises(DataError, match="holds no pairs; allowed are s1_<n> and s2_<n>.*trainA and trainB.*pairs.csv"):
        PairedFolder.open(tmp_path)
    put(tmp_path / "ab", {"trainA/1.png": grey(1), "trainA/1.tif": grey(1), "trainB/1.png": grey(1)})
    with pytest.raises(DataError, match="1.png and .*1.tif have one name"):
        PairedFolder.open(tmp_path / "ab")


def test_partners_of_two_sizes_and_domains_of_two_types_are_refused(tmp_path: Path) -> None:
    root = put(tmp_path / "size", {"trainA/1.png": grey(1), "trainB/1.png": grey(1, (8, 8))})
    with pytest.raises(DataError, match=r"pair trainA/1 of .* differ in size: A is 8 x 12 pixels, B 8 x 8"):
        PairedFolder.open(root)
    assert UnpairedFolder.open(root)[0][1].shape == (1, 8, 8)
    root = put(tmp_path / "type", {f"train{d}/{i}.png": grey(1, channels=c) for d, i, c in
                                   (("A", 1, 1), ("B", 1, 1), ("A", 2, 1), ("B", 2, 3))})  # fmt: skip
    with pytest.raises(DataError, match=r"2.png has 3 channels of uint8, but .*1.png has 1"):
        PairedFolder.open(root)


def test_grey_radar_images_in_colour_are_read_as_one_channel_and_said_so(tmp_path: Path) -> None:
    images = {f"train{d}/{i}.png": grey(i, channels=3) for d in "AB" for i in range(40)}
    folder = PairedFolder.open(put(tmp_path, images))
    assert folder.channels == (1, 3)  # the optical ones stay as they are
    assert folder.pair(folder.keys.index("trainA/7"))[0].unique().tolist() == [7]
    assert (folder.in_memory().a.held or [])[7].base is None  # the other two channels are not kept
    assert folder.notes == ["domain A: the 40 images hold three equal channels (R = G = B), of which one is read"]
    coloured = grey(1, channels=3)
    coloured[2, 0, 0] = 9
    write_image(tmp_path / "trainA" / "1.png", coloured)  # not among those that are looked into when it is opened
    folder = PairedFolder.open(tmp_path)
    with pytest.raises(DataError, match=r"the SAR image .*trainA/1.png is coloured"):
        folder[folder.keys.index("trainA/1")]
    write_image(tmp_path / "trainA" / "0.png", coloured)
    assert PairedFolder.open(tmp_path).channels == (3, 3)


def test_values_are_scaled_by_the_set_and_never_by_the_image(tmp_path: Path) -> None:
    # I2-08: constant images survive, and two images keep their difference.
    folder = PairedFolder.open(sen12(tmp_path / "bytes", {"8": 3}))
    for i in range(3):
        for native, encoded in zip(folder.pair(i), folder[i], strict=True):
            assert torch.equal(encoded, native / 255)
    values = {f"train{d}/{i}.npy": np.full((1, 4, 4), 100.0 * i, dtype=np.float32) for d in "AB" for i in range(3)}
    folder = PairedFolder.open(put(tmp_path / "floats", values))
    assert folder.radiometry_a.unit == "digital"
    assert [round(float(folder[i][0].mean()), 2) for i in range(3)] == [0.0, 0.5, 1.0]
    decibels = Radiometry("intensity", -20, 20, scale="db")
    folder = PairedFolder.open(tmp_path / "floats", radiometry_a=decibels)
    assert torch.allclose(folder[2][0], torch.tensor((10 * np.log10(200) + 20) / 40).clamp(max=1).float())
    with pytest.raises(ValueError, match="radiometry of B must have out='float32'"):
        PairedFolder.open(tmp_path / "floats", radiometry_b=Radiometry("digital", 0, 1, out="uint8"))


def test_offsets_take_the_pixels_that_show_the_same_place(tmp_path: Path) -> None:
    place = np.random.default_rng(0).integers(0, 255, (1, 40, 50)).astype(np.uint8)
    images = {"s1_7/a_s1_7_p0.png": place[:, 5:35, 10:40], "s2_7/a_s2_7_p0.png": place[:, 2:32, 14:44]}
    folder = PairedFolder.open(put(tmp_path, images))
    aligned = folder.shifted({"7": (-4, 3)})  # what A shows at (x, y) lies in B at (x - 4, y + 3)
    assert aligned.sizes == [(27, 26)]
    a, b = aligned.pair(0)
    assert a.shape == (1, 27, 26)
    assert torch.equal(a, b)
    assert torch.equal(aligned.shifted({"7": (4, -3)}).pair(0)[1], folder.pair(0)[1])  # they add up
    with pytest.raises(ValueError, match="offsets lack the scene '7'"):
        folder.shifted({"8": (0, 0)})
    with pytest.raises(DataError, match="nothing left"):
        folder.shifted({"7": (30, 0)})


def test_an_unpaired_epoch_meets_every_image_of_the_larger_set(tmp_path: Path) -> None:
    images = {f"trainA/{i}.png": grey(i) for i in range(3)} | {f"trainB/{i}.png": grey(100 + i) for i in range(50)}
    folder = UnpairedFolder.open(put(tmp_path, images))
    assert len(folder) == 50  # I2-05: not min(3, 50)
    torch.manual_seed(0)
    pairs = [tuple(int(x.max()) for x in folder.pair(i)) for i in range(50)]
    assert sorted(b for _, b in pairs) == list(range(100, 150))
    assert {a for a, _ in pairs} == {0, 1, 2}
    torch.manual_seed(0)
    assert [tuple(int(x.max()) for x in folder.pair(i)) for i in range(50)] == pairs
    with pytest.raises(IndexError):
        folder[50]
    part = folder.subset([2], [0, 1])
    assert (part.keys_a, part.keys_b, len(part)) == (["trainA/2"], ["trainB/0", "trainB/1"], 2)


def test_the_fingerprint_tells_pairs_apart(tmp_path: Path) -> None:
    folder = PairedFolder.open(sen12(tmp_path, {"8": 2, "9": 1}))
    same = data_fingerprint(folder)
    assert data_fingerprint(PairedFolder.open(tmp_path)) == same
    unpaired = UnpairedFolder.open(tmp_path)
    others = [folder.subset([0, 1]), folder.shifted({"8": (1, 0), "9": (0, 0)}), unpaired, unpaired.subset([0], [0])]
    digests = [data_fingerprint(other) for other in others]
    write_image(
        tmp_path / "s2_8" / "x_s2_8_p0.png", np.random.default_rng(0).integers(0, 9, (3, 8, 12), dtype=np.uint8)
    )
    digests.append(data_fingerprint(PairedFolder.open(tmp_path)))
    assert len({same, *digests}) == 6


def test_names_are_compared_word_by_word() -> None:
    assert common_name(Path("a/s1_bays1_s1.png")) == "s_bays1_s"
    assert scene_of(Path("volkov_s1_050_p0.png")) == "050"
    assert scene_of(Path("ROIs1158_spring_s2_100_p7.png")) == "ROIs1158_spring_100"


def test_real_pairs(test_data: Path) -> None:
    folder = PairedFolder.open(test_data / "pairs256")
    assert len(folder) == 118
    assert len(set(folder.scenes)) == 59
    assert folder.channels == (1, 3)
    assert set(folder.sizes) == {(256, 256)}
    i = folder.scenes.index("050")
    assert folder.keys[i] == "s1_050/volkov_s1_050_p0"
    expected = read_image(test_data / "pairs256" / "s2_050" / "volkov_s2_050_p0.png")
    assert torch.equal(folder.pair(i)[1], torch.from_numpy(expected))
    assert [entry.key for entry in list_pairs(test_data / "pairs256")] == folder.keys
