"""Runs made of the weights that junyanz/pytorch-CycleGAN-and-pix2pix saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sarcore.engine.checkpoint import save_checkpoint
from sarcore.errors import CheckpointError
from sarcore.experiments.translation import new_task
from sarcore.models import CycleGANConfig, Pix2Pix, Pix2PixConfig, load_junyanz
from sarcore.models.translation import Direction
from sarcore.ops import Radiometry

GREY_VALUES = Radiometry("digital", 0.0, 255.0)  # 8-bit images, which that project maps to [-1, 1]


def import_junyanz(
    folder: str | Path, out: str | Path, *, direction: Direction = "AtoB", epoch: str = "latest"
) -> Path:
    """Make a run of ``<epoch>_net_G_A.pth`` and ``_G_B.pth`` (CycleGAN) or ``<epoch>_net_G.pth`` (Pix2Pix).

    >>> import tempfile; from sarcore.models import UNetGenerator
    >>> folder = Path(tempfile.mkdtemp())
    >>> torch.save(UNetGenerator(1, 3, width=4, levels=2).state_dict(), folder / "latest_net_G.pth")
    >>> import_junyanz(folder, folder / "run").name
    'step_000000'

    ``sarcore translate`` and ``export`` take the run, in the place of one of `sarcore train`; channels, width, blocks
    or levels, normalisation and dropout are read from the weights. Discriminators, which translate nothing, stay
    untrained. ``direction`` is that of a Pix2Pix. Images are 8 bit. Returns the checkpoint's folder.

    Raises CheckpointError for a missing file, one that cannot be read, or one of networks that are not known here.
    """
    folder, out = Path(folder), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists and is not an empty folder; give another one")
    cycle = (folder / f"{epoch}_net_G_A.pth").is_file()
    files = [folder / f"{epoch}_net_{name}.pth" for name in (("G_A", "G_B") if cycle else ("G",))]
    states = [_read(file) for file in files]
    found = [_settings(state, file) for state, file in zip(states, files, strict=True)]
    (first, second), rest = found[0][0], found[0][1]
    if cycle and found[1] != ((second, first), rest):
        raise CheckpointError(f"{files[0]} and {files[1]} are of two different networks; give those of one training")
    a, b = (first, second) if cycle or direction == "AtoB" else (second, first)
    common: dict[str, Any] = {"channels_a": a, "channels_b": b, **rest}
    config = CycleGANConfig(**common, pool=0) if cycle else Pix2PixConfig(**common, direction=direction)
    task = new_task(config, GREY_VALUES)
    networks: list[nn.Module] = [task.g] if isinstance(task, Pix2Pix) else [task.g_ab, task.g_ba]
    for network, state in zip(networks, states, strict=True):
        load_junyanz(network, state)
    meta = {
        "kind": "cyclegan" if cycle else "pix2pix",
        "config": config.to_dict(),
        "radiometry_a": GREY_VALUES.to_dict(),
        "radiometry_b": GREY_VALUES.to_dict(),
        "training": {"imported_from": [str(file) for file in files]},
        **({} if cycle else {"direction": direction}),
    }
    return save_checkpoint(out, 0, task, {}, meta)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return {key.removeprefix("module."): value for key, value in state.items()}
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no {file}; give the folder of a training in checkpoints, and its epoch"
        ) from None
    except Exception as error:  # the reader raises many kinds, and all mean the same here
        raise CheckpointError(f"{file} cannot be read as a state dict ({str(error).splitlines()[0]})") from error


def _settings(state: Mapping[str, Tensor], file: Path) -> tuple[tuple[int, int], dict[str, Any]]:
    """Channels (in, out) of a generator, and the settings that its weights show."""
    if "model.1.weight" in state:
        first = state["model.1.weight"]
        outer = [key for key, value in state.items() if re.fullmatch(r"model\.\d+\.weight", key) and value.ndim == 4]
        last = state[max(outer, key=lambda key: int(key.split(".")[1]))]
        depth = sum(key.endswith(".conv_block.1.weight") for key in state)
        # Dropout moves the second convolution of a block from place 5 to 6.
        dropout = depth > 0 and not any(key.endswith(".conv_block.5.weight") for key in state)
        found = {"generator": "resnet", "depth": depth, "norm": _norm(state, "model.1.bias"), "dropout": dropout}
        return (first.shape[1], last.shape[0]), {"width": first.shape[0], **found}
    if "model.model.0.weight" in state and "model.model.3.weight" in state:
        first, last = state["model.model.0.weight"], state["model.model.3.weight"]
        levels = sum(value.ndim == 4 for value in state.values()) // 2
        # Dropout leaves no trace in these weights, and translations are made without.
        found = {"generator": "unet", "depth": levels, "norm": _norm(state, "model.model.0.bias"), "dropout": False}
        return (first.shape[1], last.shape[1]), {"width": first.shape[0], **found}
    raise CheckpointError(f"{file} holds no generator of that project (resnet or unet); give its *_net_G*.pth files")


def _norm(state: Mapping[str, Tensor], bias: str) -> str:
    if bias in state:  # that project's convolutions have one in front of instance normalisation alone
        return "instance"
    return "batch" if any(key.endswith(".weight") and value.ndim == 1 for key, value in state.items()) else "none"
