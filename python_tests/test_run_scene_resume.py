"""`run_scene` after a kill, with damaged rows, on a full disk, and in several processes."""

import errno
import os
import signal

import numpy as np
import pytest
import torch

from sarcore.data import Scene, SceneWriter
from sarcore.errors import DataError
from sarcore.inference import run_scene
from sarcore.inference.scene_parts import SceneParts

from .run_scene_helpers import BLEND, CROP, finished, lee, parts_of, small_scene, start


@pytest.fixture
def scene(tmp_path):
    return small_scene(tmp_path)


# ------ after a kill


@pytest.mark.parametrize(("suffix", "options"), [(".tif", CROP), (".npy", BLEND)])
def test_after_a_kill_the_same_call_gives_the_same_bytes(scene, tmp_path, suffix, options):
    calls = []

    def despeckled(x):
        calls.append(x)
        return lee(x)

    whole, out = (tmp_path / f"{name}{suffix}" for name in ("whole", "out"))
    run_scene(scene, despeckled, whole, name="lee", **options)
    needed = len(calls)
    finished(start(scene, out, kill_after=needed // 2, name="lee", **options), -signal.SIGKILL)
    assert not out.exists()
    assert len(list(parts_of(out).glob("rows_*.npy"))) > 1
    run_scene(scene, despeckled, out, name="lee", **options)
    assert out.read_bytes() == whole.read_bytes()
    assert len(calls) - needed < needed  # one call tells that the function is the same
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["scene.tif", whole.name, out.name])


class Stop(Exception):  # noqa: N818
    """The test's own interruption."""


def interrupted(scene, out, rows, options=CROP, fn=lee):
    def stop(done):
        if done >= rows:
            raise Stop

    with pytest.raises(Stop):
        run_scene(scene, fn, out, on_rows=stop, **options)
    return parts_of(out)


@pytest.mark.parametrize("options", [CROP, BLEND])
def test_damaged_rows_are_found_and_computed_again(scene, tmp_path, options):
    whole = run_scene(scene, lee, tmp_path / "whole.npy", **options)
    out = tmp_path / "out.npy"
    folder = interrupted(scene, out, 120, options)
    first, second, third, *_ = sorted(folder.glob("rows_*.npy"))
    data = bytearray(first.read_bytes())
    data[-3] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-5])
    third.write_bytes(b"")
    (folder / "rows_000005_00000000.npy.unfinished.123").write_bytes(b"half")
    (folder / ".out.unfinished.abc").mkdir()
    heard = []
    run_scene(scene, lee, out, on_rows=heard.append, **options)
    assert 0 < heard[0] < 120
    assert heard[-1] == 170
    assert out.read_bytes() == whole.read_bytes()
    assert not folder.exists()


def test_rows_that_are_damaged_when_they_are_written_are_said(tmp_path):
    parts = SceneParts(tmp_path / "out.npy.parts", {})
    parts.open()
    parts.save(3, np.ones((1, 2, 3), np.float32))
    (file,) = parts.folder.glob("rows*")
    file.write_bytes(b"")
    with pytest.raises(DataError, match=r"rows_000003.*damaged.*give the same arguments again"):
        parts.load(3)
    assert parts.finished() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": 25}, "size was 24 and is 25"),
        ({"overlap": 8}, "overlap was 6 and is 8"),
        ({"window": "flat"}, "window was crop and is flat"),
        ({"fill": 0.0}, "fill was nan and is 0.0"),
        ({"nodata": None}, "nodata was 99.0 and is None"),
        ({"channels": [0]}, r"channels was None and is \[0\]"),
        ({"name": "lee, 9 x 9"}, "function was lee and is lee, 9 x 9"),
    ],
)
def test_other_arguments_are_refused(scene, tmp_path, changed, words):
    out = tmp_path / "out.npy"
    folder = interrupted(scene, out, 100)
    before = sorted(path.name for path in folder.glob("rows*"))
    with pytest.raises(DataError, match=rf"holds the unfinished rows of another run \({words}\).*resume=False"):
        run_scene(scene, lee, out, **{**CROP, **changed})
    assert sorted(path.name for path in folder.glob("rows*")) == before
    run_scene(scene, lee, out, resume=False, **{**CROP, **changed})
    assert not folder.exists()


