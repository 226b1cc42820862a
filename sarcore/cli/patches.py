"""``sarcore simulate`` and ``sarcore generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress
from sarcore.data import PatchFolder, write_simulated
from sarcore.experiments.patches import Filter


def simulate(
    out: Positional[Path],
    /,
    *,
    scenes_per_class: int = 4,
    patches_per_side: int = 3,
    size: int = 160,
    looks: float = 4.0,
    seed: int = 0,
) -> None:
    """Write a folder of synthetic SAR patches of seven classes, tiled from simulated scenes.

    Args:
        out: Folder to write; must not exist or be empty.
        scenes_per_class: Scenes per class.
        patches_per_side: Patches along each side of a scene.
        size: Side of a patch in pixels.
        looks: Looks of the speckle; 1 is the strongest.
        seed: The same seed gives the same bytes.
    """
    side = patches_per_side
    written = write_simulated(
        out, scenes_per_class=scenes_per_class, patches_per_scene_side=side, size=size, looks=looks, seed=seed
    )
    folder = PatchFolder.open(written)
    counts = ", ".join(f"{name} {count}" for name, count in folder.class_counts().items())
    Console(highlight=False).print(f"{len(folder)} synthetic patches of {size}×{size} in {out}: {counts}")


def generate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    *,
    count: int,
    out: Path,
    class_names: Annotated[tuple[str, ...], arg(name="class", metavar="NAME[=SHARE] ...")] = (),
    size: int | None = None,
    filter: Filter = "bicubic",
    seed: int = 0,
) -> None:
    """Draw patches from a trained BEGAN or GAN and write them as a set to train on, upsampled to the patch size.

    Every class has its folder of 8-bit images. labels.csv says of each patch that it is synthetic and what made it;
    dataset.json names the weights and their checksum, the seed, the settings of the training and the licence note.

    Args:
        run: Run folder of `train began` or `train gan`, whose best checkpoint is taken, or one of its checkpoints.
        count: How many patches in all.
        out: Folder to write; must not exist or be empty.
        class_names: Classes to draw, in equal parts or by their shares: --class water settlement=3. All of those that
            the model knows without it, or with --class all.
        size: Side of the written patches; that of the training patches without it.
        filter: How to upsample; values are clamped to the grey range.
        seed: The same seed gives the same patches, the first ones of more.
    """
    from sarcore.experiments.synthetic import generate_folder

    with ConsoleProgress() as progress:
        info = generate_folder(run, out, count, progress, classes=class_names, size=size, filter=filter, seed=seed)
    side, per_second = info["size"], count / info.pop("seconds")
    counts = ", ".join(f"{name} {number}" for name, number in info["classes"].items())
    progress.console.print(
        f"{count} synthetic patches of {side}×{side} in {out}: {counts}; {per_second:.3g} patches/s", soft_wrap=True
    )
