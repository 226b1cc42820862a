"""The decoded copy of a patch set: the same items, made once, and no harm where it cannot be made."""

import dataclasses
import errno
import fcntl
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.data import PatchFolder, data_fingerprint, patch_cache, write_image
from sarcore.data.patch_cache import cache_folder
from sarcore.data.shards import ShardWriter
from sarcore.errors import DataError

COUNT = 6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SARCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "patches"


def write_set(root, suffix=".png", dtype=np.uint8):
    rng = np.random.default_rng(0)
    for name in ("city", "field"):
        (root / name).mkdir(parents=True)
        for i in range(COUNT // 2):
            values = rng.integers(0, 255, (1, 8, 6))
            image = values + 1j * values if np.dtype(dtype).kind == "c" else values
            if np.dtype(dtype).kind == "f":
                image = np.where(values < 20, np.nan, values)
            write_image(root / name / f"{i}{suffix}", image.astype(dtype))
    return root


def open_set(root, dtype):
    kind = np.dtype(dtype).kind
    limits = {"c": Radiometry("complex", 0, 9e4), "f": Radiometry("digital", 0, 255, nodata=float("nan"))}
    return PatchFolder.open(root, radiometry=limits.get(kind))


@pytest.fixture
def folder(tmp_path):
    return PatchFolder.open(write_set(tmp_path / "set"))


def refuse_to_decode(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a file was decoded")

    monkeypatch.setattr("sarcore.data.folder.read_image", refuse)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.float32), (".npy", np.complex64), (".tif", np.int16)],
)
def test_items_are_the_same_and_no_file_is_read_again(tmp_path, monkeypatch, suffix, dtype):
    plain = open_set(write_set(tmp_path / "set", suffix, dtype), dtype)
    expected, labels = plain.arrays()
    items = [plain[i][0] for i in range(COUNT)]
    done = []
    patch_cache(plain, 0, on_patches=lambda *each: done.append(each))
    assert done == [(COUNT, COUNT)]
    refuse_to_decode(monkeypatch)
    cached = patch_cache(plain, 0, on_patches=lambda *each: done.append(each))
    assert len(done) == 1
    found, found_labels = cached.arrays()
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)
    assert torch.equal(found_labels, labels)
    assert all(torch.equal(cached[i][0], items[i]) for i in range(COUNT))
    assert cached.paths == plain.paths
    assert data_fingerprint(cached) == data_fingerprint(plain)
    chosen = cached.subset([4, 1]).of_class("city")
    assert torch.equal(chosen[0][0], items[1])
    assert torch.equal(cached.native([5, 0])[0], expected[[5, 0]])
    with pytest.raises(AssertionError, match="a file was decoded"):
        plain[0]


def test_large_sets_alone_are_copied(folder, cache, tmp_path):
    assert folder.nbytes == folder.arrays()[0].nbytes == COUNT * 48
    assert patch_cache(folder) is folder
    assert patch_cache(folder, COUNT * 48) is folder
    assert not cache.exists()
    copied = patch_cache(folder, COUNT * 48 - 1)
    assert patch_cache(copied, 0) is copied
    shards = tmp_path / "shards"
    shards.mkdir()
    with ShardWriter(shards, (1, 8, 6), np.uint8) as writer:
        names = [writer.add(folder.stored(i)) for i in range(COUNT)]
    (shards / "labels.csv").write_text("file,class,scene\n" + "".join(f"{name},a,s{name}\n" for name in names))
    in_shards = PatchFolder.open(shards)
    assert patch_cache(in_shards, 0) is in_shards


def test_many_patches_are_many_shards(folder, monkeypatch):
    module = sys.modules["sarcore.data.patch_cache"]  # sarcore.data.patch_cache is the function
    monkeypatch.setattr(module, "_CHUNK", 4)
    monkeypatch.setattr(module, "ShardWriter", lambda *args: ShardWriter(*args, shard_bytes=100))
    cached = patch_cache(folder, 0)
    assert [path.name for path in cached.decoded] == [f"shard_0000{i // 2}.npy#{i % 2}" for i in range(COUNT)]
    assert torch.equal(cached.arrays()[0], folder.arrays()[0])


def test_a_file_changed_in_place_is_decoded_anew(folder):
    before = patch_cache(folder, 0)
    path = folder.paths[2]
    image = 255 - folder.stored(2)
    changed = path.stat().st_mtime_ns + 1
    write_image(path, image)
    os.utime(path, ns=(changed, changed))
    after = patch_cache(PatchFolder.open(folder.root), 0)
    assert after.decoded != before.decoded
    assert np.array_equal(after.stored(2), image)


