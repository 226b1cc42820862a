"""Any function of patches over a whole scene, in constant memory, resumable, with the scene's georeference."""

from sarcore.inference.run_scene import run_scene
from sarcore.inference.scene_arguments import check_output
from sarcore.inference.scene_filters import (
    estimated_looks,
    lost_georeference,
    rounding_for,
    scene_domain,
)
from sarcore.inference.translate import translate_images, translate_scene
from sarcore.inference.translate_folder import translate_folder
from sarcore.inference.translator import Translator

__all__ = [
    "Translator",
    "check_output",
    "estimated_looks",
    "lost_georeference",
    "rounding_for",
    "run_scene",
    "scene_domain",
    "translate_folder",
    "translate_images",
    "translate_scene",
]
