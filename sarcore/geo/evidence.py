"""Whether a registration is right: three kinds of evidence, none of which is enough by itself.

Mismatched images, SAR of one place and optical of another, have a best place too. Measured on such pairs and on real
pairs that were warped (bench/register_study.py): at wrong places the ratio reached 1.23, the tiles 7 sigma and the
information 3.4 sigma, but never two of them together; at right ones one may be missing where the others are clear.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sarcore.geo.search import Limits
from sarcore.geo.similarity import Array

LEAST = 3.0  # confidence
_RATIO, _SIGNIFICANCE, _INFORMATION = 1.15, 5.0, 5.0  # what counts one
_MOST = 2.0  # that one kind of evidence counts


class Evidence(NamedTuple):
    """Agreement over that of the best other place, significance of the tiles, and of the mutual information."""

    ratio: float
    significance: float
    information_z: float

    @property
    def confidence(self) -> float:
        """The sum of what each says: log ratio / log 1.15, and sigmas / 5, each from -2 to 2.

        >>> Evidence(1.15, 5.0, 5.0).confidence, Evidence(100.0, 0.0, 0.0).confidence
        (3.0, 2.0)
        """
        ratio = math.log(max(self.ratio, 1e-9)) / math.log(_RATIO)
        kinds = (ratio, self.significance / _SIGNIFICANCE, self.information_z / _INFORMATION)
        return sum(max(-_MOST, min(_MOST, kind)) for kind in kinds)

    def reasons(self, shift: Array, degrees: float, scale: float, limits: Limits) -> tuple[str, ...]:
        """What speaks against the transform, in sentences; nothing if it is right."""
        found = []
        if not limits.hold(shift, degrees, scale):
            found.append(
                f"the best place lies beyond the limits (shift {shift[0]:.0f}, {shift[1]:.0f} px, rotation "
                f"{degrees:.1f} degrees, scale {scale:.2f})"
            )
        if self.confidence < LEAST:
            weak = [
                text
                for text, enough in (
                    (f"agreement is {self.ratio:.2f} times that of another place", self.ratio >= _RATIO),
                    (f"tiles agree by {self.significance:.1f} sigma", self.significance >= _SIGNIFICANCE),
                    (f"mutual information by {self.information_z:.1f}", self.information_z >= _INFORMATION),
                )
                if not enough
            ]
            found.append(f"the confidence is {self.confidence:.1f} and must be {LEAST:g}: {', '.join(weak)}")
        return tuple(found)
