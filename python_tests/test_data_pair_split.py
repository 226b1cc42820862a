"""Splits of pairs: by scene and by image, the manifest, the links, what is shared."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.cli import main
from sarcore.data import PairedFolder, UnpairedFolder, check_pairs, link_parts, split_pairs, write_image, write_manifest
from sarcore.errors import DataError

from .pair_sets import grey, put, sen12


@pytest.fixture
def folder(tmp_path: Path) -> PairedFolder:
    """50 pairs in ten scenes of 3 to 7."""
    return PairedFolder.open(sen12(tmp_path / "data", {str(n): 3 + n % 5 for n in range(10)}))


def scenes_of(folder: PairedFolder) -> dict[str, set[str]]:
    return {
        p: {s for s, q in zip(folder.scenes, folder.parts, strict=True) if p == q} for p in ("train", "val", "test")
    }


def test_scenes_stay_whole_and_the_parts_have_their_shares(folder: PairedFolder) -> None:
    drawn = split_pairs(folder, (0.6, 0.2, 0.2), seed=4)
    counts = Counter(drawn.parts)
    assert counts.total() == len(folder) == 50
    for part, share in (("train", 30), ("val", 10), ("test", 10)):
        assert abs(counts[part] - share) <= 2
    parts = scenes_of(drawn)
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & (parts["train"] | parts["test"])
    assert set.union(*parts.values()) == set(folder.scenes)
    assert split_pairs(folder, (0.6, 0.2, 0.2), seed=4).parts == drawn.parts
    assert len({str(split_pairs(folder, (0.6, 0.2, 0.2), seed=s).parts) for s in range(5)}) > 1


def test_the_ratios_of_the_document_give_its_counts(tmp_path: Path) -> None:
    folder = PairedFolder.open(sen12(tmp_path, {"1": 90, "2": 90}))
    drawn = split_pairs(folder, (0.9, 0.0, 0.1), by="image", fraction=0.1)
    assert Counter(drawn.parts) == {"train": 17, "test": 1}  # int(0.1 * 180) = 18, int(0.1 * 18) = 1
    assert len(set(drawn.keys)) == 18
    assert split_pairs(folder, (0.9, 0.0, 0.1), by="image", fraction=0.1, seed=1).keys != drawn.keys
    assert Counter(split_pairs(folder, (0.8, 0.1, 0.1), by="image").parts) == {"train": 144, "val": 18, "test": 18}


def test_a_fraction_of_the_scenes_is_taken_whole(folder: PairedFolder) -> None:
    drawn = split_pairs(folder, (0.5, 0.0, 0.5), fraction=0.4)
    assert abs(len(drawn) - 20) <= 3
    assert all(drawn.scenes.count(scene) == folder.scenes.count(scene) for scene in set(drawn.scenes))


def test_what_cannot_be_split_is_refused(folder: PairedFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave none for test"):
        split_pairs(folder, (0.9, 0.0, 0.1), by="image", fraction=0.1)  # int(0.1 * 5) = 0
    with pytest.raises(DataError, match="leave none for"):
        split_pairs(folder.subset(range(3)))
    for wrong in ({"by": "blocks"}, {"fraction": 0.0}, {"fraction": 1.5}, {"fractions": (1.0, 0.0, 0.0)},
                  {"fractions": (math.nan, 0.0, 1.0)}):  # fmt: skip
        with pytest.raises(ValueError, match="fraction|by must be"):
            split_pairs(folder, **wrong)  # type: ignore[arg-type]
    parts = replace(folder, parts=["train"] * 49 + ["test"])
    with pytest.raises(DataError, match=r"have their parts already \(train 49, test 1\)"):
        split_pairs(parts)
    unknown = PairedFolder.open(put(tmp_path / "ab", {f"train{d}/{i}.png": grey(i) for d in "AB" for i in range(9)}))
    with pytest.raises(DataError, match="the scene of the pair trainA/0 of .* is not known; .* --by image"):
        split_pairs(unknown)
    assert Counter(split_pairs(unknown, (0.8, 0.0, 0.2), by="image").parts) == {"train": 8, "test": 1}


def test_a_manifest_is_read_as_it_was_written(folder: PairedFolder) -> None:
    drawn = split_pairs(folder, fraction=0.6)
    write_manifest(drawn, folder.root / "pairs.csv")
    again = PairedFolder.open(folder.root)
    assert (again.keys, again.scenes, again.parts) == (drawn.keys, drawn.scenes, drawn.parts)
    assert all(torch.equal(x, y) for i in range(len(drawn)) for x, y in zip(again[i], drawn[i], strict=True))
    assert len(PairedFolder.open(folder.root, part="test")) == drawn.parts.count("test")
    halves = PairedFolder.open(
        put(folder.root / "ab", {"train/1.png": grey(1, (4, 8)), "train/2.png": grey(2, (4, 8))})
    )
    path = write_manifest(halves, folder.root / "ab" / "pairs.csv")
    again = PairedFolder.open(folder.root / "ab", manifest=path)
    assert again.sizes == [(4, 4), (4, 4)]
    assert again.b.places == halves.b.places


def test_links_work_and_old_ones_go(folder: PairedFolder, tmp_path: Path) -> None:
    drawn = split_pairs(folder)
    out = link_parts(drawn, tmp_path / "deep" / "links")
    (out / "testA" / "old.png").symlink_to("nowhere.png")
    linked = PairedFolder.open(link_parts(drawn, out))  # I2-17: dangling links, and old ones that stayed
    assert Counter(linked.parts) == Counter(drawn.parts)
    assert not (out / "testA" / "old.png").is_symlink()
    assert sorted(linked.scenes) == sorted(drawn.scenes)
    by_file = {place.path.name: i for i, place in enumerate(drawn.a.places)}
    for i in range(len(linked)):
        j = by_file[linked.a.places[i].path.name]
        assert linked.parts[i] == drawn.parts[j]
        assert torch.equal(linked.pair(i)[1], drawn.pair(j)[1])
    link = next((out / "trainA").iterdir())
    assert not link.readlink().is_absolute()
    tmp_path.rename(tmp_path.with_name("moved"))
    assert len(PairedFolder.open(tmp_path.with_name("moved") / "deep" / "links")) == len(drawn)
    tmp_path.with_name("moved").rename(tmp_path)


def test_links_do_not_lead_through_other_links(folder: PairedFolder, tmp_path: Path) -> None:
    (tmp_path / "away" / "far").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "away" / "far")  # whose "..", for the system, is away
    files = PairedFolder.open(folder.root)
    linked = PairedFolder.open(link_parts(split_pairs(files), tmp_path / "alias" / "out"))
    assert linked[0][1].shape == (3, 8, 12)
    (tmp_path / "data_alias").symlink_to(folder.root)
    linked = PairedFolder.open(link_parts(split_pairs(PairedFolder.open(tmp_path / "data_alias")), tmp_path / "out"))
    (tmp_path / "data_alias").unlink()
    assert linked[0][1].shape == (3, 8, 12)


def test_what_is_no_link_is_never_removed(folder: PairedFolder, tmp_path: Path) -> None:
    out = put(tmp_path / "out", {"valB/mine.png": grey(1)})
    with pytest.raises(DataError, match="valB/mine.png is no link of an earlier split"):
        link_parts(split_pairs(folder), out)
    assert [path.name for path in out.rglob("*.png")] == ["mine.png"]
    with pytest.raises(DataError, match="is in no part; make a split first"):
        link_parts(folder, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_links_of_one_name_keep_their_partners(tmp_path: Path) -> None:
    files = {f"s{d}_{r}/{i}.png": grey(10 * r + i) for d in (1, 2) for r in range(4) for i in range(3)}
    drawn = split_pairs(PairedFolder.open(put(tmp_path / "in", files)), (0.5, 0.0, 0.5))
    linked = PairedFolder.open(link_parts(drawn, tmp_path / "out"))
    assert len(linked) == 12
    assert all(torch.equal(*linked.pair(i)) for i in range(12))


def test_partners_of_two_names_are_linked_by_one(tmp_path: Path) -> None:
    root = put(tmp_path / "in", {f"{name}.png": grey(i) for i, name in enumerate(("x/1", "x/2", "x/3", "y/b", "z/b"))})
    lines = ["a,b,part", "x/1.png,x/2.png,train", "x/2.png,y/b.png,train", "x/3.png,z/b.png,train"]
    (root / "pairs.csv").write_text("\n".join(lines))
    folder = PairedFolder.open(root)
    linked = PairedFolder.open(link_parts(folder, tmp_path / "out"))
    for i in range(3):
        assert all(torch.equal(x, y) for x, y in zip(linked.pair(i), folder.pair(i), strict=True))


def test_links_that_cannot_be_made_leave_the_earlier_ones(
    folder: PairedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = link_parts(split_pairs(folder), tmp_path / "out")
    before = {path: path.readlink() for path in out.rglob("*.png")}
    make = Path.symlink_to

    def full(self: Path, target: str) -> None:
        if len(list(out.rglob("*.png"))) > len(before) + 20:
            raise OSError(28, "No space left on device", str(self))
        make(self, target)

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(OSError, match="No space left"):
        link_parts(split_pairs(folder, seed=1), out)
    assert {path: path.readlink() for path in out.rglob("*.png")} == before
    assert not list(out.glob(".*"))


def test_what_the_parts_share_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = {
        f"s{d}_{r}/{i}.npy": rng.random((1, 64, 64), dtype=np.float32)
        for d in (1, 2)
        for r in range(8)
        for i in range(2)
    }
    root = put(tmp_path, images)
    folder = PairedFolder.open(root)
    assert check_pairs(split_pairs(folder), similar=True) == []
    with pytest.raises(DataError, match="have no parts"):
        check_pairs(folder)
    mixed = replace(folder, parts=["train", "test"] + ["train"] * 14)
    assert check_pairs(mixed) == ["1 scenes are in train and in test, for example 0"]
    write_image(root / "s2_3" / "0.npy", images["s2_0/0.npy"])
    parts = ["train"] * 6 + ["test"] * 10
    [message] = check_pairs(replace(folder, parts=parts))
    assert message.startswith("1 optical images of train and test have equal pixels, for example")
    field = np.kron(rng.random((32, 32), dtype=np.float32), np.ones((2, 2), dtype=np.float32))
    write_image(root / "s1_1" / "0.npy", field[None])
    write_image(root / "s1_5" / "0.npy", field[None] * rng.gamma(50, 1 / 50, (1, 64, 64)).astype(np.float32))
    found = check_pairs(replace(folder, parts=parts), similar=True)
    assert len(found) == 2
    assert found[1].startswith("1 SAR images of train and test are near duplicates, for example s1_1/0 and s1_5/0")


def test_the_command_splits_checks_and_links(
    tmp_path: Path, folder: PairedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    root, links = str(folder.root), tmp_path / "links"
    assert main(["split", root, "--fractions", "0.6", "0.2", "0.2", "--links", str(links)]) == 0
    out = capsys.readouterr().out
    assert "train: 3" in out
    assert f"pairs: {root}/pairs.csv" in out
    assert len(PairedFolder.open(links, part="train")) >= 28
    assert len(UnpairedFolder.open(root, part="val")) >= 8
    assert main(["split", root]) == 1
    assert "exists; remove it, give another --out, or look into it with --check" in capsys.readouterr().err
    assert main(["split", root, "--out", str(tmp_path / "b.csv"), "--by", "image"]) == 1  # its parts are known already
    assert "have their parts already" in capsys.readouterr().err
    (folder.root / "pairs.csv").unlink()
    assert main(["split", root, "--by", "image", "--check"]) == 1
    out = capsys.readouterr().out
    assert "note: --by image may put images of one scene into several parts" in out
    assert "found: " in out
    for wrong in (["--by", "blocks"], ["--buffer", "3"]):
        assert main(["split", root, *wrong]) == 1
        assert "pairs are split by scene or image" in capsys.readouterr().err
    patches = put(tmp_path / "patches", {f"water/{i}_0_0.png": grey(i) for i in range(4)})
    for wrong in (["--by", "image"], ["--fraction", "0.5"], ["--links", "x"]):
        assert main(["split", str(patches), *wrong]) == 1
        assert "holds no pairs; --by image, --fraction and --links are for pairs" in capsys.readouterr().err


def test_the_real_pairs_split_without_a_leak(test_data: Path) -> None:
    drawn = split_pairs(PairedFolder.open(test_data / "pairs256"))
    assert Counter(drawn.parts) == {"train": 82, "val": 12, "test": 24}
    assert check_pairs(drawn, similar=True) == []
    assert check_pairs(split_pairs(PairedFolder.open(test_data / "pairs256"), by="image"))
