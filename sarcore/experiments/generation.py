"""Train a BEGAN on patches, draw patches from it, bring them to patch size and keep them as 8-bit images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sarcore.data import PatchFolder, read_image, write_image
from sarcore.engine import FitConfig, fit, load_weights, write_json
from sarcore.errors import DataError
from sarcore.experiments.patches import Filter, PatchTensor, Precision, Scenario, scenario_size, to_uint8
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run
from sarcore.models import BEGAN, BEGANConfig
from sarcore.ops import resample

Preset = Literal["berthelot", "marmanis", "sarcore"]
DONE = "dataset.json"


@dataclass(frozen=True)
class GeneratorTraining:
    """How a BEGAN is trained; the network itself is one of the presets of `sarcore.models.BEGANConfig`."""

    scenario: Scenario = "simple"
    preset: Preset = "sarcore"
    steps: int = 20_000
    width: int = 64
    batch: int = 16
    seed: int = 0
    precision: Precision = "32-true"
    channels_last: bool = False


def train_generator(
    patches: PatchTensor,
    training: GeneratorTraining,
    run_dir: Path,
    progress: Progress,
    *,
    meta: Mapping[str, Any],
    title: str = "BEGAN",
) -> dict[str, Any]:
    """Train a BEGAN on ``patches`` as ``training.scenario`` shows them; continues a run that was interrupted.

    ``meta`` goes into the checkpoint next to the network's settings. Returns the steps, images per second and last
    scalars. Raises ``ValueError`` for a patch size that no BEGAN has, and what `sarcore.engine.fit` raises.
    """
    patch_size, channels = patches.images.shape[-1], patches.images.shape[1]
    size = scenario_size(patch_size, training.scenario)
    config = BEGANConfig.preset(training.preset, size=size, channels=channels, width=training.width)
    torch.manual_seed(training.seed)
    model = BEGAN(config, data_mean=float(patches.encoded().mean()), seed=training.seed)
    if training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    view = PatchTensor(patches.images, patches.labels, patches.radiometry, scenario=training.scenario)
    fit_config = FitConfig(
        steps=training.steps,
        batch_size=training.batch,
        seed=training.seed,
        log_every=min(10, max(1, training.steps // 100)),
        sample_every=max(1, training.steps // 8),
        checkpoint_every=max(25, min(500, training.steps // 10)),
        precision=training.precision,
    )
    progress.stage(title, training.steps)
    facts = {"kind": "began", "config": config.to_dict(), "training": asdict(training), "patch_size": patch_size}
    result = fit(model, view, fit_config, run_dir, on_step=progress.step, meta={**meta, **facts})
    for note in result.notes:
        progress.note(note)
    return {"steps": result.steps, "images_per_second": result.images_per_second, "last": dict(result.last_logs)}


def load_generator(run: Path) -> tuple[BEGAN, dict[str, Any]]:
    """Rebuild the BEGAN of a run or checkpoint folder, in evaluation mode, with the checkpoint's meta data.

    Raises ``CheckpointError`` for a missing or damaged checkpoint and for one of another model.
    """
    meta, state = load_weights(run, kind="began")
    model = BEGAN(BEGANConfig.from_dict(meta["config"]))
    model.load_state_dict(state)
    return model.eval(), meta


def draw_patches(
    model: BEGAN,
    count: int,
    size: int,
    filter: Filter = "bicubic",
    *,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw ``count`` patches, upsample them to side ``size`` and round to 8 bit: uint8 (count,C,size,size).

    Raises ``ValueError`` when ``size`` is smaller than what the model generates.
    """
    if size < model.config.size:
        raise ValueError(f"the model makes patches of side {model.config.size}; ask for at least that, not {size}")
    source = torch.Generator().manual_seed(seed)
    out = torch.empty(count, model.config.channels, size, size, dtype=torch.uint8)
    for start in range(0, count, 32):
        n = min(32, count - start)
        made = model.generate(model.latent(n, source)).float()
        out[start : start + n] = to_uint8(resample(made, size, mode=filter, range=(0.0, 1.0)))
        if on_batch is not None:
            on_batch(start + n)
    return out


def write_patches(folder: Path, class_name: str, images: Tensor, info: Mapping[str, Any]) -> None:
    """Write uint8 (N,C,H,W) as ``folder/<class>/synthetic_00000.png``, and last of all ``dataset.json``.

    The JSON holds ``info``, the count and ``"synthetic": true``; without it the folder counts as unfinished.
    """
    target = folder / class_name
    target.mkdir(parents=True, exist_ok=True)
    suffix = "png" if images.shape[1] in (1, 3) else "npy"
    for i, image in enumerate(images.numpy()):
        write_image(target / f"synthetic_{i:05d}.{suffix}", image)
    write_json(folder / DONE, {"synthetic": True, "class": class_name, "count": len(images), **info})


def read_patches(folder: Path, class_name: str) -> Tensor:
    """Read what `write_patches` wrote, in order, as uint8 (N,C,H,W); ``DataError`` where there is nothing."""
    files = sorted((folder / class_name).glob("synthetic_*.*"))
    if not files:
        raise DataError(f"{folder / class_name}: no generated patches found; generate them first")
    return torch.from_numpy(np.stack([read_image(file) for file in files]))


def train_began(
    data: Path, class_name: str | None, training: GeneratorTraining, run_dir: Path, progress: Progress
) -> dict[str, Any]:
    """Train a BEGAN on all patches of ``data`` or of one class of it, and write ``results.json``.

    Raises ``DataError`` for data that cannot be used.
    """
    folder = PatchFolder.open(data)
    chosen = folder if class_name is None else folder.of_class(class_name)
    settings = {"data": str(data), "class_name": class_name, **asdict(training)}
    open_run(run_dir, "train began", settings, folder, [training.seed])
    patches = PatchTensor(*chosen.arrays(), folder.radiometry)
    classes = folder.classes if class_name is None else [class_name]
    meta = {"classes": classes, "radiometry": folder.radiometry.to_dict()}
    facts = train_generator(patches, training, run_dir, progress, meta=meta)
    write_json(run_dir / RESULTS_FILE, {"kind": "began", "data": str(data), "classes": classes, **facts})
    return facts


def generate_folder(
    run: Path, out: Path, count: int, progress: Progress, *, size: int | None = None, filter: Filter, seed: int
) -> dict[str, Any]:
    """Draw ``count`` patches from the BEGAN of ``run`` into ``out/<class>`` and return what `write_patches` notes.

    ``size`` is that of the training patches where it is None. Raises ``DataError`` when ``out`` is not empty.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not an empty folder; give another folder with --out")
    model, meta = load_generator(run)
    for problem in meta["problems"]:
        progress.note(problem)
    side = meta["patch_size"] if size is None else size
    name = meta["classes"][0] if len(meta["classes"]) == 1 else "generated"
    progress.stage(f"generating {name}", count)
    images = draw_patches(model, count, side, filter, seed=seed, on_batch=lambda done: progress.step(done, {}))
    info = {"filter": filter, "generated_size": model.config.size, "size": side, "seed": seed}
    info["source"] = meta["training"]
    write_patches(out, name, images, info)
    return {"class": name, **info}
