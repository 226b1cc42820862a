"""Small trainings of CycleGAN and Pix2Pix by the command line: their options, and a folder of pairs."""

from pathlib import Path

import numpy as np

from sarcore.data import write_image

SMALL = ["--width", "4", "--d-width", "4", "--crop", "32", "--batch-size", "2", "--accelerator", "cpu"]
KINDS = {"pix2pix": ["--depth", "3"], "cyclegan": ["--depth", "1"]}


def images(root: Path, scenes: int = 6, *, size: tuple[int, int] = (40, 48), partners: bool = True) -> Path:
    """Two pairs of every scene: B is brighter where A is, in three colours."""
    rng = np.random.default_rng(0)
    for scene in range(scenes):
        for patch in range(2):
            a = rng.integers(0, 256, (1, *size), dtype=np.uint8)
            for name, image in (("s1", a), ("s2", np.concatenate([a // 2, a // 3, a // 4]))):
                if name == "s2" and not partners and patch:
                    continue
                folder = root / f"{name}_{scene:03d}"
                folder.mkdir(parents=True, exist_ok=True)
                write_image(folder / f"x_{name}_{scene:03d}_p{patch}.png", image)
    return root
