"""A history of generated images, from which a discriminator is shown as many old ones as new ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Hand on images (N, C, H, W), about half of them replaced by earlier ones.

    The first `capacity` images are kept and handed on as they are. From then on each image, in the order of the batch,
    changes places with a random one of the pool with probability 1/2: that one is handed on, and the new one is kept.
    The pool is part of the state dict, and the draws are given, so that a resumed run sees the same images.

    >>> pool = ImagePool((1, 8, 8), capacity=4)
    >>> draws = pool.sample(6, torch.Generator().manual_seed(0))
    >>> pool(torch.rand(6, 1, 8, 8), draws).shape, int(pool.count)
    (torch.Size([6, 1, 8, 8]), 4)

    In a training step: `pool(step.join(fakes).detach(), step.draw(pool.sample, n))`, once per step with the whole batch
    of the process. Processes that train together (torch.distributed) fill one pool: all see the images of all, so
    every process holds the same, and what comes out does not depend on how many share the batch.

    Args:
        shape: (C, H, W) of an image.
        capacity: images that are kept; 0 hands everything on unchanged.

    Raises:
        ValueError: a negative capacity; images or draws of another shape.
        TypeError: images of a wider type than the pool.

    Source: Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training",
    arXiv 1612.07828, section 2.3; one by one as in Zhu et al., arXiv 1703.10593.
    """

    images: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int], capacity: int = 50) -> None:
        super().__init__()
        if capacity < 0:
            raise ValueError(f"capacity is {capacity}; give the number of images to keep, or 0 for no pool.")
        if len(shape) != 3:
            raise ValueError(f"shape is {tuple(shape)}; give (channels, height, width).")
        self.capacity = capacity
        self.register_buffer("images", torch.zeros(capacity, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def extra_repr(self) -> str:
        return f"{tuple(self.images.shape[1:])}, capacity={self.capacity}"

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws (n, 2) for n images: whether to change places (0 or 1), and with which place of the pool."""
        if not self.capacity:
            return torch.zeros(n, 2, dtype=torch.int64)
        swap = torch.randint(2, (n,), generator=generator)
        return torch.stack((swap, torch.randint(self.capacity, (n,), generator=generator)), dim=1)

    @torch.no_grad()
    def forward(self, images: Tensor, draws: Tensor) -> Tensor:
        """Images (N, C, H, W) to show, without gradient and in the type of the pool."""
        self._check(images, draws)
        if not self.capacity:
            return images.detach()
        images = images.detach().to(self.images.dtype)
        mine = slice(0, images.shape[0])
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            start = dist.get_rank() * images.shape[0]
            mine = slice(start, start + images.shape[0])
            images, draws = _of_all(images), _of_all(draws)
        return self._exchange(images, draws)[mine]

    def _exchange(self, images: Tensor, draws: Tensor) -> Tensor:
        # One after the other, yet without a loop and without the host waiting for the device: who finds whom in a
        # place follows from a table of N x N.
        number = torch.arange(images.shape[0], device=images.device)
        filling = self.count + number < self.capacity
        place = torch.where(filling, self.count + number, draws[:, 1])
        swaps = ~filling & draws[:, 0].bool()
        kept = filling | swaps
        same = (place[:, None] == place) & kept
        found = torch.where(same & (number < number[:, None]), number, -1).amax(dim=1)  # last one there before me
        last = torch.where(same, number, -1).amax(dim=1)  # last one there at all
        old = self.images[place]
        before = torch.where(_rows(found >= 0), images[found.clamp(min=0)], old)
        # Images that share a place all write the same there: the order of the writes does not matter.
        self.images.index_copy_(0, place, torch.where(_rows(last >= 0), images[last.clamp(min=0)], old))
        self.count.add_(images.shape[0]).clamp_(max=self.capacity)
        return torch.where(_rows(swaps), before, images)

    def _check(self, images: Tensor, draws: Tensor) -> None:
        if images.shape[1:] != self.images.shape[1:]:
            raise ValueError(
                f"The pool holds images of {tuple(self.images.shape[1:])}, a batch of {tuple(images.shape)} was given."
            )
        if draws.shape != (images.shape[0], 2):
            raise ValueError(
                f"draws are {tuple(draws.shape)} for {images.shape[0]} images; give step.draw(pool.sample, n)."
            )
        if torch.promote_types(images.dtype, self.images.dtype) != self.images.dtype:
            raise TypeError(f"The pool keeps {self.images.dtype}, images of {images.dtype} were given; convert either.")


def _rows(mask: Tensor) -> Tensor:
    return mask[:, None, None, None]


def _of_all(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks."""
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
