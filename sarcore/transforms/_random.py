"""What the random transforms share: what a sample gets follows from a seed and the sample's number."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import nn
from torch.utils.data import get_worker_info

from sarcore.ops import _checks, _radar, speckle_field

Interval: TypeAlias = tuple[float, float]
Index: TypeAlias = "int | Sequence[int] | torch.Tensor | None"


class _Item:
    def __init__(self, seed: int) -> None:
        self.seed = seed


_item: _Item | None = None  # the item of a data set that is being read


@contextlib.contextmanager
def draws_of_item(seed: int) -> Iterator[None]:
    """Within the block an item is read: what transforms draw without ``index`` follows from this number as well.

    Each of them counts the samples of the item from 0, so that a transform may be called several times for one item.
    """
    global _item  # datasets call their transforms with an image and nothing else
    before, _item = _item, _Item(seed)
    try:
        yield
    finally:
        _item = before


class Draw(NamedTuple):
    """The random numbers of one call: those of the samples ``number``, (N,) or the first one's, under ``seed``."""

    number: int | Sequence[int] | torch.Tensor
    seed: int
    salt: str

    def uniforms(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """Numbers in (0, 1], (N, count) float64 on the device of the batch x, the same for a sample in any batch.

        exp(-g) of single-look speckle g is uniform, and the speckle op draws it for a whole batch by the samples'
        numbers, without waiting for the device. In float64 the exponentials of CPU and CUDA differ in the last bit
        only, which rounding to float32 removes again.
        """
        shape = (x.shape[0], 1, 1, count)
        g = speckle_field(shape, seed=self.own_seed(), index=self.number, device=x.device)
        return torch.exp(-g.double()).reshape(x.shape[0], count)

    def own_seed(self, *purpose: str) -> int:
        """A seed for one purpose of one class: two classes of one seed, or two purposes, draw independent numbers."""
        return _mixed(self.seed, self.salt, *purpose)


class RandomTransform(nn.Module):
    """Base of the random transforms: their seed, and the numbers of the samples.

    >>> class RandomGain(RandomTransform):
    ...     def change(self, x, draw):
    ...         return x * draw.uniforms(x, 1).to(x.dtype)[..., None, None]
    >>> gain, batch = RandomGain(seed=7), torch.ones(4, 1, 8, 8)
    >>> torch.equal(gain(batch, index=[3, 0, 1, 2])[0], gain(batch[0], index=3))
    True

    A sample's random numbers are Philox words keyed by (seed, epoch) and counted by the sample's number: they do not
    depend on its place in a batch, on the device or on how many workers load the data.

    Args:
        seed: 0 <= seed < 2^64. None: drawn once, now, from torch's global generator, so that it follows
            torch.manual_seed; ``print(transform)`` shows it. Two transforms of one class and seed draw the same.

    Called with ``x``, (C, H, W) or (N, C, H, W), and ``index``: the number of the sample, or of the first one of the
    batch, or one per sample, (N,), 0 to 2^32 - 1: its place in the data set. Without ``index`` the transform counts the
    samples it sees, from 0. In the worker processes of a DataLoader that count must differ between workers: then the
    draws are reproducible from torch.manual_seed, but depend on the number of workers. Pass ``index`` there. Within an
    item that `sarcore.engine.fit` reads nothing is counted on: the draws follow from the item's place in the run.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011 (Philox).
    """

    def __init__(self, seed: int | None = None, p: float = 1.0) -> None:
        super().__init__()
        if seed is None:
            seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_())
        self.seed = _checks.integer(seed, "seed", 0, 2**64 - 1)
        self.p = probability(p)
        self._read: _Item | None = None
        self._count = 0  # samples of that item
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Other draws for the same samples, as a new pass over the data wants them; the count starts at 0 again.

        Call it before the loop over the loader. The workers of a loader with ``persistent_workers`` do not hear of it.
        """
        self.epoch = _checks.integer(epoch, "epoch", 0, 2**63 - 1)
        self._key = _mixed(self.seed, self.epoch) if epoch else self.seed
        self._seen = 0

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """The transform of a batch (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define change(x, draw)")

    def forward(self, x: torch.Tensor, index: Index = None) -> torch.Tensor:
        """Transform (C, H, W) or (N, C, H, W); `index` numbers the samples."""
        batch = as_batch(x)
        out = self.change(batch, self._draw(batch.shape[0], index))
        return out.squeeze(0) if x.ndim == 3 else out

    def _draw(self, samples: int, index: Index) -> Draw:
        salt = type(self).__name__
        if index is not None:
            if isinstance(index, torch.Tensor) and index.ndim == 0:
                index = index.reshape(1)
            return Draw(index, self._key, salt)
        if _item is not None:
            if self._read is not _item:
                self._read, self._count = _item, 0
            first, self._count = self._count, self._count + samples
            return Draw(first, _mixed(self._key, "item", _item.seed), salt)
        first, self._seen = self._seen, (self._seen + samples) % 2**31
        worker = get_worker_info()
        if worker is None:
            return Draw(first, self._key, salt)
        # Every worker has its own copy of the count, made anew in every epoch: keep copies and epochs apart.
        numbers = (torch.arange(first, first + samples) * worker.num_workers + worker.id) % 2**32
        return Draw(numbers, _mixed(self._key, worker.seed - worker.id), salt)

    def chosen(self, uniform: torch.Tensor) -> torch.Tensor:
        """Where the transform applies, with probability p: bool (N, 1, 1, 1)."""
        return (uniform <= self.p).reshape(-1, 1, 1, 1)

    def _ending(self) -> str:
        return f"p={self.p:g}, seed={self.seed}" + (f", epoch={self.epoch}" if self.epoch else "")


def as_batch(x: object) -> torch.Tensor:
    """(C, H, W) as a batch of one; (N, C, H, W) as it is."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}; wrap NumPy arrays with torch.from_numpy")
    if x.ndim not in (3, 4):
        raise ValueError(f"x must be (C, H, W) or (N, C, H, W), got {_checks.describe(x)}")
    return x if x.ndim == 4 else x.unsqueeze(0)


def probability(p: object) -> float:
    """A probability."""
    value = _checks.number(p, "p")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"p must be a probability, 0 to 1, got {value}")
    return value


def looks_interval(value: object, name: str) -> Interval:
    """(low, high), 0 < low <= high, of a pair or of one number."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be a number or a pair (low, high), got {value!r}")
    low, high = (_radar.looks_of(v, name) for v in pair)
    if low > high:
        raise ValueError(f"{name} must be low <= high, got {value!r}")
    return low, high


def log_uniform(interval: Interval, uniform: torch.Tensor) -> torch.Tensor:
    """low (high / low)^u, float64."""
    low, high = interval
    return low * torch.pow(high / low, uniform)


def _mixed(*parts: int | str) -> int:
    """A 64-bit key of several parts; Python's hash() of a string changes from process to process."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
