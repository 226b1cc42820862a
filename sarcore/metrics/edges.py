"""How well the edges of an image survive: where they are, and how strong."""

from __future__ import annotations

import torch


def edge_correlation(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Correlation of two images' edges: 1 where a filter gave back the edges of the reference, 0 where none is left.

    >>> x = torch.rand(2, 1, 32, 32)
    >>> edge_correlation(x, x).tolist()
    [1.0, 1.0]

    With D the 3 x 3 Laplacian (8 in the centre, -1 around it) of the pixels inside the border,

        sum (D image - mean)(D reference - mean) / sqrt(sum (D image - mean)^2 sum (D reference - mean)^2)

    over the pixels whose 3 x 3 neighbours are all valid (no NaN) in both.

    Args:
        image, reference: (N, C, H, W), floating, one unit; H and W at least 3.

    Returns:
        (N,) float64, -1 to 1; NaN where one of them is constant.

    Raises:
        ValueError: shapes differ or are too small.

    Source: Sattar, Floreby, Salomonsson, Lovstrom, Image enhancement based on a nonlinear multiscale method, IEEE TIP
    6(6), 1997.
    """
    first, second = (_laplacian(x) for x in _pair(image, reference))
    known = ~(first.isnan() | second.isnan())
    pixels = known.sum(1, keepdim=True)
    a, b = (torch.where(known, x, 0) for x in (first, second))
    a, b = (torch.where(known, x - x.sum(1, keepdim=True) / pixels, 0) for x in (a, b))
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()


def edge_preservation_index(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Strength of an image's edges against its reference's: 1 where they are as strong, 0 where none is left.

    >>> x = torch.rand(2, 1, 32, 32)
    >>> edge_preservation_index(x / 2, x).tolist()
    [0.5, 0.5]

    The sum of |x[i, j] - x[i + 1, j]| + |x[i, j] - x[i, j + 1]| over the image by that over the reference. Above 1
    edges are sharper, or there is more noise: look at `edge_correlation` as well.

    Args:
        image, reference: (N, C, H, W), floating, one unit; H and W at least 3. Neighbours one of which is NaN in
            either image do not count.

    Returns:
        (N,) float64, 0 or more; NaN where the reference is constant or no pair of neighbours is valid.

    Raises:
        ValueError: shapes differ or are too small.

    Source: Han, Guo and Wang, Edge preservation evaluation of digital speckle filters, IGARSS 2002.
    """
    x, y = _pair(image, reference)
    sums = []
    for dim in (2, 3):
        first, second = (z.double().diff(dim=dim).abs() for z in (x, y))
        known = ~(first.isnan() | second.isnan())
        sums.append([torch.where(known, z, 0).flatten(1).sum(1) for z in (first, second)])
    above, below = (rows + columns for rows, columns in zip(*sums, strict=True))
    return torch.where(below > 0, above / below, torch.nan)


def _pair(image: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if image.shape != reference.shape or image.ndim != 4 or min(image.shape[-2:]) < 3:
        raise ValueError(
            "image and reference must be (N, C, H, W) of one shape, 3 x 3 pixels or larger, got "
            f"{tuple(image.shape)} and {tuple(reference.shape)}"
        )
    return image.detach(), reference.detach()


def _laplacian(x: torch.Tensor) -> torch.Tensor:
    wide = x.double()
    around = torch.nn.functional.avg_pool2d(wide, 3, stride=1) * 9
    return (9 * wide[:, :, 1:-1, 1:-1] - around).flatten(1)
