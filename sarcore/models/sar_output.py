"""The end of a generator of SAR images: reflectivity, and the physical speckle that a radar would multiply it with."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from sarcore.models.reflectivity import SpeckleOutput, physical
from sarcore.models.translation import from_network, to_network
from sarcore.models.translation_config import TranslationConfig
from sarcore.nn import SpeckleLayer
from sarcore.ops import Radiometry


def physical_radiometry(config: TranslationConfig, radiometry: Radiometry) -> Radiometry:
    """What the encoded SAR images of a set stand for: what the set declares, else what `unit_a` and `limits_a` say.

    Without either, grey values are amplitudes, as in 8-bit quicklooks, and decibels where they are negative. The limits
    are those that become 0 and 1: of 8-bit images that show -25 to 0 dB, (-25, 0).

    >>> physical_radiometry(TranslationConfig(unit_a="db", limits_a=(-25, 0)), Radiometry("digital", 0, 255)).low
    -25.0

    Raises:
        ValueError: a unit that contradicts the declared one, or limits that are none of the unit.
    """
    unit, limits = config.unit_a, config.limits_a
    if radiometry.unit != "digital":
        if unit is not None and (unit != radiometry.unit or limits not in (None, (radiometry.low, radiometry.high))):
            raise ValueError(
                f"The SAR images are declared to be {radiometry.unit} ({radiometry.scale} from {radiometry.low:g} to "
                f"{radiometry.high:g}), unit_a says {unit}; leave out unit_a and limits_a."
            )
        return radiometry
    low, high = limits or (radiometry.low, radiometry.high)
    if unit == "db" and limits is None and low >= 0 and (low, high) in ((0, 255), (0, 65535)):
        raise ValueError("Grey values are no decibels; give limits_a, the decibels of black and white, such as -25 0.")
    return physical(dataclasses.replace(radiometry, low=low, high=high), unit)


class SarOutput(SpeckleOutput):
    """Make SAR images of what a generator paints, both (N, C, H, W) in [-1, 1]: that itself, or speckled reflectivity.

    >>> import torch
    >>> x = torch.zeros(1, 1, 8, 8)
    >>> SarOutput(TranslationConfig(), None)(x) is x
    True

    Args:
        config: `speckle_looks` and `learn_looks`; None for a model that makes no SAR images.
        radiometry: of the SAR images; None is amplitude with the limits 0 and 1.

    Raises:
        ValueError: speckle for a radiometry of no physical unit (``digital``).
    """

    def __init__(self, config: TranslationConfig | None, radiometry: Radiometry | None) -> None:
        layer = None
        if config is not None and config.speckle_looks is not None:
            layer = SpeckleLayer(config.speckle_looks, learned=config.learn_looks, radiometry=radiometry)
        super().__init__(layer)

    def forward(
        self, painted: Tensor, index: Tensor | None = None, *, seed: int = 0, origin: tuple[int, int] = (0, 0)
    ) -> Tensor:
        if self.layer is None:
            return painted
        return to_network(self.layer(from_network(painted), seed=seed, index=index, origin=origin))

    def typical(self, painted: Tensor) -> Tensor:
        """The median of the speckled images of a reflectivity, for L1 losses against real images.

        A difference in L1 is least at the median, and the median of speckle lies below its mean of 1: compared with the
        reflectivity itself, the loss would darken it by that much, and the layer would once more. Of L looks the median
        is (1 - 1 / (9 L))^3, to 1.5 % for L >= 1 (Wilson and Hilferty, 1931).
        """
        layer = self.layer
        if layer is None:
            return painted
        radiometry = layer.radiometry
        scale, span = radiometry.scale or radiometry.unit, radiometry.high - radiometry.low
        median = (1.0 - 1.0 / (9.0 * self.looks().to(painted.device))).clamp(min=1e-3) ** 3
        value = radiometry.low + span * from_network(painted)
        if scale == "db":
            value = value + 10.0 * median.log10()
        else:
            value = value * (median if scale == "intensity" else median.sqrt())
        return to_network((value - radiometry.low) / span)
