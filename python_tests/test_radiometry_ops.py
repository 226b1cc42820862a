"""The declaration itself, and what every op promises, for encode and decode: gradients, opcheck, compile, threads."""

import dataclasses
import itertools
import json
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore import Radiometry, reference
from sarcore.ops import decode, encode, intensity

NAN = float("nan")
REAL = ("intensity", "amplitude", "db")
LIMITS = {"intensity": (0.01, 2.0), "amplitude": (0.1, 1.4), "db": (-20.0, 3.0), "digital": (0.2, 0.9)}
PAIRS = [*itertools.product((*REAL, "complex"), REAL), ("digital", "digital")]
every_pair = pytest.mark.parametrize(("unit", "scale"), PAIRS)
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def declared(unit: str, scale: str, **options: object) -> Radiometry:
    return Radiometry(unit, *LIMITS[scale], scale=scale, **options)


def inside(unit: str, shape: tuple[int, ...] = (40,), dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Values between the limits, away from them."""
    generator = torch.Generator().manual_seed(0)
    amplitude = 0.3 + 0.6 * torch.rand(shape, generator=generator, dtype=torch.float64)
    if unit == "complex":
        return torch.polar(amplitude, 6 * torch.rand(shape, generator=generator).double()).to(torch.complex64)
    return {"intensity": amplitude**2, "db": 20 * amplitude.log10()}.get(unit, amplitude).to(dtype)


def test_the_declaration_names_what_is_wrong():
    for arguments, options, message in [
        (("dB", 0, 1), {}, "unit must be one of 'intensity'.*got 'dB'"),
        (("db", 1, 1), {}, "\\(low, high\\) must be low < high"),
        (("db", 2, 1), {}, "\\(low, high\\) must be low < high"),
        (("db", NAN, 1), {}, "\\(low, high\\) must be low < high"),
        (("db", 0, math.inf), {}, "\\(low, high\\) must be low < high"),
        (("intensity", -25, 0), {}, "low must be 0 or more on the scale 'intensity'.*scale='db'"),
        (("db", -1, 1), {"scale": "amplitude"}, "low must be 0 or more on the scale 'amplitude'"),
        (("digital", 0, 1), {"scale": "db"}, "scale for unit='digital' must be one of 'digital'"),
        (("db", 0, 1), {"scale": "digital"}, "scale for unit='db' must be one of"),
        (("db", 0, 1), {"scale": "complex"}, "scale for unit='db' must be one of"),
        (("db", 0, 1), {"out": "int8"}, "out must be one of 'float32'"),
    ]:
        with pytest.raises(ValueError, match=message):
            Radiometry(*arguments, **options)
    for arguments, name in ((("db", "a", 1), "low"), (("db", 0, None), "high"), (("db", 0, 1, "x"), "nodata")):
        with pytest.raises(TypeError, match=f"{name} must be a number"):
            Radiometry(*arguments)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Radiometry("db", 0, 1).low = 3.0


@pytest.mark.parametrize("nodata", [None, NAN, -9999.0, -math.inf])
def test_the_declaration_survives_json_and_pickle(nodata):
    original = Radiometry("complex", -25, 5, nodata, "uint16", scale="db")
    text = json.dumps(original.to_dict(), allow_nan=False)
    for copy in (
        Radiometry.from_dict(json.loads(text)),
        pickle.loads(pickle.dumps(original)),
        dataclasses.replace(original),
    ):
        assert copy == original
        assert hash(copy) == hash(original)
    assert original != Radiometry("complex", -25, 5, 7.0, "uint16", scale="db")
    assert original != "complex"
    assert Radiometry.from_dict({"unit": "amplitude", "low": 0, "high": 2}) == Radiometry("amplitude", 0.0, 2.0)
    with pytest.raises(ValueError, match="missing: low"):
        Radiometry.from_dict({"unit": "db", "high": 1.0})
    with pytest.raises(ValueError, match="unknown: lov"):
        Radiometry.from_dict({"unit": "db", "low": 0, "high": 1.0, "lov": 3})


@every_pair
def test_gradcheck(unit, scale):
    r = declared(unit, scale, out="float64")
    if unit != "complex":
        assert torch.autograd.gradcheck(lambda a: encode(a, r), inside(unit).requires_grad_())
    q = (0.05 + 0.9 * torch.rand(40, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: decode(a, r), q)


@every_pair
@pytest.mark.parametrize("dtype", FLOATING)
def test_gradients_have_the_dtype_of_the_input_and_the_values_of_plain_torch(unit, scale, dtype):
    x = inside(unit, (3, 7), dtype).requires_grad_()
    for out in ("float32", "float16", "float64"):
        r = declared(unit, scale, out=out)
        upstream = torch.linspace(-1, 1, 21, dtype=torch.float64).view(3, 7)
        q = encode(x, r)
        (found,) = torch.autograd.grad(q, x, upstream.to(q.dtype))
        wide = x.detach().to(torch.complex128 if unit == "complex" else torch.float64).requires_grad_()
        (expected,) = torch.autograd.grad(reference.encode(wide, r), wide, upstream.to(q.dtype).double())
        assert found.dtype == x.dtype
        rtol = 1e-5 if unit == "complex" or out != "float64" else torch.finfo(dtype).eps
        rtol = max(rtol, torch.finfo(dtype if unit != "complex" else torch.float32).eps)
        torch.testing.assert_close(found, expected.to(x.dtype), rtol=rtol, atol=rtol)
    if unit == "complex":
        return
    q, r = torch.linspace(0.05, 0.95, 21).to(dtype).requires_grad_(), declared(unit, scale)
    wide = q.detach().double().requires_grad_()
    torch.testing.assert_close(decode(q, r).double(), reference.decode(wide, r), rtol=2e-6, atol=4e-6)
    (found,) = torch.autograd.grad(decode(q, r).sum(), q)
    (expected,) = torch.autograd.grad(reference.decode(wide, r).sum(), wide)
    assert found.dtype == dtype
    rtol = max(1e-5, torch.finfo(dtype).eps)
    torch.testing.assert_close(found, expected.to(dtype), rtol=rtol, atol=rtol)


def test_gradients_are_zero_where_clipped_for_no_data_and_at_zero():
    x = torch.tensor([-30.0, -10.0, 5.0, NAN, -9999.0], requires_grad=True)
    encode(x, Radiometry("db", -25, 0, nodata=-9999.0)).nansum().backward()
    assert x.grad.tolist() == [0, pytest.approx(0.04), 0, 0, 0]
    for unit, scale in (("intensity", "amplitude"), ("intensity", "db")):
        zero = torch.zeros(3, requires_grad=True)
        encode(zero, Radiometry(unit, 0, 1, scale=scale)).sum().backward()
        assert zero.grad.tolist() == [0, 0, 0]
    z = torch.zeros(3, dtype=torch.complex64, requires_grad=True)
    encode(z, Radiometry("complex", 0, 1, scale="amplitude")).sum().backward()
    assert z.grad.tolist() == [0, 0, 0]
    q = torch.tensor([0.0, 0.5, NAN], requires_grad=True)
    decode(q, Radiometry("amplitude", 0, 4, scale="intensity")).nansum().backward()
    assert q.grad.tolist() == [0, pytest.approx(4 * 0.5 / 2**0.5), 0]
    codes = encode(torch.rand(3, requires_grad=True), Radiometry("intensity", 0, 1, out="uint8"))
    assert not codes.requires_grad
    a = torch.rand(3, requires_grad=True)
    (g,) = torch.autograd.grad(encode(a, Radiometry("intensity", 0, 1)).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable once"):
        g.sum().backward()


def test_opcheck():
    x = torch.rand(2, 3, 5) + 0.01
    db = ("intensity", "db", -20.0, 3.0)
    ops = torch.ops.sarcore
    for out in ("float32", "uint8", "bfloat16"):
        torch.library.opcheck(ops.encode.default, (x.clone().requires_grad_(), *db, False, None, out))
    torch.library.opcheck(ops.encode.default, (x.to(torch.uint16), *db, True, 3.0, "uint16"))
    z = torch.randn(3, 4, dtype=torch.complex64, requires_grad=True)
    torch.library.opcheck(ops.encode.default, (z, "complex", "amplitude", 0.0, 5.0, True, None, "float32"))
    torch.library.opcheck(ops.encode_backward.default, (x, x, *db, None))
    torch.library.opcheck(ops.decode.default, (x.clamp(0, 1).requires_grad_(), *db, False, None))
    torch.library.opcheck(ops.decode.default, (torch.arange(9, dtype=torch.uint8), *db, True, -1.0))
    torch.library.opcheck(ops.decode_backward.default, (x, x.clamp(0, 1), *db))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_compiled_equals_eager(backend):
    torch._dynamo.reset()
    r = Radiometry("intensity", -20, 3, nodata=NAN, scale="db")
    codes = dataclasses.replace(r, out="uint8")

    def step(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return decode(encode(x * 2, r) * 0.5, r) * 3, decode(encode(x, codes), codes)

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for shape in ((2, 9), (2, 9), (5, 7)):
        x = (torch.rand(shape) + 0.01).requires_grad_()
        for a, b in zip(step(x), compiled(x), strict=True):
            torch.testing.assert_close(a, b)
        (a,), (b,) = (torch.autograd.grad(f(x)[0].sum(), x) for f in (step, compiled))
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("unit", "scale", "out"),
    [("complex", "db", "uint8"), ("intensity", "db", "float32"), ("db", "amplitude", "float16")],
)
def test_thread_count_does_not_change_a_bit(unit, scale, out):
    x = inside(unit, (3, 300, 301), torch.float32)
    r = declared(unit, scale, out=out)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            a = x.clone().requires_grad_()
            q = encode(a, r)
            gradient = torch.autograd.grad(q.sum(), a)[0] if q.requires_grad else a.detach()
            found.append((q.detach(), decode(q.detach(), r), gradient))
            broken = x.clone()
            broken[2, 299, 300] = NAN
            with pytest.raises(ValueError, match="x holds 1 NaN"):  # the last task tells too
                encode(broken, dataclasses.replace(r, out="uint16"))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("unit", ["intensity", "complex"])
def test_shapes_and_memory_layouts_do_not_change_a_bit(unit):
    x = inside(unit, (2, 3, 13, 17), torch.float32)
    r, codes = declared(unit, "db"), declared(unit, "db", out="uint8")
    q, k = encode(x, r), encode(x, codes)
    wide = torch.zeros(2, 6, 13, 40, dtype=x.dtype)
    wide[:, ::2, :, 3:37:2] = x
    unaligned = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    others = [x.to(memory_format=torch.channels_last), wide[:, ::2, :, 3:37:2], unaligned, x.mT.contiguous().mT]
    others += [x.conj().resolve_conj().conj()] if unit == "complex" else [torch._neg_view(-x)]
    for other in others:
        assert torch.equal(encode(other, r), q)
        assert torch.equal(encode(other, codes), k)
    assert torch.equal(decode(q.to(memory_format=torch.channels_last), r), decode(q, r))
    for shape in ((), (0,), (2, 0, 3), (1,) * 9):
        empty = x.flatten()[: math.prod(shape)].reshape(shape)
        a = empty.clone().requires_grad_()
        back = decode(encode(a, r), r)
        assert back.shape == torch.Size(shape)
        assert torch.autograd.grad(back.sum(), a)[0].shape == torch.Size(shape)
    one = x[:1, :1, :1, :1].expand(2, 3, 4, 5)
    assert torch.equal(encode(one, r), encode(one.clone(), r))


@pytest.mark.parametrize("count", [1, 15, 1023, 1024, 1025, 65535, 65536, 65537, 131073])
def test_every_length(count):
    x = torch.rand(count) + 0.01
    r = Radiometry("intensity", -20, 3, scale="db")
    assert torch.equal(encode(x, r), torch.cat([encode(part, r) for part in x.split(777)]))


def test_meta_inference_and_autocast():
    x = torch.rand(2, 5) + 0.01
    for out, dtype in (("float32", torch.float32), ("uint16", torch.uint16)):
        r = Radiometry("intensity", 0, 2, out=out)
        q = encode(x, r)
        assert encode(x.to("meta"), r).dtype == dtype
        assert decode(q.to("meta"), r).shape == q.shape
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(encode(x, r), q)
    assert intensity(torch.zeros(3, dtype=torch.complex64, device="meta")).dtype == torch.float32


@given(
    st.sampled_from([p for p in PAIRS if p[0] != "complex"]),
    st.floats(-40, 0),
    st.floats(3, 60),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=30),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.sampled_from([None, NAN]),
)
def test_any_limits_round_trip_within_half_a_step(pair, low, span, inside_limits, out, nodata):
    unit, scale = pair
    low, high = low, low + span
    if scale in ("intensity", "amplitude"):
        low, high = 10 ** (low / 20), 10 ** (high / 20)
    s = torch.tensor([low + (high - low) * f for f in inside_limits], dtype=torch.float64)
    s_db = {"intensity": lambda: 10 * s.log10(), "amplitude": lambda: 20 * s.log10()}.get(scale, lambda: s)()
    x = {"intensity": 10 ** (s_db / 10), "amplitude": 10 ** (s_db / 20)}.get(unit, s_db) if unit != scale else s
    r = Radiometry(unit, low, high, nodata, out, scale=scale)
    back = decode(encode(x.float(), r), r).double()
    power = {"intensity": lambda: back, "amplitude": lambda: back**2, "db": lambda: 10 ** (back / 10)}
    found = back
    if unit != scale:
        p = power[unit]()
        found = {"intensity": p, "amplitude": p.sqrt(), "db": 10 * p.log10()}[scale]
    levels = {"uint8": 255, "uint16": 65535, "float32": 1 << 23}[out] - (nodata is not None)
    rounding = 2e-6 * max(abs(low), abs(high), 1 if scale == "db" else 0)
    assert (found - s).abs().max() <= 0.5 * (high - low) / levels + rounding
