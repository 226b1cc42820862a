"""Features of SAR patches, learnt without labels, for the discriminators of GANs; studies share them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarcore.engine import FitConfig
from sarcore.experiments.contrastive import pretrain_on
from sarcore.experiments.patches import Patches, encoded
from sarcore.experiments.progress import Progress
from sarcore.experiments.train_kinds import TrainContrastive
from sarcore.models.contrastive import ContrastiveConfig

WIDTH = 16
PRETRAINING = "pretraining"
_BATCH = 64


@dataclass(frozen=True)
class PretrainingCell:
    """The features of all GANs of a study: they are learnt from the same patches, and no label plays a part.

    >>> PretrainingCell().name
    'pretraining'
    """

    @property
    def name(self) -> str:
        """Where it lies in the folder of the study; the run is the ``features`` of the GANs."""
        return PRETRAINING


def pretrain_features(
    patches: Patches,
    config: FitConfig,
    run_dir: Path,
    progress: Progress,
    *,
    data: Path,
    width: int = WIDTH,
    held_out: Patches | None = None,
    title: str = "features",
) -> dict[str, Any]:
    """Pre-train a ResNet-18 in ``run_dir``; returns `fit_facts` and the ``batch_size``; continues an interrupted run.

    Of ``config`` count the steps, the seed, the device and the arithmetic. ``data`` is the folder that the patches are
    of, for the record. Raises what `pretrain_on` raises.
    """
    fit = FitConfig(
        steps=config.steps,
        batch_size=min(_BATCH, len(patches)),
        seed=config.seed,
        checkpoint_every=250,
        accelerator=config.accelerator,
        precision=config.precision,
        channels_last=config.channels_last,
    )
    model = ContrastiveConfig(depth=18, width=width)
    training = TrainContrastive(data, size=encoded(patches, [0]).shape[-1], model=model, fit=fit)
    facts = pretrain_on(patches, training, run_dir, progress, held_out=held_out, title=title)
    return {**facts, "batch_size": fit.batch_size}
