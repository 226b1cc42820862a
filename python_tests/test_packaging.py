"""What a wheel promises: no PyTorch and no run time of its own inside, one version, light import, clear failures."""

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sarcore
from sarcore import _core

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(sarcore.__file__).parent
HEAVY = ("jinja2", "kornia", "lightning_fabric", "matplotlib", "PIL", "rich", "safetensors", "scipy", "tensorboard")
HEAVY += ("tifffile", "torchmetrics", "torchvision", "tyro")
SLOW = ("lightning_fabric", "matplotlib", "scipy", "torch._dynamo", "torchmetrics")
SLOW += ("cv2", "onnx", "onnxruntime", "pyproj", "pystac_client", "rasterio", "requests")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def dynamic_section() -> tuple[dict[str, list[str]], list[str]]:
    """The entries of the dynamic section of the core, and the names it exports."""
    elffile = pytest.importorskip("elftools.elf.elffile", reason="pyelftools is not installed")
    with open(_core.__file__, "rb") as stream:
        elf = elffile.ELFFile(stream)
        entries: dict[str, list[str]] = {}
        for tag in elf.get_section_by_name(".dynamic").iter_tags():
            entries.setdefault(tag.entry.d_tag, []).append(str(getattr(tag, "needed", "")))
        symbols = elf.get_section_by_name(".dynsym").iter_symbols()
        exported = [symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF"]
    return entries, exported


def test_core_needs_the_c_and_cpp_run_time_alone() -> None:
    entries, _ = dynamic_section()
    allowed = ("ld-linux", "libc.so", "libdl.so", "libgcc_s.so", "libm.so", "libpthread.so", "librt.so", "libstdc++.so")
    assert [name for name in entries["DT_NEEDED"] if not name.startswith(allowed)] == []
    assert "DT_RPATH" not in entries
    assert "DT_RUNPATH" not in entries


def test_core_exports_its_entry_point_alone() -> None:
    _, exported = dynamic_section()
    assert exported == ["PyInit__core"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_process_maps_one_libgomp_and_the_core_uses_it() -> None:
    done = run_python(
        "import torch, sarcore\n"
        "from sarcore import _core\n"
        "torch.set_num_threads(2)\n"
        "sarcore.ops.soft_histogram(torch.rand(8, 1, 256, 256), bins=64)\n"
        "files = {line.split()[-1] for line in open('/proc/self/maps') if 'libgomp' in line}\n"
        "print(len(files), _core.build_info()['thread_pool'])\n"
    )
    assert done.stdout.split() == ["1", "True"], done.stdout + done.stderr


def test_core_works_without_torch() -> None:
    smoke = ROOT / "tools" / "smoke.py"
    done = run_python(
        f"import runpy, sys; sys.modules['torch'] = None; runpy.run_path({str(smoke)!r}, run_name='__main__')"
    )
    assert done.returncode == 0, done.stderr
    assert "no torch" in done.stdout


def test_one_version() -> None:
    assert sarcore.__version__ == importlib.metadata.version("sarcore") == _core.build_info()["version"]


def test_import_is_light() -> None:
    done = run_python(
        f"import sys, sarcore; print([name for name in {HEAVY!r} if name in sys.modules])\n"
        # Looking at a run does not wait for what trains one; each of these takes seconds.
        f"import sarcore.report; print([name for name in {SLOW!r} if name in sys.modules])"
    )
    assert done.stdout.split() == ["[]", "[]"], done.stdout + done.stderr


def test_help_does_not_wait_for_what_commands_run() -> None:
    commands = ["", "prep warp", "prep search", "translate", "export", "train cyclegan", "experiment translation"]
    done = run_python(
        "import sys, sarcore.cli\n"
        f"assert all(sarcore.cli.main([*words.split(), '--help']) == 0 for words in {commands!r})\n"
        f"print([name for name in {SLOW!r} if name in sys.modules])"
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_measures_need_no_torchmetrics() -> None:
    done = run_python(
        "import sys; sys.modules['torchmetrics'] = None\n"
        "import torch\n"
        "from sarcore import metrics\n"
        "assert metrics.frechet_distance(torch.rand(4, 2), torch.rand(4, 2)) >= 0\n"
        "metrics.estimate_looks\n"
        "try: metrics.PSNR\n"
        "except ImportError as error: print(error)\n"
    )
    assert done.stdout.strip() == "PSNR needs torchmetrics: pip install 'sarcore[train]'", done.stderr


def test_missing_core_is_explained_in_the_error() -> None:
    done = run_python("import sys; sys.modules['sarcore._core'] = None; import sarcore")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "ImportError" in last
    assert "pip install" in last


def test_package_is_typed_and_the_stub_names_what_the_core_has() -> None:
    assert (PACKAGE / "py.typed").exists()
    stub = ast.parse((PACKAGE / "_core.pyi").read_text())
    named = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    assert named == {name for name in dir(_core) if not name.startswith("__")}


@pytest.mark.parametrize(("value", "message"), [("ON", "no working CUDA compiler was found"), ("yes", "not one of")])
def test_configure_errors_say_what_to_do(tmp_path: Path, value: str, message: str) -> None:
    cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if cmake is None:
        pytest.skip("needs cmake")
    command = [cmake, "-S", str(ROOT), "-B", str(tmp_path), "-DSKBUILD_PROJECT_VERSION=0", f"-DSARCORE_CUDA={value}"]
    environment = {**os.environ, "CUDACXX": str(tmp_path / "nvcc")}  # not there, whatever this machine has
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())