def test_other_limits_or_another_place_are_another_copy(folder, tmp_path):
    first = patch_cache(folder, 0)
    other = patch_cache(dataclasses.replace(folder, radiometry=Radiometry("digital", 0, 100)), 0)
    moved = patch_cache(PatchFolder.open(shutil.copytree(folder.root, tmp_path / "moved" / "set")), 0)
    assert len({each.decoded[0].parent for each in (first, other, moved)}) == 3


@pytest.mark.parametrize("damage", ["truncate", "lose", "other", "empty"])
def test_a_damaged_copy_is_made_again(folder, damage):
    shard = patch_cache(folder, 0).decoded[0].parent / "shard_00000.npy"
    if damage == "truncate":
        os.truncate(shard, shard.stat().st_size - 1)
    elif damage == "lose":
        shard.unlink()
    elif damage == "empty":
        shard.write_bytes(b"")
    else:
        np.save(shard, np.zeros((COUNT, 1, 8, 7), dtype=np.uint8))
    again = patch_cache(folder, 0)
    assert torch.equal(again.arrays()[0], folder.arrays()[0])


def test_a_disk_with_too_little_room_is_told_and_left_alone(folder, cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: shutil._ntuple_diskusage(100, 90, COUNT * 48 - 1))
    notes = []
    assert patch_cache(folder, 0, on_note=notes.append) is folder
    assert len(notes) == 1
    assert "0.0 GiB are needed, 0.0 GiB are free" in notes[0]
    assert "SARCORE_CACHE" in notes[0]
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(folder, cache, monkeypatch):
    def full(_writer, _image):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardWriter, "add", full)
    notes = []
    assert patch_cache(folder, 0, on_note=notes.append) is folder
    assert "No space left on device" in notes[0]
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    monkeypatch.undo()


def test_a_folder_that_cannot_be_written_is_told(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SARCORE_CACHE", str(tmp_path / "file"))
    notes = []
    assert patch_cache(folder, 0, on_note=notes.append) is folder
    assert "Not a directory" in notes[0]
    assert patch_cache(folder, 0) is folder  # nobody listens


def test_a_corrupt_file_is_an_error_and_leaves_nothing(folder, cache):
    path = folder.paths[3]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=f"{path} is corrupt"):
        patch_cache(folder, 0)
    assert [each.suffix for each in cache.iterdir()] == [".lock"]


def test_what_a_killed_process_left_is_removed(folder, cache):
    name = patch_cache(folder, 0).decoded[0].parent.name
    shutil.rmtree(cache / name)
    (cache / f".{name}.left").mkdir()
    (cache / ".other.left").mkdir()
    patch_cache(folder, 0)
    assert sorted(each.name for each in cache.iterdir()) == [".other.left", name, f"{name}.lock"]


PROCESS = """
import sys
from sarcore.data import PatchFolder, patch_cache
folder = PatchFolder.open(sys.argv[1])
sys.stdin.read(1)
made = []
cached = patch_cache(folder, 0, on_patches=lambda *each: made.append(each))
print(len(made), int(cached.arrays()[0].sum()), cached.decoded[0].parent)
"""


def race(folder, code=PROCESS):
    command = [sys.executable, "-c", code, str(folder.root)]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for each in both:
        each.stdin.write("x")
        each.stdin.flush()
    found = [each.communicate()[0].split() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    return found


def test_processes_that_ask_at_once_share_one_copy(folder, cache):
    found = race(folder)
    assert sorted(made for made, *_ in found) == ["0", "1"]
    assert found[0][1:] == found[1][1:]
    assert int(found[0][1]) == int(folder.arrays()[0].sum())
    assert len(list(cache.iterdir())) == 2  # the copy and its lock


def test_without_locks_the_first_copy_is_kept(folder, cache, monkeypatch):
    """Another process finishes the copy while this one writes its own."""

    def no_locks(*_args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    inner = []

    def other(done, total):
        if not inner:
            inner.append(None)
            inner.append(patch_cache(folder, 0))

    outer = patch_cache(folder, 0, on_patches=other)
    assert outer.decoded == inner[1].decoded
    assert torch.equal(outer.arrays()[0], folder.arrays()[0])
    assert len(list(cache.iterdir())) == 2


def test_where_the_cache_lies(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("SARCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sarcore"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "sarcore"
