"""Networks that want sizes of a multiple, on images of any size: reflected to the right and below, then cropped."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def padded_size(size: int, multiple: int, minimum: int = 1) -> int:
    """Return the side that an image of side ``size`` is padded to: the next multiple, at least ``minimum``.

    >>> padded_size(80, 4), padded_size(700, 256), padded_size(1, 4, 8)
    (80, 768, 8)
    """
    count, least = (size + multiple - 1) // multiple, (minimum + multiple - 1) // multiple
    # In this form torch.export sees of a symbolic size, too, that the result is a multiple.
    return multiple * (count if least <= 1 else torch.sym_max(count, least))


def pad_reflect(x: Tensor, height: int, width: int) -> Tensor:
    """Continue images (..., H, W) to the right and below by reflection about the last pixel, as often as it takes.

    >>> pad_reflect(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 1, 8)
    tensor([[[[1., 2., 3., 2., 1., 2., 3., 2.]]]])

    The result (..., height, width) begins with x: a pixel keeps its place, so tiles that begin at a multiple are
    sampled as the whole image is. Channels-last images stay so.
    """
    kept = torch.channels_last if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) else None
    x = x.index_select(-2, _reflected(x.shape[-2], height, x.device))
    x = x.index_select(-1, _reflected(x.shape[-1], width, x.device))
    return x if kept is None else x.contiguous(memory_format=kept)


def _reflected(size: int, padded: int, device: torch.device) -> Tensor:
    period = torch.sym_max(2 * size - 2, 1)
    # A tensor, because ONNX has no remainder by a number that is known at run time alone.
    place = torch.arange(padded, device=device) % torch.full((1,), period, device=device)
    return torch.minimum(place, period - place)


def at_any_size(network: Callable[[Tensor], Tensor], x: Tensor, multiple: int, minimum: int = 1) -> Tensor:
    """Apply a network of images of sides ``multiple`` times n, at least ``minimum``, to images of any size.

    >>> at_any_size(torch.nn.PixelUnshuffle(2), torch.zeros(1, 1, 5, 1), 2).shape  # of a size that fits
    torch.Size([1, 4, 3, 1])

    x is (N, C, H, W). Where the size fits, this is the network and nothing else. Else the image is padded by
    `pad_reflect` and the result cropped to H x W (to no more than it has, where the network makes smaller images).

    A program that torch.export makes takes all sizes: it always pads, by nothing where the size fits.
    """
    height, width = x.shape[-2:]
    # A graph must not branch on its sizes, nor ask whether a cropped view is contiguous.
    exporting = getattr(torch.compiler, "is_exporting", bool)()  # from torch 2.7 on
    if not exporting and height % multiple == 0 and width % multiple == 0 and min(height, width) >= minimum:
        return network(x)
    padded = pad_reflect(x, padded_size(height, multiple, minimum), padded_size(width, multiple, minimum))
    if not exporting:
        return network(padded)[..., :height, :width]
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    return network(padded).index_select(-2, rows).index_select(-1, columns)


def check_images(x: Tensor, channels: int) -> None:
    """Raise ``ValueError`` unless x is a batch (N, channels, H, W)."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"images must be (N, {channels}, H, W), a tensor of {tuple(x.shape)} was given.")
