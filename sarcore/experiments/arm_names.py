"""The names of the arms of the studies of classifiers, which the command line shows without loading what trains."""

from __future__ import annotations

from typing import Literal, TypeAlias

ArmName: TypeAlias = Literal["none", "flips", "speckle", "gan", "both", "synthetic_only"]
CurveArm: TypeAlias = Literal["none", "flips", "speckle", "gan", "both"]
Target: TypeAlias = Literal["largest", "rarest", "all"]
GeneratorKind: TypeAlias = Literal["gan", "began"]
