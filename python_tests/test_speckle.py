"""speckle and speckle_field: known answers of Philox, a float64 oracle of every sampler, the golden values."""

import numpy as np
import pytest
import torch

import sarcore
from sarcore.ops import point_spread, speckle, speckle_field

from .golden_values import compare_with_golden
from .speckle_oracle import field, philox

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
KNOWN = [  # the file kat_vectors of Random123
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (*PI, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]
LOOKS = [0.02, 0.3, 0.5, 1, 1.4, 2, 2.7, 3, 4, 5, 7, 8, 8.5, 9, 16, 64, 64.2, 64.5, 100, 1e4]
DOMAINS = ["intensity", "amplitude", "db", "log"]
TAPS = (torch.tensor([0.3, 1.0, -0.2]), torch.tensor([0.1, 0.5, 1.0, 0.4, 0.2]))


def assert_close(found: torch.Tensor, expected: np.ndarray, atol: float = 4e-7) -> None:
    """1e-5 relative; the absolute part is the float32 rounding of a product of uniforms next to one."""
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_known_answers(counter, key, words):
    assert tuple(sarcore._core.philox(list(counter), list(key))) == words
    assert tuple(philox(counter, key).tolist()) == words


def test_philox_against_numpy_integers():
    generator = np.random.default_rng(0)
    for counter in generator.integers(0, 2**32, (200, 4)):
        key = generator.integers(0, 2**32, 2)
        assert sarcore._core.philox(counter.tolist(), key.tolist()) == philox(counter, tuple(key)).tolist()


@pytest.mark.parametrize("looks", LOOKS)
def test_every_sampler_against_the_formulas(looks):
    shape = (2, 2, 31, 45)
    found = speckle_field(shape, looks, seed=2026, origin=(5, 3), index=7)
    expected = field(shape, float(np.float32(looks)), 2026, index=7, origin=(5, 3))
    # u^(1/L) carries the rounding of log(u) / L
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5 if looks < 0.1 else 1e-5, atol=4e-7)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize(
    ("index", "origin"), [(0, (0, 0)), (2**32 - 2, (-7, -13)), (2**31, (2**31 - 9, 2**31 - 17)), (3, (-(2**31),) * 2)]
)
def test_counters_and_keys_in_their_whole_range(seed, index, origin):
    shape = (2, 3, 8, 15)
    found = speckle_field(shape, 2, seed=seed, index=index, origin=origin)
    assert_close(found, field(shape, 2, seed, index=index, origin=origin))


@pytest.mark.parametrize("looks", [0.5, 1, 2.7, 4])
@pytest.mark.parametrize("domain", DOMAINS)
def test_domains_texture_and_both_together(domain, looks):
    shape = (1, 2, 23, 34)
    for texture in (None, 0.7, 1, 3, 12.5):
        found = speckle_field(shape, looks, seed=5, domain=domain, texture=texture)
        expected = field(shape, float(np.float32(looks)), 5, domain, texture and float(np.float32(texture)))
        # next to an intensity of zero a logarithm has the intensity's absolute error divided by the intensity
        atol = {"db": 1e-4, "log": 2e-5}.get(domain, 4e-7)
        assert_close(found, expected, atol)


@pytest.mark.parametrize("looks", [0.3, 0.5, 1, 1.5, 2.7, 4])
@pytest.mark.parametrize(("height", "width"), [(9, 14), (70, 3), (3, 270)])
def test_correlated_speckle_against_the_formulas(looks, height, width):
    shape = (1, 2, height, width)
    for texture, origin in ((None, (0, 0)), (2.5, (-3, 5))):
        found = speckle_field(shape, looks, seed=11, psf=TAPS, texture=texture, origin=origin)
        taps = tuple(t.double().numpy() for t in TAPS)
        expected = field(shape, float(np.float32(looks)), 11, texture=texture, taps=taps, origin=origin)
        # a square of a sum that cancels keeps the absolute error of the sum
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("texture", [None, 1.7])
@pytest.mark.parametrize("psf", [None, TAPS], ids=["white", "correlated"])
def test_complex_fields_against_the_formulas(psf, texture):
    taps = None if psf is None else tuple(t.double().numpy() for t in psf)
    found = speckle_field((2, 2, 19, 30), seed=3, domain="complex", psf=psf, texture=texture, origin=(2, -5))
    expected = field((2, 2, 19, 30), 1, 3, "complex", texture and float(np.float32(texture)), taps, origin=(2, -5))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=2e-6)


