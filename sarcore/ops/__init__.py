"""The operators of sarcore, each registered as torch.ops.sarcore.<name>."""

from sarcore.ops.despeckle import despeckle
from sarcore.ops.encode import decode, encode, intensity
from sarcore.ops.extract_patches import extract_patches
from sarcore.ops.histogram import soft_histogram
from sarcore.ops.histogram_loss import histogram_loss
from sarcore.ops.joint_histogram import joint_histogram, mutual_information
from sarcore.ops.looks import enl, multilook
from sarcore.ops.merge_patches import merge_patches
from sarcore.ops.patch_grid import PatchGrid
from sarcore.ops.patch_merger import PatchMerger
from sarcore.ops.point_spread import point_spread
from sarcore.ops.radiometry import Radiometry
from sarcore.ops.resample import resample
from sarcore.ops.speckle import speckle, speckle_field

__all__ = [
    "PatchGrid",
    "PatchMerger",
    "Radiometry",
    "decode",
    "despeckle",
    "encode",
    "enl",
    "extract_patches",
    "histogram_loss",
    "intensity",
    "joint_histogram",
    "merge_patches",
    "multilook",
    "mutual_information",
    "point_spread",
    "resample",
    "soft_histogram",
    "speckle",
    "speckle_field",
]
