"""Weights that a study is given: which they are, whether they fit, and whether they know what it is to test on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from sarcore.data import PatchFolder, Split
from sarcore.errors import DataError
from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.classification import read_initial_weights
from sarcore.experiments.runs import RUN_FILE, chosen_weights, recorded_config, trained_on
from sarcore.models import load_backbone
from sarcore.models.resnet import ResNet


def check_training(training: ArmTraining, folder: PatchFolder, source: str | None = None) -> str | None:
    """Try the settings of classifiers on the patches, before anything is written: the `fingerprint` of their weights.

    ``source`` replaces the first weights of the settings; of random ones the fingerprint is None. Raises ``ValueError``
    for patches that are smaller than the ``size`` of the settings, ``CheckpointError`` for weights of another network.
    """
    longest = max(folder.shape[1:])
    if training.size > longest:
        raise ValueError(f"size must be at most the side of the patches, {longest} pixels; {training.size} was given")
    source = training.init if source is None else source
    if source == "random":
        return None
    weights = read_initial_weights(source)
    load_backbone(ResNet(training.depth, channels=folder.shape[0], classes=2, width=training.width), weights)
    return fingerprint(weights)


def fingerprint(weights: dict[str, Tensor]) -> str:
    """The first 16 digits of the SHA-256 of all names and values.

    >>> fingerprint({"a": torch.zeros(2)}) == fingerprint({"a": torch.ones(2)})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def check_given(run: Path, folder: PatchFolder, split: Split) -> list[str]:
    """Raise ``DataError`` where a given run learnt from test patches; remarks where that cannot be known.

    The run that its own first weights came from is looked at, too. A file of weights, which says nothing, is let pass.
    """
    if not run.is_dir():
        return []
    home, remarks = _home(run), []
    if home is None or not trained_on(home, folder):
        remarks.append(
            f"{run} was trained on other data than {folder.root}, or does not say on which: it may know test patches."
        )
    else:
        own, test = Split.load(home / "split.json"), set(split.test)
        for verb, part in (("learnt from", own.train), ("was chosen by", own.val)):
            if seen := len(set(part) & test):
                raise DataError(
                    f"{run}: {verb} {seen} of the {len(test)} test patches, so it would give away the test; take one "
                    "that a study with the same --split-seed and --test-fraction trained"
                )
    return [*remarks, *(check_given(_first_weights(home), folder, split) if home else [])]


def check_labels(run: Path, folder: PatchFolder) -> list[str]:
    """A remark where a given run is a classifier that learnt labels of the folder, which a study is to hide."""
    home = _home(run) if run.is_dir() else None
    if home is None or not trained_on(home, folder):
        return []
    if chosen_weights(run, ("classifier", "contrastive"))[0]["kind"] == "classifier":
        return [f"{run} learnt from labels of {folder.root}: it knows some of those that are to be unknown."]
    return check_labels(_first_weights(home), folder)


def _home(run: Path) -> Path | None:
    """The folder of the run, or of the study that it is a part of."""
    return next((place for place in (run, *run.resolve().parents) if (place / "split.json").is_file()), None)


def _first_weights(home: Path) -> Path:
    config = recorded_config(home) if (home / RUN_FILE).is_file() else {}
    source = config.get("init") or config.get("classifier", {}).get("init") or "random"
    return Path(source)