def ulps(found: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found.numpy() - expected) / np.spacing(np.abs(expected).astype(np.float32))))


@pytest.mark.parametrize("looks", [0.02, 0.5, 1, 2.7, 4, 100])
def test_domains_are_functions_of_the_intensity(looks):
    """The elementary functions on the arguments that speckle has. NumPy's float32 root is exact, torch's is not."""
    shape = (1, 2, 300, 301)
    intensity = speckle_field(shape, looks, seed=1)
    g = intensity.double().numpy()
    amplitude = speckle_field(shape, looks, seed=1, domain="amplitude")
    np.testing.assert_array_equal(amplitude.numpy(), np.sqrt(intensity.numpy()))
    assert ulps(speckle_field(shape, looks, seed=1, domain="log"), np.log(g)) <= 2
    # the logarithm's error, the constant's and a rounding; measured 2.03
    assert ulps(speckle_field(shape, looks, seed=1, domain="db"), 10 * np.log10(g)) <= 2.5


@pytest.mark.parametrize("texture", [None, 3.0])
@pytest.mark.parametrize("psf", [None, "box"])
def test_complex_speckle_has_the_intensity_of_one_look(psf, texture):
    z = speckle_field((1, 2, 90, 91), seed=4, domain="complex", psf=psf, texture=texture)
    g = speckle_field((1, 2, 90, 91), 1, seed=4, psf=psf, texture=texture)
    torch.testing.assert_close(z.abs().square(), g, rtol=2e-6, atol=0)


def test_a_gain_is_never_zero():
    for looks in (0.02, 1e-3, 1e-30):
        g = speckle_field((1, 1, 100, 100), looks, seed=1)
        assert float(g.min()) == 2.0**-126
        assert speckle_field((1, 1, 100, 100), looks, seed=1, domain="db").isfinite().all()


@pytest.mark.parametrize("domain", DOMAINS)
def test_shapes_that_nobody_could_check_give_nan(domain):
    """On a GPU and under torch.compile the values of a tensor are not read before the launch."""
    like = torch.empty(4, 1, 2, 4)
    looks = torch.tensor([0.0, -1.0, float("nan"), float("inf")])
    g = torch.ops.sarcore.speckle_field(like, looks, None, None, None, None, 1.0, 0, 0, 1, domain, 0.0, False)
    assert g.isnan().all()


def golden_results(device: torch.device) -> dict[str, torch.Tensor]:
    shape, results = (1, 1, 3, 7), {}
    for looks in (1, 3, 8, 0.5, 2.7, 100):
        results[f"looks {looks}"] = speckle_field(shape, looks, seed=2026, origin=(4, 6), device=device)
    for domain in (*DOMAINS, "complex"):
        for psf in (None, "gaussian"):
            results[f"{domain} {psf}"] = speckle_field(
                shape, seed=2**64 - 1, domain=domain, psf=psf, texture=2.5, index=9, device=device
            )
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        results[f"{dtype}"] = speckle_field(shape, 4, seed=7, dtype=dtype, device=device)
    for kind, oversampling, looks in (("box", 1.5, 2), ("hamming", 1.25, 2.7), ("gaussian", 2.0, 0.3)):
        psf = (kind, oversampling)
        results[f"{kind}"] = speckle_field(shape, looks, seed=3, psf=psf, origin=(-5, -2), device=device)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((3, 2, 2, 5), generator=generator).to(device)
    x[0, 0, 0, :2] = torch.tensor([0.0, -1.0])
    mask = (torch.rand((3, 1, 2, 5), generator=generator) > 0.3).to(device)
    mask[0, 0, 0, :2] = False
    each = {
        "index": torch.tensor([5, 0, 2**32 - 1], device=device),
        "origin": torch.tensor([[0, 1], [-3, 8], [2**31 - 1, -(2**31)]], device=device),
    }
    looks = torch.tensor([1.0, 2.7, 0.5], device=device)
    results["image mask each"] = speckle(x, looks, seed=1, mask=mask, **each)
    results["bfloat16 mask psf"] = speckle(x.bfloat16(), [2.0, 1.5, 1.0], seed=1, mask=mask, psf=TAPS, **each)
    z = torch.complex(x[:1], x[1:2])
    results["complex image"] = speckle(z, seed=6, domain="complex", mask=mask[:1], texture=1.0)
    return results


