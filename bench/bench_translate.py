"""Translation of whole scenes, file to file: megapixels a second, and what is added to the time of the network.

python bench/bench_translate.py [--device cpu|cuda] [--threads 2] [--side 2048] [--size 512] [--width 64] [--rounds 3]
                                [--networks resnet] [--quick] [--out FOLDER] [--markdown FILE]
pytest bench/bench_translate.py                      # only compares, on a small scene

Training is in bench_train.py (--models CycleGAN Pix2Pix). The network is timed within the same run, by hooks around it,
so that what remains is reading, encoding, cutting, blending, decoding, compressing, writing and bookkeeping.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tables
import timing
import torch
from torch import Tensor, nn

from sarcore import Radiometry
from sarcore.data import Scene, SceneWriter
from sarcore.inference import Translator, translate_images, translate_scene
from sarcore.models.generators import GeneratorName, generator
from sarcore.models.norm import NormName

SAR, OPTICAL = Radiometry("amplitude", 0, 2000), Radiometry("digital", 0, 255)
NETWORKS: dict[str, tuple[GeneratorName, int, NormName]] = {
    "resnet, 9 blocks, instance": ("resnet", 9, "instance"),
    "unet, 8 levels, batch": ("unet", 8, "batch"),
}
PATCH = "patch, hann"
MODES: dict[str, dict[str, Any]] = {
    PATCH: {"norm_stats": "patch", "window": "hann"},
    "frozen": {"norm_stats": "frozen"},
    "global": {"norm_stats": "global"},
}
TINY: dict[str, tuple[GeneratorName, int, NormName]] = {
    "resnet, 1 block, instance": ("resnet", 1, "instance"),
    "unet, 3 levels, batch": ("unet", 3, "batch"),
}


class Clock:
    """Seconds that a network takes and pixels that it sees, by hooks."""

    def __init__(self, network: nn.Module, device: str) -> None:
        self.seconds, self.pixels, self._start, self._device = 0.0, 0, 0.0, device
        # Plain functions, because those survive a copy of the network.
        network.register_forward_pre_hook(lambda _, args: self.begin(args[0]))
        network.register_forward_hook(lambda *_: self.end())

    def begin(self, x: Tensor) -> None:
        self.pixels += x.shape[0] * x.shape[2] * x.shape[3]
        timing.synchronize(self._device)
        self._start = time.perf_counter()

    def end(self) -> None:
        timing.synchronize(self._device)
        self.seconds += time.perf_counter() - self._start


def network(which: tuple[GeneratorName, int, NormName], width: int) -> nn.Module:
    name, depth, norm = which
    torch.manual_seed(0)
    return generator(name, 1, 3, width=width, depth=depth, norm=norm, dropout=False).eval()


def translator(made: nn.Module) -> Translator:
    return Translator(made, SAR, OPTICAL, direction="AtoB")


def write_scene(path: Path, side: int) -> Path:
    """A square uint16 scene of amplitudes under speckle of one look."""
    draws, hills = np.random.default_rng(0), 1.5 + np.sin(0.031 * np.arange(side, dtype=np.float32))
    with SceneWriter(path, (1, side, side), np.uint16) as out:
        for first in range(0, side, 256):
            field = draws.standard_exponential((1, min(256, side - first), side), dtype=np.float32)
            out.write((np.sqrt(field * hills) * 400 + 1).astype(np.uint16))
    return path


def once(made: nn.Module, scene: Path, folder: Path, device: str, size: int, mode: str) -> dict[str, float]:
    """Megapixels of the scene a second, share that is added to the network's time, pixels that it sees per pixel."""
    made = made.to(device)
    clock = Clock(made, device)
    timing.synchronize(device)
    start = time.perf_counter()
    translate_scene(translator(made), scene, folder / "out.tif", size=size, device=device, **MODES[mode])
    total = time.perf_counter() - start
    made._forward_pre_hooks.clear()
    made._forward_hooks.clear()
    pixels = Scene.open(scene).shape[1] * Scene.open(scene).shape[2]
    found = {"mp_per_s": pixels / total / 1e6, "seen_per_pixel": clock.pixels / pixels}
    # The passes that gather the statistics go through single layers, which the hooks do not see.
    return {**found, "overhead": total / clock.seconds - 1.0} if mode != "global" else found


