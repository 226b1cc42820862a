"""The layers of Keras-GAN in NumPy, as TensorFlow defines them: channels last, 'same' padding, weights (h, w, in, out).

An independent statement of the graphs that the document builds, for comparison with the library's networks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Norm = Callable[[Array], Array]


def conv2d_same(x: Array, kernel: Array, bias: Array, stride: int) -> Array:
    """Convolution with padding 'same' of images (N, H, W, C): what cannot be halved is added below and to the right."""
    padding = [(0, 0)]
    for side, size in zip(x.shape[1:3], kernel.shape[:2], strict=True):
        outputs = -(-side // stride)
        total = max((outputs - 1) * stride + size - side, 0)
        padding.append((total // 2, total - total // 2))
    windows = sliding_window_view(np.pad(x, [*padding, (0, 0)]), kernel.shape[:2], axis=(1, 2))
    return np.einsum("nyxcij,ijco->nyxo", windows[:, ::stride, ::stride], kernel) + bias


def leaky_relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def upsample(x: Array) -> Array:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def instance_normalization(x: Array, gamma: float = 1.0, beta: float = 0.0) -> Array:
    """keras_contrib's InstanceNormalization(axis=None): every axis but the batch's, epsilon beside the deviation."""
    axes = (1, 2, 3)
    return gamma * (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-3) + beta


def batch_normalization(x: Array) -> Array:
    """BatchNormalization of a training step, with first weights."""
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3)


def kernel_of(conv: torch.nn.Conv2d) -> tuple[Array, Array]:
    """Weights of a torch convolution as Keras keeps them."""
    return conv.weight.detach().numpy().transpose(2, 3, 1, 0), conv.bias.detach().numpy()


def unet(convs: list[tuple[Array, Array]], x: Array, levels: int, norm: Norm, bare_first: bool) -> Array:
    """The document's generators: `levels` down, `levels` - 1 up with skips, the image; `convs` in that order."""
    rest = iter(convs)
    downs = []
    for level in range(levels):
        x = leaky_relu(conv2d_same(x, *next(rest), 2))
        x = x if level == 0 and bare_first else norm(x)
        downs.append(x)
    for skip in downs[-2::-1]:
        x = np.maximum(conv2d_same(upsample(x), *next(rest), 1), 0)
        x = np.concatenate((norm(x), skip), axis=3)
    return np.tanh(conv2d_same(upsample(x), *next(rest), 1))


def discriminator(convs: list[tuple[Array, Array]], x: Array, norm: Norm) -> Array:
    """The document's discriminators."""
    for number, conv in enumerate(convs[:-1]):
        x = leaky_relu(conv2d_same(x, *conv, 2))
        x = x if number == 0 else norm(x)
    return conv2d_same(x, *convs[-1], 1)
