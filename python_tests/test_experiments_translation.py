"""Trainings of CycleGAN and Pix2Pix on small folders of pairs: what they hold out, write, repeat and refuse."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import PairedFolder, Split, UnpairedFolder, write_image
from sarcore.engine import read_metrics
from sarcore.errors import CheckpointError, DataError, SarcoreError
from sarcore.experiments import translation
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainCycleGAN, TrainPix2Pix
from sarcore.experiments.translation import load_translation, load_translator, shown_pairs
from sarcore.experiments.translation_pairs import open_pairs, part_of, split_pairs

from .translation_runs import KINDS, SMALL, images


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module", params=KINDS)
def run(request, folder, tmp_path_factory) -> tuple[str, Path]:
    """A short training by the command line."""
    out = tmp_path_factory.mktemp(request.param) / "run"
    words = ["train", request.param, str(folder), "--out", str(out), "--steps", "6", "--checkpoint-every", "3"]
    assert main([*words, *SMALL, *KINDS[request.param]]) == 0
    return request.param, out


def test_a_run_holds_out_scenes_and_writes_what_came_of_it(run, folder):
    kind, out = run
    results, split = json.loads((out / "results.json").read_text()), Split.load(out / "split.json")
    scenes = PairedFolder.open(folder).scenes
    assert {scenes[i] for i in split.train}.isdisjoint({scenes[i] for i in split.val})
    assert results["pairs"] == {"train": len(split.train), "val": len(split.val)} == {"train": 10, "val": 2}
    assert set(results["val"]) == {"weights", "mean_colour"}
    assert results["best"]["name"] == "mae"
    best = min((row["val/mae"], row["step"]) for row in read_metrics(out) if "val/mae" in row)
    assert (pytest.approx(results["best"]["value"]), results["best"]["step"]) == best
    assert results["val"]["weights"]["mae"] == pytest.approx(results["best"]["value"])
    assert (kind == "cyclegan") == ("mae_ba" in results["val"]["weights"])


def test_the_log_has_what_the_documents_had(run):
    """Epoch, batch, losses of D and G, adversarial, cycle and identity parts, time; mean scores for its accuracy."""
    kind, out = run
    rows = [row for row in read_metrics(out) if "loss_g" in row]
    parts = {"step", "images", "epoch", "loss_d", "loss_g", "d_real", "d_fake", "lr", "seconds"}
    if kind == "cyclegan":
        parts |= {"loss_d_a", "loss_d_b", "loss_g_ab", "loss_g_ba", "cycle_a", "cycle_b"}
    else:
        parts |= {"loss_g_gan", "l1"}
    assert parts <= set(rows[-1])
    batch = rows[0]["images"] // rows[0]["step"]
    assert [row["epoch"] for row in rows] == [row["step"] * batch / 10 for row in rows]
    shown = "cycle A" if kind == "cyclegan" else "L1"
    assert re.search(rf"6/6  epoch [\d.]+  D [\d.]+  G [\d.]+  {shown} [\d.]+", (out / "progress.log").read_text())


def test_a_preset_says_how_many_steps_its_epochs_are(folder, tmp_path, capsys):
    words = ["train", "pix2pix", str(folder), "--steps", "1", *SMALL, *KINDS["pix2pix"]]
    sentence = "which are {} steps of {} here (--steps {}); this training makes 1."
    assert main([*words, "--out", str(tmp_path / "a"), "--preset", "sorabatake", "--batch-size", "3"]) == 0
    assert "sorabatake is of 200 epochs, " + sentence.format(667, 3, 667) in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "b"), "--preset", "junyanz", "--batch-size", "2"]) == 0
    assert "junyanz is of 200 epochs, " + sentence.format(1000, 2, 1000) in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "c")]) == 0
    assert "epochs, which" not in capsys.readouterr().out


def test_the_baseline_is_the_mean_colour_of_the_training_images(run, folder):
    kind, out = run
    split = Split.load(out / "split.json")
    pairs = PairedFolder.open(folder)
    colour = torch.stack([pairs[i][1] for i in split.train]).double().mean((0, 2, 3))
    error = torch.stack([(pairs[i][1] - colour.view(3, 1, 1)).abs().mean() for i in split.val]).mean()
    name = "mae_ab" if kind == "cyclegan" else "mae"
    found = json.loads((out / "results.json").read_text())["val"]["mean_colour"][name]
    assert found == pytest.approx(float(error), abs=1e-6)


def test_a_checkpoint_says_all_that_a_translation_needs(run):
    kind, out = run
    task, meta = load_translation(out)
    assert (meta["kind"], meta["training"]["crop"], not task.training) == (kind, 32, True)
    assert meta["radiometry_a"] == meta["radiometry_b"] == Radiometry("digital", 0, 255).to_dict()
    assert "classes" not in meta
    assert meta["config"]["total_steps"] == 6
    assert meta.get("direction") == ("AtoB" if kind == "pix2pix" else None)


def test_a_translator_is_the_generator_of_its_direction(run):
    kind, out = run
    task, _ = load_translation(out)
    x = torch.rand(1, 1, 33, 50)
    translator = load_translator(out, "AtoB")
    assert (translator.kind, translator.direction, translator.channels) == (kind, "AtoB", (1, 3))
    assert torch.equal(translator(x), task.translate(x, "AtoB"))


def test_the_other_direction_is_refused_by_name(run):
    kind, out = run
    if kind == "cyclegan":
        assert load_translator(out, "BtoA").channels == (3, 1)
        with pytest.raises(ValueError, match="translates both ways; give the direction AtoB or BtoA"):
            load_translator(out)
    else:
        assert load_translator(out).direction == "AtoB"
        with pytest.raises(CheckpointError, match="is a Pix2Pix AtoB, which makes optical images of SAR images"):
            load_translator(out, "BtoA")


def test_a_damaged_checkpoint_that_was_passed_over_is_named(run, tmp_path, capsys):
    _, out = run
    shutil.copytree(out, tmp_path / "run")
    best = Path(load_translator(tmp_path / "run", "AtoB").weights.partition(" (")[0])
    (best / "weights.safetensors").write_bytes(b"")
    write_image(tmp_path / "x.png", np.zeros((1, 32, 32), dtype=np.uint8))
    words = ["translate", str(tmp_path / "run"), str(tmp_path / "x.png"), str(tmp_path / "y.png")]
    assert main([*words, "--direction", "AtoB"]) == 0
    said = capsys.readouterr()
    assert f"{best.name} is damaged" in re.sub(r"\s+", " ", said.out + said.err)


def test_a_run_of_another_kind_translates_nothing(tmp_path):
    from .resume_runs import train

    train("began", tmp_path, 1)
    with pytest.raises(CheckpointError, match="is a checkpoint of began, cyclegan or pix2pix was expected"):
        load_translator(tmp_path, "AtoB")


def test_a_run_is_repeated_from_its_folder_alone(run, tmp_path):
    _, out = run
    assert main(["train", "--from", str(out), "--out", str(tmp_path / "again")]) == 0
    one, other = (
        [{k: v for k, v in row.items() if k not in ("images_per_second", "seconds")} for row in read_metrics(path)]
        for path in (out, tmp_path / "again")
    )
    assert one == other
    assert (out / "split.json").read_text() == (tmp_path / "again" / "split.json").read_text()


def test_other_settings_in_the_same_folder_are_refused(run, folder, capsys):
    kind, out = run
    words = ["train", kind, str(folder), "--out", str(out), "--steps", "6", "--checkpoint-every", "3"]
    assert main([*words, *SMALL, *KINDS[kind], "--no-flip"]) == 1
    assert "holds another run (flip was True, is False)" in " ".join(capsys.readouterr().err.split())


# --- what is trained on, held out and refused ---


def config(folder: Path, kind=TrainPix2Pix, **more):
    return kind(folder, **more)


def test_images_without_partners_train_a_cyclegan_and_no_pix2pix(tmp_path):
    root = images(tmp_path / "data", partners=False)
    with pytest.raises(DataError, match="no partner"):
        open_pairs(config(root))
    chosen = config(root, TrainCycleGAN)
    pairs, notes = open_pairs(chosen)
    assert "Not every image has its partner" in notes[-1]
    split, remarks = split_pairs(pairs, chosen)
    held = part_of(pairs, split.val)
    assert not set(held.scenes_a) & set(part_of(pairs, split.train).scenes_a)
    assert not set(held.scenes_b) & set(part_of(pairs, split.train).scenes_b)
    assert remarks == ["images (SAR + optical): 10 + 5 to train on, 2 + 1 to validate, 0 + 0 to test."]
    out = tmp_path / "run"
    assert main(["train", "cyclegan", str(root), "--out", str(out), "--steps", "2", *SMALL, *KINDS["cyclegan"]]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["best"]["name"] == "cycle"
    assert set(results["val"]["weights"]) == {
        "spectrum_ab", "emd_ab", "spectrum_ba", "emd_ba", "enl_error_ba", "cycle"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--crop", "64"], "64"),
        (["--crop", "0"], "crop is 0"),
        (["--batch-size", "16", "--crop", "32"], "10 pairs to train on are fewer than a batch of 16"),
        (["--direction", "BtoB"], "invalid choice"),
        (["--channels-a", "2"], "--channels-a follows from the SAR images; leave it out"),
        (["--total-steps", "9"], "--total-steps follows from steps"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(words, says, folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "pix2pix", str(folder), "--out", str(out), "--steps", "2", *words]) in (1, 2)
    assert says in re.sub(r"[\s│]+", " ", capsys.readouterr().err)
    assert not out.exists()  # else the folder is taken when the command comes again, corrected


def test_the_shown_pairs_are_spread_over_the_set(folder):
    pairs = PairedFolder.open(folder)
    a, b = shown_pairs(pairs, 32)
    assert (tuple(a.shape), tuple(b.shape)) == ((4, 1, 32, 32), (4, 3, 32, 32))
    assert torch.equal(a[1], pairs[3][0][:, 4:36, 8:40])
    assert shown_pairs(pairs, 64)[1].shape == (4, 3, 40, 40)  # of 40 x 48 pixels


def test_held_out_images_may_be_smaller_than_the_crop_and_of_several_sizes(folder, tmp_path):
    images(tmp_path / "data")
    pairs = PairedFolder.open(folder)
    held = pairs.keys[pairs.scenes.index(pairs.scenes[-1]) :]
    for number, key in enumerate(held):
        for name, channels in (("s1", 1), ("s2", 3)):
            file = next((tmp_path / "data").rglob(f"{Path(key).name.replace('s1', name)}*"))
            write_image(file, np.full((channels, 20 + number, 24), 7, dtype=np.uint8))
    small = PairedFolder.open(tmp_path / "data")
    a, b = shown_pairs(small.subset([i for i, key in enumerate(small.keys) if key in held]), 32)
    assert (tuple(a.shape), tuple(b.shape)) == ((2, 1, 20, 20), (2, 3, 20, 20))


def test_sorabatake_trains_pix2pix_with_batches_of_three():
    from sarcore.experiments.train_config import build, layered

    values = {**layered("pix2pix", {}, preset="sorabatake"), "data": Path("x")}
    assert build(TrainPix2Pix, values).fit.batch_size == 3
    assert build(TrainPix2Pix, {**layered("pix2pix", {}), "data": Path("x")}).fit.batch_size == 1
    given = {"preset": "sorabatake", "fit": {"batch_size": 7}}
    assert build(TrainPix2Pix, {**layered("pix2pix", given), "data": Path("x")}).fit.batch_size == 7


def test_presets_decide_the_networks(tmp_path):
    from sarcore.experiments.train_config import layered

    assert layered("cyclegan", {}, preset="sorabatake")["model"]["generator"] == "keras_unet"
    with pytest.raises(SarcoreError, match="holds the settings of preset 'junyanz'"):
        layered("cyclegan", {"preset": "junyanz"}, preset="sarcore")


def test_progress_may_be_silent(folder, tmp_path):
    from sarcore.engine import FitConfig
    from sarcore.experiments.translation import train_translation
    from sarcore.models import Pix2PixConfig

    chosen = TrainPix2Pix(
        folder, crop=32, val_fraction=0.0,
        model=Pix2PixConfig.preset("sarcore", width=4, depth=3, d_width=4, direction="BtoA"),
        fit=FitConfig(steps=2, batch_size=2, accelerator="cpu"),
    )  # fmt: skip
    facts = train_translation(chosen, tmp_path / "run", Silent())
    assert (facts["steps"], facts["best"], "val" in facts) == (2, None, False)
    assert load_translator(tmp_path / "run").channels == (3, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_training_sees(kind, folder, tmp_path, monkeypatch):
    """A Pix2Pix its pairs; a CycleGAN two sets, and its validation the pairs."""
    seen = []
    original = translation.fit

    def fit(task, dataset, *args, **more):
        seen.append((dataset.folder, more["validation"].monitor))
        return original(task, dataset, *args, **more)

    monkeypatch.setattr(translation, "fit", fit)
    words = ["train", kind, str(folder), "--out", str(tmp_path / "run"), "--steps", "1", *SMALL, *KINDS[kind]]
    assert main(words) == 0
    expected = PairedFolder if kind == "pix2pix" else UnpairedFolder
    assert [(type(found), monitor) for found, monitor in seen] == [(expected, "mae")]


def test_a_direction_has_the_radiometries_of_its_own_ends(tmp_path):
    """A in 16 bit, B in 8 bit: limits of the whole set, and 0 to 255."""
    rng = np.random.default_rng(0)
    for name, bands, kind, high in (("trainA", 1, np.uint16, 4000), ("trainB", 3, np.uint8, 256)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            image = rng.integers(0, high, (bands, 40, 40)).astype(kind)
            write_image(tmp_path / "data" / name / f"x_{i}_0.tif", image)
    words = ["train", "cyclegan", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main([*words, *SMALL, *KINDS["cyclegan"]]) == 0
    pairs = PairedFolder.open(tmp_path / "data")
    there, back = (load_translator(tmp_path / "run", direction) for direction in ("AtoB", "BtoA"))
    assert there.source.to_dict() == back.target.to_dict() == pairs.radiometry_a.to_dict()
    assert there.target.to_dict() == back.source.to_dict() == Radiometry("digital", 0, 255).to_dict()
    assert pairs.radiometry_a.high > 3900
