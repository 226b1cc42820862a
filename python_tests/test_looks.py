"""enl and multilook: against NumPy, no-data, domains, gradients, bad input."""

import numpy as np
import pytest
import torch

from sarcore.ops import enl, multilook

from . import despeckle_oracle as oracle
from .test_despeckle import compare, holes, speckled, unit

every_domain = pytest.mark.parametrize("domain", ["intensity", "amplitude", "db", "log"])


@every_domain
@pytest.mark.parametrize("window", [3, 7])
def test_local_looks_equal_the_formula(domain, window):
    x, mask = unit(speckled((2, 1, 20, 23), 4.0), domain), holes((2, 1, 20, 23))
    for m in (None, mask):
        expected = oracle.despeckle(x.numpy(), "enl", window, domain=domain, mask=None if m is None else m.numpy())
        for dtype, rtol in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
            found = enl(x.to(dtype), window, domain=domain, mask=m)
            assert found.dtype == dtype
            np.testing.assert_allclose(found.double().numpy(), expected, rtol=rtol)
    assert enl(x.half(), window, domain=domain).dtype == torch.float32


@every_domain
def test_global_looks_equal_the_formula(domain):
    x, mask = unit(speckled((2, 3, 20, 23), 4.0), domain), holes((2, 3, 20, 23))
    found = enl(x, None, domain=domain, mask=mask)
    assert (found.shape, found.dtype) == ((2, 3), torch.float64)
    for at in np.ndindex(2, 3):
        values = oracle.TO_INTENSITY[domain](x[at][mask[at]].numpy())
        assert float(found[at]) == pytest.approx(values.mean() ** 2 / values.var(), rel=1e-9)
    broken = torch.where(mask, x, float("nan"))
    assert torch.equal(enl(broken, None, domain=domain), found)
    assert torch.equal(enl(broken.float(), None, domain=domain), enl(x.float(), None, domain=domain, mask=mask))


def test_speckle_has_the_looks_it_was_made_with():
    for looks in (1.0, 4.4, 64.0):
        x = torch.from_numpy(np.random.default_rng(0).gamma(looks, 1 / looks, (1, 1, 400, 400))).float()
        assert enl(x, None).item() == pytest.approx(looks, rel=0.03)
        assert enl(3 * x.sqrt(), None, domain="amplitude").item() == pytest.approx(looks, rel=0.03)
        assert enl(x, 15).median().item() == pytest.approx(looks, rel=0.1)
        assert enl(multilook(x, (2, 3)), None).item() == pytest.approx(6 * looks, rel=0.05)


def test_looks_without_variance_and_without_pixels():
    x = torch.full((1, 2, 9, 9), 0.3)
    assert bool(enl(x).isinf().all())
    assert bool(enl(x, None).isinf().all())
    assert bool(enl(torch.full_like(x, float("nan"))).isnan().all())
    assert bool(enl(torch.full_like(x, float("nan")), None).isnan().all())
    assert enl(torch.ones(0, 2, 9, 9)).shape == (0, 2, 9, 9)
    assert enl(torch.ones(0, 2, 9, 9), None).shape == (0, 2)
    assert not enl(x.requires_grad_()).requires_grad


