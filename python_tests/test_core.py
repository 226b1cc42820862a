"""The compiled core: any DLPack producer, errors that name the argument, one thread pool, safe in forked workers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sarcore import _core
from sarcore.ops import soft_histogram


class Producer:
    """Offers the DLPack protocol and nothing else, as any array library may."""

    def __init__(self, array: Any, *, old: bool = False) -> None:
        self.array, self.old = array, old
        self.calls: list[dict[str, Any]] = []

    def __dlpack__(self, **options: Any) -> Any:
        self.calls.append(options)
        if self.old and "max_version" in options:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def image(dtype: type = np.float32, shape: tuple[int, ...] = (2, 3, 13, 17)) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(dtype)


def histogram(
    x: Any, mask: Any = None, out: Any = None, *, lo: Any = 0.0, hi: Any = 1.0, kernel: Any = "linear"
) -> np.ndarray:
    out = np.full((2, 3, 8), -1, np.float32) if out is None else out
    _core.soft_histogram(x, mask, out, None, lo, hi, kernel, 1)
    return out


def expected(x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    chosen = None if mask is None else torch.from_numpy(mask.astype(bool))
    return soft_histogram(torch.from_numpy(x.copy()), 8, mask=chosen).numpy()


def test_numpy_arrays_are_read_and_written_in_place():
    x, mask = image(), image() > 0.4
    np.testing.assert_array_equal(histogram(x), expected(x))
    np.testing.assert_array_equal(histogram(x, mask), expected(x, mask))
    np.testing.assert_array_equal(histogram(x, mask.astype(np.uint8)), expected(x, mask))
    large = image(np.float64)
    out = np.empty((2, 3, 8))
    np.testing.assert_array_equal(histogram(large, out=out), expected(large))


def test_read_only_input_is_read_and_read_only_output_refused():
    x, mask, out = image(), image() > 0.4, np.empty((2, 3, 8), np.float32)
    wanted = expected(x, mask)
    for array in (x, mask, out):
        array.flags.writeable = False
    np.testing.assert_array_equal(histogram(x, mask), wanted)
    with pytest.raises(ValueError, match="out must be writable"):
        histogram(x, out=out)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy])
def test_any_object_with_the_protocol_is_enough(wrap, old):
    x, mask, out = image(), (image() > 0.4).astype(np.uint8), np.empty((2, 3, 8), np.float32)
    source = Producer(wrap(x), old=old)
    histogram(source, Producer(wrap(mask), old=old), Producer(wrap(out), old=old))
    np.testing.assert_array_equal(out, expected(x, mask))
    assert [("max_version" in call) for call in source.calls] == ([True, False] if old else [True])


def test_torch_tensors_that_require_grad_and_parameters_are_read():
    x = image()
    tensor = torch.from_numpy(x).requires_grad_()
    np.testing.assert_array_equal(histogram(tensor), expected(x))
    np.testing.assert_array_equal(histogram(torch.nn.Parameter(tensor.detach())), expected(x))
    with torch.inference_mode():
        np.testing.assert_array_equal(histogram(torch.from_numpy(x).clone()), expected(x))


def test_an_optional_argument_lives_as_long_as_the_call():
    """A producer may hand out memory that only the capsule keeps; a fresh process, because a mistake here crashes."""
    code = (
        "import numpy as np, torch\n"
        "from sarcore import _core\n"
        "class Fresh:\n"
        "    def __dlpack__(self, **options): return np.ones((1, 1, 2048, 4096), np.uint8).__dlpack__(**options)\n"
        "    def __dlpack_device__(self): return (1, 0)\n"
        "x, out = np.full((1, 1, 2048, 4096), 0.5, np.float32), np.empty((1, 1, 8), np.float32)\n"
        "_core.soft_histogram(x, Fresh(), out, None, 0.0, 1.0, 'hard', 1)\n"
        "print(int(out.sum()) == 2048 * 4096)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr[-500:]


def test_tensors_are_released():
    x, mask, out = image(), (image() > 0.4).astype(np.uint8), np.empty((2, 3, 8), np.float32)
    before = [sys.getrefcount(a) for a in (x, mask, out)]
    for _ in range(5):
        histogram(x, mask, out)
        with pytest.raises(ValueError, match="contiguous"):
            histogram(x[:, :, ::2], mask, out)
    assert [sys.getrefcount(a) for a in (x, mask, out)] == before


X, OUT = image(), np.empty((2, 3, 8), np.float32)
FORTRAN = np.asfortranarray(X)
BAD = {
    "x-layout": ({"x": FORTRAN}, ValueError, "x must be contiguous"),
    "x-view": ({"x": torch.from_numpy(X).transpose(2, 3)}, ValueError, "x must be contiguous"),
    "x-rank": ({"x": X[0]}, ValueError, "x must be a tensor with 4 dimensions"),
    "x-deep": ({"x": X.reshape(1, 1, 1, 1, 1, *X.shape)}, ValueError, "dimensions"),
    "x-int64": ({"x": X.astype(np.int64)}, TypeError, "x must be uint8.*int64"),
    "x-complex": ({"x": X.astype(np.complex64)}, TypeError, "x must be uint8.*complex64"),
    "x-object": ({"x": "image"}, TypeError, "Tensor"),
    "x-none": ({"x": None}, TypeError, "Tensor"),
    "x-list": ({"x": X.tolist()}, TypeError, "Tensor"),
    "x-byte-order": ({"x": X.astype(">f4")}, (BufferError, TypeError, ValueError), "byte order"),
    "mask-dtype": ({"mask": X}, ValueError, "mask must be bool or uint8"),
    "mask-shape": ({"mask": np.ones((2, 3, 13, 16), bool)}, ValueError, "mask must be of the shape of x"),
    "mask-layout": ({"mask": FORTRAN > 0.5}, ValueError, "mask must be contiguous"),
    "out-dtype": ({"out": OUT.astype(np.float64)}, ValueError, "out must be of the dtype"),
    "out-shape": ({"out": OUT[:1]}, ValueError, "out must be of the shape"),
    "out-rank": ({"out": OUT[0]}, ValueError, "out must be a tensor with 3 dimensions"),
    "out-scalar": ({"out": np.zeros((), np.float32)}, ValueError, "out must be a tensor with 3 dimensions"),
    "out-layout": ({"out": np.asfortranarray(OUT)}, ValueError, "out must be contiguous"),
    "range-order": ({"lo": 1.0, "hi": 0.0}, ValueError, "range must be"),
    "range-nan": ({"lo": float("nan")}, ValueError, "range must be"),
    "kernel": ({"kernel": "gaussian"}, ValueError, "kernel must be"),
    "bins": ({"out": OUT[..., :1].copy()}, ValueError, "bins must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_name_the_argument(name):
    arguments, error, message = BAD[name]
    with pytest.raises(error, match=message):
        histogram(**{"x": X, **arguments})


@pytest.mark.skipif(_core.build_info()["cuda"], reason="this build has CUDA kernels")
def test_a_build_without_cuda_says_so():
    info = _core.build_info()
    assert info["cuda_devices"] == 0
    assert "CUDA" in info["cuda_problem"]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_one_thread_pool_in_the_process():
    code = (
        "import torch, sarcore\n"
        "torch.set_num_threads(2)\n"
        "x = torch.rand(4, 1, 300, 301)\n"
        "x.exp().sum()\n"
        "sarcore.ops.soft_histogram(x), sarcore.ops.joint_histogram(x, x), sarcore.ops.histogram_loss(x, x)\n"
        "files = {line.split()[-1] for line in open('/proc/self/maps') if 'gomp' in line or 'omp5' in line}\n"
        "print(len(files), sarcore._core.build_info()['thread_pool'])\n"
    )
    assert run_python(code) == "1 True"


def test_data_loader_workers_may_call_the_ops():
    """The workers fork from a process whose pool is running; what they compute is what the process itself computes."""
    code = (
        "import torch, sarcore\n"
        "from sarcore.ops import histogram_loss, joint_histogram, soft_histogram\n"
        "class Histograms(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 8\n"
        "    def __getitem__(self, i):\n"
        "        x = torch.rand(3, 1, 300, 301, generator=torch.Generator().manual_seed(i)).requires_grad_()\n"
        "        y = torch.rand(3, 1, 300, 301, generator=torch.Generator().manual_seed(i + 100))\n"
        "        loss = histogram_loss(x, y)\n"
        "        loss.backward()\n"
        "        return soft_histogram(x).detach(), joint_histogram(x, y, 16).detach(), loss.detach(), x.grad\n"
        "torch.set_num_threads(2)\n"
        "data = Histograms()\n"
        "alone = [data[i] for i in range(8)]\n"
        "loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context='fork')\n"
        "for _ in range(2):\n"
        "    assert all(torch.equal(a, b) for one, two in zip(loader, alone, strict=True) for a, b in zip(one, two))\n"
        "print('equal')\n"
    )
    assert run_python(code) == "equal"


def test_python_threads_may_call_at_the_same_time():
    code = (
        "import torch, concurrent.futures\n"
        "from sarcore.ops import histogram_loss\n"
        "torch.set_num_threads(2)\n"
        "x, y = torch.rand(8, 1, 200, 200), torch.rand(8, 1, 200, 200)\n"
        "wanted = histogram_loss(x, y)\n"
        "with concurrent.futures.ThreadPoolExecutor(4) as pool:\n"
        "    print(all(torch.equal(r, wanted) for r in pool.map(lambda _: histogram_loss(x, y), range(40))))\n"
    )
    assert run_python(code) == "True"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_that_is_not_there_is_a_memory_error_with_several_threads():
    code = (
        "import resource, torch\n"
        "from sarcore.ops import resample\n"
        "torch.set_num_threads(2)\n"
        "x = torch.zeros(1, 2, 16, 1 << 21, dtype=torch.uint8)\n"
        "resample(torch.zeros(1, 2, 300, 300), 80)\n"  # starts the threads
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + (80 << 20), resource.RLIM_INFINITY))\n"
        "try:\n"
        "    resample(x, (2, 4))\n"
        "except MemoryError:\n"
        "    print('refused')\n"
        "resample(torch.zeros(1, 2, 300, 300), 80)\n"  # the threads are still there
    )
    assert run_python(code) == "refused"
