"""What a translation shows of itself while it trains: fixed samples as rows of pictures under titles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SampleSheet:
    """Rows of images (C, H, W) in [0, 1] of any channels under one title per column, and what of it was translated.

    >>> import torch
    >>> SampleSheet(("Condition", "Generated"), [("AtoB", [torch.rand(1, 8, 8), torch.rand(3, 8, 8)])], {}).columns
    ('Condition', 'Generated')
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, Sequence[Tensor]]]
    """Direction and images of every row."""
    translated: Mapping[str, Tensor]
    """All translations (N, C, H, W) by direction: they are compared with real images of the same domain."""