def blocks(x: np.ndarray, valid: np.ndarray, looks: tuple[int, int], partial: str) -> np.ndarray:
    """Means of blocks of one image, by a loop."""
    a, b = looks
    h, w = (x.shape[0] // a, x.shape[1] // b) if partial == "drop" else (-(-x.shape[0] // a), -(-x.shape[1] // b))
    out = np.full((h, w), np.nan)
    for i, j in np.ndindex(h, w):
        part = np.s_[a * i : a * i + a, b * j : b * j + b]
        if valid[part].any():
            out[i, j] = x[part][valid[part]].mean()
    return out


@every_domain
@pytest.mark.parametrize("looks", [(1, 1), (2, 2), (5, 1), (3, 4)], ids=str)
@pytest.mark.parametrize("partial", ["drop", "keep"])
def test_multilook_is_the_mean_of_blocks(domain, looks, partial):
    x, mask = unit(speckled((2, 1, 20, 23)), domain).float(), holes((2, 1, 20, 23))
    for m in (None, mask):
        valid = np.ones(x.shape, bool) if m is None else m.numpy()
        found = multilook(x, looks, domain=domain, mask=m, partial=partial)
        intensity = oracle.TO_INTENSITY[domain](x.double().numpy())
        for n in range(2):
            mean = blocks(intensity[n, 0], valid[n, 0], looks, partial)
            compare(found[n, 0], oracle.FROM_INTENSITY[domain](mean), domain)
    broken = torch.where(mask, x, float("nan"))
    torch.testing.assert_close(
        multilook(broken, looks, domain=domain, partial=partial),
        multilook(x, looks, domain=domain, mask=mask, partial=partial),
        rtol=0, atol=0, equal_nan=True,
    )  # fmt: skip


def test_multilook_of_complex_images_and_of_narrow_dtypes():
    z = torch.randn(1, 2, 12, 12, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(multilook(z, (3, 2)), multilook(z.abs().square(), (3, 2)))
    with pytest.raises(TypeError, match=r"x must be complex64, got .*complex128.*x.to\(torch.complex64"):
        multilook(z.to(torch.complex128))
    x = torch.full((1, 1, 8, 8), 60000.0).half()
    assert torch.equal(multilook(x, (4, 4)), x[..., :2, :2])
    assert multilook(x.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="domain must be 'intensity' for complex x"):
        multilook(z, domain="db")


def test_large_blocks_lose_no_digits():
    x = torch.full((1, 1, 4096, 4096), 0.3)
    assert multilook(x, (4096, 4096)).item() == pytest.approx(0.3, rel=1e-6)
    wide = multilook(x[..., :300], (4096, 3), domain="amplitude")
    assert bool((wide / 0.3 - 1).abs().max() < 1e-6)


@every_domain
def test_multilook_gradients(domain):
    x, mask = unit(speckled((1, 2, 7, 8)), domain), holes((1, 2, 7, 8))
    x[..., 0, 0] = float("nan")
    mask[..., 1, 1] = mask[..., 0, 1] = mask[..., 1, 0] = False  # a block without a valid pixel
    x = torch.where(mask, x, 1.0)
    x.requires_grad_()
    for partial in ("drop", "keep"):
        assert torch.autograd.gradcheck(
            lambda t, p=partial: multilook(t, (2, 3), domain=domain, mask=mask, partial=p).nan_to_num(0.0), x
        )
    zero = torch.zeros(1, 1, 4, 4, requires_grad=True)
    multilook(zero, domain="amplitude").sum().backward()
    assert bool(zero.grad.isfinite().all())


def test_integers_of_numpy_are_integers():
    x = torch.rand(1, 1, 12, 12)
    assert torch.equal(multilook(x, (np.int64(2), np.uint8(3))), multilook(x, (2, 3)))
    assert torch.equal(enl(x, np.int32(5)), enl(x, 5))


def test_compiled_equals_eager():
    torch._dynamo.reset()
    x = speckled((1, 1, 12, 13)).float()
    for function in (
        lambda t: multilook(t, (2, 3), partial="keep"),
        lambda t: enl(t, 3, domain="amplitude"),
        lambda t: enl(t, None),
    ):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), function(x))


def test_bad_input_is_refused():
    x = torch.rand(1, 1, 8, 9)
    for looks in ((0, 1), (1, -2), (9, 1), (1, 10), (2, 2, 2)):
        with pytest.raises(ValueError, match="looks must"):
            multilook(x, looks)
    for looks in (4, "22"):
        with pytest.raises(ValueError, match="looks must be a pair"):
            multilook(x, looks)
    for looks in ((2.0, 2), (True, 2)):
        with pytest.raises(TypeError, match="each of the looks must be an int"):
            multilook(x, looks)
    with pytest.raises(ValueError, match="partial must be one of"):
        multilook(x, partial="pad")
    for function in (multilook, enl):
        with pytest.raises(TypeError, match="sarcore.ops.decode"):
            function((x * 255).byte())
        with pytest.raises(ValueError, match=r"negative intensities \(smallest -0.25\).*domain='db'"):
            function(x - 0.25 - x.min())
        with pytest.raises(ValueError, match="domain must be one of"):
            function(x, domain="power")
    with pytest.raises(TypeError, match="complex"):
        enl(x.to(torch.complex64))
    with pytest.raises(ValueError, match=r"negative amplitudes \(smallest -0.5\)"):
        enl(x - 0.5 - x.min(), None, domain="amplitude")
    with pytest.raises(ValueError, match="window must fit"):
        enl(x, 9)