@pytest.mark.parametrize("name", TINY)
def test_a_scene_of_tiles_is_the_scene_in_one_piece(tmp_path: Path, name: str) -> None:
    torch.set_num_threads(1)
    compare(network(TINY[name], 4), write_scene(tmp_path / "scene.tif", 160), tmp_path, size=64)


def compare(made: nn.Module, scene: Path, folder: Path, size: int) -> None:
    """With exact statistics tiles give the whole; single grey values may be rounded otherwise."""
    tiled = Scene.open(
        translate_scene(translator(made), scene, folder / "tiled.tif", size=size, norm_stats="global", window="crop")
    ).read()
    whole = translate_images(translator(made), Scene.open(scene).read())
    worst = int(np.abs(tiled.astype(int) - whole.astype(int)).max())
    assert worst <= 1, f"tiles and the whole differ by {worst} grey values"
    assert whole.std() > 0, "the translation is constant"


def main() -> None:
    arguments = parse()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(arguments.threads)
    side, size, width = (192, 64, 4) if arguments.quick else (arguments.side, arguments.size, arguments.width)
    record: dict[str, Any] = {"machine": timing.machine(device), "side": side, "size": size, "width": width, "rows": []}
    with tempfile.TemporaryDirectory(prefix="sarcore-bench-") as name:
        folder = Path(name)
        scene = write_scene(folder / "scene.tif", side)
        for each, which in (TINY if arguments.quick else NETWORKS).items():
            if not each.startswith(tuple(arguments.networks)):
                continue
            made = network(which, width)
            compare(network(which, 4), write_scene(folder / "small.tif", 192), folder, size=64)
            take = functools.partial(once, made, scene, folder, device, size)
            modes = MODES if which[2] == "instance" else [PATCH]  # fixed statistics need no mode
            rounds = [{mode: take(mode) for mode in modes} for _ in range(arguments.rounds)]
            record["rows"] += [row(each, mode, [found[mode] for found in rounds]) for mode in modes]
    text = markdown(record)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    if arguments.out:
        name = f"{record['machine']['name']}-translate"
        timing.write_record(arguments.out, name, record, quick=arguments.quick)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the translation of scenes beside the bare network.")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where torch sees a GPU, else cpu")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="CPU threads (default 2)")
    parser.add_argument("--networks", nargs="+", default=[""], metavar="WORD", help="those whose names begin so")
    parser.add_argument("--side", type=int, default=2048, help="of the square scene, pixels (default 2048)")
    parser.add_argument("--size", type=int, default=512, help="of the tiles, pixels (default 512)")
    parser.add_argument("--width", type=int, default=64, help="filters of the first layer (default 64)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each mode, in turn (default 3)")
    parser.add_argument("--quick", action="store_true", help="tiny networks and scene: does it run, is it equal?")
    parser.add_argument("--out", type=Path, help="folder for <machine>-translate.json; nothing is written without it")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    return parser.parse_args()


def row(name: str, mode: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    middle = {key: float(np.median([found[key] for found in rounds])) for key in rounds[0]}
    return {"network": name, "mode": mode, **{key: float(f"{value:.4g}") for key, value in middle.items()}}


def markdown(record: dict[str, Any]) -> str:
    m = record["machine"]
    where = m["name"] + (f", CUDA {m['cuda']}" if m["cuda"] else f", {m['threads']} threads")
    about = f"{where}; sarcore {m['sarcore']}, torch {m['torch']}; {m['date']}. Scene of {record['side']} x "
    about += (
        f"{record['side']}, tiles of {record['size']}, width {record['width']}; tiles were compared with the whole."
    )
    body = [
        [r["network"], r["mode"], f"{r['mp_per_s']:.3g}", f"{r['seen_per_pixel']:.3g}", _share(r)]
        for r in record["rows"]
    ]
    head = ["network", "statistics", "MP/s", "pixels computed / pixel", "added to the network's time"]
    return f"{about}\n\n{tables.table(head, body)}"


def _share(entry: dict[str, Any]) -> str:
    return f"{100 * entry['overhead']:.1f} %" if "overhead" in entry else "-"


if __name__ == "__main__":
    main()
