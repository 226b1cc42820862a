"""The page of a translation: titles of columns, directions of rows, statistics of each direction."""

import json
import re

import numpy as np
import torch
from PIL import Image

from sarcore.engine.logs import RunLogs
from sarcore.models.sample_sheet import SampleSheet
from sarcore.report import write_report
from sarcore.report.run_folder import read_run

from .report_pages import charts, decoded, frames, text_of
from .report_runs import write_checkpoints, write_config, write_status

COLUMNS = ("Original", "Translated", "Reconstructed", "Label")


def write_translation(run, *, rows=8, side=12):
    """A run folder as the engine writes that of a CycleGAN: a black column in every image, as the sea may be."""
    draws = torch.Generator().manual_seed(0)
    run.mkdir(parents=True)
    write_config(run, "cyclegan", 40, {})
    with RunLogs(run) as logs:
        logs.targets({"AtoB": torch.rand(4, 3, side, side, generator=draws), "BtoA": torch.rand(4, 1, side, side)})
        for step in (20, 40):
            images = torch.rand(rows, 4, 3, side, side, generator=draws) + 0.1
            images[..., side // 2] = 0.0
            directions = ["AtoB" if i % 2 == 0 else "BtoA" for i in range(rows)]
            shown = [(d, [x[:1], x[:3]][:2] * 2) for d, x in zip(directions, images[:, 0], strict=True)]
            made = {"AtoB": images[:4, 0], "BtoA": images[:4, 1, :1]}
            logs.sheet(step, SampleSheet(COLUMNS, shown, made))
            scalars = {"loss_g": 3.0, "loss_d": 0.25, "cycle_a": 0.2, "cycle_b": 0.3, "correlation_ab": -0.1}
            logs.scalars(step, {**scalars, "correlation_ba": 0.1, "lr": 2e-4})
    write_status(run, "finished", 40, 40)
    write_checkpoints(run, "cyclegan", 40)
    return run


def test_titles_lie_above_the_columns_and_rows_are_explained(tmp_path):
    run = write_translation(tmp_path / "run")
    page = write_report(run)
    raw, text = page.read_text(), text_of(page)
    titles = re.search(r'<div class="titles"[^>]*>(.*?)</div>', raw)[1]
    assert re.findall(r"<span>(.*?)</span>", titles) == list(COLUMNS)
    assert "<b>Original, Translated, Reconstructed, Label</b>" in raw
    assert "rows are AtoB (SAR to optical) and BtoA (optical to SAR) in turn" in text
    assert "of every grid 20 of 32 images" in text
    assert "samples/real.png" not in text, "the sheet holds the real images"
    assert "CycleGAN" in text
    layout = json.loads((run / "samples/sheet.json").read_text())
    whole = np.asarray(Image.open(run / "samples/step_000040.png"))
    shown = decoded(re.search(r'<img class="generated" src="([^"]*)"', raw)[1])
    height, _, padding = layout["cell"]
    below = whole[layout["header"] :]
    np.testing.assert_array_equal(shown, below[: padding + 5 * (height + padding)], "five rows, without the header")


def test_statistics_of_each_direction_lie_beside_their_own_domain(tmp_path):
    run = write_translation(tmp_path / "run")
    page = write_report(run)
    rows = [json.loads(line) for line in (run / "samples/statistics.jsonl").read_text().splitlines()]
    drawn = charts(page)
    for direction in ("AtoB", "BtoA"):
        real = next(row for row in rows if row["step"] is None and row["of"] == direction)
        series = drawn[f"Histogram, {direction}"]["series"]
        assert [one["label"] for one in series] == ["real", "generated"]
        np.testing.assert_allclose(series[0]["y"], real["histogram"], rtol=1e-2, atol=1e-3)
        for row in rows:
            if row["of"] == direction and row["step"] is not None:
                frame = frames(page)["runs"][0]["frames"][str(row["step"])]
                np.testing.assert_allclose(frame[f"histogram-{direction}"], row["histogram"], rtol=1e-3, atol=1e-9)
    labels = [one["label"] for one in drawn["Diversity"]["series"]]
    assert labels == ["real, AtoB", "generated, AtoB", "real, BtoA", "generated, BtoA"]
    assert "far below 0 dark comes out bright" in text_of(page)


def test_a_damaged_layout_is_passed_over(tmp_path):
    run = write_translation(tmp_path / "run")
    for content in ('{"columns": 3, "rows": [], "cell": [1, 2]}', "no json", "[]", '{"cell": "x", "header": -3}'):
        (run / "samples/sheet.json").write_text(content)
        text = text_of(write_report(run))
        assert "Samples" in text
        assert "rows are" not in text
    (run / "samples/sheet.json").write_text("no json")
    assert any("sheet.json: is damaged" in problem for problem in read_run(run).problems)


def test_two_translations_beside_each_other(tmp_path):
    runs = [write_translation(tmp_path / name) for name in ("one", "two")]
    page = write_report(runs, tmp_path / "both.html")
    assert page.read_text().count('class="titles"') == 2
    assert "two, BtoA" in [one["label"] for one in charts(page)["Diversity"]["series"]]
