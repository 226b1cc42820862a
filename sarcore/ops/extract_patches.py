"""`extract_patches`: the patches of a scene in one pass, and its registered op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, borrow_view, register
from sarcore.ops.encode import check_radiometry, check_unit, nodata_of
from sarcore.ops.patch_grid import PADDINGS, PatchGrid, sides
from sarcore.ops.radiometry import OUTPUTS, Radiometry

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LOSSLESS = {
    torch.uint8: (torch.uint8, torch.uint16, torch.int16, torch.int32, torch.int64, *_FLOATING),
    torch.uint16: (torch.uint16, torch.int32, torch.int64, *_FLOATING),
    torch.int16: (torch.int16, torch.int32, torch.int64, *_FLOATING),
    torch.complex64: (torch.complex64,),
    **dict.fromkeys(_FLOATING, _FLOATING),
}
_DTYPES = {str(dtype).removeprefix("torch."): dtype for allowed in _LOSSLESS.values() for dtype in allowed}

# ------ the registered op


def _layout(scene: torch.Tensor, index: torch.Tensor | None, size: list[int], stride: list[int]) -> list[int]:
    """(P, C, h, w)."""
    count = len(PatchGrid(scene.shape, size, stride)) if index is None else index.shape[0]
    return [count, scene.shape[0], *size]


def _extract(
    scene: torch.Tensor,
    index: torch.Tensor | None,
    size: list[int],
    stride: list[int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    dtype: str,
    valid: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = _layout(scene, index, size, stride)
    patches = torch.empty(shape, dtype=_DTYPES[dtype], device=scene.device)
    fraction = torch.empty(shape[0] if valid else 0, dtype=torch.float32, device=scene.device)
    declared = unit, scale, low, high, reserve, nodata
    given, steps = borrow(scene) if scene.is_cuda else borrow_view(scene), (stride[0], stride[1])
    places = _positions(scene, index, size)
    threads = torch.get_num_threads()
    _core.extract_patches(given, patches, fraction if valid else None, places, steps, pad, *declared, threads)
    return patches, fraction


def _positions(scene: torch.Tensor, index: torch.Tensor | None, size: list[int]) -> torch.Tensor | None:
    """The positions where the scene is. Those on a CUDA device cannot be checked without waiting for it."""
    if index is None:
        return None
    if index.device.type == "cpu":
        _core.check_positions(borrow(index), (scene.shape[1], scene.shape[2]), (size[0], size[1]))
    return borrow(index.to(scene.device))


def _extract_fake(
    scene: torch.Tensor,
    index: torch.Tensor | None,
    size: list[int],
    stride: list[int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    dtype: str,
    valid: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = _layout(scene, index, size, stride)
    fraction = scene.new_empty(shape[0] if valid else 0, dtype=torch.float32)
    return scene.new_empty(shape, dtype=_DTYPES[dtype]), fraction


_DECLARED = "str? unit, str scale, float low, float high, bool reserve, float? nodata"
register(
    "extract_patches(Tensor scene, Tensor? index, int[] size, int[] stride, str pad, "
    f"{_DECLARED}, str dtype, bool valid) -> (Tensor, Tensor)",
    _extract,
    _extract_fake,
)


# ------ the public function

Pixels = torch.Tensor | npt.NDArray[Any]
Positions = torch.Tensor | npt.NDArray[np.integer[Any]] | Sequence[Sequence[int]]


@overload
def extract_patches(
    scene: Pixels,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    radiometry: Radiometry | None = None,
    pad: str = "reflect",
    index: Positions | None = None,
    dtype: torch.dtype | str | None = None,
    valid: Literal[False] = False,
) -> torch.Tensor: ...
@overload
def extract_patches(
    scene: Pixels,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    radiometry: Radiometry | None = None,
    pad: str = "reflect",
    index: Positions | None = None,
    dtype: torch.dtype | str | None = None,
    valid: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...
def extract_patches(
    scene: Pixels,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    radiometry: Radiometry | None = None,
    pad: str = "reflect",
    index: Positions | None = None,
    dtype: torch.dtype | str | None = None,
    valid: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Patches of a scene, padded, encoded and cast in one pass; no row or column is dropped.

    >>> scene = np.arange(20, dtype=np.uint16).reshape(4, 5)
    >>> extract_patches(scene, 3, 2).shape
    torch.Size([4, 1, 3, 3])
    >>> extract_patches(scene, 3, 2)[3, 0].tolist()
    [[12, 13, 14], [17, 18, 19], [12, 13, 14]]
    >>> declared = Radiometry("amplitude", 0, 16, nodata=0)
    >>> corners = [(0, 0), (3, 4)]
    >>> patches, fraction = extract_patches(scene, 2, index=corners, radiometry=declared, pad="constant", valid=True)
    >>> patches[0, 0].tolist(), fraction.tolist()
    ([[nan, 0.0625], [0.3125, 0.375]], [0.75, 0.25])

    patches[k, c, y, x] = encode(scene[c, row_k + y, column_k + x]), with the rows and columns of
    `PatchGrid(scene.shape, size, stride)` or of `index`, and `pad` beyond the scene.

    Args:
        scene: (C, H, W) or (H, W): uint8, uint16, int16, float16, bfloat16, float32, float64 or complex64; a tensor, or
            an array, memory-mapped too: its rows are read where they are, and read-only memory is fine.
        size: side of a patch, or (h, w), in pixels.
        stride: step of the grid, or (y, x), in pixels; `size` unless given.
        radiometry: what the values are; the patches then are encoded, as `encode` does.
        pad: pixels beyond the scene: ``reflect`` (mirrored, the border pixel once), ``edge`` (the border pixel) or
            ``constant`` (0, and no-data where the radiometry declares it).
        index: (K, 2) integers instead of a grid: (row, column) of the upper left pixels, in any order; patches may
            reach beyond the scene on any side, and must overlap it.
        dtype: of the patches: by default that of the scene, or `radiometry.out`. Without a radiometry: types that hold
            every value of the scene, and floating types.
        valid: also returns how much of each patch is scene with data.

    Returns:
        (P, C, h, w). Without radiometry and dtype the bits of the scene. With `valid` also (P,) float32 in [0, 1]: the
        part of the pixels that lie within the scene and hold, in all channels, neither NaN nor the radiometry's
        no-data. The same bits for any thread count, on CPU and CUDA.

    Raises:
        TypeError: a scene, index or dtype of another type; a cast that would lose values.
        ValueError: another shape, a size or stride below 1, stride together with index, a position that does not
            overlap the scene (unchecked where `index` is on a CUDA device: then the patch is padding), and what
            `encode` refuses; its message counts the pixels of the scene.

    Note:
        Differentiable once in floating and complex scenes: a pixel gets the sum of the gradients of its copies.
    """
    tensor = _scene_of(scene)
    height_width = list(sides(size, "size"))
    _checks.choice(pad, PADDINGS, "pad")
    if index is not None and stride is not None:
        raise ValueError("stride must be None where index gives the positions; pass one of them")
    steps = height_width if stride is None else list(sides(stride, "stride"))
    positions = None if index is None else _index_of(index, tensor)
    if min(tensor.shape[1:]) < 1:
        raise ValueError(f"scene must have one row and one column or more, got {_checks.describe(tensor)}")
    declared, result = _conversion(tensor, radiometry, dtype)
    patches, fraction = torch.ops.sarcore.extract_patches(
        tensor, positions, height_width, steps, pad, *declared, result, bool(valid)
    )
    return (patches, fraction) if valid else patches


