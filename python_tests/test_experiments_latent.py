"""Latent walks, classes side by side, and nearest neighbours of a generator."""

import json
import math

import numpy as np
import pytest
import torch

from sarcore.data import PatchFolder, read_image, write_simulated
from sarcore.engine import FitConfig
from sarcore.experiments import latent
from sarcore.experiments.generation import train_began
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainBegan
from sarcore.models import BEGAN, GAN, BEGANConfig, GANConfig
from sarcore.ops import Radiometry
from sarcore.report import write_report

CLASSES = ["forest", "settlement", "water"]
GREY = Radiometry("digital", 0.0, 255.0)
SIDE, PADDING = 20, 2


def began(**changes):
    torch.manual_seed(0)
    return BEGAN(BEGANConfig.preset("sarcore", size=SIDE, width=4, **changes)).eval()


def gan(**changes):
    torch.manual_seed(0)
    return GAN(GANConfig(size=SIDE, width=4, **changes)).eval()


def speckled(mode="fixed"):
    return {"speckle": mode, "looks": 4.0, "limits": (0.0, 255.0)}


def cells(file):
    """The patches of a picture, (rows, columns, S, S)."""
    picture = read_image(file)[0].astype(int)
    down, across = ((side - PADDING) // (SIDE + PADDING) for side in picture.shape)
    step = SIDE + PADDING
    return np.array(
        [
            [picture[PADDING + i * step :, PADDING + j * step :][:SIDE, :SIDE] for j in range(across)]
            for i in range(down)
        ]
    )


def grey(images):
    return (images[:, 0].float().numpy() * 255).round().astype(int)


def test_between_two_vectors():
    torch.manual_seed(0)
    first, last = torch.randn(2, 64, dtype=torch.float64)
    line = latent.between(first, last, 5, spherical=False)
    assert torch.allclose(line[2], (first + last) / 2)
    arc = latent.between(first, 2 * last, 5, spherical=True)
    assert torch.allclose(arc[0], first)
    assert torch.allclose(arc[-1], 2 * last)
    whole = math.acos(float(torch.nn.functional.cosine_similarity(first, last, dim=0)))
    unit = latent.between(first / first.norm(), last / last.norm(), 5, spherical=True)
    assert torch.allclose(unit.norm(dim=1), torch.ones(5, dtype=torch.float64))
    steps = torch.nn.functional.cosine_similarity(unit[1:], unit[:-1]).acos()
    assert torch.allclose(steps, torch.full((4,), whole / 4, dtype=torch.float64))
    assert torch.equal(latent.between(first, first, 3, spherical=True), first.expand(3, -1))


@pytest.mark.parametrize("make", [began, gan])
def test_a_walk_begins_and_ends_with_patches_of_its_classes(make, tmp_path):
    model = make(classes=3, **speckled())
    picture = latent.walk(model, tmp_path, CLASSES)
    shown = cells(tmp_path / "walk.png")
    assert shown.shape == (6, latent.STEPS, SIDE, SIDE)
    assert picture.text.endswith("Rows: forest, settlement, water.")
    for row in range(3):
        ends = model.latent(2, torch.Generator().manual_seed(row))
        label, index = torch.full((2,), row), torch.full((2,), row)
        assert np.array_equal(shown[2 * row, [0, -1]], grey(model.generate(ends, label, index=index)))
        assert np.array_equal(shown[2 * row + 1, [0, -1]], grey(model.reflectivity(ends, label, index=index)))


def test_speckle_is_that_of_the_row(tmp_path):
    """With a reflectivity that is the same everywhere nothing but speckle is left to differ."""
    model = began(classes=3, **speckled())
    with torch.no_grad():
        model.generator.to_image.weight.zero_()
    latent.walk(model, tmp_path, CLASSES)
    latent.exchange(model, tmp_path, CLASSES)
    for shown in (cells(tmp_path / "walk.png")[::2], cells(tmp_path / "classes.png")):
        assert all(np.array_equal(row, np.broadcast_to(row[:1], row.shape)) for row in shown)
        assert shown.std() > 1
        assert not np.array_equal(shown[0], shown[1])


def test_classes_are_the_columns(tmp_path):
    model = gan(classes=3)
    picture = latent.exchange(model, tmp_path, CLASSES)
    assert list(picture.columns) == CLASSES
    shown = cells(tmp_path / "classes.png")
    z = model.latent(len(shown), torch.Generator().manual_seed(0))
    for row, column in ((0, 2), (3, 1)):
        made = model.generate(z[row : row + 1], torch.tensor([column]), index=torch.tensor([row]))
        assert np.abs(shown[row, column] - grey(made)[0]).max() <= 1


def patches(n, seed, classes=3):
    """Patches whose blocks differ, so that nearness is not left to speckle."""
    source = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 200, (n, 1, 4, 4), generator=source).float()
    images = torch.nn.functional.interpolate(images, SIDE).to(torch.uint8)
    return PatchTensor(images, torch.arange(n) % classes, GREY)