def test_golden_values(device):
    results = golden_results(device)
    compare_with_golden("speckle", {name: result.cpu() if device.type == "cuda" else result
                                    for name, result in results.items()})  # fmt: skip


def test_point_spreads_have_unit_energy_and_their_shapes():
    for kind, oversampling in (("box", 1), ("box", 32), ("gaussian", 10), ("hamming", 4), ("gaussian", 1.7)):
        taps = point_spread(kind, oversampling)
        assert taps.dtype == torch.float64
        assert len(taps) % 2 == 1
        assert len(taps) <= 33
        assert float(taps.square().sum()) == pytest.approx(1, rel=1e-12)
        assert torch.equal(taps, taps.flip(0))
    assert point_spread("box", 1).tolist() == [1.0]
    box = point_spread("box", 4.0)
    np.testing.assert_allclose((box / box[2]).numpy(), [0.5, 1, 1, 1, 0.5])
    gaussian = point_spread("gaussian", 4.0)  # full width at half of the amplitude
    assert float(gaussian[len(gaussian) // 2 + 2] / gaussian.max()) == pytest.approx(0.5)


def test_the_band_of_a_hamming_point_spread():
    """0.54 + 0.46 cos within 1/s of the sampling rate, next to nothing outside."""
    s = 4.0
    taps = point_spread("hamming", s).numpy()
    frequency = np.linspace(-0.5, 0.5, 401)
    x = np.arange(len(taps)) - len(taps) // 2
    response = (taps * np.cos(2 * np.pi * frequency[:, None] * x)).sum(1)
    band = np.where(np.abs(frequency) < 0.5 / s, 0.54 + 0.46 * np.cos(2 * np.pi * frequency * s), 0)
    np.testing.assert_allclose(response / response.max(), band, atol=0.06)


def test_what_leaves_the_range_of_float16_becomes_zero_or_infinite():
    for value, beyond in ((1e-3, 0.0), (3e4, float("inf"))):
        x = torch.full((1, 1, 512, 512), value)
        wide, narrow = speckle(x, 0.5, seed=1), speckle(x.half(), 0.5, seed=1)
        assert bool(((wide > 0) & wide.isfinite()).all())
        assert bool((narrow == beyond).any())
        lost = (wide < 2e-8) if beyond == 0 else (wide > 66000)
        assert bool((narrow[lost] == beyond).all())


def test_correlation_fades_above_2048_looks():
    def neighbours(looks: float) -> float:
        g = speckle_field((1, 1, 96, 96), looks, seed=1, psf=("box", 2.0))[0, 0].double()
        return torch.corrcoef(torch.stack([g[:, 1:].flatten(), g[:, :-1].flatten()]))[0, 1].item()

    whole, faded = neighbours(256.0), neighbours(2048.0 * 4)
    assert whole == pytest.approx(4 / 9, abs=0.05)  # ((0.408 * 0.816) * 2)^2
    assert faded < 0.4 * whole
