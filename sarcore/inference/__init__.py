"""Operators on whole image files: read, filtered strip by strip, written with their tags."""

from sarcore.inference.image_filter import FilteredImage, estimated_looks, filter_image, open_image, save_image

__all__ = ["FilteredImage", "estimated_looks", "filter_image", "open_image", "save_image"]
