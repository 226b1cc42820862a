"""despeckle: values against a float64 oracle written from the papers, no-data, domains, tiles, threads, bad input."""

import numpy as np
import pytest
import torch

from sarcore.ops import despeckle, enl
from sarcore.ops.despeckle import DIFFERENTIABLE, METHODS

from . import despeckle_oracle as oracle
from .golden_values import compare_with_golden

every_method = pytest.mark.parametrize("method", METHODS)


def speckled(shape: tuple[int, ...], looks: float = 2.0, seed: int = 0) -> torch.Tensor:
    """Gamma speckle over a scene with steps and a slope: windows on both sides of every threshold. float64."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[-2], : shape[-1]]
    scene = 0.3 + 0.02 * rows + np.where(columns > shape[-1] // 2, 2.0, 0.0) + np.where(rows + columns < 12, 8.0, 0.0)
    return torch.from_numpy(scene * generator.gamma(looks, 1 / looks, shape))


def holes(shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    """A mask with scattered holes, a blank corner larger than a window, and one lonely pixel in it."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) > 0.15
    mask[..., -9:, :11] = False
    mask[..., -1, 0] = True
    return mask


def unit(intensity: torch.Tensor, domain: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(oracle.FROM_INTENSITY[domain](intensity.numpy())))


def compare(found: torch.Tensor, expected: np.ndarray, domain: str = "intensity", rtol: float = 1e-5) -> None:
    """Intensities and amplitudes relatively, decibels and logarithms by what that means for them."""
    shift = {"intensity": 1e-37, "amplitude": 1e-37, "db": 4.3429 * rtol + 1e-5, "log": rtol + 1e-6}[domain]
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=rtol, atol=shift)


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("looks", [1.0, 2.7, 16.0])
def test_equals_the_papers(method, dtype, looks):
    x = speckled((2, 1, 21, 26), 2.0).to(dtype)
    for window in (7,) if method == "refined_lee" else (3, 5, 7):
        expected = oracle.despeckle(x.numpy(), method, window, looks, damping=1.3)
        found = despeckle(x, method, window, looks, damping=1.3)
        assert (found.dtype, found.shape) == (dtype, x.shape)
        compare(found, expected, rtol=1e-5 if dtype == torch.float32 else 1e-11)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "refined_lee"])
def test_every_window_up_to_the_largest(method):
    x = speckled((1, 1, 31, 33)).float()
    for window in (9, 11, 13, 15, 17, 31):
        compare(despeckle(x, method, window, 2.0), oracle.despeckle(x.numpy(), method, window, 2.0))


@every_method
@pytest.mark.parametrize("domain", ["amplitude", "db", "log"])
def test_domains(method, domain):
    x = unit(speckled((1, 2, 17, 19)), domain).float()
    mask = holes(x.shape)
    for m in (None, mask):
        expected = oracle.despeckle(x.numpy(), method, 7, 2.0, domain, mask=None if m is None else m.numpy())
        compare(despeckle(x, method, 7, 2.0, domain=domain, mask=m), expected, domain)


@every_method
@pytest.mark.parametrize("window", [3, 7, 13])
def test_masked_and_nan_pixels(method, window):
    if method == "refined_lee" and window != 7:
        pytest.skip("one window size")
    x, mask = speckled((2, 1, 24, 27)).float(), holes((2, 1, 24, 27))
    expected = oracle.despeckle(x.numpy(), method, window, 2.0, mask=mask.numpy())
    found = despeckle(x, method, window, 2.0, mask=mask)
    compare(found, expected)
    assert torch.equal(found[~mask], x[~mask])
    broken = torch.where(mask, x, float("nan"))
    for m in (None, mask):
        without = despeckle(broken, method, window, 2.0, mask=m)
        assert torch.equal(without.isnan(), ~mask)
        assert torch.equal(without[mask], found[mask])
    assert despeckle(torch.full_like(x, float("nan")), method, 7).isnan().all()


@every_method
def test_one_invalid_pixel_changes_only_windows_that_hold_it(method):
    """The pass with counts and the pass without give the same bits."""
    x = speckled((1, 1, 300, 70)).float()
    plain = despeckle(x, method, 7, 2.0)
    holed = x.clone()
    holed[..., 140, 30] = float("nan")
    found = despeckle(holed, method, 7, 2.0)
    near = torch.zeros_like(x, dtype=torch.bool)
    near[..., 137:144, 27:34] = True
    assert torch.equal(found[~near], plain[~near])


