"""What the generators of the augmentation study made, beside what they learnt from: grey values and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcore.data import write_image
from sarcore.engine import image_grid
from sarcore.experiments import quality
from sarcore.experiments.augmentation_config import AugmentationConfig, GeneratorCell
from sarcore.experiments.augmentation_generator import read_drawn
from sarcore.experiments.patches import Patches, encoded, scenario_view
from sarcore.ops import resample

COLUMNS = 6
Generators = Mapping[GeneratorCell, Mapping[str, Any]]


def judge_generators(
    config: AugmentationConfig, train: Patches, classes: Sequence[str], generators: Generators, run_dir: Path
) -> list[dict[str, Any]]:
    """Of every generator its training and, class by class, the grey values of its patches beside real ones.

    The real ones went through the same crop or reduction and the same upsampling, so that only the generator itself
    makes the difference. ``floor`` compares random halves of them.
    """
    found = []
    for cell, result in generators.items():
        by_class = {}
        for name in result["drawn"]:
            made = encoded(read_drawn([run_dir / cell.name], classes, [name]))
            by_class[name] = quality.compare(prepared(config, _of_class(train, classes, name)), made)
        found.append(
            {"name": cell.name, "seed": cell.seed, "class": cell.class_name, **result, "grey_values": by_class}
        )
    return found


def show(
    config: AugmentationConfig, train: Patches, classes: Sequence[str], generators: Generators, run_dir: Path
) -> None:
    """``pictures/real.png``, ``prepared.png``, ``generated.png``: a row of patches for every class, drawn at random."""
    first = {name: cell for cell in reversed(list(generators)) for name in generators[cell]["drawn"]}
    if not first:
        return
    rows: dict[str, list[Tensor]] = {"real": [], "prepared": [], "generated": []}
    for name in (one for one in classes if one in first):
        real = _of_class(train, classes, name)
        chosen = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:COLUMNS]
        rows["real"].append(_row(real[chosen]))
        rows["prepared"].append(_row(prepared(config, real[chosen])))
        made = read_drawn([run_dir / first[name].name], classes, [name])
        rows["generated"].append(_row(encoded(made, range(min(COLUMNS, len(made))))))
    (run_dir / "pictures").mkdir(exist_ok=True)
    for name, images in rows.items():
        picture = torch.from_numpy(image_grid(torch.cat(images), columns=COLUMNS))
        channels_first = picture[None] if picture.ndim == 2 else picture.permute(2, 0, 1)
        write_image(run_dir / "pictures" / f"{name}.png", channels_first.numpy())


def prepared(config: AugmentationConfig, real: Tensor) -> Tensor:
    """Real patches (N,C,S,S) as the generator's are: what the scenario shows of them, brought to patch size."""
    views = scenario_view(real, config.scenario, generator=torch.Generator().manual_seed(0))
    return resample(views, real.shape[-1], mode=config.filter, range=(0.0, 1.0))


def _of_class(train: Patches, classes: Sequence[str], name: str) -> Tensor:
    numbers = torch.nonzero(train.labels == classes.index(name))[:, 0]
    return encoded(train, numbers.tolist())


def _row(images: Tensor) -> Tensor:
    """A full row: where there are too few patches the rest is white."""
    missing = COLUMNS - len(images)
    return torch.cat([images, images.new_ones(missing, *images.shape[1:])]) if missing > 0 else images[:COLUMNS]
