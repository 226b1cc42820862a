"""Speckle as an augmentation: fresh speckle on a clean image, or more of it on a multilooked one."""

from __future__ import annotations

import torch

from sarcore.ops import _checks, _radar, speckle, speckle_field
from sarcore.ops.point_spread import PointSpread
from sarcore.transforms._random import Draw, Interval, RandomTransform, log_uniform, looks_interval

_MOST_LOOKS = 1e6  # speckle of more looks changes an intensity by less than 0.1 %


class RandomSpeckle(RandomTransform):
    """Multiply each sample by speckle of its own number of looks.

    >>> image = torch.full((1, 64, 64), 0.1)
    >>> transform = RandomSpeckle(looks=(1.0, 8.0), seed=7)
    >>> batch = transform(image.expand(5, 1, 64, 64), index=[0, 1, 2, 3, 4])
    >>> torch.equal(transform(image, index=3), batch[3])  # alone or in a batch, here or in a worker
    True
    >>> four = RandomSpeckle(looks=4, seed=7)(image, index=3)  # the bits of the op
    >>> torch.equal(four, speckle(image[None], looks=4, seed=7, index=3)[0])
    True

    y = x g in intensity, g a unit-mean Gamma variable of L looks, as `sarcore.ops.speckle` says. L = low (high/low)^v
    with v uniform: as many samples between 1 and 2 looks as between 4 and 8. An image that has speckle of L0 looks
    already is left with an equivalent number of looks of 1 / (1/L0 + 1/L + 1/(L0 L)).

    Args:
        looks: (low, high), 0 < low <= high, or one number for all samples. None: (1, 8), for ``complex`` 1.
        domain: unit of the images: ``intensity``, ``amplitude``, ``db``, ``log``, or ``complex`` (looks=1).
        p: probability that a sample is changed; the others stay bit for bit what they were.
        seed: see `RandomTransform`. A fixed number of looks gives the bits of `sarcore.ops.speckle` with this seed and
            index: images that the op speckled with both would get the same speckle a second time. Take another seed.
        texture, psf: as in `sarcore.ops.speckle`.

    Called with x, (C, H, W) or (N, C, H, W), float16, bfloat16, float32, float64 or complex64, on the CPU or CUDA, and
    an optional ``index`` (see `RandomTransform`), it returns a tensor like x: nothing is clipped, so values may exceed
    the range they came in. Differentiable in x. No host synchronisation.

    Raises:
        ValueError, TypeError: naming the argument; on the CPU also for negative intensities and amplitudes.

    Source: Goodman, Some fundamental properties of speckle, JOSA 66(11), 1976.
    """

    def __init__(
        self,
        looks: float | Interval | None = None,
        domain: str = "intensity",
        p: float = 1.0,
        seed: int | None = None,
        *,
        texture: float | None = None,
        psf: PointSpread | None = None,
    ) -> None:
        super().__init__(seed, p)
        default: float | Interval = 1.0 if domain == "complex" else (1.0, 8.0)
        self.looks = looks_interval(default if looks is None else looks, "looks")
        self.domain, self.texture, self.psf = domain, texture, psf
        for value in self.looks:  # the op's own checks, here where the mistake was made
            speckle_field((1, 1, 1, 1), value, seed=0, domain=domain, texture=texture, psf=psf)

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Speckle on a batch."""
        looks: float | torch.Tensor = self.looks[0]
        mask = None
        if self.p < 1.0 or self.looks[0] < self.looks[1]:
            u = draw.uniforms(x, 2)
            mask = self.chosen(u[:, 0]) if self.p < 1.0 else None
            looks = log_uniform(self.looks, u[:, 1]).float() if self.looks[0] < self.looks[1] else looks
        return speckle(
            x, looks, seed=draw.seed, domain=self.domain, texture=self.texture, psf=self.psf, index=draw.number,
            mask=mask,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        psf = type(self.psf).__name__ if isinstance(self.psf, torch.Tensor) else repr(self.psf)
        return f"looks={self.looks}, domain={self.domain!r}, texture={self.texture}, psf={psf}, {self._ending()}"


class RandomLooks(RandomTransform):
    """Give a multilooked image the speckle of fewer looks.

    >>> multilooked = speckle(torch.ones(1, 1, 256, 256), looks=16, seed=1)
    >>> y = RandomLooks(looks_in=16, looks_out=2, seed=7)(multilooked)
    >>> round((y.mean() ** 2 / y.var()).item(), 1)
    2.0

    x, whose speckle has L_in looks, is multiplied (in intensity) by a unit-mean Gamma variable of

        L = (1 + 1/L_in) / (1/L_out - 1/L_in)   looks, so that   1/L_out = 1/L_in + 1/L + 1/(L_in L)

    Mean and variance of the speckle are those of L_out looks, exactly. Its higher moments are not: the product of two
    Gamma variables is K-distributed, of a heavier tail than the Gamma density of an image that was taken with L_out
    looks. From L_in = 16 to 1 the third moment is 6.22 in place of 6; the nearer L_in is to L_out, or the larger it is,
    the smaller the difference. Speckle that was correlated from pixel to pixel stays so in its L_in part alone.

    Args:
        looks_in: equivalent number of looks of the images, above 0 (`sarcore.ops.enl` measures it).
        looks_out: (low, high), 0 < low <= high <= looks_in, drawn log-uniformly, or one number.
        domain: ``intensity``, ``amplitude``, ``db`` or ``log``.
        p: as in `RandomSpeckle`.
        seed: see `RandomTransform`. The speckle is independent of that of `RandomSpeckle` and of the op of this seed.

    Called as `RandomSpeckle` is.

    Raises:
        ValueError, TypeError: naming the argument; looks cannot be gained here, see `RandomMultilook` for that.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 2004, chapter 5 (the product model).
    """

    def __init__(
        self,
        looks_in: float,
        looks_out: float | Interval = (1.0, 4.0),
        domain: str = "intensity",
        p: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed, p)
        self.looks_in = looks_interval(_checks.number(looks_in, "looks_in"), "looks_in")[0]
        self.looks_out = looks_interval(looks_out, "looks_out")
        if self.looks_out[1] > self.looks_in:
            raise ValueError(
                f"looks_out must be at most looks_in, {self.looks_in:g}, got {looks_out}; speckle is only added here, "
                "sarcore.transforms.RandomMultilook takes it away"
            )
        self.domain = _checks.choice(domain, _radar.DOMAINS, "domain")

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """More speckle on a batch."""
        u = draw.uniforms(x, 2)
        gap = 1.0 / log_uniform(self.looks_out, u[:, 1]) - 1.0 / self.looks_in
        looks = (1.0 + 1.0 / self.looks_in) / gap.clamp(min=1.0 / _MOST_LOOKS)
        mask = self.chosen(u[:, 0]) & (gap > 1.0 / _MOST_LOOKS).reshape(-1, 1, 1, 1)
        seed = draw.own_seed("speckle")  # not that of RandomSpeckle, whose speckle the images may have
        return speckle(x, looks.float(), seed=seed, domain=self.domain, index=draw.number, mask=mask)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"looks_in={self.looks_in:g}, looks_out={self.looks_out}, domain={self.domain!r}, {self._ending()}"
