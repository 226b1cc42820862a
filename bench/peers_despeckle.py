"""The peers of `despeckle`: the Lee filter as packages and users write it. Intensities, float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from peers import load

Filter = Callable[[torch.Tensor, int, float], torch.Tensor]  # (x, window, looks)


# ------ packages and compositions on the CPU


def scipy_lee() -> Filter | None:
    """Two `scipy.ndimage.uniform_filter` and NumPy: the forums' recipe with the weight for speckle. One thread."""
    ndimage = load("scipy.ndimage")
    if ndimage is None:
        return None

    def plane(image: np.ndarray, window: int, looks: float) -> np.ndarray:
        mean = ndimage.uniform_filter(image, window)
        variance = ndimage.uniform_filter(image**2, window) - mean**2
        weight = np.maximum(0, 1 - mean**2 / (looks * variance))
        return mean + weight * (image - mean)

    return _planewise(plane)


def opencv_lee() -> Filter | None:
    """`cv2.blur`, `cv2.sqrBoxFilter` and OpenCV's arithmetic, in place where it can be."""
    cv2 = load("cv2")
    if cv2 is None:
        return None

    def plane(image: np.ndarray, window: int, looks: float) -> np.ndarray:
        size, border = (window, window), cv2.BORDER_REFLECT_101
        mean = cv2.blur(image, size, borderType=border)
        variance = cv2.sqrBoxFilter(image, cv2.CV_32F, size, borderType=border)
        weight = cv2.multiply(mean, mean)
        cv2.subtract(variance, weight, dst=variance)
        cv2.divide(weight, variance, dst=weight, scale=1 / looks)
        cv2.subtract(1.0, weight, dst=weight)
        cv2.max(weight, 0.0, dst=weight)
        out = cv2.subtract(image, mean, dst=variance)
        cv2.multiply(out, weight, dst=out)
        return cv2.add(out, mean, dst=out)

    cv2.setNumThreads(torch.get_num_threads())
    return _planewise(plane)


def findpeaks_lee() -> Filter | None:
    """`findpeaks.lee_filter`. It rounds its results to whole numbers: the images are stretched to thousands first."""
    findpeaks = load("findpeaks")
    return None if findpeaks is None else _loop(findpeaks.lee_filter)


def python_lee() -> Filter:
    """findpeaks' loop: mean and deviation of a window by NumPy, pixel after pixel."""

    def plane(image: np.ndarray, window: int, cu: float) -> np.ndarray:
        image, out, half = np.float64(image), np.zeros(image.shape), window // 2
        for i, j in np.ndindex(image.shape):
            # One row and one column less than the window has, as there.
            around = image[max(i - half, 0) : i + half, max(j - half, 0) : j + half]
            mean = around.mean()
            ci = around.std() / mean
            weight = 0.0 if cu > ci else 1 - (cu / ci) ** 2
            out[i, j] = round(image[i, j] * weight + mean * (1 - weight))
        return out

    return _loop(plane)


def _loop(filter_plane: Callable[[np.ndarray, int, float], np.ndarray]) -> Filter:
    def plane(image: np.ndarray, window: int, looks: float) -> np.ndarray:
        return (filter_plane(image * 1000, window, looks**-0.5) / 1000).astype(np.float32)

    return _planewise(plane)


def _planewise(plane: Callable[[np.ndarray, int, float], np.ndarray]) -> Filter:
    """A filter of one (H, W) array, for (N, C, H, W) tensors."""

    def call(x: torch.Tensor, window: int, looks: float) -> torch.Tensor:
        images = x.numpy().reshape(-1, *x.shape[2:])
        if len(images) == 1:
            return torch.from_numpy(plane(images[0], window, looks)).view(x.shape)
        out = np.empty_like(images)
        for image, result in zip(images, out, strict=True):
            result[:] = plane(image, window, looks)
        return torch.from_numpy(out).view(x.shape)

    return call


# ------ PyTorch


def torchgeo_lee() -> Filter | None:
    """`torchgeo.transforms.sar.lee_filter` (announced for torchgeo 0.10)."""
    sar = load("torchgeo.transforms.sar")
    return None if sar is None else sar.lee_filter


def box_mean(x: torch.Tensor, window: int) -> torch.Tensor:
    """The mean over windows that reflect at the border, by a convolution per channel."""
    half, channels = window // 2, x.shape[1]
    weights = x.new_full((channels, 1, window, window), 1 / window**2)
    return F.conv2d(F.pad(x, (half, half, half, half), mode="reflect"), weights, groups=channels)


def torch_lee(x: torch.Tensor, window: int, looks: float) -> torch.Tensor:
    """torchgeo's formula: two convolutions and about twelve elementwise operations."""
    mean = box_mean(x, window)
    variance = (box_mean(x * x, window) - mean * mean).clamp_min(0)
    speckle = mean * mean / looks
    signal = (variance - speckle).clamp_min(0)
    return mean + signal / (signal + speckle + 1e-8) * (x - mean)


def torch_kuan(x: torch.Tensor, window: int, looks: float) -> torch.Tensor:
    """Kuan's weight in the same way: what our row of that name is compared with."""
    mean = box_mean(x, window)
    variance = box_mean(x * x, window) - mean * mean
    weight = (1 - mean * mean / (looks * variance)).clamp_min(0) / (1 + 1 / looks)
    return mean + weight * (x - mean)
