"""The network of a run as one file of another program's format, with what its values mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sarcore.engine import find_checkpoint
from sarcore.errors import CheckpointError
from sarcore.experiments.drawing import load_generator
from sarcore.experiments.export import Exported, Format, checked_path, export_network
from sarcore.experiments.runs import chosen_weights, read_json, weights_text
from sarcore.experiments.translation import load_translator
from sarcore.models import Classifier, ClassifierConfig
from sarcore.models.translation import Direction, from_network, to_network

IMAGES = {0: "batch", 2: "height", 3: "width"}
NO_SPECKLE = "none: this is the reflectivity, which the model multiplies with speckle"
_REFLECTIVITY = (
    "The speckle layer is not part of the file, which gives the reflectivity; multiply it with sarcore.ops.speckle"
)


class UnitRange(nn.Module):
    """Images in [0, 1] through a generator that works on [-1, 1].

    >>> UnitRange(nn.Tanh())(torch.full((1, 1, 2, 2), 0.5)).unique().tolist()
    [0.5]
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return from_network(self.network(to_network(images))).clamp(0.0, 1.0)


class Clipped(nn.Module):
    """The images of a generator as `BEGAN.reflectivity` gives them: clipped to [0, 1]."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.generator(z)).clamp(0.0, 1.0)


def export_run(
    run: Path, out: Path, format: Format, *, direction: Direction | None = None
) -> tuple[Exported, list[str]]:
    """Write the network of a run's best checkpoint, and say what there is to say about it.

    A CycleGAN or Pix2Pix: images (N, C, H, W) of any size in [0, 1], as the source's radiometry encodes them, to
    images in [0, 1] of the target's; both radiometries are in the metadata. A classifier: images in [0, 1] to logits.
    A BEGAN: latent vectors (N, Z) in [-1, 1] to patches in [0, 1], or to reflectivity where speckle multiplies it. The
    graph is that of the evaluation: no dropout.

    Args:
        run: folder of a run, or of one of its checkpoints.
        out: the file, ``.onnx`` or ``.pt2``; one that is there is replaced.
        format: ``onnx``, or ``torch`` for `torch.export`.
        direction: ``AtoB`` (SAR to optical) or ``BtoA``; a Pix2Pix has only one.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one of the other direction.
        ValueError: a suffix that is not the format's; a direction that is missing or has no meaning.
        SarcoreError: packages are missing, the network cannot be exported, or the file gives other values.
    """
    out = checked_path(Path(out), format)
    kind = str(read_json(find_checkpoint(Path(run))[0] / "meta.json").get("kind"))
    if kind in ("cyclegan", "pix2pix"):
        return _translation(run, out, format, direction)
    if direction is not None:
        raise ValueError(f"{run} is a {kind}, which has no direction; leave --direction out")
    others: dict[str, Callable[[Path, Path, Format], tuple[Exported, list[str]]]]
    others = {"classifier": _classifier, "began": _began}
    if kind not in others:
        known = ", ".join(("cyclegan", "pix2pix", *others))
        raise CheckpointError(f"{run} is a checkpoint of {kind}; what can be exported are {known}")
    return others[kind](run, out, format)


def _translation(run: Path, out: Path, format: Format, direction: Direction | None) -> tuple[Exported, list[str]]:
    translator = load_translator(run, direction)
    notes = [f"Weights: {translator.weights}"]
    metadata: dict[str, Any] = {
        "kind": translator.kind,
        "direction": translator.direction,
        "weights": translator.weights,
        "input": {"shape": ["N", translator.channels[0], "H", "W"], "radiometry": translator.source.to_dict()},
        "output": {"shape": ["N", translator.channels[1], "H", "W"], "radiometry": translator.target.to_dict()},
    }
    if translator.speckle is not None:
        metadata["output"]["speckle"] = NO_SPECKLE
        notes.append(f"{_REFLECTIVITY}, or take sarcore translate.")
    step = int(getattr(translator.network, "multiple", 1))
    step *= -(-32 // step)  # the fewest multiples that are a picture
    inputs = _images(
        translator.channels[0],
        [(2, 2 * step - 1, step + 3), (1, step, step), (3, step // 2 + 1, 2 * step + 2), (1, 1, 5)],
    )
    network = UnitRange(translator.network.cpu())
    return export_network(network, inputs, out, format, dynamic=IMAGES, metadata=metadata), notes


def _classifier(run: Path, out: Path, format: Format) -> tuple[Exported, list[str]]:
    meta, state = chosen_weights(run, "classifier")
    config = ClassifierConfig.from_dict(meta["config"])
    model = Classifier(config)
    model.load_state_dict(state)
    _, height, width = meta["shape"]
    metadata: dict[str, Any] = {
        "kind": "classifier",
        "weights": weights_text(meta),
        "input": {"shape": ["N", config.channels, "H", "W"], "radiometry": meta["radiometry"]},
        "output": {"shape": ["N", config.classes], "classes": meta["classes"], "meaning": "logits"},
    }
    sizes, dynamic = [(2, height, width), (1, 2 * height + 3, width + 8), (3, 64, 96)], IMAGES
    if config.size:  # the windows of the means are numbers of the graph
        sizes, dynamic = [(2, height, width), (3, height, width)], {0: IMAGES[0]}
        metadata["input"]["shape"] = ["N", config.channels, height, width]
    exported = export_network(model, _images(config.channels, sizes), out, format, dynamic=dynamic, metadata=metadata)
    return exported, [*meta["problems"], f"Weights: {weights_text(meta)}"]


def _began(run: Path, out: Path, format: Format) -> tuple[Exported, list[str]]:
    model, meta = load_generator(run)
    config = model.config
    if config.classes:
        raise CheckpointError(f"{run} draws by class, and what is exported has one input; take sarcore generate.")
    notes = [*meta["problems"], f"Weights: {weights_text(meta)}"]
    metadata: dict[str, Any] = {
        "kind": "began",
        "weights": weights_text(meta),
        "input": {"shape": ["N", config.latent], "meaning": "latent vectors, uniform in [-1, 1]"},
        "output": {"shape": ["N", config.channels, config.size, config.size], "radiometry": meta["radiometry"]},
    }
    if config.speckle != "none":
        metadata["output"]["speckle"] = NO_SPECKLE
        notes.append(f"{_REFLECTIVITY}, or take sarcore generate.")
    inputs = [model.latent(n, torch.Generator().manual_seed(n)) for n in (2, 1, 5)]
    exported = export_network(Clipped(model.generator), inputs, out, format, dynamic={0: "batch"}, metadata=metadata)
    return exported, notes


def _images(channels: int, sizes: list[tuple[int, int, int]]) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    return [torch.rand(n, channels, height, width, generator=draws) for n, height, width in sizes]
