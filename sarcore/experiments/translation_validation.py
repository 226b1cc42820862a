"""What a translation is judged by while it runs: held-out images, against their partners where they have any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics import Metric

from sarcore.engine import Validation
from sarcore.metrics import MAE, PSNR, SSIM, ENLError, HistogramEMD, SpectralDistance
from sarcore.models.translation import Direction, opposite
from sarcore.ops import Radiometry

SHORT: dict[Direction, str] = {"AtoB": "ab", "BtoA": "ba"}
BATCH = 4  # whole images, which are larger than the crops of the training
# Pictures of a radar without a declared unit show amplitudes, as 8-bit quicklooks do.
DOMAINS = {"digital": "amplitude", "amplitude": "amplitude", "intensity": "intensity", "db": "db"}


class Translating(Protocol):
    """What is judged: `CycleGAN`, `Pix2Pix`, or a baseline."""

    def translate(self, images: Tensor, direction: Direction, *, index: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) in [0, 1] of the other domain; the numbers ``index`` (N,) key their speckle."""


class HeldOutPairs(Dataset[tuple[Tensor, Tensor, int]]):
    """Whole images of both domains with their number, which keys the speckle of what is made from them."""

    def __init__(self, pairs: Dataset[tuple[Tensor, Tensor]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)  # type: ignore[arg-type]  # map-style

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        a, b = self._pairs[index]
        return a, b, index


class EncodedENLError(ENLError):
    """`ENLError` of encoded SAR images, in the unit that their radiometry declares."""

    def __init__(self, radiometry: Radiometry) -> None:
        super().__init__(domain=DOMAINS[str(radiometry.scale)])
        self.low, self.high = radiometry.low, radiometry.high

    def update(self, images: Tensor, real: bool) -> None:
        """Add images (N, C, H, W) in [0, 1]."""
        super().update(images * (self.high - self.low) + self.low, real)


def translation_validation(
    pairs: Dataset[tuple[Tensor, Tensor]],
    directions: Sequence[Direction],
    radiometry_a: Radiometry,
    *,
    paired: bool = True,
    one_size: bool = True,
) -> Validation:
    """Translations of whole held-out images against their partners, or as a set against the set of the other domain.

    For every direction ``psnr``, ``ssim`` and ``mae`` against the partner, ``spectrum`` (decibels) and ``emd`` (grey
    values) against the set, ``enl_error`` of SAR images. With two directions their names end in ``_ab`` and ``_ba``,
    and ``cycle`` is the mean absolute difference of an image and its translation back. The lowest ``mae`` is the best,
    the mean of both directions; without partners the lowest ``cycle``, which says that nothing was lost, and nothing of
    how it looks.
    """
    both = len(directions) > 1
    metrics: dict[str, Metric] = {}
    for direction in directions:
        end = f"_{SHORT[direction]}" if both else ""
        found = dict(_against_partners() if paired else {}) | _against_the_set(direction, radiometry_a)
        metrics.update({f"{name}{end}": metric for name, metric in found.items()})
    if both:
        metrics |= {"cycle": MAE(), **({"mae": MAE()} if paired else {})}

    def step(task: nn.Module, batch: Any, found: Mapping[str, Metric]) -> None:
        for direction in directions:
            _judge(cast(Translating, task), batch, direction, found, both, paired)

    monitor = "mae" if paired else "cycle"
    return Validation(HeldOutPairs(pairs), metrics, step, monitor, "min", BATCH if one_size else 1)


def _against_partners() -> dict[str, Metric]:
    return {"psnr": PSNR(), "ssim": SSIM(), "mae": MAE()}


def _against_the_set(direction: Direction, radiometry_a: Radiometry) -> dict[str, Metric]:
    looks = {"enl_error": EncodedENLError(radiometry_a)} if direction == "BtoA" else {}
    return {"spectrum": SpectralDistance(), "emd": HistogramEMD(), **looks}


def _judge(
    task: Translating, batch: Any, direction: Direction, metrics: Mapping[str, Metric], both: bool, paired: bool
) -> None:
    a, b, numbers = batch
    source, target = (a, b) if direction == "AtoB" else (b, a)
    made = task.translate(source, direction, index=numbers).float()
    end = f"_{SHORT[direction]}" if both else ""
    for name in ("spectrum", "emd", "enl_error"):
        if name + end in metrics:
            metrics[name + end].update(target, real=True)
            metrics[name + end].update(made, real=False)
    if paired:
        for name in ("psnr", "ssim", "mae"):
            metrics[name + end].update(made, target)
    if both:
        metrics["cycle"].update(task.translate(made, opposite(direction), index=numbers).float(), source)
    if both and paired:
        metrics["mae"].update(made, target)


class Constant(nn.Module):
    """A baseline that has learnt nothing but the mean of the target domain: every translation is that colour.

    >>> Constant(torch.tensor([0.5]), torch.tensor([0.1, 0.2, 0.3])).translate(torch.rand(2, 1, 4, 4), "AtoB").shape
    torch.Size([2, 3, 4, 4])
    """

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.colours: dict[Direction, Tensor] = {"AtoB": b, "BtoA": a}

    def translate(self, images: Tensor, direction: Direction, *, index: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Images of the size of ``images``, all alike."""
        colour = self.colours[direction].to(images)
        return colour.view(1, -1, 1, 1).expand(len(images), -1, *images.shape[2:])


def mean_colours(pairs: Dataset[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean of every channel over all images of both domains, NaN left out: (Ca,), (Cb,), float64."""
    sums = [torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)]
    for i in range(len(pairs)):  # type: ignore[arg-type]  # map-style
        for side, image in enumerate(pairs[i]):
            values = image.flatten(1).double()
            known = ~values.isnan()
            sums[side] = sums[side] + torch.stack((values.nansum(1), known.sum(1).double()))
    return sums[0][0] / sums[0][1], sums[1][0] / sums[1][1]
