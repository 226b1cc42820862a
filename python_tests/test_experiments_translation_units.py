"""What grey values of SAR images stand for, from the command line to the speckle of a translation."""

import numpy as np
import torch

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import write_image
from sarcore.experiments.translation import load_translator

from .translation_runs import KINDS, SMALL, images


def test_grey_values_that_are_decibels_are_speckled_as_such_and_come_out_as_grey_values(tmp_path):
    folder = images(tmp_path / "data")
    out = tmp_path / "run"
    words = ["train", "pix2pix", str(folder), "--out", str(out), "--steps", "2", "--direction", "BtoA"]
    words += ["--speckle-looks", "2", "--unit-a", "db", "--limits-a", "-25", "0", *SMALL, *KINDS["pix2pix"]]
    assert main(words) == 0
    translator = load_translator(out)
    assert translator.speckle is not None
    assert translator.speckle.radiometry == Radiometry("db", -25, 0)
    assert translator.target == Radiometry("digital", 0, 255)
    assert main([*words[:4], str(tmp_path / "other"), *words[5:], "--limits-a", "-30", "-40"]) == 1
    assert not (tmp_path / "other").exists()


def test_floating_decibels_without_a_card_are_trained_on(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        for side, image in (("trainA", rng.normal(-12, 3, (1, 32, 32))), ("trainB", rng.random((3, 32, 32)))):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "data" / side / f"{number}.tif", image.astype(np.float32))
    words = ["train", "pix2pix", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--steps", "2"]
    assert main([*words, "--direction", "BtoA", "--speckle-looks", "2", *SMALL, *KINDS["pix2pix"]]) == 0
    speckle = load_translator(tmp_path / "run").speckle
    assert speckle is not None
    assert speckle.radiometry.unit == "db"


def test_speckle_follows_its_switch_and_its_direction(tmp_path):
    folder, out = images(tmp_path / "data"), tmp_path / "run"
    words = ["train", "cyclegan", str(folder), "--out", str(out), "--steps", "1", "--speckle-looks", "3"]
    assert main([*words, *SMALL, *KINDS["cyclegan"]]) == 0
    there, back = (load_translator(out, direction) for direction in ("AtoB", "BtoA"))
    assert there.speckle is None
    assert back.speckle is not None
    assert float(back.speckle.looks) == 3
    x = torch.full((1, 3, 40, 40), 0.5)
    assert torch.equal(back(x), back(x))
    assert not torch.equal(back(x), back.network(2 * x - 1) / 2 + 0.5)