@every_method
@pytest.mark.parametrize("window", [3, 7, 31])
def test_a_tile_has_the_bits_of_the_whole(method, window):
    if method == "refined_lee" and window != 7:
        pytest.skip("one window size")
    x = speckled((1, 1, 270, 1100)).float()
    whole, r = despeckle(x, method, window, 2.0), window // 2
    for top, left, height, width in ((0, 0, 100, 200), (37, 500, 61, 53), (120, 401, 150, 699), (239, 1069, 31, 31)):
        tile = despeckle(x[..., top : top + height, left : left + width], method, window, 2.0)
        a, b = (0 if top == 0 else r), (0 if left == 0 else r)
        c = height if top + height == 270 else height - r
        d = width if left + width == 1100 else width - r
        assert torch.equal(tile[..., a:c, b:d], whole[..., top + a : top + c, left + b : left + d])


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_thread_count_batch_and_layout_do_not_change_a_bit(method, dtype):
    x = speckled((2, 3, 150, 131)).to(dtype)
    mask = holes(x.shape)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = despeckle(x, method, looks=2.0, mask=mask)
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(despeckle(x, method, looks=2.0, mask=mask), expected)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(despeckle(x[1:, 2:], method, looks=2.0, mask=mask[1:, 2:]), expected[1:, 2:])
    wide = torch.zeros(2, 3, 150, 265, dtype=dtype)
    wide[..., 2:264:2] = x
    offset = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    for other in (x.to(memory_format=torch.channels_last), wide[..., 2:264:2], offset):
        assert torch.equal(despeckle(other, method, looks=2.0, mask=mask), expected)


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_dtypes_are_the_rounded_result(method, dtype):
    x, mask = speckled((1, 2, 20, 21)).to(dtype), holes((1, 2, 20, 21))
    wide = despeckle(x.float(), method, looks=2.0, mask=mask)
    found = despeckle(x, method, looks=2.0, mask=mask)
    assert found.dtype == dtype
    assert torch.equal(found, wide.to(dtype))


@every_method
@pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e-30, 1e30])
def test_constant_images_stay_what_they_are(method, value):
    for dtype in (torch.float32, torch.float64):
        x = torch.full((1, 1, 40, 41), value, dtype=dtype)
        torch.testing.assert_close(despeckle(x, method), x, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=0)


@every_method
def test_zeros_infinity_and_decibels_of_zero(method):
    x = speckled((1, 1, 30, 31)).float()
    x[..., 4:16, 5:20] = 0
    found = despeckle(x, method, looks=2.0)
    compare(found, oracle.despeckle(x.numpy(), method, 7, 2.0))
    in_decibels = despeckle(10 * x.log10(), method, looks=2.0, domain="db")
    assert not in_decibels.isnan().any()
    assert torch.equal(in_decibels == -float("inf"), found == 0)
    x[..., 20, 20] = float("inf")
    assert torch.equal(despeckle(x, method, looks=2.0)[..., :16, :], found[..., :16, :])


def test_large_offsets_lose_no_variance():
    """v = E x^2 - m^2 of 1e4-look speckle in float32 and of 1e10-look speckle in float64."""
    for dtype, looks in ((torch.float32, 1e4), (torch.float64, 1e10)):
        x = (5.0 * (1 + looks**-0.5 * speckled((1, 1, 20, 20)))).to(dtype)
        compare(despeckle(x, "kuan", 7, looks), oracle.despeckle(x.numpy(), "kuan", 7, looks), rtol=1e-6)


@every_method
@pytest.mark.parametrize("shape", [(0, 1, 9, 9), (2, 0, 9, 9), (1, 1, 0, 9), (0, 0, 0, 0)], ids=str)
def test_empty_batches(method, shape):
    x = torch.ones(shape, requires_grad=method in DIFFERENTIABLE)
    found = despeckle(x, method)
    assert found.shape == torch.Size(shape)
    if x.requires_grad:
        found.sum().backward()
        assert x.grad.shape == torch.Size(shape)


def test_negative_values_are_refused_with_a_way_out():
    x = torch.rand(1, 1, 20, 20)
    x[..., 4, 5], x[..., 7, 8] = -3.5, -23.125
    for domain, noun in (("intensity", "intensities"), ("amplitude", "amplitudes")):
        message = rf"x holds negative {noun} \(smallest -23.125\); if these are decibels pass domain='db'"
        with pytest.raises(ValueError, match=message):
            despeckle(x, domain=domain)
        despeckle(x, domain=domain, mask=x >= 0)
        despeckle(torch.where(x >= 0, x, float("nan")), domain=domain)
    despeckle(x, domain="db")
    despeckle(-torch.zeros(1, 1, 9, 9))


