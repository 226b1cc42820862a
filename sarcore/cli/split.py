"""``sarcore split``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from tyro.conf import Positional

if TYPE_CHECKING:
    from sarcore.data import PatchFolder, Split


def split(
    data: Positional[Path],
    /,
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    by: Literal["auto", "scene", "blocks", "image"] = "auto",
    fraction: float = 1.0,
    buffer: int = 0,
    block: int | None = None,
    out: Path | None = None,
    links: Path | None = None,
    check: bool = False,
) -> None:
    """Divide a folder of patches or pairs into train, val and test that share no ground, or look for what they share.

    With --check the exit code is 1 when something is found; a split file that is there is then checked and not made.

    Args:
        data: Folder of patches; or of pairs, as SEN1-2 folders s1_N and s2_N, trainA and trainB, or A|B images.
        fractions: Parts of train, val and test; val may be 0.
        seed: The same seed draws the same split.
        by: By scene, or by blocks of ground with the buffer between them; auto takes blocks where scenes are too few.
            Pairs are split by scene, or image by image, which lets images of one scene into several parts.
        fraction: Of pairs, the part of all that is used.
        buffer: Pixels between patches of different parts; nearer patches are left out of blocks.
        block: Side of a block in pixels; without it the one that leaves out the least.
        out: The split, as JSON; split.json in the folder without it. Of pairs a manifest; pairs.csv in the folder.
        links: Of pairs, a folder in which trainA, trainB, testA, testB, .. are made of relative links.
        check: Look for overlapping patches, equal pixels and near duplicates (shifted, speckled, rescaled copies).
    """
    from sarcore.data.pair_layout import layout_of

    pairs = layout_of(data) is not None
    if pairs and (by == "blocks" or buffer or block is not None):
        raise ValueError("pairs are split by scene or image; --by blocks, --buffer and --block are for patches")
    if not pairs and (by == "image" or fraction != 1.0 or links is not None):
        raise ValueError(f"{data} holds no pairs; --by image, --fraction and --links are for pairs")
    if pairs:
        from sarcore.cli.split_pairs import split_pairs

        by = "scene" if by == "auto" else by
        split_pairs(data, fractions=fractions, fraction=fraction, seed=seed, by=by, out=out, links=links, check=check)
    else:
        _split_patches(data, fractions, seed, by, buffer, block, data / "split.json" if out is None else out, check)


def _split_patches(
    data: Path,
    fractions: tuple[float, float, float],
    seed: int,
    by: str,
    buffer: int,
    block: int | None,
    path: Path,
    check: bool,
) -> None:
    from sarcore.data import PatchFolder, Split, check_leakage
    from sarcore.data.near_duplicates import SMALLEST
    from sarcore.errors import DataError

    console = Console(highlight=False, soft_wrap=True)
    folder = PatchFolder.open(data)
    if path.exists() and not check:
        raise DataError(f"{path} exists; remove it, give another --out, or look into it with --check")
    if path.exists():
        drawn = Split.load(path)
    else:
        drawn = _drawn(folder, fractions, seed, by, buffer, block)
        drawn.save(path)
    found = check_leakage(folder, drawn, similar=True) if check else []
    for line in _parts(folder, drawn):
        console.print(line, markup=False)
    console.print(f"split: {path}", markup=False)
    for message in found:
        console.print(f"found: {message}", markup=False)
    if found:
        raise SystemExit(1)
    if check:
        console.print("nothing is shared between the parts")
    if check and min(folder.shape[1:]) < SMALLEST:
        console.print(f"near duplicates are not looked for in patches of less than {SMALLEST} pixels")


def _drawn(
    folder: PatchFolder, fractions: tuple[float, float, float], seed: int, by: str, buffer: int, block: int | None
) -> Split:
    from sarcore.data import split_by_blocks, split_by_scene
    from sarcore.data.leakage import placed
    from sarcore.data.split import scene_groups

    if by == "auto":
        needed = sum(fraction > 0 for fraction in fractions)
        few = len(set(scene_groups(folder, buffer))) < needed
        by = "blocks" if few and placed(folder) else "scene"
    if by == "blocks":
        return split_by_blocks(folder, fractions, seed, buffer=buffer, block=block)
    return split_by_scene(folder, fractions, seed, buffer=buffer)


def _parts(folder: PatchFolder, drawn: Split) -> list[str]:
    lines = []
    for name, indices in (("train", drawn.train), ("val", drawn.val), ("test", drawn.test)):
        part = folder.subset(indices)
        counts = ", ".join(f"{label} {count}" for label, count in part.class_counts().items())
        lines.append(f"{name}: {len(part)} patches of {len(set(part.scenes))} scenes: {counts}")
    out = len(folder) - len({*drawn.train, *drawn.val, *drawn.test})
    return lines + ([f"left out: {out} patches within {drawn.buffer} pixels of another part"] if out else [])
