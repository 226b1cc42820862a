"""The peers of `resample`: PyTorch's own, Pillow and OpenCV image after image, and two matrix products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from peers import load

Resample = Callable[[torch.Tensor], torch.Tensor]  # (N, C, H, W) -> (N, C, size, size)
# By `resample`'s names. When growing, Pillow's bicubic has a = -0.5 where PyTorch, OpenCV and sarcore have -0.75.
PILLOW = {
    "up": {"bilinear": "BILINEAR", "lanczos": "LANCZOS"},
    "down": {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos": "LANCZOS"},
}
OPENCV = {
    "up": {"bilinear": "INTER_LINEAR", "bicubic": "INTER_CUBIC", "lanczos": "INTER_LANCZOS4"},
    "down": {"area": "INTER_AREA"},
}


def torch_resample(mode: str, size: int, shrinks: bool) -> Resample:
    """`F.interpolate`, antialiased when shrinking; its Lanczos is always antialiased and for the CPU alone."""
    options: dict[str, bool] = {}
    if mode in ("bilinear", "bicubic", "lanczos"):
        options = {"align_corners": False, "antialias": shrinks or mode == "lanczos"}
    return lambda x: F.interpolate(x, size=(size, size), mode=mode, **options)


def matrix_resample(mode: str, before: int, size: int, device: str) -> Resample:
    """The expert's way: resampling is linear along each side, so it is a matrix (size, before) from both sides."""
    unit = torch.eye(before)[None, None]
    options: dict[str, bool] = {}
    if mode in ("bilinear", "bicubic", "lanczos"):
        options = {"align_corners": False, "antialias": size < before or mode == "lanczos"}
    matrix = F.interpolate(unit, size=(size, before), mode=mode, **options)[0, 0].to(device)
    return lambda x: matrix @ x @ matrix.t()


def doubled(x: torch.Tensor) -> torch.Tensor:
    """The nearest pixel at twice the size: one copy of a view."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def pillow_resample(mode: str, size: int, shrinks: bool) -> Resample | None:
    """`PIL.Image.resize` of 32-bit images, one after the other. It antialiases when shrinking."""
    image, name = load("PIL.Image"), PILLOW["down" if shrinks else "up"].get(mode)
    if image is None or name is None:
        return None
    filter_ = image.Resampling[name]
    return _loop(lambda plane: np.asarray(image.fromarray(plane).resize((size, size), filter_)), size)


def opencv_resample(mode: str, size: int, shrinks: bool) -> Resample | None:
    """`cv2.resize`, one image after the other. Its Lanczos has eight taps where ours and Pillow's have six."""
    cv2, name = load("cv2"), OPENCV["down" if shrinks else "up"].get(mode)
    if cv2 is None or name is None:
        return None
    cv2.setNumThreads(torch.get_num_threads())
    code = getattr(cv2, name)
    return _loop(lambda plane: cv2.resize(plane, (size, size), interpolation=code), size)


def _loop(resize: Callable[[np.ndarray], np.ndarray], size: int) -> Resample:
    def call(x: torch.Tensor) -> torch.Tensor:
        planes = x.numpy().reshape(-1, *x.shape[2:])
        out = np.empty((len(planes), size, size), np.float32)
        for plane, result in zip(planes, out, strict=True):
            result[:] = resize(plane)
        return torch.from_numpy(out).view(*x.shape[:2], size, size)

    return call