def test_integers_of_numpy_are_integers():
    x = torch.rand(1, 1, 12, 9)
    assert torch.equal(despeckle(x, "lee", np.int64(5), np.float32(2)), despeckle(x, "lee", 5, 2))


def test_an_infinite_pixel_spoils_the_windows_that_hold_it_unless_masked():
    x = torch.rand(1, 1, 20, 20) + 0.5
    x[..., 10, 10] = float("inf")
    for method in METHODS:
        bad = ~despeckle(x, method).isfinite()[0, 0]
        assert bool(bad[10, 10])
        bad[7:14, 7:14] = False
        assert not bool(bad.any())
        assert bool(despeckle(x, method, mask=x.isfinite())[x.isfinite()].isfinite().all())


def test_bad_input_is_refused():
    x = torch.rand(1, 1, 12, 9)
    cases = [
        (ValueError, r"window must be odd and 3 to 31, got 4", {"window": 4}),
        (ValueError, r"window must be odd and 3 to 31, got 1", {"window": 1}),
        (ValueError, r"window must be odd and 3 to 31, got 33", {"window": 33}),
        (ValueError, r"window must fit into the images, x is \(1, 1, 12, 9\) float32 on cpu.*11", {"window": 11}),
        (TypeError, r"window must be an int", {"window": 5.0}),
        (TypeError, r"window must be an int", {"window": True}),
        (ValueError, r"window must be 7 for refined_lee.*got 5", {"method": "refined_lee", "window": 5}),
        (ValueError, r"looks must be a finite number above 0, 1e-30 to 1e\+37, got 0.0", {"looks": 0}),
        (ValueError, r"looks must be a finite number above 0, 1e-30 to 1e\+37, got -1.0", {"looks": -1}),
        (ValueError, r"looks must be a finite number above 0, 1e-30 to 1e\+37, got inf", {"looks": float("inf")}),
        (ValueError, r"looks must be a finite number above 0, 1e-30 to 1e\+37, got nan", {"looks": float("nan")}),
        (TypeError, r"looks must be a number, got '4'", {"looks": "4"}),
        (TypeError, r"looks must be a number, got True", {"looks": True}),
        (ValueError, r"damping must be finite and not negative, got -0.1", {"damping": -0.1}),
        (ValueError, r"method must be one of 'boxcar', 'lee'", {"method": "median"}),
        (ValueError, r"domain must be one of 'intensity'", {"domain": "dB"}),
        (TypeError, r"mask must be a torch.bool tensor", {"mask": x}),
        (ValueError, r"mask must broadcast", {"mask": torch.ones(3, 3, dtype=torch.bool)}),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            despeckle(x, **arguments)
    for broken, error, message in (
        ((x * 255).byte(), TypeError, r"Radiometry and convert with sarcore.ops.decode"),
        ((x * 255).short(), TypeError, r"integers have no unit"),
        (x.to(torch.complex64), TypeError, r"take \|z\|\^2 with sarcore.ops.intensity"),
        (x[0], ValueError, r"x must be \(N, C, H, W\)"),
        (x.numpy(), TypeError, r"x must be a torch.Tensor"),
    ):
        with pytest.raises(error, match=message):
            despeckle(broken)


def test_golden_values(device):
    """The same bits on every machine and device: inputs from sums and products alone."""
    generator = torch.Generator().manual_seed(7)
    a, b = torch.rand(2, 1, 1, 7, 8, generator=generator, dtype=torch.float64)
    mask = torch.rand(1, 1, 7, 8, generator=generator) > 0.2
    x, decibels = 0.1 + 3 * a * b, 20 * a - 15
    x[..., 4:] += 2.5
    results = {}

    def record(name: str, image: torch.Tensor, method: str, m: torch.Tensor | None = None, **options: object) -> None:
        moved = None if m is None else m.to(device)
        results[name] = despeckle(image.to(device), method, looks=3.3, mask=moved, **options).cpu()

    for method in METHODS:
        record(f"{method} float32", x.float(), method)
        record(f"{method} float16 masked", x.half(), method, mask)
    record("boxcar bfloat16 db", decibels.bfloat16(), "boxcar", domain="db")
    record("lee float32 db masked", decibels.float(), "lee", mask, domain="db")
    record("kuan float64 amplitude", x, "kuan", domain="amplitude")
    record("frost float64 log masked", a, "frost", mask, domain="log", damping=2.0)
    record("gamma_map float32 window 5", x.float(), "gamma_map", window=5)
    record("refined_lee float32 db", decibels.float(), "refined_lee", domain="db")
    results["enl float32 masked"] = enl(x.float().to(device), 3, mask=mask.to(device)).cpu()
    compare_with_golden("despeckle", results)
