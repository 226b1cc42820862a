"""Less speckle: the filters as a module, and random multilooking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sarcore.ops import _checks, _radar, despeckle, multilook
from sarcore.transforms._random import Draw, Index, RandomTransform, as_batch


class Despeckle(nn.Module):
    """`sarcore.ops.despeckle` with its settings kept.

    >>> from sarcore.ops import speckle
    >>> x = speckle(torch.ones(1, 1, 64, 64), looks=4, seed=7)
    >>> y = Despeckle("lee", window=7, looks=4)(x)
    >>> bool(y.var() < 0.2 * x.var())
    True

    Args: as in `sarcore.ops.despeckle`. Called with x, (C, H, W) or (N, C, H, W), on the CPU or CUDA, it returns a
    tensor like x. Differentiable for the methods for which the op is. Raises as that does.
    """

    def __init__(
        self,
        method: str = "lee",
        window: int = 7,
        looks: float = 1.0,
        *,
        domain: str = "intensity",
        damping: float = 1.0,
    ) -> None:
        super().__init__()
        self.method, self.window, self.looks, self.domain, self.damping = method, window, looks, domain, damping
        despeckle(torch.ones(1, 1, 32, 32), method, window, looks, domain=domain, damping=damping)  # its own checks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter (C, H, W) or (N, C, H, W)."""
        out = despeckle(as_batch(x), self.method, self.window, self.looks, domain=self.domain, damping=self.damping)
        return out.squeeze(0) if x.ndim == 3 else out

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return (
            f"method={self.method!r}, window={self.window}, looks={self.looks:g}, domain={self.domain!r}, "
            f"damping={self.damping:g}"
        )


class RandomMultilook(RandomTransform):
    """Average blocks of pixels, of a size drawn for each sample: more looks and a coarser resolution.

    >>> from sarcore.ops import speckle
    >>> x = speckle(torch.ones(1, 1, 256, 256), looks=1, seed=7)
    >>> y = RandomMultilook(looks=[(2, 4)], seed=0)(x)
    >>> y.shape, round((y.mean() ** 2 / y.var()).item())
    (torch.Size([1, 1, 256, 256]), 8)

    Blocks of a x r pixels are replaced by the mean of their intensities (`sarcore.ops.multilook`). The number of pixels
    stays: every pixel of a block gets the mean, blocks cut off at the bottom and on the right are averaged over what is
    there, and a batch stays a batch. NaN pixels are left out of the means and stay NaN.

    Args:
        looks: the sizes to draw from with the same probability, each (rows, columns), in pixels, as
            `sarcore.ops.multilook` takes them; (1, 1) leaves a sample as it is.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``.
        p: probability that a sample is changed.
        seed: see `RandomTransform`.
        keep_size: False: (C, H, W) alone, returned as (C, H // a, W // r) without the incomplete blocks; the size is
            read on the host.

    Called with x, (C, H, W) or (N, C, H, W), floating, on the CPU or CUDA, and an optional ``index`` (see
    `RandomTransform`). On CUDA a batch is averaged with every size and the drawn ones are picked, because to look which
    are needed would wait for the device. Differentiable in x.

    Raises:
        ValueError, TypeError: naming the argument.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 2004, section 4.3.
    """

    def __init__(
        self,
        looks: Sequence[tuple[int, int]] = ((1, 1), (2, 2), (3, 3)),
        domain: str = "intensity",
        p: float = 1.0,
        seed: int | None = None,
        *,
        keep_size: bool = True,
    ) -> None:
        super().__init__(seed, p)
        if not isinstance(looks, (tuple, list)) or not looks:
            raise ValueError(f"looks must be one or more pairs (rows, columns), got {looks!r}")
        self.looks = tuple(_block(size) for size in looks)
        self.domain, self.keep_size = _checks.choice(domain, _radar.DOMAINS, "domain"), bool(keep_size)

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Averages of a batch."""
        x = _checks.floating_images(x, "x")
        u = draw.uniforms(x, 2)
        which = (u[:, 1] * len(self.looks)).ceil().to(torch.int64) - 1  # u is in (0, 1]
        which = torch.where(u[:, 0] <= self.p, which, -1)
        if not self.keep_size:
            number = int(which)
            return x if number < 0 else multilook(x, self.looks[number], domain=self.domain)
        on_host = set(which.tolist()) if x.device.type == "cpu" else set(range(len(self.looks)))
        out = x
        for number, size in enumerate(self.looks):
            if number in on_host and size != (1, 1):
                out = torch.where((which == number).reshape(-1, 1, 1, 1), self._blocks(x, size), out)
        return out

    def _blocks(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        means = multilook(x, size, domain=self.domain, partial="keep")
        wide = means.repeat_interleave(size[0], -2).repeat_interleave(size[1], -1)
        # A pixel without data has none afterwards, either.
        return torch.where(x.isnan(), x, wide[..., : x.shape[-2], : x.shape[-1]])

    def forward(self, x: torch.Tensor, index: Index = None) -> torch.Tensor:
        """Average (C, H, W) or (N, C, H, W); `index` numbers the samples."""
        if not self.keep_size and isinstance(x, torch.Tensor) and x.ndim != 3:
            raise ValueError(
                f"x must be (C, H, W) for keep_size=False, got {_checks.describe(x)}; the samples of a batch would "
                "differ in size"
            )
        return super().forward(x, index)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"looks={self.looks}, domain={self.domain!r}, keep_size={self.keep_size}, {self._ending()}"


def _block(size: object) -> tuple[int, int]:
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"looks must be pairs (rows, columns), got {size!r} among them")
    return _checks.integer(size[0], "looks", 1, 2**20), _checks.integer(size[1], "looks", 1, 2**20)
