"""Runs as files of other programs: what the file gives is what the run gives."""

import json

import onnxruntime
import pytest
import torch

from sarcore.cli.app import run as sarcore
from sarcore.engine import save_checkpoint
from sarcore.errors import CheckpointError, SarcoreError
from sarcore.experiments.export_run import export_run
from sarcore.experiments.translation import load_translator
from sarcore.models import (
    BEGAN,
    BEGANConfig,
    Classifier,
    ClassifierConfig,
    CycleGAN,
    CycleGANConfig,
    Pix2Pix,
    Pix2PixConfig,
)
from sarcore.ops import Radiometry

SAR, OPTICAL = Radiometry("db", -25, 0), Radiometry("digital", 0, 255)
TINY = {"width": 4, "d_width": 4}


def save(folder, kind, model, **meta):
    config = model.config
    save_checkpoint(folder, 1, model, {}, {"kind": kind, "config": config.to_dict(), **meta})
    return folder


def translation(folder, **settings):
    """An untrained CycleGAN, saved as a training saves it; two channels of SAR."""
    config = CycleGANConfig(channels_a=2, depth=1, pool_size=16, pool=1, **TINY, **settings)
    model = CycleGAN(config, radiometry_a=SAR)
    return save(folder, "cyclegan", model, radiometry_a=SAR.to_dict(), radiometry_b=OPTICAL.to_dict())


def opened(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["sarcore"])
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0]), metadata


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_translation_takes_and_gives_what_the_translator_does(tmp_path, direction):
    run = translation(tmp_path / "run")
    made, notes = export_run(run, tmp_path / "a.onnx", "onnx", direction=direction)
    call, metadata = opened(made.path)
    translator = load_translator(run, direction)
    x = torch.rand(2, translator.channels[0], 50, 21)
    torch.testing.assert_close(call(x), translator(x), atol=1e-4, rtol=0)
    assert metadata["direction"] == direction
    assert Radiometry.from_dict(metadata["input"]["radiometry"]) == translator.source
    assert Radiometry.from_dict(metadata["output"]["radiometry"]) == translator.target
    assert notes == [f"Weights: {translator.weights}"]


def test_speckle_stays_out_and_is_said_to(tmp_path):
    run = translation(tmp_path / "run", speckle_looks=1.0)
    made, notes = export_run(run, tmp_path / "a.onnx", "onnx", direction="BtoA")
    call, metadata = opened(made.path)
    speckled = load_translator(run, "BtoA")
    x = torch.rand(1, 3, 32, 32)
    quiet = speckled.network(2 * x - 1).detach() / 2 + 0.5
    torch.testing.assert_close(call(x), quiet, atol=1e-4, rtol=0)
    assert (call(x) - speckled(x)).abs().max() > 0.05
    assert "reflectivity" in metadata["output"]["speckle"]
    assert any("speckle layer is not part of the file" in note for note in notes)


def test_a_classifier_and_a_began(tmp_path):
    classifier = Classifier(ClassifierConfig(depth=18, classes=3, head=(8,)), data_mean=0.4, data_std=0.2)
    facts = {"classes": ["a", "b", "c"], "radiometry": SAR.to_dict(), "shape": [1, 40, 40]}
    export_run(save(tmp_path / "c", "classifier", classifier, **facts), tmp_path / "c.onnx", "onnx")
    call, metadata = opened(tmp_path / "c.onnx")
    x = torch.rand(3, 1, 60, 44)
    torch.testing.assert_close(call(x), classifier.predict(x), atol=1e-4, rtol=0)
    assert metadata["output"]["classes"] == ["a", "b", "c"]

    began = BEGAN(BEGANConfig(size=20, width=4))
    facts = {"classes": ["a"], "radiometry": OPTICAL.to_dict(), "patch_size": 20}
    export_run(save(tmp_path / "b", "began", began, **facts), tmp_path / "b.onnx", "onnx")
    call, metadata = opened(tmp_path / "b.onnx")
    z = began.latent(4, torch.Generator().manual_seed(7))
    torch.testing.assert_close(call(z), began.eval().generate(z), atol=1e-4, rtol=0)
    assert metadata["output"]["shape"] == ["N", 1, 20, 20]


def test_a_classifier_of_reduced_patches_keeps_their_side(tmp_path):
    classifier = Classifier(ClassifierConfig(depth=18, width=4, classes=3, head=(8,), size=20))
    facts = {"classes": ["a", "b", "c"], "radiometry": SAR.to_dict(), "shape": [1, 40, 40]}
    run, out = save(tmp_path / "c", "classifier", classifier, **facts), tmp_path / "c.onnx"
    export_run(run, out, "onnx")
    call, metadata = opened(out)
    x = torch.rand(5, 1, 40, 40)
    torch.testing.assert_close(call(x), classifier.predict(x), atol=1e-4, rtol=0)
    assert metadata["input"]["shape"] == ["N", 1, 40, 40]


def test_wrong_requests(tmp_path):
    cyclegan = translation(tmp_path / "cyclegan")
    config = Pix2PixConfig(depth=3, **TINY)
    ends = {"radiometry_a": SAR.to_dict(), "radiometry_b": OPTICAL.to_dict()}
    pix2pix = save(tmp_path / "pix2pix", "pix2pix", Pix2Pix(config), **ends, direction="AtoB")
    out = tmp_path / "a.onnx"
    with pytest.raises(ValueError, match="AtoB or BtoA"):
        export_run(cyclegan, out, "onnx")
    with pytest.raises(CheckpointError, match="is a Pix2Pix AtoB"):
        export_run(pix2pix, out, "onnx", direction="BtoA")
    with pytest.raises(SarcoreError, match="no checkpoint"):
        export_run(tmp_path, out, "onnx", direction="AtoB")
    other = save(tmp_path / "other", "diffusion", Pix2Pix(config))
    with pytest.raises(CheckpointError, match="is a checkpoint of diffusion; what can be exported are cyclegan"):
        export_run(other, out, "onnx")
    began = save(tmp_path / "began", "began", BEGAN(BEGANConfig(size=20, width=4)), classes=["a"], patch_size=20)
    with pytest.raises(ValueError, match="is a began, which has no direction"):
        export_run(began, out, "onnx", direction="AtoB")
    assert not out.exists()


@pytest.mark.filterwarnings("ignore")  # of torch.export.load, which is called here as users do
def test_command(tmp_path, capsys):
    run = translation(tmp_path / "run")
    out = tmp_path / "a.pt2"
    assert sarcore(["export", str(run), str(out), "--format", "torch", "--direction", "AtoB"]) == 0
    said = capsys.readouterr()
    assert "compared at 2x2x63x35, 1x2x32x32" in said.out
    assert not said.err
    assert torch.export.load(out).module()(torch.rand(1, 2, 30, 41)).shape == (1, 3, 30, 41)
    assert sarcore(["export", str(run), str(tmp_path / "a.zip"), "--direction", "AtoB"]) == 1
    assert "a.zip: a file of the format onnx ends in .onnx; name it a.onnx" in capsys.readouterr().err