def _scene_of(scene: object) -> torch.Tensor:
    """(C, H, W), without a copy of the pixels."""
    tensor = _tensor_of(scene) if isinstance(scene, np.ndarray) else scene
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(
            f"scene must be a torch.Tensor or a NumPy array, got {type(scene).__name__}; read the pixels of a file "
            "with sarcore.data.Scene.open(path).read()"
        )
    if tensor.layout != torch.strided:
        raise ValueError(f"scene must be a dense tensor, got layout {tensor.layout}; call to_dense() first")
    if tensor.ndim not in (2, 3):
        raise ValueError(f"scene must be (C, H, W) or (H, W), got {_checks.describe(tensor)}")
    if tensor.device.type not in ("cpu", "cuda", "meta"):
        raise ValueError(f"scene must be on the CPU or a CUDA device, got {_checks.describe(tensor)}")
    if tensor.dtype not in _LOSSLESS:
        allowed = ", ".join(str(each).removeprefix("torch.") for each in _LOSSLESS)
        raise TypeError(f"scene must be one of {allowed}, got {_checks.describe(tensor)}; convert it to one of these")
    return tensor if tensor.ndim == 3 else tensor[None]


class _Alias:
    """The memory of a read-only array under the flag that torch wants; the op never writes to it."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array  # kept alive
        self.__array_interface__ = {**array.__array_interface__, "data": (array.__array_interface__["data"][0], False)}


def _tensor_of(array: npt.NDArray[Any]) -> torch.Tensor:
    if not array.dtype.isnative:
        raise TypeError(
            f"scene must have the byte order of this machine, got {array.dtype.str}; open the file with "
            'sarcore.data.Scene, which reads either, or convert it: scene.astype(scene.dtype.newbyteorder("="))'
        )
    if any(step < 0 or step % array.itemsize for step in array.strides):
        array = array.copy()  # torch has neither negative strides nor broken ones
    try:
        return torch.from_numpy(array if array.flags.writeable else np.asarray(_Alias(array)))
    except TypeError:
        raise TypeError(f"scene must be an array of numbers that torch has, got dtype {array.dtype}") from None


def _index_of(index: object, scene: torch.Tensor) -> torch.Tensor:
    """(K, 2) int64."""
    if isinstance(index, torch.Tensor):
        positions = index
    else:
        array = np.asarray(index)
        array = array.reshape(0, 2).astype(np.int64) if array.shape == (0,) else array
        if array.dtype.kind not in "iu":
            raise TypeError(f"index must hold integers (row, column), got {array.dtype}")
        positions = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise TypeError(f"index must hold integers (row, column), got {_checks.describe(positions)}")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"index must be (K, 2), a (row, column) for each patch, got {_checks.describe(positions)}")
    if positions.device.type not in ("cpu", scene.device.type):
        raise ValueError(
            f"index must be on the CPU or on the device of the scene, {scene.device}, got {_checks.describe(positions)}"
        )
    return positions.to(torch.int64)


def _conversion(scene: torch.Tensor, radiometry: Radiometry | None, dtype: object) -> tuple[tuple[Any, ...], str]:
    """The declaration as the op takes it, and the name of the result's dtype."""
    if radiometry is not None:
        check_radiometry(radiometry)
        check_unit(scene, radiometry, "scene")
        result = _name_of(dtype, radiometry.out)
        if result not in OUTPUTS:
            raise TypeError(f"dtype must be one of {', '.join(OUTPUTS)} with a radiometry, got {result}")
        limits = radiometry.unit, radiometry.scale, radiometry.low, radiometry.high
        return (*limits, *nodata_of(radiometry)), result
    own = str(scene.dtype).removeprefix("torch.")
    result = _name_of(dtype, own)
    if _DTYPES[result] not in _LOSSLESS[scene.dtype]:
        allowed = " or ".join(name for name, kind in _DTYPES.items() if kind in _LOSSLESS[scene.dtype])
        raise TypeError(
            f"dtype must be {allowed} for a scene of {own}, got {result}, which would lose values; declare a "
            "sarcore.Radiometry, whose limits say how they map"
        )
    return (None, "digital", 0.0, 1.0, False, None), result


def _name_of(dtype: object, default: str) -> str:
    name = default if dtype is None else str(dtype).removeprefix("torch.")
    if name not in _DTYPES or not (dtype is None or isinstance(dtype, (str, torch.dtype))):
        raise TypeError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}")
    return name
