"""sarcore.data.shards: what is written is read, by PatchFolder too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcore.data import PatchFolder
from sarcore.data.shards import ShardWriter, read_shard, shard_header, shard_place
from sarcore.errors import DataError


@given(
    st.integers(0, 40),
    st.integers(1, 3),
    st.sampled_from(["uint8", "uint16", "int16", "float32", "float64", "complex64"]),
    st.integers(0, 600),
)
def test_round_trip(tmp_path_factory, count, channels, dtype, shard_bytes):
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(count)
    patches = rng.integers(0, 200, (count, channels, 4, 5)).astype(dtype)
    with ShardWriter(folder, (channels, 4, 5), dtype, shard_bytes=shard_bytes) as writer:
        names = [writer.add(patch) for patch in patches]
    assert len(set(names)) == count
    for name, patch in zip(names, patches, strict=True):
        back = read_shard(shard_place(folder / name))
        assert back.dtype == patch.dtype
        np.testing.assert_array_equal(back, patch)
    for file in folder.iterdir():  # NumPy reads them without us
        whole = np.load(file, mmap_mode="r")
        assert whole.shape == (shard_header(file)[0], channels, 4, 5)
        assert whole.nbytes <= max(shard_bytes, patches[:1].nbytes)


def write_folder(folder, patches, classes):
    with ShardWriter(folder, patches.shape[1:], patches.dtype, shard_bytes=patches[0].nbytes * 12) as writer:
        lines = [f"{writer.add(patch)},{name}" for patch, name in zip(patches, classes, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["file,class", *lines]) + "\n")


def test_a_folder_of_shards_is_read_in_the_order_of_the_numbers(tmp_path):
    patches = np.random.default_rng(0).integers(0, 255, (30, 1, 6, 8), dtype=np.uint8)
    write_folder(tmp_path, patches, ["a", "b"] * 15)
    folder = PatchFolder.open(tmp_path)
    assert [path.name for path in folder.paths[9:14]] == [
        "shard_00000.npy#9", "shard_00000.npy#10", "shard_00000.npy#11", "shard_00001.npy#0", "shard_00001.npy#1",
    ]  # fmt: skip
    np.testing.assert_array_equal(folder.arrays()[0].numpy(), patches)
    assert folder.labels.tolist() == [0, 1] * 15
    assert folder.scenes[:2] == ["shard", "shard"] or not folder.scenes_known


def test_a_shard_written_anew_is_read_anew(tmp_path):
    for value in (1, 2):
        with ShardWriter(tmp_path, (1, 4, 4), np.uint8) as writer:
            name = writer.add(np.full((1, 4, 4), value, np.uint8))
        assert read_shard(shard_place(tmp_path / name)).max() == value


def test_damage_and_wrong_numbers_are_one_sentence(tmp_path):
    patches = np.zeros((5, 1, 16, 16), np.float32)
    write_folder(tmp_path, patches, ["a"] * 5)
    shard = tmp_path / "shard_00000.npy"
    with pytest.raises(DataError, match="has 5 patches and none of number 7"):
        read_shard(shard_place(tmp_path / "shard_00000.npy#7"))
    (tmp_path / "labels.csv").write_text("file,class\nshard_00000.npy#4,a\nshard_00000.npy#5,a\n")
    with pytest.raises(DataError, match=r"line 3 .*shard_00000.npy#5, which does not exist"):
        PatchFolder.open(tmp_path)
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(DataError, match="the shard .*shard_00000.npy is corrupt"):
        PatchFolder.open(tmp_path)
    np.save(shard, np.zeros((3, 4)))
    with pytest.raises(DataError, match=r"not patches \(n, C, h, w\)"):
        shard_header(shard)
    with ShardWriter(tmp_path, (1, 4, 4), np.uint8) as writer, pytest.raises(ValueError, match="patch must be uint8"):
        writer.add(np.zeros((1, 4, 4), np.float32))
