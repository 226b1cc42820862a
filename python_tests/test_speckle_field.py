"""One field for any crop, batch, thread count, dtype and layout; what is kept; numbers per image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sarcore.ops import speckle, speckle_field

TAPS = (torch.tensor([0.3, 1.0, -0.2]), torch.tensor([0.1, 0.5, 1.0, 0.4, 0.2]))
CASES: dict[str, dict[str, Any]] = {
    "one": {},
    "four": {"looks": 4.0},
    "rejection": {"looks": 2.7, "domain": "amplitude"},
    "boost": {"looks": 0.5, "domain": "db"},
    "texture": {"looks": 3.0, "texture": 0.8, "domain": "log"},
    "correlated": {"looks": 1.0, "psf": "gaussian", "domain": "amplitude"},
    "longest-taps": {"looks": 1.7, "psf": (torch.linspace(-1, 1.5, 33), TAPS[1]), "texture": 2.5},
    "complex": {"domain": "complex"},
    "complex-correlated": {"domain": "complex", "psf": TAPS, "texture": 1.0},
}
every_case = pytest.mark.parametrize("case", CASES)


def scene(shape: tuple[int, ...], case: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = 0.1 + torch.rand(shape, generator=generator)
    if CASES[case].get("domain") == "complex":
        return torch.complex(x, torch.rand(shape, generator=generator))
    return x.to(dtype)


def run(x: torch.Tensor, case: str, **options: Any) -> torch.Tensor:
    return speckle(x, **{"seed": 2026, **CASES[case], **options})


@every_case
@pytest.mark.parametrize("origin", [(0, 0), (-70, -301), (2**31 - 100, 5)], ids=str)
def test_speckle_of_a_crop_is_the_crop_of_the_speckle(case, origin):
    x = scene((2, 2, 83, 301), case)
    whole = run(x, case, origin=origin)
    generator = np.random.default_rng(0)
    windows = [(0, 0, 83, 301), (0, 0, 1, 1), (82, 300, 1, 1), (64, 256, 19, 45), (63, 255, 2, 2)]
    for _ in range(12):
        y, left = int(generator.integers(83)), int(generator.integers(301))
        windows.append((y, left, int(generator.integers(1, 84 - y)), int(generator.integers(1, 302 - left))))
    for y, left, height, width in windows:
        part = (..., slice(y, y + height), slice(left, left + width))
        assert torch.equal(run(x[part], case, origin=(origin[0] + y, origin[1] + left)), whole[part])


@every_case
@pytest.mark.parametrize("tile", [(7, 5), (16, 33), (64, 128)], ids=str)
def test_any_tiling_gives_the_scene(case, tile):
    x = scene((1, 1, 65, 131), case)
    tiled = torch.empty_like(x)
    for y in range(0, 65, tile[0]):
        for left in range(0, 131, tile[1]):
            part = (..., slice(y, y + tile[0]), slice(left, left + tile[1]))
            tiled[part] = run(x[part], case, origin=(y, left))
    assert torch.equal(tiled, run(x, case))


@every_case
def test_origins_of_each_image(case):
    x = scene((3, 2, 20, 37), case)
    origins = torch.tensor([[0, 0], [-3, 17], [5, -2]])
    together = run(x, case, origin=origins)
    for i, origin in enumerate(origins.tolist()):
        assert torch.equal(run(x[i : i + 1], case, origin=tuple(origin), index=i), together[i : i + 1])
    assert torch.equal(run(x, case, origin=origins.int()), together)


@every_case
def test_a_batch_may_be_split_and_shuffled(case):
    x = scene((6, 2, 9, 14), case)
    whole = run(x, case, index=100)
    assert torch.equal(torch.cat([run(part, case, index=100 + 2 * i) for i, part in enumerate(x.split(2))]), whole)
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    for numbers in (100 + order, (100 + order).tolist(), tuple((100 + order).tolist()), (100 + order).to(torch.uint8)):
        assert torch.equal(run(x[order], case, index=numbers), whole[order])
    assert torch.equal(run(x, case, index=0), run(x, case))
    assert torch.equal(run(x, case, index=torch.arange(6)), run(x, case))


def test_looks_of_each_image():
    looks = [0.3, 1.0, 2.7, 8.0, 9.0, 64.5]
    x = scene((6, 2, 31, 45), "one")
    for psf in (None, "box"):
        together = speckle(x, looks, seed=1, psf=psf)
        for i, number in enumerate(looks):
            assert torch.equal(speckle(x[i : i + 1], number, seed=1, psf=psf, index=i), together[i : i + 1])
        for other in (tuple(looks), torch.tensor(looks), torch.tensor(looks, dtype=torch.float64)):
            assert torch.equal(speckle(x, other, seed=1, psf=psf), together)
    assert torch.equal(speckle(x, torch.tensor([3] * 6), seed=1), speckle(x, 3, seed=1))
    assert torch.equal(speckle(x, torch.tensor(2.5), seed=1), speckle(x, 2.5, seed=1))


@pytest.mark.parametrize("shape", [(1, 1, 300, 301), (3, 2, 65, 260), (300, 1, 8, 9), (1, 1, 1, 40000)], ids=str)
@every_case
def test_thread_count_does_not_change_a_bit(case, shape):
    x = scene(shape, case)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = run(x, case)
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(run(x, case), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("case", [c for c in CASES if "complex" not in c])
def test_other_dtypes_are_the_float32_field_rounded_once(case, dtype):
    options = {"seed": 2026, **CASES[case]}
    g = speckle_field((2, 2, 33, 47), **options)
    assert torch.equal(speckle_field((2, 2, 33, 47), **options, dtype=dtype), g.to(dtype))
    x = scene((2, 2, 33, 47), case, dtype)
    wide, found = x.to(torch.promote_types(dtype, torch.float32)), run(x, case)
    expected = wide + g if options.get("domain") in ("db", "log") else wide * g
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))


@every_case
def test_an_image_is_the_field_applied(case):
    x = scene((2, 2, 33, 47), case)
    g = speckle_field(x.shape, seed=2026, **CASES[case])
    if x.is_complex():
        torch.testing.assert_close(run(x, case), x * g, rtol=1e-6, atol=1e-7)
    else:
        assert torch.equal(run(x, case), x + g if CASES[case].get("domain") in ("db", "log") else x * g)


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "channels-last": lambda t: t.to(memory_format=torch.channels_last),
    "transposed": lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
    "reversed": lambda t: t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "strided": lambda t: torch.stack([t, torch.zeros_like(t)], -1).flatten(-2)[..., ::2],
    "unaligned": lambda t: torch.cat([t.new_zeros(1), t.flatten()])[1:].view(t.shape),
}


@every_case
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_does_not_change_a_bit_and_input_stays(case, layout):
    x = scene((2, 3, 13, 17), case)
    mask = torch.rand(2, 3, 13, 17, generator=torch.Generator().manual_seed(1)) > 0.3
    other = LAYOUTS[layout](x)
    kept = other.clone()
    found = run(other, case, mask=LAYOUTS[layout](mask))
    assert torch.equal(found, run(x, case, mask=mask))
    assert torch.equal(other, kept)
    assert found.is_contiguous()
    one = x[:1, :1]
    assert torch.equal(run(one.expand(2, 3, 13, 17), case), run(one.expand(2, 3, 13, 17).contiguous(), case))
    origins, index, looks = torch.tensor([[3, 9], [1, 2]]), torch.tensor([7, 8]), torch.tensor([1.0, 1.0])
    strided = {"origin": origins.T.contiguous().T, "index": torch.stack([index, index], 1)[:, 0]}
    assert torch.equal(run(x, case, **strided), run(x, case, origin=origins, index=index))
    if not x.is_complex():
        every_other = torch.stack([looks, -looks], 1)[:, 0]
        assert torch.equal(run(x, case, looks=every_other), run(x, case, looks=1.0))


def test_conjugate_and_negative_views():
    z = scene((1, 2, 9, 11), "complex")
    assert torch.equal(run(z.conj(), "complex"), run(z.conj().resolve_conj(), "complex"))
    x = z.conj().imag
    assert torch.equal(run(x, "boost"), run(x.resolve_neg(), "boost"))
    assert torch.equal(run(torch._neg_view(-x.contiguous()), "boost"), run(x.resolve_neg(), "boost"))


@every_case
@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 0, 0, 0)], ids=str)
def test_empty_batches(case, shape):
    x = scene(shape, case)
    assert run(x, case).shape == torch.Size(shape)
    assert speckle_field(shape, seed=1, **CASES[case]).shape == torch.Size(shape)
    n = shape[0]
    options = {"origin": torch.zeros(n, 2, dtype=torch.int64), "index": torch.zeros(n, dtype=torch.int64)}
    assert run(x, case, mask=torch.ones(shape, dtype=torch.bool), **options).shape == torch.Size(shape)
    if n == 0 and not x.is_complex():
        assert run(x, case, looks=torch.empty(0)).shape == torch.Size(shape)
        assert run(x, case, looks=[]).shape == torch.Size(shape)


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_is_masked_is_kept_and_the_rest_does_not_notice(case, dtype):
    x = scene((2, 2, 70, 45), case, dtype)
    x[..., :2, :3] = -7.0
    mask = torch.rand(2, 1, 70, 45, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[..., :2, :3] = False
    found = run(x, case, mask=mask)
    wide = mask.expand(x.shape)
    assert torch.equal(found[~wide], x[~wide])
    positive = torch.where(wide, x, 1.0)
    assert torch.equal(found[wide], run(positive, case)[wide])
    nan = torch.where(wide, x, torch.nan)
    assert torch.equal(run(nan, case, mask=mask)[wide], found[wide])
    assert run(nan, case, mask=mask)[~wide].isnan().all()
    for broadcast in (mask[:1, :1, :, :1], mask[0, 0, 0]):
        plain = broadcast.expand(x.shape)
        assert torch.equal(run(positive, case, mask=broadcast), run(positive, case, mask=plain.contiguous()))
    nothing = torch.zeros(1, 1, 1, 1, dtype=torch.bool)
    assert torch.equal(run(x, case, mask=nothing), x)


@pytest.mark.parametrize(
    "case", [c for c in CASES if CASES[c].get("domain", "intensity") in ("intensity", "amplitude")]
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_zeros_nan_and_infinity_stay(case, dtype):
    x = scene((1, 2, 40, 41), case, dtype)
    plain = run(x, case)
    y = x.clone()
    y[..., ::3, :], y[..., 1::3, ::2], y[..., 2::3, ::5] = 0, torch.nan, torch.inf
    found = run(y, case)
    assert torch.equal(found == 0, y == 0)
    assert torch.equal(found.isnan(), y.isnan())
    assert torch.equal(found.isinf(), y.isinf())
    usual = y.isfinite() & (y != 0)
    assert torch.equal(found[usual], plain[usual])


def test_decibels_and_logarithms_of_nothing_stay_so():
    x = torch.tensor([-torch.inf, torch.nan, -300.0, 0.0]).reshape(1, 1, 1, 4)
    for case in ("boost", "texture"):
        found = run(x, case).flatten()
        assert found[0] == -torch.inf
        assert found[1].isnan()
        assert found[2:].isfinite().all()


def test_complex_zeros_and_nan_stay():
    x = torch.tensor([0, complex(torch.nan, torch.nan), 1j, 2], dtype=torch.complex64).reshape(1, 1, 1, 4)
    for case in ("complex", "complex-correlated"):
        found = run(x, case).flatten()
        assert found[0] == 0
        assert found[1].isnan()
        assert found[2:].isfinite().all()


def test_seeds_channels_and_images_differ():
    seeds = (0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1)
    fields = [speckle_field((1, 1, 8, 8), seed=seed) for seed in seeds]
    fields += [speckle_field((1, 1, 8, 8), seed=0, index=2**32 - 1), speckle_field((1, 2, 8, 8), seed=0)[:, 1:]]
    for i, first in enumerate(fields):
        for second in fields[:i]:
            assert not (first == second).any()
