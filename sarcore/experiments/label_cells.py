"""The cells of the studies over shares of the labels, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LabelCell:
    """A classifier that was given a share of the labels.

    >>> LabelCell(5.0, "flips", 0).name, LabelCell(2.5, "flips", 1).name
    ('fraction_05/flips/seed_0', 'fraction_2.5/flips/seed_1')
    """

    fraction: float
    """Percent of the labels of the training scenes."""
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Where it lies in the folder of the study."""
        return f"{fraction_name(self.fraction)}/{self.arm}/seed_{self.seed}"


def fraction_name(fraction: float) -> str:
    """The folder of a share of the labels, in percent."""
    return f"fraction_{fraction:02g}"


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise ValueError unless the shares are different percentages.

    >>> check_fractions((1, 100))
    """
    if not fractions or any(not 0.0 < share <= 100.0 for share in fractions) or len(set(fractions)) < len(fractions):
        raise ValueError(f"fractions must be different percentages above 0 and up to 100, got {tuple(fractions)}")
