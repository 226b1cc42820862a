"""Weights of junyanz/pytorch-CycleGAN-and-pix2pix as runs: their settings follow from the files."""

import pytest
import torch

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import read_image, write_image
from sarcore.errors import CheckpointError
from sarcore.experiments.junyanz import import_junyanz
from sarcore.experiments.translation import load_translator
from sarcore.models import ResNetGenerator, UNetGenerator


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("kind", [ResNetGenerator, UNetGenerator])
def test_a_generator_translates_as_it_did_there(kind, norm, dropout, tmp_path):
    size = {"blocks": 2} if kind is ResNetGenerator else {"levels": 3}
    there = {d: kind(*c, width=4, norm=norm, dropout=dropout, **size) for d, c in (("A", (1, 3)), ("B", (3, 1)))}
    for name, network in there.items():
        torch.save(network.state_dict(), tmp_path / f"latest_net_G_{name}.pth")
    import_junyanz(tmp_path, tmp_path / "run")
    x = torch.rand(1, 1, 20, 28)
    translator = load_translator(tmp_path / "run", "AtoB")
    with torch.no_grad():
        expected = (there["A"].eval()(2 * x - 1) + 1) / 2
    torch.testing.assert_close(translator(x), expected)
    assert translator.source == translator.target == Radiometry("digital", 0, 255)
    assert load_translator(tmp_path / "run", "BtoA").channels == (3, 1)


def test_the_command_line_translates_with_an_imported_pix2pix(tmp_path):
    network = UNetGenerator(3, 1, width=4, levels=3)
    torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / "20_net_G.pth")
    import_junyanz(tmp_path, tmp_path / "run", direction="BtoA", epoch="20")
    image = torch.randint(0, 256, (3, 30, 41), dtype=torch.uint8)
    write_image(tmp_path / "x.png", image.numpy())
    assert main(["translate", str(tmp_path / "run"), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 0
    with torch.no_grad():
        expected = ((network.eval()(image[None] / 127.5 - 1) + 1) * 127.5)[0]
    made = torch.from_numpy(read_image(tmp_path / "y.png").astype("float32"))
    torch.testing.assert_close(made, expected, rtol=0, atol=0.51)


def test_what_is_no_such_training_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no .*latest_net_G\.pth"):
        import_junyanz(tmp_path, tmp_path / "run")
    (tmp_path / "latest_net_G.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_junyanz(tmp_path, tmp_path / "run")
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "latest_net_G.pth")
    with pytest.raises(CheckpointError, match="holds no generator"):
        import_junyanz(tmp_path, tmp_path / "run")
    for name, width in (("A", 4), ("B", 8)):
        torch.save(ResNetGenerator(1, 1, width=width, blocks=1).state_dict(), tmp_path / f"latest_net_G_{name}.pth")
    with pytest.raises(CheckpointError, match="two different networks"):
        import_junyanz(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
