"""despeckle, enl and multilook on a GPU: the bits of the CPU, other streams, CUDA graphs, no-data instead of errors."""

import pytest
import torch

import sarcore
from sarcore.ops import despeckle, enl, multilook
from sarcore.ops.despeckle import DIFFERENTIABLE, METHODS

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = [(1, 1, 31, 31), (2, 3, 33, 47), (1, 1, 160, 160), (1, 2, 300, 301), (70, 1, 32, 64), (1, 1, 31, 8193)]
every_method = pytest.mark.parametrize("method", METHODS)


def images(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Single-look speckle over a step, with zeros and NaN, and a mask."""
    generator = torch.Generator().manual_seed(0)
    x = -torch.rand(shape, generator=generator, dtype=torch.float64).clamp_min(1e-9).log()
    x[..., shape[-1] // 2 :] *= 5
    x[..., 3:9, 2:12] = 0
    x[torch.rand(shape, generator=generator) < 0.01] = float("nan")
    return x.to(dtype), torch.rand(shape, generator=generator) > 0.1


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0, equal_nan=True)


@every_method
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_has_the_bits_of_the_cpu(method, dtype, shape):
    x, mask = images(shape, dtype)
    clean = x.nan_to_num(1.0)
    for window in (7,) if method == "refined_lee" else (3, 7, 9, 31):
        for image, m in ((x, None), (x, mask), (clean, None)):
            moved = None if m is None else m.cuda()
            same(
                despeckle(image.cuda(), method, window, 2.0, mask=moved), despeckle(image, method, window, 2.0, mask=m)
            )


@every_method
@pytest.mark.parametrize("domain", ["amplitude", "db", "log"])
def test_domains_have_the_bits_of_the_cpu(method, domain):
    x, mask = images((2, 1, 70, 71))
    x = x if domain == "amplitude" else 4 * x - 9
    same(
        despeckle(x.cuda(), method, looks=2.0, domain=domain, mask=mask.cuda()),
        despeckle(x, method, looks=2.0, domain=domain, mask=mask),
    )


@pytest.mark.parametrize("window", [*range(3, 32, 2)])
def test_every_window_and_local_looks(window):
    x, mask = images((1, 1, 64, 90))
    for m in (None, mask):
        moved = None if m is None else m.cuda()
        same(despeckle(x.cuda(), "lee", window, mask=moved), despeckle(x, "lee", window, mask=m))
        same(enl(x.cuda(), window, mask=moved), enl(x, window, mask=m))


def test_negative_values_count_as_nan_without_waiting_for_the_device():
    x, mask = images((1, 1, 60, 61))
    x[..., 20, 20:25] = -1.0
    broken = torch.where(x < 0, float("nan"), x)
    for method in METHODS:
        same(despeckle(x.cuda(), method, mask=mask.cuda()), despeckle(broken, method, mask=mask))
    same(enl(x.cuda(), 5), enl(broken, 5))
    torch.testing.assert_close(multilook(x.cuda()).cpu(), multilook(broken), equal_nan=True)
    torch.testing.assert_close(enl(x.cuda(), None).cpu(), enl(broken, None))


@pytest.mark.parametrize("method", DIFFERENTIABLE)
@pytest.mark.parametrize("domain", ["intensity", "db"])
def test_gradients_agree_with_the_cpu_and_repeat_their_bits(method, domain):
    x, mask = images((2, 1, 50, 51), torch.float64)
    x = x + 0.1

    def gradient(device: str) -> torch.Tensor:
        leaf = x.to(device).requires_grad_()
        out = despeckle(leaf, method, 5, 3.0, domain=domain, mask=mask.to(device))
        upstream = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape)
        return torch.autograd.grad(out, leaf, upstream.to(device))[0]

    first = gradient("cuda")
    torch.testing.assert_close(first.cpu(), gradient("cpu"), rtol=1e-9, atol=1e-12)
    assert torch.equal(gradient("cuda"), first)


@every_method
def test_a_side_stream_waits_for_its_own_work_alone(method):
    x, _ = images((4, 1, 160, 160))
    expected = despeckle(x * 0.5, method)
    with torch.cuda.stream(torch.cuda.Stream()):
        a = x.cuda()
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `a * 0.5` before it is written
        found = despeckle(a * 0.5, method).cpu()
    same(found, expected)


@every_method
def test_graph_capture_and_replay(method):
    x = images((2, 1, 96, 97))[0].cuda()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        despeckle(x, method)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = despeckle(x, method)
    for seed in range(3):
        x.copy_(torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)))
        graph.replay()
        assert torch.equal(captured, despeckle(x, method))


@every_method
def test_layouts_empty_batches_and_constant_images(method):
    x, mask = images((2, 3, 40, 41))
    expected = despeckle(x, method, mask=mask)
    wide = torch.zeros(2, 3, 40, 82)
    wide[..., 1::2] = x
    offset = torch.cat([torch.zeros(1, device="cuda"), x.flatten().cuda()])[1:].view(x.shape)
    for other in (x.cuda().to(memory_format=torch.channels_last), wide.cuda()[..., 1::2], offset):
        same(despeckle(other, method, mask=mask.cuda()), expected)
    assert despeckle(torch.ones(0, 1, 9, 9, device="cuda"), method).shape == (0, 1, 9, 9)
    for value in (0.0, 0.37, 1e30):
        constant = torch.full((1, 1, 50, 50), value)
        same(despeckle(constant.cuda(), method), despeckle(constant, method))
