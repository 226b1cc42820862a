"""Images, scenes of any size, patch folders, splits by scene, tiling, and the simulator of synthetic scenes."""

from sarcore.data.fingerprint import data_fingerprint
from sarcore.data.folder import PatchFolder
from sarcore.data.images import IMAGE_SUFFIXES, read_image, write_image
from sarcore.data.leakage import check_leakage
from sarcore.data.limits import percentile_limits, scene_limits, scene_radiometry, scene_unit
from sarcore.data.near_duplicates import near_duplicates
from sarcore.data.pair_crops import write_pair_crops
from sarcore.data.pair_folder import PairedFolder
from sarcore.data.pair_split import check_pairs, link_parts, split_pairs, write_manifest
from sarcore.data.pair_views import PairViews, scene_shifts
from sarcore.data.patch_cache import patch_cache
from sarcore.data.patch_set import write_patch_set
from sarcore.data.scene import Scene
from sarcore.data.scene_dataset import SceneWindows
from sarcore.data.scene_writer import SceneWriter
from sarcore.data.simulator import (
    SIMULATED_CLASSES,
    SIMULATED_RADIOMETRY,
    simulate_reflectivity,
    simulate_scene,
    write_simulated,
)
from sarcore.data.split import Split, split_by_scene
from sarcore.data.split_blocks import split_by_blocks
from sarcore.data.units import UnitGuess, check_unit, detect_unit
from sarcore.data.unpaired_folder import UnpairedFolder

__all__ = [
    "IMAGE_SUFFIXES",
    "SIMULATED_CLASSES",
    "SIMULATED_RADIOMETRY",
    "PairViews",
    "PairedFolder",
    "PatchFolder",
    "Scene",
    "SceneWindows",
    "SceneWriter",
    "Split",
    "UnitGuess",
    "UnpairedFolder",
    "check_leakage",
    "check_pairs",
    "check_unit",
    "data_fingerprint",
    "detect_unit",
    "link_parts",
    "near_duplicates",
    "patch_cache",
    "percentile_limits",
    "read_image",
    "scene_limits",
    "scene_radiometry",
    "scene_shifts",
    "scene_unit",
    "simulate_reflectivity",
    "simulate_scene",
    "split_by_blocks",
    "split_by_scene",
    "split_pairs",
    "write_image",
    "write_manifest",
    "write_pair_crops",
    "write_patch_set",
    "write_simulated",
]
