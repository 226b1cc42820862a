"""soft_histogram: values against a float64 oracle written from the formula, numpy.histogram, kornia; exact sums."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore import reference
from sarcore.ops import soft_histogram
from sarcore.ops.histogram import kernel_weights

RANGES = [(0.0, 1.0), (-0.3, 1.7), (3.3, 200.7), (1e6, 1e6 + 1.0), (-5e-3, 2e-3), (1e30, 3e30)]


def tap_weights(x: np.ndarray, bins: int, limits: tuple[float, float]) -> np.ndarray:
    """(pixels, bins) in float64: max(0, 1 - |x - c| / w), values beyond the outer centres moved to them."""
    low, high = limits
    width = (high - low) / bins
    position = (np.asarray(x, np.float64).reshape(-1) - low) / width - 0.5
    distance = np.abs(np.clip(position, 0, bins - 1)[:, None] - np.arange(bins))
    return np.maximum(0.0, 1.0 - distance)


def oracle(x: torch.Tensor, bins: int, limits: tuple[float, float], mask: torch.Tensor | None = None) -> np.ndarray:
    out = np.zeros((*x.shape[:2], bins))
    for n, c in np.ndindex(*x.shape[:2]):
        image = x[n, c].double().numpy()
        valid = ~np.isnan(image) & (True if mask is None else mask.expand(x.shape)[n, c].numpy())
        out[n, c] = tap_weights(image[valid], bins, limits).sum(0)
    return out


def result_unit(x: torch.Tensor, pixels: int) -> float:
    """The documented unit of a result: 2^-s with pixels 2^s <= 2^24 (2^53), at most 16 (40) fractional bits."""
    digits, bits = (53, 40) if x.dtype == torch.float64 else (24, 16)
    return 2.0 ** -min(bits, digits - math.ceil(math.log2(max(pixels, 1))))


def error_bound(x: torch.Tensor, bins: int, limits: tuple[float, float]) -> float:
    """One unit for the rounding of the result; per pixel half a fixed-point step and four roundings of its position."""
    double = x.dtype == torch.float64
    epsilon, step = (2.0**-53, 2.0**-41) if double else (2.0**-24, 2.0**-17)
    pixels = x.shape[2] * x.shape[3]
    origin = max(abs(limits[0]), abs(limits[1])) * bins / (limits[1] - limits[0])
    return result_unit(x, pixels) + pixels * (step + 4 * epsilon * (bins + (origin if limits[0] != 0 else 0)))


def spread(shape: tuple[int, ...], limits: tuple[float, float], seed: int = 0) -> torch.Tensor:
    """float64 values over the range and a fifth beyond it on either side."""
    low, high = limits
    uniform = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * (1.4 * uniform - 0.2)


@pytest.mark.parametrize("limits", RANGES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("shape", "bins"),
    [((1, 1, 1, 1), 2), ((2, 3, 1, 7), 3), ((2, 1, 13, 17), 64), ((1, 2, 13, 17), 255), ((1, 1, 13, 17), 4096)],
)
def test_linear_equals_the_formula(shape, bins, dtype, limits):
    x = spread(shape, limits).to(dtype)
    found = soft_histogram(x, bins, limits).double().numpy()
    assert found.shape == (*shape[:2], bins)
    np.testing.assert_allclose(found, oracle(x, bins, limits), rtol=0, atol=error_bound(x, bins, limits))


@pytest.mark.parametrize("bins", [5, 64])
@pytest.mark.parametrize("pixels", [(300, 301), (257, 256)])
def test_images_of_several_tasks(pixels, bins):
    x = spread((2, 1, *pixels), (0.0, 1.0)).float()
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(3)) > 0.3
    found = soft_histogram(x, bins, mask=mask).double().numpy()
    np.testing.assert_allclose(found, oracle(x, bins, (0.0, 1.0), mask), rtol=0, atol=error_bound(x, bins, (0.0, 1.0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_reference_and_errs_at_most_twice_as_much(dtype):
    x = spread((2, 2, 40, 50), (-0.3, 1.7)).to(dtype)
    exact = torch.from_numpy(oracle(x, 64, (-0.3, 1.7)))
    ours = (soft_histogram(x, 64, (-0.3, 1.7)).double() - exact).abs()
    plain = (reference.soft_histogram(x, 64, (-0.3, 1.7)).double() - exact).abs()
    bits = 2.0**-41 if dtype == torch.float64 else 2.0**-17  # the fixed point that the exact sum asks for
    allowed = result_unit(x, 2000) + bits * exact.max()
    assert ours.max() <= 2 * plain.max() + allowed
    assert ours.max() <= 1e-5 * 2000


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("limits", [(0.0, 255.0), (0.0, 65535.0), (-0.5, 255.5)], ids=str)
def test_narrow_dtypes_count_as_their_float32_values(dtype, limits):
    values = torch.randint(0, 256 if dtype == torch.uint8 else 65536, (2, 1, 31, 33)).to(dtype)
    wide = values.to(torch.int32).float() if dtype == torch.uint16 else values.float()
    for kernel in ("linear", "gaussian"):
        found = soft_histogram(values, 50, limits, kernel=kernel)
        assert found.dtype == torch.float32
        assert torch.equal(found, soft_histogram(wide, 50, limits, kernel=kernel))


def test_every_float16_and_bfloat16_value_is_read_right():
    codes = torch.arange(65536).to(torch.uint16)
    for dtype in (torch.float16, torch.bfloat16):
        x = codes.view(dtype).reshape(1, 1, 256, 256)
        for limits in ((-70000.0, 70000.0), (-1e-4, 1e-4), (0.0, 1e-7)):
            assert torch.equal(soft_histogram(x, 4000, limits), soft_histogram(x.float(), 4000, limits))


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 40), st.integers(1, 40)),
    bins=st.integers(2, 300),
    low=st.floats(-100, 100),
    width=st.floats(1e-3, 1e3),
    double=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_sum_is_the_number_of_valid_pixels_in_any_order(shape, bins, low, width, double, seed):
    x = spread(shape, (low, low + width), seed).to(torch.float64 if double else torch.float32)
    generator = torch.Generator().manual_seed(seed)
    x[torch.rand(shape, generator=generator) < 0.1] = float("nan")
    x[torch.rand(shape, generator=generator) < 0.05] = float("inf")
    x[torch.rand(shape, generator=generator) < 0.05] = float("-inf")
    mask = torch.rand(shape[0], 1, *shape[2:], generator=generator) < 0.8
    h = soft_histogram(x, bins, (low, low + width), mask=mask)
    expected = (mask & ~x.isnan()).sum((2, 3)).to(h.dtype)
    assert bool((h >= 0).all())
    assert torch.equal(h.sum(-1), expected)
    assert torch.equal(h.flip(-1).sum(-1), expected)
    assert torch.equal(h.cumsum(-1)[..., -1], expected)
    assert torch.equal(sum(chunk.sum(-1) for chunk in h[..., torch.randperm(bins)].split(3, -1)), expected)
    for row, pixels in zip(h.flatten(0, 1), expected.flatten().tolist(), strict=True):
        unit = result_unit(x, int(pixels))
        assert torch.equal(row / unit, (row / unit).round())


def test_exact_sum_of_a_large_image():
    x = torch.rand(1, 1, 1100, 1021, generator=torch.Generator().manual_seed(0))
    h = soft_histogram(x, 4096)
    assert h.flatten().numpy().cumsum(dtype=np.float32)[-1] == 1100 * 1021
    assert h.flatten().flip(0).numpy().cumsum(dtype=np.float32)[-1] == 1100 * 1021


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 0.123, -7.0, 1e30, float("inf"), float("-inf"), 1e-42])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_images(value, dtype):
    x = torch.full((1, 1, 300, 301), value, dtype=dtype)
    h = soft_histogram(x, 64)
    assert float(h.sum()) == 300 * 301
    expected = oracle(x[..., :1, :1], 64, (0.0, 1.0)) * 300 * 301
    np.testing.assert_allclose(h.double().numpy(), expected, rtol=0, atol=error_bound(x, 64, (0.0, 1.0)))


def test_nan_and_masked_images():
    x = torch.full((1, 1, 5, 5), float("nan"))
    for kernel in ("linear", "hard", "gaussian", "bspline"):
        for density in (False, True):
            assert not soft_histogram(x, 8, kernel=kernel, density=density).any()
    x = torch.rand(2, 3, 9, 11)
    mask = torch.rand(2, 1, 9, 11) > 0.5
    broken = torch.where(mask, x, float("nan"))
    for kernel in ("linear", "hard", "gaussian", "bspline"):
        masked = soft_histogram(x, 8, kernel=kernel, mask=mask)
        assert torch.equal(masked, soft_histogram(broken, 8, kernel=kernel))
        assert torch.equal(masked, soft_histogram(broken, 8, kernel=kernel, mask=mask))
    assert not soft_histogram(x, 8, mask=torch.zeros(1, 1, 1, 1, dtype=torch.bool)).any()


@pytest.mark.parametrize("limits", [*RANGES, (0.0, 255.0), (-0.5, 255.5), (0.0, 65535.0)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@np.errstate(over="ignore")
def test_hard_is_numpy_histogram_bit_for_bit(dtype, limits):
    generator = np.random.default_rng(7)
    compared = 0
    for bins in (2, 3, 10, 64, 255, 256, 1000, 4096):
        if np.issubdtype(dtype, np.integer):
            x = generator.integers(0, np.iinfo(dtype).max + 1, 600).astype(dtype)
        else:
            edges = np.linspace(*limits, bins + 1)[generator.integers(0, bins + 1, 600)].astype(dtype)
            others = (limits[0] + (limits[1] - limits[0]) * generator.uniform(-0.2, 1.2, 600)).astype(dtype)
            above, below = np.nextafter(edges, dtype(np.inf)), np.nextafter(edges, dtype(-np.inf))
            x = np.concatenate([edges, above, below, others])
            x = x[np.isfinite(x)]  # NumPy cannot place infinity where the last edge overflows
        try:
            expected, _ = np.histogram(x, bins=bins, range=limits)
        except ValueError:  # too many bins: no distinct edges in this dtype
            continue
        compared += 1
        found = soft_histogram(torch.from_numpy(x).reshape(1, 1, 1, -1), bins, limits, kernel="hard")
        np.testing.assert_array_equal(found.flatten().numpy(), expected, err_msg=f"{bins} bins")
    assert compared or limits[0] >= 1e6


def test_hard_counts_neither_nan_nor_infinity():
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.1, 1.1, 0.0, 1.0]).reshape(1, 1, 1, -1)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert soft_histogram(x.to(dtype), 4, kernel="hard").flatten().tolist() == [1.0, 0.0, 0.0, 1.0]


def test_kornia_triangular_on_interior_values():
    kornia = pytest.importorskip("kornia", reason="kornia is not installed")
    bins, width = 64, 1 / 64
    x = width + (1 - 2 * width) * torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    theirs, _ = kornia.enhance.image_histogram2d(x, 0.0, 1.0, n_bins=bins, bandwidth=width, kernel="triangular")
    np.testing.assert_allclose(soft_histogram(x, bins).numpy(), theirs.numpy(), rtol=0, atol=1e-5 * 1600)


def direct_kernel(x: np.ndarray, bins: int, limits: tuple[float, float], bandwidth: float, kernel: str) -> np.ndarray:
    """(pixels, bins) kernel values at the bin centres, one per pixel in sum."""
    low, high = limits
    width = (high - low) / bins
    centres = low + (np.arange(bins) + 0.5) * width
    u = np.abs(x.reshape(-1, 1) - centres) / bandwidth
    if kernel == "gaussian":
        values = np.exp(-0.5 * u**2)
    else:
        values = np.where(u < 1, (4 - 6 * u**2 + 3 * u**3) / 6, np.where(u < 2, (2 - u) ** 3 / 6, 0.0))
    return values / values.sum(1, keepdims=True)


@pytest.mark.parametrize("kernel", ["gaussian", "bspline"])
@pytest.mark.parametrize("bandwidth", [None, 0.5, 1.0, 2.5, 40.0])
@pytest.mark.parametrize("limits", [(0.0, 1.0), (-0.3, 1.7)])
def test_smooth_kernels_against_direct_evaluation(kernel, bandwidth, limits):
    bins, width = 32, (limits[1] - limits[0]) / 32
    h = width if bandwidth is None else bandwidth * width
    low, high = limits[0] + width / 2, limits[1] - width / 2
    x = low + (high - low) * torch.rand(1, 1, 60, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = direct_kernel(x.numpy(), bins, limits, h, kernel)
    chosen = None if bandwidth is None else h
    one = soft_histogram(x.reshape(-1, 1, 1, 1), bins, limits, kernel=kernel, bandwidth=chosen)
    bound = 5e-4 if kernel == "gaussian" else 1.3e-3  # as documented, for a bin and more
    bound *= 4 if bandwidth == 0.5 else 1
    assert np.abs(one[:, 0].numpy() - expected).max() <= bound * expected.max()
    whole = soft_histogram(x, bins, limits, kernel=kernel, bandwidth=chosen)
    np.testing.assert_allclose(whole.flatten().numpy(), expected.sum(0), rtol=0, atol=bound * expected.max() * 3000)
    assert float(whole.sum()) == pytest.approx(3000, rel=1e-12)


@pytest.mark.parametrize("kernel", ["gaussian", "bspline"])
def test_smooth_kernels_lose_no_pixel_whatever_the_bandwidth(kernel):
    x = torch.linspace(-0.1, 1.1, 997, dtype=torch.float64).reshape(1, 1, 1, -1)
    for bins, narrowest in ((2, 1 / 100), (3, 1 / 80), (7, 1 / 30)):
        for bandwidth in (8.0, 1.0, 0.3, 0.2, 1 / 20, 1 / 60, 1 / 76, 1 / 78, narrowest):
            if bandwidth >= narrowest:
                h = soft_histogram(x, bins, kernel=kernel, bandwidth=bandwidth / bins)
                assert float(h.sum()) == pytest.approx(997, rel=1e-12), (bins, bandwidth)
                rows = kernel_weights(bins, 64, bandwidth, kernel, torch.device("cpu")).sum(1)
                torch.testing.assert_close(rows, torch.ones_like(rows))


@pytest.mark.parametrize("kernel", ["linear", "hard", "gaussian", "bspline"])
@pytest.mark.parametrize("limits", [(0.0, 1.0), (-40.0, 120.0)])
def test_density_integrates_to_one(kernel, limits):
    x = spread((2, 2, 20, 30), limits)
    h = soft_histogram(x, 24, limits, kernel=kernel, density=True)
    integral = h.sum(-1) * (limits[1] - limits[0]) / 24
    torch.testing.assert_close(integral, torch.ones_like(integral), rtol=1e-12, atol=0)
    if kernel == "hard":
        expected, _ = np.histogram(x[0, 0].numpy(), 24, limits, density=True)
        np.testing.assert_allclose(h[0, 0].numpy(), expected, rtol=1e-12)
