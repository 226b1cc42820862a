"""sarcore.transforms that take speckle away: the filters as a module, and random multilooking."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sarcore.ops import despeckle, multilook, speckle
from sarcore.transforms import Compose, Despeckle, RandomMultilook, RandomSpeckle

SIZES = [(1, 1), (2, 2), (1, 4), (3, 2)]


def images(n: int = 6, c: int = 2, h: int = 9, w: int = 14) -> Tensor:
    return 0.1 + torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(0))


def blocks(x: Tensor, size: tuple[int, int], domain: str = "intensity") -> Tensor:
    """Block means spread over their blocks, one block after the other, in float64."""
    to, back = {
        "intensity": (lambda v: v, lambda v: v),
        "amplitude": (torch.square, torch.sqrt),
        "db": (lambda v: 10 ** (v / 10), lambda v: 10 * torch.log10(v)),
    }[domain]
    out = to(x.double())
    for y in range(0, x.shape[-2], size[0]):
        for z in range(0, x.shape[-1], size[1]):
            part = out[..., y : y + size[0], z : z + size[1]]
            part.copy_(part.mean(dim=(-2, -1), keepdim=True).expand_as(part).clone())
    return back(out)


@pytest.mark.parametrize("method", ["boxcar", "lee", "refined_lee"])
def test_the_filter_is_the_op(method: str, device: torch.device) -> None:
    x = images().to(device)
    module = Despeckle(method, window=7, looks=3.0, domain="amplitude")
    assert torch.equal(module(x), despeckle(x, method, 7, 3.0, domain="amplitude"))
    assert torch.equal(module(x[0]), module(x)[0])
    assert f"method={method!r}, window=7, looks=3, domain='amplitude', damping=1" in repr(module)


def test_the_filter_takes_what_the_speckle_brought() -> None:
    x = torch.full((1, 1, 64, 64), 0.2)
    chain = Compose([RandomSpeckle(4, seed=1), Despeckle("boxcar", looks=4)])
    out = chain(x, index=0)
    assert out.var().item() < 0.05 * RandomSpeckle(4, seed=1)(x, index=0).var().item()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("domain", ["intensity", "amplitude", "db"])
def test_block_means_against_a_loop(size: tuple[int, int], domain: str, device: torch.device) -> None:
    x = images().to(device)
    out = RandomMultilook([size], domain, seed=0)(x, index=0)
    assert out.dtype == x.dtype
    torch.testing.assert_close(out.double(), blocks(x, size, domain), rtol=1e-5, atol=1e-5)


def test_looks_multiply() -> None:
    x = speckle(torch.ones(1, 1, 512, 512), 2, seed=1)
    out = RandomMultilook([(2, 3)], seed=0)(x).double()
    assert (out.mean() ** 2 / out.var()).item() == pytest.approx(12.0, rel=0.03)


def test_sizes_are_drawn_alike_and_follow_the_sample() -> None:
    x = images(1).expand(2000, 2, 9, 14)
    transform = RandomMultilook(SIZES, p=0.8, seed=1)
    out = transform(x, index=0)
    variants = [RandomMultilook([size], seed=0)(x[:1], index=0) for size in SIZES]
    counts = [int((out == variant).flatten(1).all(dim=1).sum()) for variant in variants]
    assert sum(counts) == 2000
    for count, share in zip(counts, [0.4, 0.2, 0.2, 0.2], strict=True):
        assert abs(count - 2000 * share) < 4 * math.sqrt(2000 * share * (1 - share))
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:50]
    assert torch.equal(transform(x[:50], index=order), out[order])
    assert torch.equal(transform(x[0], index=7), out[7])


def test_no_data_stays_where_it_was() -> None:
    x = images()
    x[:, :, 2, 3:5] = math.nan
    out = RandomMultilook([(2, 2)], seed=0)(x)
    assert torch.equal(out.isnan(), x.isnan())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_and_empty_batches(dtype: torch.dtype) -> None:
    for transform in (RandomMultilook(seed=0), Despeckle(window=5)):
        x = images().to(dtype)
        assert transform(x).dtype == dtype
        assert transform(x).shape == x.shape
        assert transform(x[:0]).shape == x[:0].shape


def test_gradients_of_multilooking() -> None:
    x = images(2, 1, 5, 6).double().requires_grad_()
    transform = RandomMultilook(SIZES, "amplitude", seed=0)
    assert torch.autograd.gradcheck(lambda v: transform(v, 3), (x,))


def test_a_smaller_image_where_it_is_wanted() -> None:
    transform = RandomMultilook([(2, 3)], seed=0, keep_size=False)
    assert torch.equal(transform(images()[0]), multilook(images()[:1], (2, 3))[0])
    with pytest.raises(ValueError, match=r"x must be \(C, H, W\) for keep_size=False, got \(6, 2, 9, 14\)"):
        transform(images())
    assert torch.equal(RandomMultilook([(2, 3)], p=0.0, keep_size=False)(images()[0]), images()[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomMultilook(()), "looks must be one or more pairs"),
        (lambda: RandomMultilook([(0, 1)]), "looks must be 1 to"),
        (lambda: RandomMultilook([(1, 2, 3)]), r"looks must be pairs \(rows, columns\), got \(1, 2, 3\)"),
        (lambda: RandomMultilook(domain="complex"), "domain must be one of"),
        (lambda: RandomMultilook(p=2.0), "p must be a probability"),
        (lambda: RandomMultilook([(20, 20)], seed=0)(images()), "looks must fit into the images"),
        (lambda: Despeckle("wiener"), "method must be one of"),
        (lambda: Despeckle(window=4), "window must be"),
        (lambda: Despeckle(looks=0.0), "looks must be a finite number above 0"),
        (lambda: Despeckle(window=11)(images()), "window"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(TypeError, match="x must be"):
        RandomMultilook()(torch.ones(1, 4, 4, dtype=torch.uint8))
