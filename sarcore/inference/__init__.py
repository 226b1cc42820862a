"""Operators on whole image files: read, filtered strip by strip, written with their tags."""

from sarcore.inference.image_filter import (
    FilteredImage,
    check_output,
    detected,
    estimated_looks,
    filter_image,
    open_image,
    save_image,
)

__all__ = [
    "FilteredImage",
    "check_output",
    "detected",
    "estimated_looks",
    "filter_image",
    "open_image",
    "save_image",
]