def test_copies_are_found_and_shown_beside_their_training_patches(tmp_path, monkeypatch):
    train, held_out = patches(50, 0), patches(30, 1)
    model = began(classes=3)

    def copying(z, labels, *, seed, index):
        assert seed == 0
        copies = torch.stack([train[int(i) % 50][0] for i in index])
        return copies + 0.0002 * (1 + index[:, None, None, None])  # less and less like their patches

    monkeypatch.setattr(model, "generate", copying)
    picture, facts = latent.neighbours(model, tmp_path, train, held_out, "hard")
    shown = cells(tmp_path / "neighbours.png")
    assert shown.shape == (2, latent.PAIRS, SIDE, SIDE)
    assert np.abs(shown[:, ::2] - shown[:, 1::2]).max() <= 1
    assert np.array_equal(shown[:, 1::2].reshape(-1, SIDE, SIDE), train.images[: latent.PAIRS, 0])
    assert facts["ratio"] < 0.05
    assert "0.0" in picture.text
    others = patches(latent.DRAWN, 9).images / 255.0
    monkeypatch.setattr(model, "generate", lambda z, labels, *, seed, index: others[index])
    assert 0.9 < latent.neighbours(model, tmp_path, train, held_out, "hard")[1]["ratio"] < 1.1


def test_classes_are_drawn_as_often_as_they_are_trained_on(tmp_path, monkeypatch):
    labels = torch.tensor([0] * 30 + [2] * 10 + [-1] * 8)
    train = PatchTensor(patches(48, 0).images, labels, GREY)
    model, asked = began(classes=3), []
    generate = model.generate
    monkeypatch.setattr(model, "generate", lambda z, y, **more: asked.extend(y.tolist()) or generate(z, y, **more))
    _, facts = latent.neighbours(model, tmp_path, train, None, "hard")
    assert facts is None
    assert [asked.count(label) for label in range(3)] == [72, 0, 24]


def test_a_training_leaves_its_pictures_and_the_page_shows_them(tmp_path):
    data = write_simulated(tmp_path / "set", scenes_per_class=4, patches_per_scene_side=2, size=40)
    small = {"model": BEGANConfig.preset("sarcore", width=4), "fit": FitConfig(steps=2, batch_size=4)}
    run = tmp_path / "run"
    train_began(TrainBegan(data, scenario="simple", val_fraction=0.3, **small), run, Silent())
    described = json.loads((run / "latent" / "latent.json").read_text())
    assert described["step"] == 2
    assert [picture["file"] for picture in described["pictures"]] == ["walk.png", "neighbours.png"]
    assert described["memorisation"]["ratio"] > 0
    assert described["problems"] == []
    page = write_report(run).read_text()
    assert "Nearest training patches" in page
    assert "Drawn by the checkpoint of step 2." in page
    assert not latent.portray(run, Silent())  # they are those of the checkpoint
    # Opened again from the files, the patches are those of the training.
    walked = (run / "latent" / "neighbours.png").read_bytes()
    (run / "latent" / "latent.json").unlink()
    assert latent.portray(run, Silent())
    assert (run / "latent" / "neighbours.png").read_bytes() == walked
    assert json.loads((run / "latent" / "latent.json").read_text()) == described
    # Without its patches it says so, and shows the rest.
    listed = tmp_path / "set" / "labels.csv"
    listed.write_text("\n".join(listed.read_text().splitlines()[:-1]))
    (run / "latent" / "latent.json").unlink()
    assert latent.portray(run, Silent())
    page = write_report(run).read_text()
    assert "There are no nearest neighbours" in page
    assert "has changed since the training" in page
    assert "Latent walks" in page
    (run / "latent" / "walk.png").unlink()
    assert "latent/walk.png: cannot be read" in write_report(run).read_text()


def test_large_patches_and_many_classes_stay_within_a_page(tmp_path):
    model = gan(classes=12)
    for size, rows, columns in ((20, 8, 12), (1000, 1, 2)):
        object.__setattr__(model.config, "size", size)
        assert latent._most_rows(model, 5) == rows
        assert len(latent._spread(12, max(2, latent._PIXELS // size**2))) == columns
    assert latent._spread(12, 3) == [0, 6, 11]


def test_only_runs_of_generators_are_portrayed(tmp_path):
    folder = PatchFolder.open(write_simulated(tmp_path / "set", scenes_per_class=2, size=16))
    assert not latent.is_generator(folder.root)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"config": {"command": "train began"}}')
    assert not latent.is_generator(tmp_path / "run")  # no weights yet
    (tmp_path / "run" / "checkpoints" / "step_000002").mkdir(parents=True)
    assert latent.is_generator(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"config": {"command": "train classifier"}}')
    assert not latent.is_generator(tmp_path / "run")
