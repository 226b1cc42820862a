"""The pages run in folders of their own, where their commands are given before their Python lines.

docs/scenes.md finds its scene there, docs/translation.md those of two satellites and a set of pairs, the page on the
paper simulated patches. Trainings are cut to a few steps of a tiny network: later options win.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
SCENES, TRAINING, TRANSLATION, PAPER = (
    Path(__file__).with_name(name)
    for name in ("scenes.md", "training.md", "translation.md", "what_the_paper_could_not_do.md")
)
TINY = {
    "train began": "--steps 4 --batch-size 4 --width 4",
    "train gan": "--steps 2 --batch-size 4 --width 4",
    "train classifier": "--steps 2 --batch-size 4 --depth 18 --width 8",
    "train contrastive": "--steps 2 --batch-size 4 --depth 18 --width 8",
    "train --from": "--steps 2 --batch-size 4",
    "bench-loader": "--seconds 0.1 --batch-size 4",
    "generate": "--count 8",
    "metrics": "",
    "report": "",
    "simulate": "",
    "watch": "",
}
SMALL = "--steps 2 --crop 32 --width 4 --d-width 4"
TINY_TRANSLATION = {
    "prep search": None,  # other people's servers; python_tests has one of its own
    "prep download": None,
    "prep stitch": "--zoom 15 --tiles 2",
    "prep": "",
    "pairs": "--count 8 --size 48 --val-strip 48",
    "split": "--fraction 1",
    "train cyclegan": f"{SMALL} --depth 1",
    "train pix2pix": f"{SMALL} --depth 3",
    "experiment": "--shifts 0 2 --seeds 1 --steps 2 --crop 32 --width 4 --pix2pix-depth 3 --cyclegan-depth 1",
    "translate": "",
    "export": "",
    "watch": "",
    "report": "",
}
FEW = "--pretraining-steps 2 --pretraining-width 4 --precision 32-true"
GENERATION = (
    f"{FEW} --gan-steps 2 --gan-width 4 --began-steps 2 --began-width 4 --features-steps 2 --features-width 4 "
    "--samples 24 --repeats 2 --seeds 1"
)
TINY_PAPER = {
    "experiment generation terrain160 --ablation": f"{GENERATION} --ablation-changes relu",
    "experiment generation": GENERATION,
    "experiment augmentation": "--classifier-steps 2 --width 4 --size 32 --arms flips gan --targets all --synthetic 4 "
    "--seeds 1 --precision 32-true",
    "experiment curve": f"{FEW} --generator-steps 2 --generator-width 4 --classifier-steps 2 --width 4 --size 32 "
    "--fractions 50 --synthetic 4 --seeds 1",
    "experiment init": "--contrastive-steps 2 --classifier-steps 2 --width 4 --size 32 --fractions 50 --seeds 1 "
    "--precision 32-true",
    "generate": "--count 8",
    "looks": "",
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
            _run_small(line, TINY)
    elif request.node.name == TRANSLATION.name:
        pytest.importorskip("onnxruntime")
        import two_satellites

        monkeypatch.chdir(tmp_path)
        two_satellites.write_scenes(tmp_path)
        two_satellites.write_pairs(tmp_path / "sen12")
        for line in _commands(TRANSLATION):
            _run_small(line, TINY_TRANSLATION)
    elif request.node.name == PAPER.name:
        from sarcore.data import write_simulated

        monkeypatch.chdir(tmp_path)
        write_simulated(tmp_path / "terrain160", scenes_per_class=4, patches_per_scene_side=2, size=40, seed=3)
        for line in _commands(PAPER):
            _run_small(line, TINY_PAPER)


def _commands(page: Path) -> Iterator[str]:
    """The lines of a page that are one command of sarcore each; torchrun's as one process would run them."""
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"^    (.*)$", text, re.M):
        command = re.sub(r"^torchrun .* -m sarcore ", "sarcore ", line.strip())
        if command.startswith("sarcore "):
            yield command.partition("#")[0].removeprefix("sarcore ").strip()


def _run_small(line: str, tiny: dict[str, Any]) -> None:
    more = next(words for start, words in tiny.items() if line.startswith(start))
    if more is not None:
        _run(f"{line} {more}")


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
