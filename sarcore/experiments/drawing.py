"""Load a trained generator and draw patches from it: either kind, any class, the same ones on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sarcore.errors import SarcoreError
from sarcore.experiments.patches import Filter, to_uint8
from sarcore.experiments.runs import chosen_weights
from sarcore.models import BEGAN, GAN, BEGANConfig, GANConfig
from sarcore.ops import resample

GenerativeModel: TypeAlias = BEGAN | GAN
"""What draws images from latent vectors."""
KINDS = ("began", "gan")
_DRAWN = 32  # latent vectors that are drawn together, whatever is generated at once: so a patch follows from its number
_ON_GPU = 8  # times as many are generated together there


def load_generator(run: Path) -> tuple[GenerativeModel, dict[str, Any]]:
    """Rebuild the generator of a run (its best checkpoint) or of a checkpoint, in evaluation mode, with its meta data.

    Runs of `sarcore train began` and of `sarcore train gan` are taken. Raises ``CheckpointError`` for a missing or
    damaged checkpoint and for one of another model.
    """
    meta, state = chosen_weights(run, KINDS)
    config = meta["config"]
    model = BEGAN(BEGANConfig.from_dict(config)) if meta["kind"] == "began" else GAN(GANConfig.from_dict(config))
    model.load_state_dict(state)
    return model.eval(), meta


def draw_patches(
    model: GenerativeModel,
    count: int,
    size: int,
    filter: Filter = "bicubic",
    *,
    label: int | None = None,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw ``count`` patches, upsample them to side ``size`` and round to 8 bit: uint8 (count,C,size,size).

    ``label`` is the class, which a conditional model needs and no other takes. Patch i follows from ``seed``, ``label``
    and i alone. ``on_batch`` hears how many are there.

    Raises ``ValueError`` when ``size`` is smaller than what the model generates, and for a label that it does not have.
    """
    out = torch.empty(count, model.config.channels, size, size, dtype=torch.uint8)
    done = 0
    for images in drawn(model, count, size, filter, label=label, seed=seed):
        out[done : done + len(images)] = images
        done += len(images)
        if on_batch is not None:
            on_batch(done)
    return out


@torch.no_grad()
def drawn(
    model: GenerativeModel,
    count: int,
    size: int,
    filter: Filter = "bicubic",
    *,
    label: int | None = None,
    seed: int = 0,
) -> Iterator[Tensor]:
    """What `draw_patches` gives, batch by batch, for sets larger than memory: uint8 (n,C,size,size) on the CPU."""
    _check(model, size, label, seed)
    device = next(model.parameters()).device
    together = _DRAWN if device.type == "cpu" else _DRAWN * _ON_GPU
    own = class_seed(seed, label)
    source = torch.Generator().manual_seed(own)
    for start in range(0, count, together):
        n = min(together, count - start)
        z = torch.cat([model.latent(_DRAWN, source) for _ in range(-(-n // _DRAWN))])[:n]
        labels = None if label is None else torch.full((n,), label, device=device)
        made = model.generate(z, labels, seed=own, index=torch.arange(start, start + n, device=device)).float()
        if not bool(torch.isfinite(made).all()):
            raise SarcoreError("the generator drew values that are not finite; take another checkpoint of the run")
        yield to_uint8(resample(made, size, mode=filter, range=(0.0, 1.0))).cpu()


def class_seed(seed: int, label: int | None) -> int:
    """The seed of a class: patches of two classes must not share latent vectors and speckle by their number.

    >>> class_seed(7, None), class_seed(7, 0) != class_seed(7, 1)
    (7, True)
    """
    if label is None:
        return seed
    return int(np.random.SeedSequence((seed, label)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _check(model: GenerativeModel, size: int, label: int | None, seed: int) -> None:
    config = model.config
    if size < config.size:
        raise ValueError(f"the model makes patches of side {config.size}; ask for at least that, not {size}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    if config.classes and label is None:
        raise ValueError(f"the model has {config.classes} classes; give the label of one, 0 to {config.classes - 1}")
    if label is not None and not 0 <= label < config.classes:
        has = f"has the labels 0 to {config.classes - 1}" if config.classes else "knows no classes, leave the label out"
        raise ValueError(f"label is {label}, and the model {has}")
