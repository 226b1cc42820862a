"""The pages run in folders of their own, where their commands are given before their Python lines.

docs/scenes.md finds its scene there. Trainings are cut to a few steps of a tiny network: later options win.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

SCENES, TRAINING = (Path(__file__).with_name(name) for name in ("scenes.md", "training.md"))
TINY = {
    "train began": "--steps 4 --batch-size 4 --width 4",
    "train classifier": "--steps 2 --batch-size 4 --depth 18",
    "train --from": "--steps 2 --batch-size 4",
    "bench-loader": "--seconds 0.1 --batch-size 4",
    "generate": "--count 8",
    "metrics": "",
    "report": "",
    "simulate": "",
    "watch": "",
}


@pytest.fixture(autouse=True)
def _folder_of_the_page(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name == SCENES.name:
        monkeypatch.chdir(tmp_path)
        _write_scene("scene.tif")
        _run(next(line for line in _commands(SCENES) if line.startswith("tile scene.tif")))
    elif request.node.name == TRAINING.name:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SARCORE_CACHE", str(tmp_path / "cache"))
        (settings,) = re.findall(r"^```toml\n# (\S+)\n(.*?)^```", TRAINING.read_text(), re.M | re.S)
        Path(settings[0]).write_text(settings[1])
        for line in _commands(TRAINING):
            _run(f"{line} {next(words for start, words in TINY.items() if line.startswith(start))}")


def _commands(page: Path) -> Iterator[str]:
    """The lines of a page that are one command of sarcore each; torchrun's as one process would run them."""
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"^    (.*)$", text, re.M):
        command = re.sub(r"^torchrun .* -m sarcore ", "sarcore ", line.strip())
        if command.startswith("sarcore "):
            yield command.partition("#")[0].removeprefix("sarcore ").strip()


def _run(command: str) -> None:
    from sarcore.cli.app import run

    assert run(shlex.split(command)) == 0, f"sarcore {command}"


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
