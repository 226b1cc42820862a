"""Labelled samples as one picture: titles above, images of any channels in cells of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sarcore.models.sample_sheet import SampleSheet

SHEET = "samples/sheet.json"  # columns, rows, header and cell of the pictures of a run
LATENT = "latent/latent.json"  # what the pictures of a generator between its training patches show
_HEADER = 18  # pixels above the images, for the titles
_PADDING = 2


def sheet_picture(sheet: SampleSheet) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """One picture (H', W') or, where an image has three channels, (H', W', 3), and its layout for the page.

    Images of other channels than three are grey, their first channel. Cells have the size of the largest image. NaN is
    black; values outside [0, 1] are clipped. The layout names columns and rows, the pixels above the images, and the
    height, width and padding of a cell.

    >>> import torch
    >>> images = [torch.rand(1, 8, 8), torch.rand(3, 8, 8)]
    >>> picture, layout = sheet_picture(SampleSheet(("Condition", "Generated"), [("AtoB", images)], {}))
    >>> picture.shape, layout["columns"], layout["rows"]
    ((30, 22, 3), ['Condition', 'Generated'], ['AtoB'])
    """
    cells = [[_pixels(image) for image in images] for _, images in sheet.rows]
    height = max(cell.shape[0] for row in cells for cell in row)
    width = max(cell.shape[1] for row in cells for cell in row)
    coloured = any(cell.shape[2] == 3 for row in cells for cell in row)
    down, across = height + _PADDING, width + _PADDING
    shape = (_HEADER + _PADDING + len(cells) * down, _PADDING + len(sheet.columns) * across, 3 if coloured else 1)
    picture = np.zeros(shape, dtype=np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            top, left = _HEADER + _PADDING + i * down, _PADDING + j * across
            picture[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    picture[:_HEADER] = _titles(sheet.columns, shape[1], across)[..., None]
    layout = {
        "columns": list(sheet.columns),
        "rows": [direction for direction, _ in sheet.rows],
        "header": _HEADER,
        "cell": [height, width, _PADDING],
    }
    return picture if coloured else picture[:, :, 0], layout


def _pixels(image: Tensor) -> npt.NDArray[np.uint8]:
    shown = image.detach().float().cpu()
    shown = (shown if shown.shape[0] == 3 else shown[:1]).nan_to_num(0.0).clamp(0.0, 1.0)
    return np.asarray((shown * 255).round().permute(1, 2, 0).numpy().astype(np.uint8))


def _titles(titles: tuple[str, ...], width: int, across: int) -> npt.NDArray[np.uint8]:
    """White on black, each above its column and cut where it is too long for it."""
    strip = np.zeros((_HEADER, width), dtype=np.uint8)
    font = ImageFont.load_default()
    for i, title in enumerate(titles):
        left = _PADDING + i * across
        label = Image.new("L", (across - _PADDING, _HEADER))
        ImageDraw.Draw(label).text((1, 2), title, fill=255, font=font)
        strip[:, left : left + label.width] = np.asarray(label)
    return strip
