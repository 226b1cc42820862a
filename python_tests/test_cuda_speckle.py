"""speckle on a GPU: the bits of the CPU, streams, CUDA graphs, no synchronisation. Needs torch and pytest alone."""

import itertools
from typing import Any

import pytest
import torch

import sarcore
from sarcore.ops import speckle, speckle_field

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# Widths that are multiples of four and others, more than a tile (32 x 32) and less, many images.
SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 13, 17),
    (2, 1, 160, 160),
    (1, 2, 70, 161),
    (1, 1, 33, 64),
    (40, 1, 3, 5),
    (1, 1, 1, 8193),
]
ORIGINS = [(0, 0), (5, 4), (-7, -13), (2**31 - 3, 2**31 - 2), (-(2**31), -(2**31) + 1)]
TAPS = (torch.tensor([0.3, 1.0, -0.2]), torch.tensor([0.1, 0.5, 1.0, 0.4, 0.2]))
LONG = (torch.linspace(-1, 1.5, 33), torch.linspace(2, -1, 33))
LOOKS = [0.02, 0.3, 0.5, 1, 1.4, 2, 2.7, 4, 5, 7, 8, 9, 16, 64, 64.5, 1e4]
DOMAINS = ["intensity", "amplitude", "db", "log"]
CASES: dict[str, dict[str, Any]] = {
    "one": {},
    "product": {"looks": 7.0},
    "rejection": {"looks": 2.7, "domain": "amplitude"},
    "boost": {"looks": 0.5, "domain": "db"},
    "texture": {"looks": 3.0, "texture": 0.8, "domain": "log"},
    "correlated": {"looks": 1.0, "psf": "gaussian", "domain": "amplitude"},
    "longest-taps": {"looks": 1.7, "psf": LONG, "texture": 2.5},
    "complex": {"domain": "complex"},
    "complex-textured": {"domain": "complex", "texture": 2.0},
    "complex-correlated": {"domain": "complex", "psf": TAPS, "texture": 1.0},
}
REAL = [case for case in CASES if "complex" not in case]
every_case = pytest.mark.parametrize("case", CASES)


