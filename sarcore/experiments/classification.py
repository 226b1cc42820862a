"""Train and evaluate a classifier on a folder of patches."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.data import PatchFolder, Split, check_leakage, data_fingerprint, split_by_scene
from sarcore.data.split import PARTS
from sarcore.engine import FitConfig, fit, load_weights, write_json
from sarcore.errors import CheckpointError, DataError
from sarcore.experiments.patches import PatchTensor, Precision
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run, read_json
from sarcore.metrics.classification import (
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    overall_accuracy,
    per_class_recall,
)
from sarcore.models import Classifier, ClassifierConfig, check_depth, load_backbone
from sarcore.models.classifier import Augment, Domain
from sarcore.ops import Radiometry, encode

# Pictures of a radar without a declared unit show amplitudes, as 8-bit quicklooks do.
_DOMAINS: dict[str, Domain] = {
    "digital": "amplitude",
    "amplitude": "amplitude",
    "intensity": "intensity",
    "db": "db",
}


@dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained. The last weights are kept: nothing is selected on other patches."""

    depth: int = 50
    steps: int = 2000
    batch: int = 32
    lr: float = 1e-3
    init: str = "random"
    seed: int = 0
    precision: Precision = "32-true"
    channels_last: bool = False
    augment: Augment = "flips"

    def __post_init__(self) -> None:
        check_depth(self.depth)  # before anything is written


