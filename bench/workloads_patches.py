"""The workloads of `extract_patches` and `merge_patches`: patches of 160 x 160 at stride 80."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import peers_patches as peers
import torch
from peers_patches import SIZE, STRIDE
from workloads import Case, Contestant, Outcome, Workload, close_in_parts, copy_of, differ, scene

from sarcore import Radiometry, ops
from sarcore.ops import PatchGrid

OPS = ("extract_patches", "merge_patches")
SHAPES = {
    "tiny": (512, 528),
    "T2": (2080, 2080),  # nothing is left over at the border
    "T1b": (8192, 8192),
    "T1": (16384, 16384),
}
LOG = "uint16 scene, logarithm and normalise, float32 patches, forward"
COPY = "uint16 scene, uint16 patches, forward"
CROPS = "uint16 scene, random positions, logarithm and normalise, float32 patches, forward"
EXTRACT_BACK = "float32 scene, float32 patches, forward and backward"
HANN = "Hann window, float32, forward"
FLAT = "flat window, float32, forward"
ROUND_TRIP = "Gaussian window, float32 scene cut into patches and merged again, forward"
MERGE_BACK = "Hann window, float32, forward and backward"
COMPILED = ("unfold of the scene", "advanced index", "F.fold")  # PyTorch alone, without a loop over patches
DECIBELS = 20 * math.log10(65535)
# 20 log10 of the amplitude between 1 and 65535; the peers take natural logarithms, so that it is the same number.
RADIOMETRY = Radiometry("amplitude", 0, DECIBELS, scale="db")
FINISH = peers.Finish(0.0, math.log(65535))
OURS = {  # other things that the one pass does, beside the row `sarcore`
    "sarcore": {},
    "sarcore, valid fractions": {"valid": True},
    "sarcore, bfloat16": {"dtype": torch.bfloat16},
    "sarcore, 8 bit": {"radiometry": replace(RADIOMETRY, out="uint8")},
}


def cases(op: str, device: str, quick: bool) -> list[Case]:
    """What is timed on a device, or a scene that only shows that everything runs and agrees."""
    small, large = ("tiny", "tiny") if quick else ("T2", "T1b" if device == "cpu" else "T1")
    if op == "extract_patches":
        wanted = [(LOG, small), (LOG, large), (COPY, large), (CROPS, small), (EXTRACT_BACK, small)]
    else:
        wanted = [(HANN, small), (HANN, large), (FLAT, small), (ROUND_TRIP, small), (MERGE_BACK, small)]
    return [case(op, name, about) for about, name in dict.fromkeys(wanted)]


def case(op: str, name: str, about: str) -> Case:
    build = functools.partial(build_extract if op == "extract_patches" else build_merge, SHAPES[name], about)
    rounds, slow_rounds = (21, 3) if name in ("tiny", "T2") else (7, 2)
    reason = "T2 stands for it" if op == "merge_patches" and name in ("T1b", "T1") else ""
    if about == EXTRACT_BACK:
        reason = "torch 2.13 compiles the gradient of overlapping windows of unfold to wrong numbers"
    return Case(op, name, SHAPES[name], about, build, rounds, slow_rounds=slow_rounds, not_compiled=reason)


def amplitudes(shape: tuple[int, int], device: str) -> torch.Tensor:
    """A uint16 scene under speckle of one look, without zeros: numbers between 1 and 65535, as in detected products."""
    generator = torch.Generator().manual_seed(0)
    field = torch.empty(shape).exponential_(generator=generator).mul_(scene((1, 1, *shape), "cpu")[0, 0])
    return field.sqrt_().mul_(400).clamp_(1, 65535).to(torch.uint16).to(device)


# ------ extract


def build_extract(shape: tuple[int, int], about: str, device: str, compiled: bool) -> Workload:
    """The workload of one scene; `about` decides what is done with the pixels and where the patches lie."""
    image, grid = amplitudes(shape, device), PatchGrid(shape, SIZE, STRIDE)
    functions, left_out = _extract_functions(grid, about, device)
    functions += _compiled(functions) if compiled else []
    if about == EXTRACT_BACK:
        image = image.float().requires_grad_()
        generator = torch.Generator().manual_seed(1)
        upstream = torch.randn(len(grid), 1, SIZE, SIZE, generator=generator).to(device)
        calls = [(n, _scene_gradient(f, image, grid, upstream)) for n, f in functions]
    else:
        calls = [(n, _call(f, image)) for n, f in functions]
    pixel = 2 if about == COPY else 4
    moved = image.numel() * image.element_size() + len(grid) * SIZE**2 * pixel
    moved *= 2 if about == EXTRACT_BACK else 1
    contestants = [Contestant(name, call, compiled=name.endswith("compiled")) for name, call in calls]
    check = functools.partial(check_patches, grid)
    return Workload(contestants, check, copy_of(moved, device), moved, left_out)


def _compiled(functions: list[tuple[str, peers.Merge]]) -> list[tuple[str, peers.Merge]]:
    return [(f"{n}, compiled", torch.compile(f, dynamic=False)) for n, f in functions if n in COMPILED]


def _call(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], Outcome]:
    def call() -> Outcome:
        result = function(x)
        return result if isinstance(result, tuple) else (result,)

    return call


def fitting(x: torch.Tensor, whole: PatchGrid, part: PatchGrid) -> torch.Tensor:
    """Of all patches those that lie inside the scene: the others are missing from what some peers return."""
    return x.unflatten(0, whole.counts)[: part.counts[0], : part.counts[1]].flatten(0, 1)


def _inner(grid: PatchGrid) -> PatchGrid:
    counts = [(side - SIZE) // STRIDE + 1 for side in grid.shape]
    return PatchGrid([(n - 1) * STRIDE + SIZE for n in counts], SIZE, STRIDE)


def _scene_gradient(
    function: peers.Extract, image: torch.Tensor, grid: PatchGrid, upstream: torch.Tensor
) -> Callable[[], Outcome]:
    part = _inner(grid)
    inside = fitting(upstream, grid, part)
    outside = upstream.clone()  # zero where a peer has no patch, so that the gradients are the same
    fitting(outside, grid, part).copy_(inside)
    rows, columns = (torch.arange(n) for n in grid.counts)
    beyond = (rows[:, None] >= part.counts[0]) | (columns >= part.counts[1])
    outside[beyond.flatten().to(upstream.device)] = 0

    def call() -> Outcome:
        patches = function(image)
        given = outside if len(patches) == len(grid) else inside
        return patches.detach(), torch.autograd.grad(patches, image, given)[0]

    return call


def check_patches(grid: PatchGrid, contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    """The same patches in the same order, to 2e-6 of the range after a logarithm, else bit for bit."""
    message, patches, want = differ(contestant, "patches"), got[0], ours[0]
    tolerance = {torch.uint16: 0.0, torch.bfloat16: 0.004, torch.uint8: 0.51 / 255}.get(patches.dtype, 2e-6)
    patches = patches.float() / 255 if patches.dtype == torch.uint8 else patches
    want = want if len(patches) == len(want) else fitting(want, grid, _inner(grid))
    close_in_parts(patches, want, message, tolerance)
    if contestant.name == "sarcore, valid fractions":
        assert got[1].shape == (len(grid),), message(f"shape {tuple(got[1].shape)} of the valid fractions")
        inside = fitting(got[1], grid, _inner(grid))
        assert bool((inside == 1).all()), message("a patch inside the scene is not valid throughout")
    elif len(got) == 2:
        close_in_parts(got[1], ours[1], differ(contestant, "gradient"), 1e-6 * ours[1].abs().max().item())


def _extract_functions(grid: PatchGrid, about: str, device: str) -> tuple[list[tuple[str, peers.Extract]], list[str]]:
    plain = about in (COPY, EXTRACT_BACK)
    finish = replace(FINISH, copies=plain)
    options = {} if plain else {"radiometry": RADIOMETRY}
    if about == CROPS:
        generator = torch.Generator().manual_seed(2)
        corners = [torch.randint(0, side - SIZE + 1, (len(grid),), generator=generator) for side in grid.shape]
        index = torch.stack(corners, dim=1).to(device)
        return [
            ("sarcore", lambda x: ops.extract_patches(x, SIZE, index=index, radiometry=RADIOMETRY)),
            ("slices and torch.stack", peers.crops_extract(finish, index)),
            ("advanced index", peers.indexed_extract(finish, index)),
        ], []
    rows = OURS if about == LOG else {"sarcore": {}}
    functions = [(n, functools.partial(_ours, **{**options, **more})) for n, more in rows.items()]
    kornia = peers.kornia_extract(finish)
    left_out = [] if kornia else ["kornia is not installed"]
    functions += [("kornia", kornia)] if kornia else []
    functions.append(("unfold of the scene", peers.unfold_extract(finish)))
    if about == EXTRACT_BACK:
        return functions, left_out
    if device != "cpu":
        return functions, [*left_out, "patchify, tiler and pytorch-toolbelt cut on the CPU alone"]
    functions += [peers.patchify_extract(finish), ("NumPy slices of the scene", peers.slices_extract(finish))]
    tiler, toolbelt = peers.tiler_extract(finish), peers.toolbelt_extract(finish)
    functions += [("tiler", tiler)] if tiler else []
    functions += [toolbelt] if toolbelt else []
    left_out += [] if tiler else ["tiler is not installed"]
    left_out += [] if toolbelt else ["pytorch-toolbelt needs OpenCV, which is not installed"]
    return functions, left_out


def _ours(x: torch.Tensor, **options: object) -> torch.Tensor:
    return ops.extract_patches(x, SIZE, STRIDE, **options)


# ------ merge


def build_merge(shape: tuple[int, int], about: str, device: str, compiled: bool) -> Workload:
    """The workload of one scene: patches of noise, so that a patch in a wrong place or a wrong weight shows."""
    grid = PatchGrid(shape, SIZE, STRIDE)
    if about == ROUND_TRIP:
        return _build_round_trip(grid, device)
    patches = torch.rand(len(grid), 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    functions, left_out = _merge_functions(grid, about, device)
    functions += _compiled(functions) if compiled else []
    moved = 4 * (patches.numel() + grid.shape[0] * grid.shape[1])
    if about == MERGE_BACK:
        patches.requires_grad_()
        upstream = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1)).to(device)
        calls = [(n, _patch_gradient(f, patches, upstream)) for n, f in functions]
        moved *= 2
    else:
        calls = [(n, _call(f, patches)) for n, f in functions]
    contestants = [Contestant(name, call, compiled=name.endswith("compiled")) for name, call in calls]
    check = functools.partial(check_scene, patches.detach(), grid)
    return Workload(contestants, check, copy_of(moved, device), moved, left_out)


def _build_round_trip(grid: PatchGrid, device: str) -> Workload:
    """MONAI cuts, too, and writes into the patches that it merges: so everybody does both."""
    image = torch.rand(1, *grid.shape, generator=torch.Generator().manual_seed(0)).to(device)
    monai = peers.monai_round_trip()
    functions = [("sarcore", lambda x: _merged(grid, _ours(x), window="gaussian"))]
    functions += [("MONAI", monai)] if monai else []
    contestants = [Contestant(name, _call(f, image)) for name, f in functions]
    moved = 8 * (image.numel() + len(grid) * SIZE**2)
    check = functools.partial(check_scene, None, grid)
    return Workload(contestants, check, copy_of(moved, device), moved, [] if monai else ["MONAI is not installed"])


def _patch_gradient(function: peers.Merge, patches: torch.Tensor, upstream: torch.Tensor) -> Callable[[], Outcome]:
    def call() -> Outcome:
        merged = function(patches)
        return merged.detach(), torch.autograd.grad(merged, patches, upstream)[0]

    return call


def check_scene(
    patches: torch.Tensor | None, grid: PatchGrid, contestant: Contestant, got: Outcome, ours: Outcome
) -> None:
    """The means agree to 1e-5 of the range; of our medians those are looked at that one patch alone covers."""
    message, merged, want = differ(contestant, "the merged scene"), got[0], ours[0]
    if contestant.name == "sarcore, max":
        _check_largest(patches, grid, merged, message)
    elif contestant.name == "sarcore, median":
        close_in_parts(merged[:, :STRIDE, :STRIDE], patches[0, :, :STRIDE, :STRIDE], message, 0.0)
    else:
        close_in_parts(merged, want, message, 1e-5)
    for a, b in zip(got[1:], ours[1:], strict=True):
        close_in_parts(a, b, differ(contestant, "gradient"), 1e-5)


def _check_largest(patches: torch.Tensor, grid: PatchGrid, got: torch.Tensor, message: Callable[[str], str]) -> None:
    want = patches.new_full((1, *grid.padded), -torch.inf)
    for patch, (y, x) in zip(patches, grid.positions().tolist(), strict=True):
        part = want[:, y : y + SIZE, x : x + SIZE]
        torch.maximum(part, patch, out=part)
    want = want[:, : grid.shape[0], : grid.shape[1]]
    close_in_parts(got, want, message, 0.0)


def _merge_functions(grid: PatchGrid, about: str, device: str) -> tuple[list[tuple[str, peers.Merge]], list[str]]:
    name = "flat" if about == FLAT else "hann"
    functions: list[tuple[str, peers.Merge]] = [("sarcore", functools.partial(_merged, grid, window=name))]
    hann, flat = torch.hann_window(SIZE + 2, periodic=False, device=device)[1:-1], torch.ones(SIZE, device=device)
    if about == FLAT:
        kornia = peers.kornia_merge(grid)
        functions += [("kornia", kornia)] if kornia else []
        functions.append(("F.fold", peers.fold_merge(flat, grid)))
        return functions, [] if kornia else ["kornia is not installed"]
    if about == MERGE_BACK:
        return [*functions, ("F.fold", peers.fold_merge(hann, grid))], []
    functions.append((f"sarcore, in batches of {peers.BATCH}", functools.partial(_streamed, grid)))
    functions += [(f"sarcore, {m}", functools.partial(_merged, grid, mode=m)) for m in ("max", "median")]
    functions += [peers.toolbelt_merge(hann, grid), ("F.fold", peers.fold_merge(hann, grid))]
    if device != "cpu":
        return functions, ["tiler and NumPy merge on the CPU alone"]
    tiler = peers.tiler_merge(hann, grid)
    functions += [("tiler", tiler)] if tiler else []
    functions.append(("NumPy slices", peers.slices_merge(hann, grid)))
    return functions, [] if tiler else ["tiler is not installed"]


def _merged(grid: PatchGrid, patches: torch.Tensor, **options: str) -> torch.Tensor:
    return ops.merge_patches(patches, grid.shape, STRIDE, **options)


def _streamed(grid: PatchGrid, patches: torch.Tensor) -> torch.Tensor:
    merger = ops.PatchMerger(grid.shape, SIZE, STRIDE)
    rows = [merger.add(batch) for batch in patches.split(peers.BATCH)]
    merger.finish()
    return torch.cat(rows, dim=1)
