"""Fixtures of the whole suite."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest
import torch

try:
    from hypothesis import settings

    # Shared machines pause: a slow example is no failure. The same examples every time, so that a change is judged by
    # what it changed; `make test-all` draws many new ones.
    settings.register_profile("sarcore", deadline=None, max_examples=50, derandomize=True)
    settings.register_profile("search", deadline=None, max_examples=500, print_blob=True)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sarcore"))
except ImportError:  # the CUDA tests run where hypothesis may be missing
    pass

# A shell starts its background jobs with SIGINT ignored, which would be inherited; the tests of Ctrl-C send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

# `make gpu` installs nothing: without the extra [train] the files that need it are left out, and the header says so.
_TRAIN = all(importlib.util.find_spec(name) for name in ("lightning_fabric", "tyro"))
collect_ignore_glob = (
    []
    if _TRAIN
    else [
        "test_cli*.py",
        "test_engine_*.py",
        "test_experiments*.py",
        "test_geo_*.py",
        "geo_files.py",
        "test_report*.py",
        "test_watch.py",
    ]
)


def pytest_report_header() -> str:
    return "" if _TRAIN else f"sarcore[train] is not installed, left out: {', '.join(collect_ignore_glob)}"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real SAR data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("SARCORE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real SAR data at {folder}; set SARCORE_TEST_DATA")
    return folder


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a CUDA device where there is one that this build can use."""
    if request.param == "cuda":
        import sarcore

        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")
        if not sarcore._core.build_info()["cuda"]:
            pytest.skip("this build of sarcore has no CUDA kernels")
    return torch.device(request.param)


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator: the same random images in every run."""
    return torch.Generator().manual_seed(0)
