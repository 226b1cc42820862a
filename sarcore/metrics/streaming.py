"""What the metrics on torchmetrics share: float64 sums that add up over batches and processes, and counted no-data."""

from __future__ import annotations

from typing import Any

import torch
import torchmetrics


class Streaming(torchmetrics.Metric):
    """A metric whose state is float64 sums; `left_out` counts the no-data pixels (NaN) that it did not see."""

    is_differentiable = False
    full_state_update = False
    left_out: torch.Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Before any state: a process that saw nothing gives an empty tensor of this type to the others.
        self.set_dtype(torch.float64)
        self.add_state("left_out", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add_sum(self, name: str, *shape: int, dtype: torch.dtype = torch.float64) -> None:
        """A state that starts at zero and is summed over processes."""
        self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")


class PairMetric(Streaming):
    """The mean over images of a number for each pair of an image and its reference."""

    total: torch.Tensor
    images: torch.Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("total")
        self.add_sum("images", dtype=torch.int64)

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(N,) float64, NaN for images that do not count."""
        raise NotImplementedError

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add images (N, C, H, W) and their references, of one shape and unit. NaN is no-data."""
        values = self.per_image(preds, target)
        known = ~values.isnan()
        self.total += values[known].sum()
        self.images += known.sum()
        self.left_out += (preds.isnan() | target.isnan()).sum()

    def compute(self) -> torch.Tensor:
        """Mean over the images so far; NaN before the first."""
        return self.total / self.images


class SetMetric(Streaming):
    """A distance between two sets of images: sums of each side, told apart by `real`."""

    higher_is_better = False

    def add_sums(self, name: str, *shape: int) -> None:
        """The states `real_<name>` and `generated_<name>`."""
        for side in ("real", "generated"):
            self.add_sum(f"{side}_{name}", *shape)

    def add(self, name: str, real: bool, values: torch.Tensor | float) -> None:
        """Add to a side's state."""
        state: torch.Tensor = getattr(self, f"{'real' if real else 'generated'}_{name}")
        state += values

    def sides(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A state of the real images, and that of the generated ones."""
        return getattr(self, f"real_{name}"), getattr(self, f"generated_{name}")

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        """Add what a batch of one side has to say."""
        raise NotImplementedError

    def update(self, images: torch.Tensor, real: bool) -> None:
        """Add images (N, C, H, W) to the real ones or to the generated ones. NaN is no-data."""
        if not isinstance(real, bool):
            raise TypeError(f"real must be True for real images and False for generated ones, got {real!r}")
        self.sums_of(images, real)
        self.left_out += images.isnan().sum()
