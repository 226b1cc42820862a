"""``sarcore split`` of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from sarcore.data import PairedFolder


def split_pairs(
    data: Path,
    *,
    fractions: tuple[float, float, float],
    fraction: float,
    seed: int,
    by: str,
    out: Path | None,
    links: Path | None,
    check: bool,
) -> None:
    """Draw the parts of the pairs of a folder, or look into those that it has; exit code 1 when something is shared."""
    from sarcore.data import PairedFolder, check_pairs, link_parts
    from sarcore.data.pair_layout import PAIRS_FILE
    from sarcore.data.pair_split import comparable

    console = Console(highlight=False, soft_wrap=True)
    path = data / PAIRS_FILE if out is None else out
    if check and path.is_file():
        drawn = PairedFolder.open(data, manifest=path)
    else:
        drawn = PairedFolder.open(data)
        if not (check and _has_parts(drawn)):
            drawn = _drawn(drawn, path, fractions, fraction, seed, by, console)
    for note in drawn.notes:
        console.print(f"note: {note}", markup=False)
    for part in ("train", "val", "test"):
        chosen = [i for i, name in enumerate(drawn.parts) if name == part]
        console.print(f"{part}: {len(chosen)} pairs of {len({drawn.scenes[i] for i in chosen})} scenes", markup=False)
    if path.is_file():
        console.print(f"pairs: {path}", markup=False)
    if links is not None:
        console.print(f"links: {link_parts(drawn, links)}", markup=False)
    if not check:
        return
    found = check_pairs(drawn, similar=True)
    for message in found:
        console.print(f"found: {message}", markup=False)
    if found:
        raise SystemExit(1)
    console.print("nothing is shared between the parts")
    if not comparable(drawn):
        console.print("near duplicates are not looked for in images of several sizes or of less than 32 pixels")


def _has_parts(folder: PairedFolder) -> bool:
    return len({part for part in folder.parts if part is not None}) > 1


def _drawn(
    folder: PairedFolder,
    path: Path,
    fractions: tuple[float, float, float],
    fraction: float,
    seed: int,
    by: str,
    console: Console,
) -> PairedFolder:
    from sarcore.data import split_pairs, write_manifest
    from sarcore.errors import DataError

    if path.exists():
        raise DataError(f"{path} exists; remove it, give another --out, or look into it with --check")
    drawn = split_pairs(folder, fractions, seed, by=by, fraction=fraction)
    write_manifest(drawn, path)
    if by == "image":
        console.print(
            "note: --by image may put images of one scene into several parts, which flatters the scores on test; "
            "--by scene keeps scenes whole",
            markup=False,
        )
    return drawn
