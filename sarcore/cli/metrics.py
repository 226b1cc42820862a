"""``sarcore metrics``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

LABELS = {
    "fid": "SAR-FID",
    "kid": "SAR-KID",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "histogram_emd": "Grey values (EMD)",
    "spectrum_db": "Spectrum (dB)",
    "autocorrelation": "Autocorrelation",
    "enl_error": "Looks (relative error)",
}


def metrics(
    real: Annotated[Positional[Path], arg(metavar="REAL")],
    generated: Annotated[Positional[Path], arg(metavar="GENERATED")],
    /,
    *,
    features: Annotated[Path, arg(metavar="RUN")],
    train: Path | None = None,
    out: Path | None = None,
    sheet: Path | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> None:
    """Score generated patches against real ones, beside what real patches score against real patches.

    Distributions are compared in the feature space of a classifier that `train classifier` trained, and by their
    pixels. Both columns compare equally many patches, so a perfect generator gets what the real ones get.

    Args:
        real: Folder of real patches that the generator has not seen, one sub-folder per class.
        generated: Folder of generated patches, as `generate` writes it.
        features: Run folder of the classifier, or one of its checkpoints.
        train: Folder the generator was trained on: test whether it repeats patches of it.
        out: JSON file to write everything to.
        sheet: PNG of the closest pairs, each generated patch left of its training patch; needs --train.
        repeats: How often the real patches are halved at random.
        seed: Of the halves.
    """
    from sarcore.engine import write_json
    from sarcore.experiments.scores import score_folders

    with ConsoleProgress() as progress:
        result = score_folders(
            real, generated, features, progress, train=train, sheet=sheet, repeats=repeats, seed=seed
        )
    if out is not None:
        write_json(out, result)
    table(result, progress.console)
    if train is not None:
        progress.console.print(memorisation_text(result["memorisation"]), markup=False, soft_wrap=True)


def table(result: Mapping[str, Any], console: Console) -> None:
    """The scores of real and of generated patches, with their deviations over the random halves."""
    count = result["patches_compared"]
    made = Table(title=f"{count} against {count} patches", title_justify="left", box=SIMPLE_HEAD)
    made.add_column("")
    for name in ("real to real", "generated to real", "better"):
        made.add_column(name, justify="right")
    for name, row in result["scores"].items():
        cells = [_cell(row[side], row[f"{side}_deviation"]) for side in ("floor", "generated")]
        made.add_row(LABELS[name], *cells, row["better"])
    console.print(made)
    space = result["features"]
    console.print(f"Features: {space['space']}, {space['dimension']} a patch.", markup=False, soft_wrap=True)
    if count < space["dimension"]:
        console.print(
            f"SAR-FID of {count} patches in {space['dimension']} features is mostly bias: read it beside its floor, "
            "or read SAR-KID, which has none.",
            soft_wrap=True,
        )


def _cell(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.4g}" if deviation is None else f"{mean:.4g} ± {deviation:.2g}"


def memorisation_text(found: Mapping[str, Any]) -> str:
    """One sentence: are generated patches closer to the training patches than unseen real ones are?"""
    close = found["p_value"] < 0.01
    says = "closer than chance allows: look at the pairs" if close else "no sign that patches are repeated"
    return (
        f"Memorisation: generated patches lie {found['ratio']:.2f} times as far from their nearest training patch as "
        f"unseen real ones do, {100 * found['closer_share']:.1f} % of them closer than the closest 1 % of these "
        f"(p = {found['p_value']:.2g}): {says}."
    )
