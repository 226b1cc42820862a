"""The suspected causes of the paper's failure: each brought into what works, and taken out of what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sarcore.models import BEGANConfig
from sarcore.models.began_config import PresetName


@dataclass(frozen=True)
class Switch:
    """One preset with one suspected cause changed.

    >>> ABLATION[0].name, dict(ABLATION[0].changes)
    ('sarcore_hard_histogram', {'histogram_kernel': 'hard'})
    """

    preset: PresetName
    """What it starts from, and is compared with."""
    change: str
    """What is done to it, in a word."""
    asks: str
    """The question that the comparison answers."""
    changes: Mapping[str, Any]
    """The settings of `BEGANConfig` that differ from those of the preset."""

    @property
    def name(self) -> str:
        """That of its folder: the preset, and what is changed of it."""
        return f"{self.preset}_{self.change}"

    def config(self, **overrides: Any) -> BEGANConfig:
        """The settings of the model, with single fields replaced as in `BEGANConfig.preset`."""
        return BEGANConfig.preset(self.preset, **{**self.changes, **overrides})


def _swapped(asks: str, fields: tuple[str, ...], *, sarcore: str, marmanis: str) -> tuple[Switch, Switch]:
    """Either preset with these settings of the other, and what each of the two is called."""
    ours, theirs = BEGANConfig.preset("sarcore"), BEGANConfig.preset("marmanis")
    return (
        Switch("sarcore", sarcore, asks, {name: getattr(theirs, name) for name in fields}),
        Switch("marmanis", marmanis, asks, {name: getattr(ours, name) for name in fields}),
    )


def _in_both(change: str, asks: str, **changes: Any) -> tuple[Switch, Switch]:
    """Either preset with settings that none of them has."""
    return Switch("sarcore", change, asks, changes), Switch("marmanis", change, asks, changes)


ABLATION: tuple[Switch, ...] = (
    *_swapped(
        "Does it need a histogram that has a gradient?",
        ("histogram_kernel",),
        sarcore="hard_histogram",
        marmanis="soft_histogram",
    ),
    *_in_both("counts", "Does it matter that histograms are shares and not counts?", histogram_normalize="count"),
    *_swapped(
        "Does k need a balance that is free of the scale of the loss?",
        ("scale_free_k", "lambda_k"),
        sarcore="raw_k",
        marmanis="scale_free_k",
    ),
    *_swapped("Do ReLU outputs die?", ("output",), sarcore="relu", marmanis="softplus"),
    *_in_both("linear", "Does it need outputs without negative values?", output="linear"),
    *_swapped(
        "Does it matter where the outputs start?",
        ("output_bias",),
        sarcore="no_bias",
        marmanis="bias",
    ),
    *_swapped("Does the histogram need an L1 part beside it?", ("l1_weight",), sarcore="no_l1", marmanis="l1"),
    *_swapped("Does the diversity ratio decide?", ("gamma",), sarcore="low_gamma", marmanis="high_gamma"),
    *_swapped("Does the optimizer decide?", ("lr", "betas", "eps"), sarcore="slow_adam", marmanis="fast_adam"),
    *_swapped("Do more convolutions help?", ("extra_convs",), sarcore="deeper", marmanis="shallower"),
    *_in_both("speckle", "Does it help that speckle is multiplied, not drawn?", speckle="fixed"),
)
"""All of them; speckle is that of the training patches, as everywhere where looks are 0."""