def test_another_scene_is_refused(scene, tmp_path):
    out = tmp_path / "out.npy"
    interrupted(scene, out, 100)
    os.utime(scene, ns=(0, 5))
    with pytest.raises(DataError, match=r"changed was \d+ and is 5"):
        run_scene(scene, lee, out, **CROP)
    pixels = Scene.open(scene).read()
    interrupted(Scene.open(pixels), tmp_path / "b.npy", 100)
    pixels[0, 0, 0] += 1
    with pytest.raises(DataError, match=r"pixels was \d+ and is \d+"):
        run_scene(Scene.open(pixels), lee, tmp_path / "b.npy", **CROP)


@pytest.mark.parametrize("options", [CROP, BLEND, {**BLEND, "size": 200}])
def test_another_function_is_refused(scene, tmp_path, options):
    out = tmp_path / "out.npy"
    interrupted(scene, out, 100, options)
    other = lambda x: 1.01 * lee(x)  # noqa: E731
    with pytest.raises(DataError, match="of another function"):
        run_scene(scene, other, out, name="lee", **options)
    almost = lambda x: (1 + 1e-6) * lee(x)  # noqa: E731  as a GPU may differ from run to run
    run_scene(scene, almost, out, name="lee", **options)
    assert out.exists()


def test_a_strange_folder_is_left_alone(scene, tmp_path):
    out = tmp_path / "out.npy"
    parts_of(out).mkdir()
    (parts_of(out) / "thesis.txt").write_text("important")
    for resume in (True, False):
        with pytest.raises(DataError, match=r"holds something else \(thesis.txt\)"):
            run_scene(scene, lee, out, resume=resume, **CROP)
    assert (parts_of(out) / "thesis.txt").read_text() == "important"


def test_a_file_where_the_folder_should_be_is_said(scene, tmp_path):
    parts_of(tmp_path / "out.npy").write_text("a file")
    with pytest.raises(DataError, match=r"cannot write .*out.npy.parts: "):
        run_scene(scene, lee, tmp_path / "out.npy", **CROP)


def test_numbers_of_numpy_are_arguments_too(scene, tmp_path):
    sizes = {"size": np.int64(24), "overlap": (np.int32(6), 6)}
    folder = interrupted(scene, tmp_path / "out.npy", 100, {**CROP, **sizes})
    run_scene(scene, lee, tmp_path / "out.npy", **{**CROP, "overlap": [6, 6]})
    assert not folder.exists()


def test_nothing_is_left_where_nothing_was_finished(scene, tmp_path):
    def fail(x):
        raise Stop

    with pytest.raises(Stop):
        run_scene(scene, fail, tmp_path / "out.npy", **CROP)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_a_result_that_is_there_is_replaced_at_the_end(scene, tmp_path):
    out = tmp_path / "out.npy"
    out.write_bytes(b"old")
    interrupted(scene, out, 100)
    assert out.read_bytes() == b"old"
    run_scene(scene, lee, out, **CROP)
    assert Scene.open(out).shape == (1, 170, 90)


# ------ a full disk


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_rows_are_kept(scene, tmp_path, monkeypatch):
    out = tmp_path / "out.tif"
    interrupted(scene, out, 50)
    monkeypatch.setattr("sarcore.inference.scene_parts.os.replace", full)
    with pytest.raises(
        DataError, match=r"No space left on device; make room and give the same arguments again"
    ) as error:
        run_scene(scene, lee, out, **CROP)
    assert "\n" not in str(error.value)
    assert not out.exists()
    assert not list(parts_of(out).glob("*.unfinished.*"))
    monkeypatch.undo()
    run_scene(scene, lee, out, **CROP)
    assert out.exists()


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_a_full_disk_while_the_result_is_written(scene, tmp_path, monkeypatch, suffix):
    out = tmp_path / f"out{suffix}"

    def write(self, rows):
        raise DataError(f"cannot write {self.path}: the disk is full")

    monkeypatch.setattr(SceneWriter, "write", write)
    with pytest.raises(DataError, match=f"^cannot write {out}: the disk is full"):
        run_scene(scene, lee, out, **CROP)
    assert not out.exists()
    assert not list(parts_of(out).glob("*unfinished*"))
    monkeypatch.undo()
    run_scene(scene, lee, out, **CROP)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, "scene.tif"])


def test_a_full_disk_in_the_thread_of_the_writer(scene, tmp_path, monkeypatch):
    """The system's own error, from the thread that writes the TIFF."""
    import tifffile

    out = tmp_path / "out.tif"
    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(DataError, match=rf"cannot write {out}: the disk is full") as error:
        run_scene(scene, lee, out, **CROP)
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_no_gradient_is_kept(scene, tmp_path):
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    run_scene(scene, network, tmp_path / "out.npy", 32, 8)
    assert network.weight.grad is None