def train_on(
    train: Dataset[tuple[Tensor, int]],
    reference: PatchTensor,
    classes: list[str],
    training: ClassifierTraining,
    run_dir: Path,
    progress: Progress,
    *,
    title: str = "classifier",
) -> tuple[Classifier, dict[str, Any]]:
    """Train on ``train`` and return the classifier in evaluation mode with its speed; continues an interrupted run.

    ``reference`` gives the channel means and deviations of the input normalisation (the real patches, so that two
    arms of a comparison are normalised alike). Raises ``CheckpointError`` when ``training.init`` cannot be used.
    """
    encoded = reference.encoded()
    config = ClassifierConfig(
        depth=training.depth,
        channels=encoded.shape[1],
        classes=len(classes),
        lr=training.lr,
        total_steps=training.steps,
        warmup_steps=min(50, training.steps // 10),
        augment=training.augment,
        domain=_DOMAINS[str(reference.radiometry.scale)],
        limits=(reference.radiometry.low, reference.radiometry.high),
    )
    torch.manual_seed(training.seed)
    model = Classifier(config, data_mean=float(encoded.mean()), data_std=max(float(encoded.std()), 1e-6))
    if training.init != "random":
        load_backbone(model.backbone, read_initial_weights(training.init))
    if training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit_config = FitConfig(
        steps=training.steps,
        batch_size=training.batch,
        seed=training.seed,
        log_every=min(10, max(1, training.steps // 50)),
        checkpoint_every=max(25, min(500, training.steps // 4)),
        keep_last=1,  # a ResNet-50 with its optimizer is 280 MB; a new one is whole before the old one goes
        precision=training.precision,
    )
    progress.stage(title, training.steps)
    meta = {
        "kind": "classifier",
        "config": config.to_dict(),
        "training": dataclasses.asdict(training),
        "classes": classes,
        "radiometry": reference.radiometry.to_dict(),
        "shape": list(encoded.shape[1:]),
    }
    result = fit(model, train, fit_config, run_dir, on_step=progress.step, meta=meta)
    for note in result.notes:
        progress.note(note)
    return model.eval(), {"steps": result.steps, "images_per_second": result.images_per_second}


def read_initial_weights(source: str) -> dict[str, Tensor]:
    """Backbone weights from a file of ImageNet weights (.safetensors, .pth, .pt) or a folder with a sarcore run.

    Pickled files are read with ``weights_only=True``. Raises ``CheckpointError`` with the path.
    """
    path = Path(source)
    if path.is_dir():
        state = load_weights(path, kind="classifier")[1]
        return {name.removeprefix("backbone."): t for name, t in state.items() if name.startswith("backbone.")}
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such weights; give 'random', a .safetensors or .pth file, or a sarcore run folder"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip, safetensors and torch each raise their own kinds
        raise CheckpointError(f"{path}: cannot be read as weights ({str(error).splitlines()[0]})") from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise CheckpointError(f"{path}: holds no state dict; save model.state_dict() alone")
    return dict(loaded)


@torch.no_grad()
def predict(model: Classifier, patches: PatchTensor, *, batch: int = 32) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Predicted class index of every patch, shape (N,)."""
    model.eval()
    device = next(model.parameters()).device
    batches = (encode(images.to(device), patches.radiometry) for images in patches.images.split(batch))
    found = [model.predict(images).argmax(dim=1).cpu() for images in batches]
    return torch.cat(found).numpy() if found else np.zeros(0, dtype=np.int64)


def scores(target: Tensor, predicted: np.ndarray[Any, np.dtype[np.int64]], classes: int) -> dict[str, Any]:
    """Overall and balanced accuracy, macro F1, recall per class and the confusion matrix, ready for JSON.

    >>> scores(torch.tensor([0, 1]), np.array([0, 0]), 2)["overall_accuracy"]
    0.5
    """
    confusion = confusion_matrix(target.numpy(), predicted, classes)
    return {
        "overall_accuracy": overall_accuracy(confusion),
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": macro_f1(confusion),
        "recall": [None if np.isnan(r) else float(r) for r in per_class_recall(confusion)],
        "confusion": confusion.tolist(),
    }


def load_patches(folder: PatchFolder, indices: list[int] | None = None) -> PatchTensor:
    """The patches of a folder (or those at ``indices``) in memory."""
    images, labels = (folder if indices is None else folder.subset(indices)).arrays()
    return PatchTensor(images, labels, folder.radiometry)


def train_classifier(
    data: Path, training: ClassifierTraining, run_dir: Path, progress: Progress, *, split_file: Path | None = None
) -> dict[str, Any]:
    """Split ``data`` by scene (70/10/20), train on the first part, score the others, write ``results.json``.

    ``split_file`` holds a split of the folder that was made before, for example by `sarcore split`.
    """
    folder = PatchFolder.open(data)
    split = split_by_scene(folder, (0.7, 0.1, 0.2), seed=0) if split_file is None else _given_split(split_file, folder)
    settings = {"data": str(data), **dataclasses.asdict(training)}
    if split_file is not None:
        settings["split"] = hashlib.sha256(repr(split).encode()).hexdigest()[:16]
    open_run(run_dir, "train classifier", settings, folder, [training.seed])
    split.save(run_dir / "split.json")
    for message in check_leakage(folder, split):
        progress.note(f"Leakage: {message}")
    train = load_patches(folder, split.train)
    model, speed = train_on(train, train, folder.classes, training, run_dir, progress)
    results: dict[str, Any] = {"kind": "classifier", "data": str(data), "classes": folder.classes, **speed}
    for part, indices in (("val", split.val), ("test", split.test)):
        if indices:
            patches = load_patches(folder, indices)
            results[part] = {
                "patches": len(indices),
                **scores(patches.labels, predict(model, patches), len(folder.classes)),
            }
    write_json(run_dir / RESULTS_FILE, results)
    return results


def _given_split(path: Path, folder: PatchFolder) -> Split:
    split = Split.load(path)
    numbers = [*split.train, *split.val, *split.test]
    if any(not 0 <= number < len(folder) for number in numbers):
        raise DataError(
            f"the split {path} has patches up to number {max(numbers)}, and {folder.root} has {len(folder)} patches: "
            "it was made for another folder or before this one changed; make it again"
        )
    if not split.train:
        raise DataError(f"the split {path} has no patches to train on; make it again")
    return split


def evaluate_classifier(run: Path, data: Path, part: str = "auto") -> dict[str, Any]:
    """Score the classifier of ``run`` on a folder with the same classes and patch size.

    ``part`` is train, val or test of the run's own split, ``all``, or ``auto``: test where ``data`` is the folder
    that the run was trained on, else all. Raises ``DataError`` for other classes or sizes, ``CheckpointError`` for
    a run of another kind.
    """
    meta, state = load_weights(run, kind="classifier")
    model = Classifier(ClassifierConfig.from_dict(meta["config"]))
    model.load_state_dict(state)
    classes: list[str] = meta["classes"]
    folder = PatchFolder.open(data, radiometry=Radiometry.from_dict(meta["radiometry"]))
    unknown = sorted(set(folder.classes) - set(classes))
    if unknown:
        raise DataError(f"{data}: class {', '.join(unknown)} is unknown to {run}, which knows {', '.join(classes)}")
    if list(folder.shape) != meta["shape"]:
        raise DataError(f"{data}: patches are {folder.shape} (C,H,W), but {run} was trained on {tuple(meta['shape'])}")
    indices, used = _part(run, data, folder, part)
    patches = load_patches(folder, indices)
    target = torch.tensor([classes.index(folder.classes[label]) for label in patches.labels.tolist()])
    result = scores(target, predict(model, patches), len(classes))
    return {
        "run": str(run),
        "data": str(data),
        "part": used,
        "patches": len(indices),
        "classes": classes,
        "notes": meta["problems"],
        **result,
    }


def _part(run: Path, data: Path, folder: PatchFolder, part: str) -> tuple[list[int], str]:
    everything = list(range(len(folder)))
    if part == "all":
        return everything, "all"
    home = next((p for p in (run, *run.parents) if (p / "split.json").is_file()), None)
    own = home is not None and _same_folder(home, folder)
    if part == "auto" and not own:
        return everything, "all"
    if home is None or not own:
        raise DataError(
            f"{data}: is not the folder that {run} was trained on, so it has no part '{part}'; use --part all"
        )
    wanted = "test" if part == "auto" else part
    if wanted not in PARTS:
        raise DataError(f"part must be one of {', '.join(PARTS)}, all or auto, got '{part}'")
    indices: list[int] = getattr(Split.load(home / "split.json"), wanted)
    if not indices:
        raise DataError(f"{data}: the split of {home} has no patches in its part '{wanted}'")
    return indices, wanted


def _same_folder(home: Path, folder: PatchFolder) -> bool:
    recorded = read_json(home / "run.json").get("config", {}).get("data_fingerprint")
    return bool(recorded == data_fingerprint(folder))
