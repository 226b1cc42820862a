"""Types of the compiled core. `Tensor` is any DLPack producer; results go into tensors that the caller allocated."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any

def build_info() -> dict[str, Any]: ...
def despeckle(
    x: Tensor,
    mask: Tensor | None,
    out: Tensor,
    method: str,
    window: int,
    looks: float,
    domain: str,
    damping: float,
    threads: int,
) -> None: ...
def soft_histogram(
    x: Tensor,
    mask: Tensor | None,
    out: Tensor,
    workspace: Tensor | None,
    lo: float,
    hi: float,
    kernel: str,
    threads: int,
) -> None: ...
def soft_histogram_backward(
    gradient: Tensor, x: Tensor, mask: Tensor | None, out: Tensor, lo: float, hi: float, threads: int
) -> None: ...
def soft_histogram_workspace(count: int, pixels: int, bins: int, element_size: int) -> int: ...
def histogram_loss(
    input: Tensor,
    target: Tensor,
    mask: Tensor | None,
    loss: Tensor,
    table: Tensor,
    workspace: Tensor | None,
    lo: float,
    hi: float,
    omega: float,
    distance: str,
    spatial: str,
    normalize: str,
    kernel: str,
    threads: int,
) -> None: ...
def histogram_loss_backward(
    gradient: Tensor,
    input: Tensor,
    target: Tensor,
    mask: Tensor | None,
    table: Tensor,
    out_input: Tensor | None,
    out_target: Tensor | None,
    lo: float,
    hi: float,
    spatial: str,
    threads: int,
) -> None: ...
def histogram_loss_workspace(count: int, pixels: int, bins: int) -> int: ...
def joint_histogram(
    x: Tensor,
    y: Tensor,
    mask: Tensor | None,
    out: Tensor,
    workspace: Tensor | None,
    lo_x: float,
    hi_x: float,
    lo_y: float,
    hi_y: float,
    threads: int,
) -> None: ...
def joint_histogram_backward(
    gradient: Tensor,
    x: Tensor,
    y: Tensor,
    mask: Tensor | None,
    out_x: Tensor | None,
    out_y: Tensor | None,
    lo_x: float,
    hi_x: float,
    lo_y: float,
    hi_y: float,
    threads: int,
) -> None: ...
def joint_histogram_workspace(count: int, pixels: int, bins_x: int, bins_y: int) -> int: ...
def speckle(
    x: Tensor | None,
    mask: Tensor | None,
    out: Tensor,
    looks: float,
    looks_of: Tensor | None,
    index: Tensor | None,
    y: int,
    x_origin: int,
    origin: Tensor | None,
    seed: int,
    domain: str,
    texture: float,
    taps_y: Tensor | None,
    taps_x: Tensor | None,
    conjugate: bool,
    refuse: bool,
    threads: int,
) -> bool: ...
def philox(counter: list[int], key: list[int]) -> list[int]: ...
def encode(
    x: Tensor,
    out: Tensor,
    unit: str,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    threads: int,
) -> None: ...
def encode_backward(
    gradient: Tensor,
    x: Tensor,
    out: Tensor,
    unit: str,
    scale: str,
    low: float,
    high: float,
    nodata: float | None,
    threads: int,
) -> None: ...
def decode(
    q: Tensor,
    out: Tensor,
    unit: str,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    threads: int,
) -> None: ...
def decode_backward(
    gradient: Tensor,
    q: Tensor,
    out: Tensor,
    unit: str,
    scale: str,
    low: float,
    high: float,
    threads: int,
) -> None: ...
def extract_patches(
    scene: Tensor,
    out: Tensor,
    counts: Tensor | None,
    index: Tensor | None,
    order: Tensor | None,
    stride: tuple[int, int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    threads: int,
) -> None: ...
def extract_patches_backward(
    gradient: Tensor,
    scene: Tensor | None,
    out: Tensor,
    index: Tensor | None,
    order: Tensor | None,
    stride: tuple[int, int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    threads: int,
) -> None: ...
def check_positions(index: Tensor, scene: tuple[int, int], size: tuple[int, int]) -> None: ...
def merge_patches(
    patches: Tensor,
    window_y: Tensor,
    window_x: Tensor,
    window_2d: Tensor | None,
    out: Tensor,
    height: int,
    width: int,
    stride: tuple[int, int],
    mode: str,
    first_patch_row: int,
    row_begin: int,
    row_end: int,
    threads: int,
) -> None: ...
def merge_patches_backward(
    gradient: Tensor,
    patches: Tensor | None,
    window_y: Tensor,
    window_x: Tensor,
    window_2d: Tensor | None,
    out: Tensor,
    height: int,
    width: int,
    stride: tuple[int, int],
    mode: str,
    first_patch_row: int,
    row_begin: int,
    row_end: int,
    threads: int,
) -> None: ...
def resample(
    x: Tensor,
    out: Tensor,
    upstream: Tensor | None,
    workspace: Tensor | None,
    mode: str,
    antialias: bool,
    scale: tuple[float, float],
    low: float | None,
    high: float | None,
    threads: int,
) -> None: ...
def resample_backward(
    gradient: Tensor,
    out: Tensor,
    workspace: Tensor | None,
    mode: str,
    antialias: bool,
    scale: tuple[float, float],
    threads: int,
) -> None: ...
def resample_workspace(
    input: tuple[int, ...],
    output: tuple[int, ...],
    mode: str,
    antialias: bool,
    scale: tuple[float, float],
    wide: bool,
    backward: bool,
) -> int: ...
