"""The pages run in folders of their own; docs/scenes.md finds its scene there, and the patches its command cuts."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).with_name("scenes.md")


@pytest.fixture(autouse=True)
def _folder_of_the_page(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name != PAGE.name:
        return
    monkeypatch.chdir(tmp_path)
    _write_scene("scene.tif")
    command = next(line for line in PAGE.read_text().splitlines() if line.startswith("    sarcore tile scene.tif"))
    from sarcore.cli.app import run

    assert run(shlex.split(command)[1:]) == 0


def _write_scene(name: str) -> None:
    import rasterio
    import torch

    from sarcore.ops import speckle

    ground = torch.full((1, 1, 300, 420), 0.05)
    ground[..., 100:] *= 3
    place = rasterio.Affine(10, 0, 600_000, 0, -10, 5_800_000)
    layout = {"driver": "GTiff", "height": 300, "width": 420, "count": 1, "dtype": "float32"}
    with rasterio.open(name, "w", **layout, crs="EPSG:32631", transform=place) as out:
        out.write(speckle(ground, looks=5, seed=0)[0].numpy())
