"""Networks as files of other programs: the same values at any size, and no file that gives others."""

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from sarcore.errors import SarcoreError
from sarcore.experiments import export
from sarcore.experiments.export import METADATA, export_network
from sarcore.models.generators import generator

IMAGES = {0: "batch", 2: "height", 3: "width"}
# Larger and smaller than a multiple, one row, two pixels (one is a constant image, of which instance norms make
# rounding errors), and sides of 1 at the bottom of the U-Net.
SIZES = [(2, 2, 63, 35), (1, 2, 32, 32), (3, 2, 17, 70), (1, 2, 1, 9), (2, 2, 2, 1), (1, 2, 64, 33)]
NETWORKS = [
    ("resnet", 1, "instance"),
    ("unet", 3, "batch"),
    ("keras_unet", 2, "keras_legacy"),
    ("keras_unet", 1, "instance"),
]


def inputs(sizes=SIZES):
    draws = torch.Generator().manual_seed(0)
    return [2 * torch.rand(size, generator=draws) - 1 for size in sizes]


def read_back(path):
    """A function of the file alone, and its metadata."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["sarcore"])
        return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0]), metadata
    extra = {METADATA: ""}
    module = torch.export.load(path, extra_files=extra).module()
    return module, json.loads(extra[METADATA])


@pytest.mark.filterwarnings("ignore")  # of torch.export.load, which is called here as users do
@pytest.mark.parametrize(("name", "depth", "norm"), NETWORKS)
def test_generators_of_any_size(tmp_path, monkeypatch, name, depth, norm):
    torch.manual_seed(0)
    network = generator(name, 2, 3, width=4, depth=depth, norm=norm, dropout=True)
    for parameter in network.parameters():  # large enough for the result not to be 0 everywhere
        nn.init.normal_(parameter, std=0.2)
    # Both formats begin with the same trace, which takes a second.
    program = export._program(network.eval(), inputs(SIZES[:1])[0], IMAGES)
    network.train()  # what is exported is that of the evaluation all the same
    monkeypatch.setattr(export, "_program", lambda *_: program)
    for format, suffix in export.SUFFIXES.items():
        out = tmp_path / f"generator{suffix}"
        made = export_network(network, inputs(SIZES[:2]), out, format, dynamic=IMAGES, metadata={"kind": "test"})
        run, metadata = read_back(out)
        assert metadata["kind"] == "test"
        for x in inputs():
            with torch.no_grad():
                expected = network(x)
            assert expected.std() > 0.01 or x[0, 0].numel() < 2
            torch.testing.assert_close(run(x), expected, atol=1e-4, rtol=0)
        assert made.difference < 1e-4
    assert sorted(tmp_path.iterdir()) == sorted(tmp_path / f"generator{suffix}" for suffix in (".onnx", ".pt2"))


def test_dimensions_have_their_names(tmp_path):
    out = tmp_path / "a.onnx"
    export_network(nn.Conv2d(2, 1, 3), inputs(SIZES[:2]), out, "onnx", dynamic=IMAGES, metadata={})
    model = onnx.load(out)
    onnx.checker.check_model(model)
    (shape,) = (each.type.tensor_type.shape.dim for each in model.graph.input)
    assert [each.dim_param or each.dim_value for each in shape] == ["batch", 2, "height", "width"]


class OfOneSize(nn.Module):
    """What a tracer takes for a constant."""

    def forward(self, x):
        return x * float(int(x.shape[-1]))


class Drawing(nn.Module):
    """Gives other values each time."""

    def forward(self, x):
        return x + torch.rand_like(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", ["onnx", "torch"])
@pytest.mark.parametrize("network", [OfOneSize, Drawing])
def test_what_cannot_be_kept_leaves_the_old_file(tmp_path, network, format):
    out = tmp_path / f"a{export.SUFFIXES[format]}"
    out.write_bytes(b"old")
    with pytest.raises(SarcoreError):
        export_network(network(), inputs(SIZES[:2]), out, format, dynamic=IMAGES, metadata={})
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_a_file_that_differs_is_refused(tmp_path, monkeypatch, format):
    out = tmp_path / f"a{export.SUFFIXES[format]}"
    network = nn.Conv2d(2, 1, 3)
    run = {"onnx": "_onnx_runner", "torch": "_torch_runner"}[format]
    honest = getattr(export, run)
    # The conversion takes a second, and what is written does not matter here.
    export_network(network, inputs(SIZES[:2]), out, format, dynamic=IMAGES, metadata={})
    content = out.read_bytes()
    out.unlink()
    monkeypatch.setattr(export, f"_write_{format}", lambda *given: Path(given[-1]).write_bytes(content))
    for wrong in (1e-3, float("nan")):
        monkeypatch.setattr(export, run, lambda name, wrong=wrong: lambda x: honest(name)(x) + wrong)
        with pytest.raises(SarcoreError, match="differ from the network by"):
            export_network(network, inputs(SIZES[:2]), out, format, dynamic=IMAGES, metadata={})
    monkeypatch.setattr(export, run, lambda name: lambda x: honest(name)(x)[..., 1:])
    with pytest.raises(SarcoreError, match="gives the shape"):
        export_network(network, inputs(SIZES[:2]), out, format, dynamic=IMAGES, metadata={})
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(tmp_path, monkeypatch):
    real = export.importlib.import_module

    def without(name, *rest):
        if name == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(export.importlib, "import_module", without)
    with pytest.raises(SarcoreError, match=r"'onnxruntime'.*pip install 'sarcore\[export\]'"):
        export_network(nn.Conv2d(2, 1, 3), inputs(SIZES[:1]), tmp_path / "a.onnx", "onnx", dynamic=IMAGES, metadata={})
    assert not list(tmp_path.iterdir())


def test_names_that_contradict_the_format(tmp_path):
    given = {"dynamic": IMAGES, "metadata": {}}
    with pytest.raises(ValueError, match=r"ends in \.onnx; name it a\.onnx, or take --format torch"):
        export_network(nn.Identity(), inputs(), tmp_path / "a.pt2", "onnx", **given)
    with pytest.raises(ValueError, match="give one of onnx, torch"):
        export_network(nn.Identity(), inputs(), tmp_path / "a.pt", "pickle", **given)
    with pytest.raises(SarcoreError, match="does not exist; create it"):
        export_network(nn.Identity(), inputs(), tmp_path / "b" / "a.onnx", "onnx", **given)
