"""sarcore.Radiometry, encode and decode: values against a float64 oracle, codes, no-data, refusals."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.ops import decode, encode, intensity

from .golden_values import compare_with_golden

NAN = float("nan")
REAL = ("intensity", "amplitude", "db")
LIMITS = {"intensity": (0.01, 2.0), "amplitude": (0.1, 1.4), "db": (-20.0, 3.0), "digital": (20.0, 200.0)}
PAIRS = [*itertools.product((*REAL, "complex"), REAL), ("digital", "digital")]
every_pair = pytest.mark.parametrize(("unit", "scale"), PAIRS)
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def declared(unit: str, scale: str, **options: object) -> Radiometry:
    return Radiometry(unit, *LIMITS[scale], scale=scale, **options)


def values(unit: str, count: int = 3000, seed: int = 0) -> torch.Tensor:
    """Log-uniform intensities of -26 to 6 dB, some beyond the limits, float64 or complex64, in the unit."""
    generator = torch.Generator().manual_seed(seed)
    decibel = torch.empty(count, dtype=torch.float64).uniform_(-26, 6, generator=generator)
    if unit == "complex":
        phase = torch.empty_like(decibel).uniform_(0, 2 * math.pi, generator=generator)
        return torch.polar(10 ** (decibel / 20), phase).to(torch.complex64)
    return {
        "intensity": 10 ** (decibel / 10),
        "amplitude": 10 ** (decibel / 20),
        "db": decibel,
        "digital": 8 * (decibel + 27),
    }[unit]


def on_scale(x: torch.Tensor, unit: str, scale: str) -> np.ndarray:
    """The oracle, by way of decibels: I = |z|^2 = A^2, dB = 10 log10 I."""
    array = x.numpy()
    if unit == scale:
        return array.astype(np.float64)
    power = {
        "intensity": lambda a: a,
        "amplitude": lambda a: a**2,
        "db": lambda a: 10 ** (a / 10),
        "complex": lambda a: np.abs(a.astype(np.complex128)) ** 2,
    }[unit](array if unit == "complex" else array.astype(np.float64))
    with np.errstate(divide="ignore"):
        return {"intensity": power, "amplitude": np.sqrt(power), "db": 10 * np.log10(power)}[scale]


def unit_interval(x: torch.Tensor, r: Radiometry) -> np.ndarray:
    return np.clip((on_scale(x, r.unit, r.scale) - r.low) / (r.high - r.low), 0, 1)


@every_pair
def test_encode_against_the_oracle(unit, scale):
    x, r = values(unit), declared(unit, scale)
    expected = unit_interval(x, r)
    assert 0.02 < (expected == 0).mean() < 0.4
    for dtype, atol in ((torch.float64, 1e-13), (torch.float32, 1e-6), (torch.float16, 3e-3), (torch.bfloat16, 3e-2)):
        if unit != "complex":
            t = encode(x.to(dtype), dataclasses.replace(r, out=str(dtype).removeprefix("torch.")))
            assert t.dtype == dtype
            np.testing.assert_allclose(t.double().numpy(), expected, rtol=0, atol=atol)
    np.testing.assert_allclose(encode(x if unit == "complex" else x.float(), r).numpy(), expected, rtol=0, atol=1e-6)


@every_pair
@pytest.mark.parametrize("nodata", [None, NAN])
@pytest.mark.parametrize("out", ["uint8", "uint16"])
def test_codes_are_rounded_and_all_used(unit, scale, out, nodata):
    r = declared(unit, scale, out=out, nodata=nodata)
    x = values(unit) if unit == "complex" else values(unit, 200_000).float()
    top, first = (255 if out == "uint8" else 65535), int(nodata is not None)
    exact = first + unit_interval(x, r) * (top - first)
    codes = encode(x, r).numpy().astype(np.float64)
    assert np.abs(codes - exact).max() <= 0.5 + 1e-6 * top
    assert codes.min() == first
    assert codes.max() == top
    if out == "uint8" and unit != "complex":
        assert len(np.unique(codes)) == 256 - first


def test_halves_are_rounded_to_even():
    r = Radiometry("digital", 0, 255, out="uint8")
    halves = torch.tensor([0.5, 1.5, 2.5, 3.5, 100.5, 101.5, 253.5, 254.5], dtype=torch.float64)
    assert encode(halves, r).tolist() == [0, 2, 2, 4, 100, 102, 254, 254]
    wide = Radiometry("digital", 0, 65535, out="uint16")
    assert encode(torch.tensor([0.5, 1.5, 65534.5], dtype=torch.float64), wide).tolist() == [0, 2, 65534]
    codes = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(encode(codes, r), codes)
    assert torch.equal(decode(codes, r), codes.float())


@every_pair
@pytest.mark.parametrize("nodata", [None, -7.5])
@pytest.mark.parametrize("out", ["uint8", "uint16", "float16", "bfloat16", "float32", "float64"])
def test_decode_is_within_half_a_step(unit, scale, out, nodata):
    r = declared(unit, scale, out=out, nodata=nodata)
    x = values(unit, seed=3)
    x = x if unit == "complex" or out == "float64" else x.float()
    t = unit_interval(x, r)
    inside = torch.from_numpy((t > 0) & (t < 1))
    x = x[inside]
    steps = {"uint8": 1 / (255 - (nodata is not None)), "uint16": 1 / (65535 - (nodata is not None))}
    steps |= {"float16": 2**-11, "bfloat16": 2**-8, "float32": 2**-24, "float64": 2**-53 if unit != "complex" else 0}
    q = encode(x, r)
    back = decode(q, r)
    assert back.dtype == (torch.float64 if out == "float64" else torch.float32)
    error = np.abs(on_scale(back, scale if unit == "complex" else unit, scale) - on_scale(x, unit, scale))
    eps = 4e-15 if out == "float64" and unit != "complex" else 4e-7
    rounding = eps * max(abs(r.low), r.high)  # of the arithmetic, in the unit of the scale
    assert error.max() <= 0.5 * steps[out] * (r.high - r.low) + rounding
    if out.startswith("uint"):
        again = encode(back, dataclasses.replace(r, unit=scale) if unit == "complex" else r)
        assert torch.equal(again, q), "codes survive decode and encode"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, *FLOATING])
@pytest.mark.parametrize("scale", ["amplitude", "db"])
def test_input_dtypes_are_widened_exactly(dtype, scale):
    x = torch.arange(1, 256).to(dtype)
    r = Radiometry("amplitude", 5, 40 if scale == "db" else 200, scale=scale)
    single = torch.float64 if dtype == torch.float64 else torch.float32
    assert torch.equal(encode(x, r), encode(x.to(single), r).to(torch.float32))
    if dtype == torch.int16:
        assert encode(-x, Radiometry("digital", -200, 0)).tolist() == pytest.approx(
            [(200 - v) / 200 if v < 200 else 0 for v in range(1, 256)]
        )


def test_zero_power_is_the_lower_limit_and_infinities_are_clipped():
    r = Radiometry("intensity", -25, 0, scale="db")
    assert encode(torch.tensor([0.0, -0.0, 1e-45, math.inf]), r).tolist() == [0, 0, 0, 1]
    assert encode(torch.zeros(3, dtype=torch.complex64), Radiometry("complex", -25, 0, scale="db")).tolist() == [
        0,
        0,
        0,
    ]
    assert encode(torch.tensor([-math.inf, math.inf]), Radiometry("db", -25, 0)).tolist() == [0, 1]


@pytest.mark.parametrize("out", ["float32", "float16", "uint8", "uint16"])
@pytest.mark.parametrize("nodata", [NAN, -9999.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.complex64])
def test_no_data_goes_to_nan_or_code_zero_and_back(dtype, nodata, out):
    unit = "complex" if dtype.is_complex else "intensity"
    r = Radiometry(unit, 0.0, 1.0, nodata=nodata, out=out)
    x = torch.tensor([0.25, nodata, 1.0, NAN, 0.5], dtype=torch.float64).to(dtype)
    q = encode(x, r)
    missing = [False, True, False, True, False]
    assert ((q == 0) if out.startswith("uint") else q.isnan()).tolist() == missing
    back = decode(q, r)
    found = back.isnan() if math.isnan(nodata) else back == nodata
    assert found.tolist() == missing
    power = intensity(x) if dtype.is_complex else x
    torch.testing.assert_close(back[~found].float(), power[~found].float(), rtol=0, atol=0.003)


def test_nan_without_no_data():
    x = torch.tensor([0.5, NAN])
    assert encode(x, Radiometry("intensity", 0, 1)).isnan().tolist() == [False, True]
    assert decode(x, Radiometry("intensity", 0, 1)).isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match=r"x holds 1 NaN.*nodata=float\('nan'\)"):
        encode(x, Radiometry("intensity", 0, 1, out="uint8"))
    floating_only = torch.tensor([0, 9], dtype=torch.uint8)
    assert encode(floating_only, Radiometry("digital", 0, 255, nodata=9)).isnan().tolist() == [False, True]


@pytest.mark.parametrize("out", ["float32", "uint8", "float64"])
@pytest.mark.parametrize("dtype", FLOATING)
def test_values_that_contradict_the_unit_are_refused(dtype, out):
    decibels = torch.linspace(-23.125, 3, 70000).to(dtype)
    for unit in ("intensity", "amplitude"):
        with pytest.raises(ValueError, match=r"(?s)x contradicts unit='.*smallest value -23.*declare.*unit='db'"):
            encode(decibels, Radiometry(unit, 0, 1, out=out))
    noise = torch.cat([torch.tensor([-0.001]), torch.rand(5000) + 0.1]).to(dtype)
    with pytest.raises(ValueError, match=r"1 of its 5001 values are negative.*nodata, clamp"):
        encode(noise, Radiometry("intensity", -20, 0, scale="db", out=out))
    with pytest.raises(ValueError, match=r"contradicts unit='db'.*largest 1000.*intensities or digital numbers"):
        encode(torch.linspace(0, 1000, 500).to(dtype), Radiometry("db", -25, 0, out=out))
    marked = torch.tensor([0.5, -9999.0]).to(dtype)  # declared no-data is no contradiction, and does not hide one
    assert encode(marked, Radiometry("intensity", 0, 1, nodata=-9999.0)).isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match="1 of its 1 values are negative"):
        encode(-marked[:1], Radiometry("intensity", 0, 1, nodata=-9999.0))
    for fine in (torch.tensor([0.0, 90.0]), torch.tensor([-1.0, 500.0])):
        encode(fine.to(dtype), Radiometry("db", -25, 0, out=out))


def test_dtypes_that_contradict_the_declaration_are_refused():
    r = Radiometry("db", -25, 0)
    for dtype in (torch.uint8, torch.uint16, torch.int16):
        with pytest.raises(TypeError, match=r"x is \(3,\) u?int.*unit='db' declares decibels.*unit='digital'"):
            encode(torch.zeros(3, dtype=dtype), r)
    with pytest.raises(TypeError, match="x must be complex64 for unit='complex'.*intensity"):
        encode(torch.zeros(3, dtype=torch.complex64), Radiometry("intensity", 0, 1))
    with pytest.raises(TypeError, match="x must be complex64 for unit='complex'"):
        encode(torch.zeros(3), Radiometry("complex", 0, 1))
    for dtype in (torch.int32, torch.int64, torch.bool):
        with pytest.raises(TypeError, match=r"x must be uint8.*convert"):
            encode(torch.zeros(3, dtype=dtype), Radiometry("digital", 0, 1))
    with pytest.raises(TypeError, match=r"x must be uint8.*complex128"):
        encode(torch.zeros(3, dtype=torch.complex128), Radiometry("complex", 0, 1))
    for function, name in ((encode, "x"), (decode, "q")):
        with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got ndarray; wrap"):
            function(np.zeros(3), r)
        with pytest.raises(TypeError, match="radiometry must be a sarcore.Radiometry, got dict"):
            function(torch.zeros(3), {})
        with pytest.raises(ValueError, match=f"{name} must be a dense tensor"):
            function(torch.zeros(3).to_sparse(), r)
    with pytest.raises(TypeError, match=r"z must be complex64, got .*x.square\(\)"):
        intensity(torch.zeros(3))


def test_decode_refuses_what_encode_did_not_make():
    floating, codes = Radiometry("db", -25, 0), Radiometry("db", -25, 0, out="uint8")
    with pytest.raises(
        TypeError, match="q must be a floating type, as the radiometry declares out='float32', got .*uint8"
    ):
        decode(torch.zeros(3, dtype=torch.uint8), floating)
    for dtype in (torch.float32, torch.uint16):
        with pytest.raises(TypeError, match="q must be uint8, as the radiometry declares"):
            decode(torch.zeros(3, dtype=dtype), codes)
    for dtype in FLOATING:
        with pytest.raises(ValueError, match=r"q must lie in \[0, 1\], but 2 of its 3.*clamp\(0, 1\)"):
            decode(torch.tensor([-0.25, 0.5, 1.5]).to(dtype), floating)
        assert decode(torch.tensor([0.5]).to(dtype), floating).tolist() == [-12.5]


def test_intensity_of_complex_numbers():
    z = torch.randn(4, 5, dtype=torch.complex64, requires_grad=True)
    power = intensity(z)
    np.testing.assert_allclose(power.detach().numpy(), np.abs(z.detach().numpy()) ** 2, rtol=1e-6)
    power.sum().backward()
    torch.testing.assert_close(z.grad, 2 * z.detach())
    with pytest.raises(TypeError, match=r"z must be complex64, got .*complex128.*z.to\(torch.complex64"):
        intensity(z.to(torch.complex128))


def test_golden_values(device):
    results = {}
    for unit, scale in PAIRS:
        x = values(unit, 4, seed=8).to(device)
        r = declared(unit, scale)
        for dtype in [torch.complex64] if unit == "complex" else [torch.float32, torch.float64]:
            out = "float64" if dtype == torch.float64 else "float32"
            a = x.to(dtype).requires_grad_()
            q = encode(a, dataclasses.replace(r, out=out))
            (gradient,) = torch.autograd.grad(q.sum(), a)
            results |= {f"{unit} {scale} {out}": q, f"{unit} {scale} {out} gradient": gradient}
            results[f"{unit} {scale} {out} decoded"] = decode(q.detach(), r)
    for out, nodata in itertools.product(("uint8", "uint16", "float16", "bfloat16"), (None, NAN)):
        r = Radiometry("intensity", -20, 3, nodata, out, scale="db")
        x = values("intensity", 12, seed=9).float()
        x[3] = 0.0 if nodata is None else NAN
        q = encode(x.to(device), r)
        results |= {f"{out} {nodata}": q, f"{out} {nodata} decoded": decode(q, r)}
    for dtype in (torch.uint8, torch.uint16, torch.int16, torch.float16, torch.bfloat16):
        x = values("amplitude", 9, seed=10).mul(100).to(dtype).to(device)
        results[f"from {dtype}"] = encode(x, Radiometry("amplitude", 10, 45, scale="db"))
    compare_with_golden("radiometry", results)
