"""Images, patch folders, splits by scene, tiling, and the simulator of synthetic scenes."""

from sarcore.data.folder import PatchFolder
from sarcore.data.images import IMAGE_SUFFIXES, read_image, write_image
from sarcore.data.raster import Raster, read_raster, write_raster
from sarcore.data.simulator import (
    SIMULATED_CLASSES,
    SIMULATED_RADIOMETRY,
    simulate_reflectivity,
    simulate_scene,
    write_simulated,
)
from sarcore.data.split import Split, check_leakage, split_by_scene
from sarcore.data.tiles import tile_scene

__all__ = [
    "IMAGE_SUFFIXES",
    "SIMULATED_CLASSES",
    "SIMULATED_RADIOMETRY",
    "PatchFolder",
    "Raster",
    "Split",
    "check_leakage",
    "read_image",
    "read_raster",
    "simulate_reflectivity",
    "simulate_scene",
    "split_by_scene",
    "tile_scene",
    "write_image",
    "write_raster",
    "write_simulated",
]
