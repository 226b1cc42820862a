"""The arguments of `extract_patches`: what is checked, and what the registered op gets of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarcore.ops import _checks
from sarcore.ops.encode import check_radiometry, check_unit, nodata_of
from sarcore.ops.radiometry import OUTPUTS, Radiometry

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LOSSLESS = {
    torch.uint8: (torch.uint8, torch.uint16, torch.int16, torch.int32, torch.int64, *_FLOATING),
    torch.uint16: (torch.uint16, torch.int32, torch.int64, *_FLOATING),
    torch.int16: (torch.int16, torch.int32, torch.int64, *_FLOATING),
    torch.complex64: (torch.complex64,),
    **dict.fromkeys(_FLOATING, _FLOATING),
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for allowed in _LOSSLESS.values() for dtype in allowed}


def scene_of(scene: object) -> torch.Tensor:
    """(C, H, W), without a copy of the pixels."""
    tensor = _tensor_of(scene) if isinstance(scene, np.ndarray) else scene
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(
            f"scene must be a torch.Tensor or a NumPy array, got {type(scene).__name__}; read the pixels of a file "
            "with sarcore.data.Scene.open(path).read()"
        )
    if tensor.layout != torch.strided or tensor.is_nested:
        raise ValueError(f"scene must be a dense tensor, got {_checks.layout(tensor)}")
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
    if np.ma.is_masked(array):
        raise TypeError(
            "scene must not be a masked array, whose mask would be lost: declare nodata=value in a Radiometry and pass "
            "scene.filled(value)"
        )
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


def index_of(index: object, scene: torch.Tensor) -> torch.Tensor:
    """(K, 2) int64."""
    if isinstance(index, torch.Tensor):
        positions = index
    else:
        positions = _positions_of(index)
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise TypeError(f"index must hold integers (row, column), got {_checks.describe(positions)}")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"index must be (K, 2), a (row, column) for each patch, got {_checks.describe(positions)}")
    if positions.device.type not in ("cpu", scene.device.type):
        raise ValueError(
            f"index must be on the CPU or on the device of the scene, {scene.device}, got {_checks.describe(positions)}"
        )
    return positions.to(torch.int64)


def _positions_of(index: object) -> torch.Tensor:
    """A copy: the caller may write new positions into an array before the gradient needs these."""
    try:
        array = np.asarray(index)
    except ValueError:
        raise ValueError(
            f"index must be (K, 2), a (row, column) for each patch, got rows that differ: {index!r}"
        ) from None
    array = array.reshape(0, 2).astype(np.int64) if array.shape == (0,) else array
    if array.dtype.kind not in "iu":
        raise TypeError(f"index must hold integers (row, column), got {array.dtype}")
    if array.size and int(array.max()) > torch.iinfo(torch.int64).max:
        raise ValueError(f"index must hold integers of 64 bits, got {array.max()}")
    return torch.from_numpy(np.array(array, dtype=np.int64, ndmin=1))


def conversion_of(scene: torch.Tensor, radiometry: Radiometry | None, dtype: object) -> tuple[tuple[Any, ...], str]:
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
    if DTYPES[result] not in _LOSSLESS[scene.dtype]:
        allowed = " or ".join(name for name, kind in DTYPES.items() if kind in _LOSSLESS[scene.dtype])
        raise TypeError(
            f"dtype must be {allowed} for a scene of {own}, got {result}, which would lose values; declare a "
            "sarcore.Radiometry, whose limits say how they map"
        )
    return (None, "digital", 0.0, 1.0, False, None), result


def _name_of(dtype: object, default: str) -> str:
    name = default if dtype is None else str(dtype).removeprefix("torch.")
    if name not in DTYPES or not (dtype is None or isinstance(dtype, (str, torch.dtype))):
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return name
