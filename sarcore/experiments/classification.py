"""Train and evaluate a classifier on a folder of patches."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.data import PatchFolder, Split, check_leakage, patch_cache, split_by_scene
from sarcore.data.split import PARTS
from sarcore.engine import fit, load_weights, write_json
from sarcore.engine.distributed import is_main_process
from sarcore.errors import CheckpointError, DataError
from sarcore.experiments.patches import Patches, encoded, in_memory, mean_and_deviation
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import (
    RESULTS_FILE,
    check_same_data,
    chosen_weights,
    fit_facts,
    start_run,
    trained_on,
    weights_text,
)
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainClassifier
from sarcore.experiments.validations import classifier_validation
from sarcore.metrics.classification import (
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    overall_accuracy,
    per_class_recall,
)
from sarcore.models import Classifier, ClassifierConfig, load_backbone
from sarcore.models.reflectivity import domain_and_limits
from sarcore.ops import Radiometry, encode


def train_on(
    train: Dataset[tuple[Tensor, int]],
    reference: Patches,
    classes: list[str],
    config: TrainClassifier,
    run_dir: Path,
    progress: Progress,
    *,
    held_out: Patches | None = None,
    title: str = "classifier",
) -> tuple[Classifier, dict[str, Any]]:
    """Train on ``train``; return the classifier in evaluation mode and `fit_facts`; continues an interrupted run.

    ``reference`` gives the mean and deviation of the input normalisation (the real patches, so that two arms of a
    comparison are normalised alike). With ``held_out`` the classifier is that of the best checkpoint on them, else the
    last one. Raises ``CheckpointError`` when ``config.init`` cannot be used.
    """
    radiometry = reference.radiometry
    model_config = dataclasses.replace(
        config.model,
        channels=encoded(reference, [0]).shape[1],
        classes=len(classes),
        total_steps=config.fit.steps,
        **domain_and_limits(radiometry),
    )
    torch.manual_seed(config.fit.seed)
    mean, deviation = mean_and_deviation(reference)
    model = Classifier(model_config, data_mean=mean, data_std=max(deviation, 1e-6))
    if config.init != "random":
        load_backbone(model.backbone, read_initial_weights(config.init))
    progress.stage(title, config.fit.steps)
    meta = {
        "kind": "classifier",
        "config": model_config.to_dict(),
        "training": settings(config),
        "classes": classes,
        "radiometry": radiometry.to_dict(),
        "shape": list(encoded(reference, [0]).shape[1:]),
    }
    validation = None if held_out is None else classifier_validation(held_out, len(classes))
    run = functools.partial(fit, on_step=progress.step, on_note=progress.note)
    result = run(model, train, config.fit, run_dir, validation=validation, meta=meta)
    model.load_state_dict(load_weights(result.best or result.checkpoint, kind="classifier")[1])
    return model.eval(), fit_facts(result)


def read_initial_weights(source: str) -> dict[str, Tensor]:
    """Backbone weights from a file of ImageNet weights (.safetensors, .pth, .pt) or a folder with a sarcore run.

    Runs of `train classifier` and `train contrastive` have them.
    Pickled files are read with ``weights_only=True``. Raises ``CheckpointError`` with the path.
    """
    path = Path(source)
    if path.is_dir():
        state = chosen_weights(path, ("classifier", "contrastive"))[1]
        return {name.removeprefix("backbone."): t for name, t in state.items() if name.startswith("backbone.")}
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such weights; give 'random', a .safetensors or .pth file, or a sarcore run folder"
        )
    try:
        if path.suffix == ".safetensors":
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
def predict(model: Classifier, patches: Patches, *, batch: int = 32) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Predicted class index of every patch, shape (N,)."""
    model.eval()
    device, found = next(model.parameters()).device, []
    for start in range(0, len(patches), batch):
        images = patches.native(range(start, min(start + batch, len(patches))))[0]
        found.append(model.predict(encode(images.to(device), patches.radiometry)).argmax(dim=1).cpu())
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


def train_classifier(
    config: TrainClassifier, run_dir: Path, progress: Progress, *, resume: bool = True, repeats: Path | None = None
) -> dict[str, Any]:
    """Split by scene, train on the first part, choose on the second, score both and the third; write ``results.json``.

    ``repeats`` is a run whose data must be unchanged, and whose split is taken.
    """
    folder = PatchFolder.open(config.data)
    split = _split(config, folder, repeats)
    before = start_run(run_dir, config, folder, split, resume=resume, repeats=repeats)
    if 0 < before < config.fit.steps:
        progress.note(f"The learning rate falls until step {config.fit.steps} now; up to here it did until {before}.")
    for message in check_leakage(folder, split):
        progress.note(f"Leakage: {message}")
    for remark in _remarks(folder, split, config.val_fraction):
        progress.note(remark)
    whole = patch_cache(folder, on_note=progress.note)
    train, val, test = (in_memory(whole.subset(part)) for part in (split.train, split.val, split.test))
    held_out = val if split.val else None
    model, facts = train_on(train, train, folder.classes, config, run_dir, progress, held_out=held_out)
    results: dict[str, Any] = {"kind": "classifier", "data": str(config.data), "classes": folder.classes, **facts}
    if not is_main_process():
        return results
    for part, patches in (("val", val), ("test", test)):
        if len(patches):
            found = scores(patches.labels, predict(model, patches), len(folder.classes))
            results[part] = {"patches": len(patches), **found}
    write_json(run_dir / RESULTS_FILE, results)
    return results


def _remarks(folder: PatchFolder, split: Split, val_fraction: float) -> list[str]:
    """How many patches are for what, and which class the validation cannot judge."""
    counted = f"{len(split.train)} patches to train on, {len(split.val)} to validate, {len(split.test)} to test."
    if not split.val:
        none = "No scene was held out for the validation: the last checkpoint counts; raise --val-fraction."
        return [counted, *([none] if val_fraction else [])]
    unseen = sorted(set(range(len(folder.classes))) - set(folder.labels[split.val].tolist()))
    names = ", ".join(folder.classes[label] for label in unseen)
    missing = f"The validation has no patch of {names}: the best checkpoint is chosen without it; raise --val-fraction."
    return [counted, *([missing] if unseen else [])]


def _split(config: TrainClassifier, folder: PatchFolder, repeats: Path | None) -> Split:
    if repeats is not None:
        check_same_data(repeats, folder)
        return Split.load(repeats / "split.json")
    if config.split is not None:
        return _given_split(config.split, folder)
    val, test = config.val_fraction, config.test_fraction
    return split_by_scene(folder, (1.0 - (val + test), val, test), seed=0)


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
    meta, state = chosen_weights(run, "classifier")
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
    patches = in_memory(folder.subset(indices))
    target = torch.tensor([classes.index(folder.classes[label]) for label in patches.labels.tolist()])
    result = scores(target, predict(model, patches), len(classes))
    return {
        "run": str(run),
        "data": str(data),
        "part": used,
        "patches": len(indices),
        "classes": classes,
        "notes": meta["problems"],
        "weights": weights_text(meta),
        **result,
    }


def _part(run: Path, data: Path, folder: PatchFolder, part: str) -> tuple[list[int], str]:
    everything = list(range(len(folder)))
    if part == "all":
        return everything, "all"
    home = next((p for p in (run, *run.parents) if (p / "split.json").is_file()), None)
    own = home is not None and trained_on(home, folder)
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
