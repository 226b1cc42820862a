"""What speckle generators are given, from patches and from scenes, and the command that prints it."""

import json

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.cli.app import run
from sarcore.data import write_image
from sarcore.errors import DataError
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.speckle_estimate import estimate_of, estimate_of_scenes, speckle_of, with_speckle
from sarcore.models.reflectivity import GenerativeConfig
from sarcore.ops import speckle

GREY = Radiometry("digital", 0.0, 255.0)


def grey_patches(looks: float = 4.0, s: float = 2.0, level: float = 70.0, count: int = 24) -> PatchTensor:
    amplitude = torch.full((count, 1, 64, 64), level)
    images = speckle(amplitude, looks, seed=0, domain="amplitude", psf=("gaussian", s))
    return PatchTensor(images.clamp(0, 255).round().byte(), torch.zeros(count), GREY)


def test_grey_values_are_amplitudes():
    found = speckle_of(grey_patches())
    assert found["looks"] == pytest.approx(4.0, rel=0.06)
    assert found["oversampling"] == pytest.approx(2.0, rel=0.05)
    assert (found["domain"], found["limits"]) == ("amplitude", (0.0, 255.0))


def test_decibels_are_decibels():
    power = speckle(torch.full((24, 1, 64, 64), 0.05), 4.0, seed=1)
    patches = PatchTensor(power, torch.zeros(24), Radiometry("intensity", -25, 5, scale="db"))
    found = speckle_of(patches)
    assert found["looks"] == pytest.approx(4.0, rel=0.06)
    assert (found["domain"], found["limits"], found["oversampling"]) == ("db", (-25.0, 5.0), 0.0)


def test_reduced_patches_have_speckle_of_their_own():
    patches = grey_patches(looks=3.0, s=2.0)
    whole, crop, reduced = (estimate_of(patches, scenario) for scenario in ("hard", "simple", "intermediate"))
    assert crop == whole
    assert reduced.looks > 1.5 * whole.looks
    assert 0 < reduced.oversampling < 0.8 * whole.oversampling


@pytest.mark.parametrize(
    ("given", "looks", "oversampling"),
    [
        ({"speckle": "none"}, 0.0, 0.0),
        ({"speckle": "fixed"}, 4.0, 2.0),
        ({"speckle": "fixed", "oversampling": 3.0}, 4.0, 3.0),
        ({"speckle": "fixed", "looks": 9.0}, 9.0, 0.0),
        ({"speckle": "learned"}, 4.0, 0.0),
        ({"speckle": "learned", "looks": 2.0}, 2.0, 0.0),
    ],
)
def test_what_is_given_stays_and_what_is_not_is_estimated(given, looks, oversampling):
    found = with_speckle(GenerativeConfig(**given), grey_patches())
    assert found.looks == pytest.approx(looks, rel=0.06)
    assert found.oversampling == pytest.approx(oversampling, rel=0.05)
    assert (found.domain, found.limits) == ("amplitude", (0.0, 255.0))


def test_without_an_answer_the_data_are_named():
    with pytest.raises(DataError, match="declare the looks"):
        speckle_of(grey_patches(level=250.0))  # saturated everywhere


@pytest.fixture
def scenes(tmp_path):
    """Three scenes of 8 bit, sizes that differ, with gaps."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number, width in enumerate((200, 260, 200)):
        image = speckle(torch.full((1, 1, 220, width), 60.0), 5.0, seed=number, domain="amplitude")[0]
        write_image(folder / f"s{number}.png", image.round().byte().numpy())
    return folder


def test_scenes_are_read_in_bands(scenes):
    found, unit = estimate_of_scenes(sorted(scenes.iterdir()))
    assert unit == "digital"
    assert found.looks == pytest.approx(5.0, rel=0.06)
    assert found.oversampling == 0.0


def test_complex_scenes_and_no_data(tmp_path, generator):
    z = torch.complex(*(torch.randn(300, 300, generator=generator) for _ in range(2))).numpy()
    z[:140] = np.nan
    np.save(tmp_path / "slc.npy", z)
    found, unit = estimate_of_scenes([tmp_path / "slc.npy"])
    assert unit == "complex"
    assert found.looks == pytest.approx(1.0, rel=0.08)


def test_the_command_prints_what_can_be_declared(scenes, tmp_path, capsys):
    assert run(["looks", str(scenes), "--out", str(tmp_path / "looks.json")]) == 0
    written = json.loads((tmp_path / "looks.json").read_text())
    printed = capsys.readouterr().out
    assert "3 scenes, unit: digital" in printed
    assert f"--looks {written['looks']:.3g} --oversampling {written['oversampling']:.3g}" in printed
    assert written["looks"] == pytest.approx(5.0, rel=0.06)

    for number in range(12):
        target = tmp_path / "patches" / "field"
        target.mkdir(parents=True, exist_ok=True)
        write_image(target / f"p{number}.png", grey_patches(count=1).images[0].numpy())
    assert run(["looks", str(tmp_path / "patches")]) == 0
    assert "12 patches, unit: amplitude" in capsys.readouterr().out
    assert run(["looks", str(tmp_path / "patches"), "--unit", "db"]) == 1
    assert "--unit is for scenes" in capsys.readouterr().err
    assert run(["looks"]) != 0


def test_real_grd_scenes_have_the_looks_of_their_product(test_data):
    """The product specification says 4.4 equivalent looks of IW GRDH in its middle; bilinear resampling adds some."""
    found, unit = estimate_of_scenes([test_data / "s1grd/Flevoland_600/Amplitude_VV.img"], "amplitude")
    assert unit == "amplitude"
    assert 4.0 < found.looks < 6.0
    assert 2.0 < found.oversampling < 4.0