def scene(shape: tuple[int, ...], case: str = "one", dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Positive pixels, zeros, NaN and infinities; complex images without the last two."""
    generator = torch.Generator().manual_seed(0)
    x = 0.1 + torch.rand(shape, generator=generator, dtype=torch.float64)
    if CASES[case].get("domain") == "complex":
        return torch.complex(x, torch.rand(shape, generator=generator, dtype=torch.float64)).to(torch.complex64)
    for value in (0.0, torch.nan, torch.inf):
        x[torch.rand(shape, generator=generator) < 0.02] = value
    return x.to(dtype)


def mask_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.3


def on(device: str, options: dict[str, Any]) -> dict[str, Any]:
    return {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in options.items()}


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0, equal_nan=True)


def both(x: torch.Tensor, **options: Any) -> None:
    """The image, and the field alone."""
    options = {"seed": 2026, **options}
    same(speckle(x.cuda(), **on("cuda", options)), speckle(x, **options))
    options.pop("mask", None)
    field = speckle_field(x.shape, **on("cuda", options), dtype=x.dtype, device="cuda")
    same(field, speckle_field(x.shape, **options, dtype=x.dtype))


@every_case
@pytest.mark.parametrize("origin", ORIGINS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_bits_of_the_cpu(shape, origin, case):
    x = scene(shape, case)
    for mask in (None, mask_of(shape)):
        both(x, mask=mask, origin=origin, **CASES[case])


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("case", REAL)
def test_every_dtype(case, dtype):
    for shape, origin in itertools.product(((2, 3, 13, 17), (2, 1, 40, 160)), ((0, 0), (5, 4), (-7, -13))):
        both(scene(shape, case, dtype), mask=mask_of(shape), origin=origin, **CASES[case])


@pytest.mark.parametrize("psf", [None, "box", ("hamming", 1.5), TAPS, LONG], ids=str)
@pytest.mark.parametrize("texture", [None, 0.4, 3.0, 20.0])
@pytest.mark.parametrize("looks", LOOKS)
def test_every_sampler(looks, texture, psf):
    if psf is not None and looks > 64.5:
        pytest.skip("a thousand waves")
    for domain in DOMAINS if looks in (0.5, 4, 2.7) else ["intensity"]:
        both(scene((1, 2, 37, 44)), looks=looks, texture=texture, psf=psf, domain=domain)


@pytest.mark.parametrize("looks", [1, 4, 2.7, 0.02])
def test_a_million_pixels(looks):
    """Rare branches: further attempts of the rejection, uniforms next to one, the smallest gain."""
    for seed, domain in itertools.product((0, 2**64 - 1), DOMAINS):
        expected = speckle_field((1, 1, 1024, 1021), looks, seed=seed, domain=domain)
        same(speckle_field((1, 1, 1024, 1021), looks, seed=seed, domain=domain, device="cuda"), expected)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
@every_case
def test_seeds_and_indices(case, seed):
    for index in (0, 7, 2**32 - 3):
        both(scene((3, 2, 9, 14), case), **{**CASES[case], "seed": seed, "index": index})


@every_case
def test_numbers_per_image(case):
    x = scene((4, 2, 35, 48), case)
    options = dict(CASES[case])
    options["index"] = torch.tensor([5, 0, 2**32 - 1, 5])
    options["origin"] = torch.tensor([[0, 0], [-3, 8], [7, 1], [2**31 - 1, -(2**31)]])
    both(x, **options)
    if not x.is_complex():
        both(x, **{**options, "looks": torch.tensor([1.0, 2.7, 0.3, 9.0])})
        expected = speckle(x, **{"seed": 2026, **options, "looks": [1.0, 2.7, 0.3, 9.0]})
        same(speckle(x.cuda(), **{"seed": 2026, **options, "looks": [1.0, 2.7, 0.3, 9.0]}), expected)


@every_case
def test_crops_of_a_scene(case):
    x = scene((1, 2, 83, 301), case)
    whole = speckle(x, seed=2026, **CASES[case])
    for y, left, height, width in ((0, 0, 1, 1), (31, 63, 33, 65), (64, 256, 19, 45), (5, 4, 70, 160), (3, 1, 2, 300)):
        part = (..., slice(y, y + height), slice(left, left + width))
        same(speckle(x[part].cuda(), seed=2026, origin=(y, left), **CASES[case]), whole[part])


@every_case
@pytest.mark.parametrize("dtype", FLOATING)
def test_memory_layout_does_not_change_a_bit(case, dtype):
    x = scene((2, 3, 24, 40), case, dtype)
    mask = mask_of(x.shape)
    expected = speckle(x, seed=2026, mask=mask, **CASES[case])
    a, m = x.cuda(), mask.cuda()
    unaligned = torch.cat([a.new_zeros(1), a.flatten()])[1:].view(a.shape)
    odd = torch.cat([m.new_zeros(1), m.flatten()])[1:].view(m.shape)
    strided = torch.stack([a, torch.zeros_like(a)], -1).flatten(-2)[..., ::2]
    for other in (a.to(memory_format=torch.channels_last), strided, unaligned):
        kept = other.clone()
        same(speckle(other, seed=2026, mask=odd, **CASES[case]), expected)
        torch.testing.assert_close(other, kept, rtol=0, atol=0, equal_nan=True)


@every_case
@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (0, 0, 0, 0)], ids=str)
def test_empty_batches(case, shape):
    both(scene(shape, case), mask=mask_of(shape), **CASES[case])


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("case", REAL)
def test_gradients_of_either_sign_have_the_bits_of_the_cpu(case, dtype):
    """An upstream gradient may be negative where an image may not."""
    x = scene((2, 2, 20, 44), case, dtype).nan_to_num(0.5, 1.0)
    upstream = torch.linspace(-1, 1, x.numel()).reshape(x.shape).to(dtype)
    for mask in (None, mask_of(x.shape)):
        results = []
        for device in ("cpu", "cuda"):
            y = x.to(device, copy=True).requires_grad_()
            out = speckle(y, seed=2026, mask=None if mask is None else mask.to(device), **CASES[case])
            g = upstream.to(device).requires_grad_()
            (gradient,) = torch.autograd.grad(out, y, g, create_graph=True)
            results.append((gradient.detach(), *torch.autograd.grad(gradient, g, upstream.to(device))))
        assert results[0][0].isfinite().all()
        for found, expected in zip(results[1], results[0], strict=True):
            same(found, expected)


@pytest.mark.parametrize("case", [c for c in CASES if "complex" in c])
def test_complex_gradients(case):
    z, upstream = scene((2, 2, 20, 44), case), scene((2, 2, 20, 44), case).flip(-1) - (0.6 + 0.5j)
    results = []
    for device in ("cpu", "cuda"):
        w = z.to(device, copy=True).requires_grad_()
        results.append(torch.autograd.grad(speckle(w, seed=2026, **CASES[case]), w, upstream.to(device))[0])
    same(results[1], results[0])


@pytest.mark.parametrize("psf", [None, "box"])
@pytest.mark.parametrize("dtype", FLOATING)
def test_negative_pixels_become_nan_and_masked_ones_stay(dtype, psf):
    for shape in ((1, 1, 12, 16), (1, 1, 7, 9)):
        x = torch.ones(shape, dtype=dtype)
        x[..., ::3, 1::2] = -12.5
        for domain in ("intensity", "amplitude"):
            found = speckle(x.cuda(), seed=1, domain=domain, psf=psf).cpu()
            assert torch.equal(found.isnan(), x < 0)
            expected = speckle(x.abs(), seed=1, domain=domain, psf=psf)
            assert torch.equal(found[x > 0], expected[x > 0])
            same(
                speckle(x.cuda(), seed=1, domain=domain, psf=psf, mask=(x > 0).cuda()),
                speckle(x, seed=1, domain=domain, psf=psf, mask=x > 0),
            )
        for domain in ("db", "log"):
            same(speckle(x.cuda(), seed=1, domain=domain, psf=psf), speckle(x, seed=1, domain=domain, psf=psf))


def test_looks_that_nobody_checked_give_nan():
    looks = torch.tensor([0.0, -1.0, float("nan"), float("inf"), 2.0], device="cuda")
    for domain in DOMAINS:
        found = speckle_field((5, 1, 8, 9), looks, seed=1, domain=domain, device="cuda")
        assert found[:4].isnan().all()
        assert found[4].isfinite().all()


@every_case
def test_no_synchronisation(case):
    x = scene((2, 2, 40, 44), case).cuda()
    each = {"index": torch.tensor([5, 0]).cuda(), "origin": torch.tensor([[0, 1], [-3, 8]]).cuda()}
    options: dict[str, Any] = dict(CASES[case])
    if isinstance(options.get("psf"), tuple):
        options["psf"] = tuple(t.cuda() for t in options["psf"])
    mask = mask_of(x.shape).cuda()
    looks = {} if x.is_complex() else {"looks": torch.tensor([1.0, 2.7]).cuda()}

    def work() -> None:
        y = x.clone().requires_grad_()
        for more in ({}, {"index": 9, "origin": (3, -4)}, each, {**each, **looks}):
            out = speckle(y, seed=7, mask=mask, **{**options, **more})
            torch.autograd.grad(out.abs().sum() if out.is_complex() else out.sum(), y)
            speckle_field(x.shape, seed=8, device="cuda", **{**options, **more})

    work()  # named taps are brought to the device once
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@every_case
def test_a_side_stream_waits_for_its_own_work_alone(case):
    x = scene((8, 1, 160, 160), case)
    expected = speckle(x * 0.5, seed=2026, **CASES[case])
    speckle(x.cuda(), seed=2026, **CASES[case])
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        a = x.cuda()
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `a * 0.5` before it is written
        found = speckle(a * 0.5, seed=2026, **CASES[case])
    side.synchronize()
    same(found, expected)


@every_case
def test_graph_capture_and_replay(case):
    x = scene((4, 1, 65, 160), case)
    options = dict(CASES[case])
    if isinstance(options.get("psf"), tuple):
        options["psf"] = tuple(t.cuda() for t in options["psf"])
    a = torch.zeros_like(x, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        speckle(a, seed=2026, **options)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = speckle(a, seed=2026, **options)
    for image in (x, x.flip(-1), x):
        a.copy_(image)
        graph.replay()
        same(captured, speckle(image, seed=2026, **CASES[case]))


@every_case
def test_compiled_equals_eager(case):
    torch._dynamo.reset()
    x = scene((2, 2, 20, 45), case)
    compiled = torch.compile(lambda x: speckle(2 * x, seed=2026, **CASES[case]), fullgraph=True, backend="aot_eager")
    same(compiled(x.cuda()), speckle(2 * x, seed=2026, **CASES[case]))


def test_errors_name_the_device():
    x = torch.ones(1, 1, 4, 8, device="cuda")
    with pytest.raises(ValueError, match="mask must be on the device"):
        speckle(x, seed=1, mask=torch.ones(1, 1, 1, 1, dtype=torch.bool))
