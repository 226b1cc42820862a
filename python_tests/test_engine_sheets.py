"""Samples of translations: labelled rows, statistics of each direction beside its own domain."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from sarcore.engine import fit
from sarcore.engine.logs import RunLogs, image_statistics
from sarcore.engine.sheets import sheet_picture
from sarcore.models import CycleGAN, CycleGANConfig, Pix2Pix, Pix2PixConfig
from sarcore.models.sample_sheet import SampleSheet

from .engine_pair import config, same

TINY = {"width": 4, "depth": 2, "d_width": 4, "d_layers": 2}


def cyclegan(**changes):
    return CycleGAN(CycleGANConfig.preset("sarcore", **{**TINY, "pool": 0, **changes}))


def pairs(n=4, size=24):
    draws = torch.Generator().manual_seed(2)
    return torch.rand(n, 1, size, size, generator=draws), torch.rand(n, 3, size, size, generator=draws)


def cells(picture, layout):
    """The images of a sheet, row by row, cut out by what its layout says."""
    height, width, padding = layout["cell"]
    tops = [layout["header"] + padding + i * (height + padding) for i in range(len(layout["rows"]))]
    lefts = [padding + j * (width + padding) for j in range(len(layout["columns"]))]
    return [[picture[top : top + height, left : left + width] for left in lefts] for top in tops]


def eight_bit(image):
    pixels = (image.double() * 255).round().to(torch.uint8).permute(1, 2, 0).expand(-1, -1, 3)
    return pixels.numpy()


def test_every_image_lies_under_its_title():
    grey, colour, small = torch.rand(1, 6, 40), torch.rand(3, 6, 40), torch.rand(5, 4, 3)
    sheet = SampleSheet(("Original", "Translated"), [("AtoB", [grey, colour]), ("BtoA", [colour, small])], {})
    picture, layout = sheet_picture(sheet)
    assert (layout["columns"], layout["rows"]) == (["Original", "Translated"], ["AtoB", "BtoA"])
    found = cells(picture, layout)
    for place, image in ((found[0][0], grey), (found[0][1], colour), (found[1][0], colour)):
        assert np.array_equal(place, eight_bit(image))
    assert np.array_equal(found[1][1][:4, :3], eight_bit(small[:1]))
    assert not found[1][1][4:].any()
    header = picture[: layout["header"]]
    assert header[:, :42].any(), "titles are written above the columns"
    assert header[:, 44:].any()
    for row in found:
        for cell in row:
            cell[:] = 0
    assert not picture[layout["header"] :].any(), "nothing outside"
    assert sheet_picture(SampleSheet(("Only",), [("AtoB", [grey])], {}))[0].ndim == 2
    bad = torch.tensor([[[float("nan"), -1.0, 2.0]]])
    picture, layout = sheet_picture(SampleSheet(("Only",), [("AtoB", [bad])], {}))
    assert cells(picture, layout)[0][0].tolist() == [[0, 0, 255]]


def test_cyclegan_shows_both_ways_there_and_back():
    model, (a, b) = cyclegan(), pairs()
    assert model.sample_targets() == {}
    model.fix_samples(a, b)
    assert not any("samples" in name for name in model.state_dict())
    sheet = model.sample_sheet()
    assert sheet.columns == ("Original", "Translated", "Reconstructed", "Label")
    assert [direction for direction, _ in sheet.rows] == ["AtoB", "BtoA"] * 4
    there = model.translate(a, "AtoB")
    for shown, expected in zip(sheet.rows[2][1], (a, there, model.translate(there, "BtoA"), b), strict=True):
        torch.testing.assert_close(shown, expected[1])
    for shown, expected in zip(sheet.rows[3][1][::3], (b, a), strict=True):
        assert torch.equal(shown, expected[1])
    assert torch.equal(sheet.translated["AtoB"], there)
    assert {name: real.shape[1] for name, real in model.sample_targets().items()} == {"AtoB": 3, "BtoA": 1}
    with pytest.raises(ValueError, match=r"SAR samples \(A\)"):
        model.fix_samples(b, a)
    with pytest.raises(ValueError, match="as many of A as of B; 4 and 3"):
        model.fix_samples(a, b[:3])


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_pix2pix_shows_condition_generated_original(direction):
    model, (a, b) = Pix2Pix(Pix2PixConfig.preset("sarcore", direction=direction, **TINY)), pairs()
    assert model.sample_targets() == {}
    model.fix_samples(a, b)
    source, target = (a, b) if direction == "AtoB" else (b, a)
    sheet = model.sample_sheet()
    assert sheet.columns == ("Condition", "Generated", "Original")
    for shown, expected in zip(sheet.rows[3][1], (source, model.translate(source, direction), target), strict=True):
        torch.testing.assert_close(shown, expected[3])
    assert torch.equal(model.sample_targets()[direction], target)


def test_speckle_of_the_samples_stands_still():
    model = cyclegan(speckle_looks=2.0)
    model.fix_samples(*pairs())
    assert torch.equal(model.sample_sheet().rows[1][1][1], model.sample_sheet().rows[1][1][1])


def test_a_run_shows_its_samples_through_time(tmp_path):
    """Pictures, statistics of the translations by direction, and a training that does not notice."""
    a, b = pairs(8)
    model, unseen = cyclegan(), cyclegan()
    model.fix_samples(a[:2], b[:2])
    fit(model, TensorDataset(a, b), config(8, batch_size=2), tmp_path / "run")
    fit(unseen, TensorDataset(a, b), config(8, batch_size=2), tmp_path / "unseen")
    assert same(dict(model.state_dict()), dict(unseen.state_dict()))
    assert not list((tmp_path / "unseen/samples").iterdir()), "without fixed samples there is nothing to show"
    folder = tmp_path / "run/samples"
    assert sorted(p.name for p in folder.glob("*.png")) == ["step_000004.png", "step_000008.png"]
    rows = [json.loads(line) for line in (folder / "statistics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["of"]) for row in rows] == [(s, d) for s in (None, 4, 8) for d in ("AtoB", "BtoA")]
    assert rows[0]["histogram"] == image_statistics(b[:2])["histogram"], "translations to B are held against B"
    assert rows[1]["histogram"] == image_statistics(a[:2])["histogram"]
    model.eval()
    assert rows[5]["histogram"] == image_statistics(model.translate(b[:2], "BtoA"))["histogram"]
    picture = np.asarray(Image.open(folder / "step_000008.png"))
    found = cells(picture, json.loads((folder / "sheet.json").read_text()))
    assert np.array_equal(found[2][0], eight_bit(a[1]))
    assert np.array_equal(found[2][1], eight_bit(model.translate(a[1:2], "AtoB")[0]))


def test_real_statistics_are_written_once_per_run(tmp_path):
    a, b = pairs()
    with RunLogs(tmp_path) as logs:
        first = logs.targets({"AtoB": b, "BtoA": a})
    with RunLogs(tmp_path) as logs:
        again = logs.targets({"AtoB": b, "BtoA": a})
    assert again["BtoA"]["histogram"] == first["BtoA"]["histogram"] == image_statistics(a)["histogram"]
    assert len((tmp_path / "samples/statistics.jsonl").read_text().splitlines()) == 2
