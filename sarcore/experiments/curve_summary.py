"""Studies over shares of the labels: every arm at every share, its difference to one of them, and what that says."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sarcore.engine import write_bytes
from sarcore.experiments.label_cells import LabelCell
from sarcore.experiments.summary import compare_arms, interval, scene_bootstrap, verdict

FEW = (5.0, 10.0)  # percent of the labels between which the pooled answer is given
Done: TypeAlias = Sequence[tuple[LabelCell, Mapping[str, Any]]]
Row: TypeAlias = Mapping[str, Any]


def rows_of(
    done: Done, reference: str, target: NDArray[np.int64], scenes: Sequence[str], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per share of the labels and arm: what `compare_arms` finds among the arms of that share.

    The seeds of an arm are paired with those of the arm ``reference`` that has the same labels and first weights.
    ``labelled`` are the patches whose label was known, by seed.
    """
    rows = []
    for share in sorted({cell.fraction for cell, _ in done}):
        runs: dict[str, list[Mapping[str, Any]]] = {}
        for cell, result in sorted(done, key=lambda one: one[0].seed):
            if cell.fraction == share:
                runs.setdefault(cell.arm, []).append(result)
        order = list(dict.fromkeys(cell.arm for cell, _ in done if cell.fraction == share))
        found = compare_arms(runs, reference, target, scenes, classes)
        for arm in order:
            labelled = [sum(run["labelled"].values()) for run in runs[arm]]
            rows.append({"fraction": share, "arm": arm, "labelled": labelled, **found[arm]})
    return rows


def pooled(
    done: Done,
    reference: str,
    target: NDArray[np.int64],
    scenes: Sequence[str],
    classes: Sequence[str],
    between: tuple[float, float] = FEW,
) -> list[dict[str, Any]]:
    """The gain in balanced accuracy of every arm over ``reference``, averaged over the shares ``between`` per seed.

    The seeds are the repetitions: the shares of one seed have labels in common. Seeds that lack one of the shares are
    left out. Where no share lies between those, the smallest one counts.
    """
    known = {cell.fraction for cell, _ in done}
    if known and not any(between[0] <= share <= between[1] for share in known):
        between = (min(known), min(known))
    runs = {(cell.fraction, cell.arm, cell.seed): result for cell, result in done}
    found = []
    for arm in dict.fromkeys(cell.arm for cell, _ in done if cell.arm != reference):
        shares = sorted({share for share, name, _ in runs if name == arm and between[0] <= share <= between[1]})
        pairs = {
            seed: [(runs.get((share, reference, seed)), runs.get((share, arm, seed))) for share in shares]
            for seed in sorted({seed for share, name, seed in runs if name == arm and share in shares})
        }
        whole = [[(a, b) for a, b in of if a is not None and b is not None] for of in pairs.values()]
        whole = [of for of in whole if len(of) == len(shares)]
        if whole:
            gains = [float(np.mean([b["balanced_accuracy"] - a["balanced_accuracy"] for a, b in of])) for of in whole]
            predicted = [np.stack([np.asarray(pair[k]["predicted"]) for of in whole for pair in of]) for k in (0, 1)]
            low, high = scene_bootstrap(target, predicted[0], predicted[1], scenes, len(classes))
            over = {"low": low, "high": high, "scenes": len(set(scenes))}
            difference = {"scores": {"balanced_accuracy": interval(gains)}, "over_scenes": over}
            found.append({"arm": arm, "fractions": shares, "difference": difference})
    return found


def headlines(
    rows: Sequence[Row], few: Sequence[Row], reference: str, names: Mapping[str, str], synthetic_data: bool
) -> list[str]:
    """What the study says in short: every arm with ``few`` labels (`pooled`), and how far the labels carry.

    ``names`` are the arms in words.
    """
    found = []
    for one in few:
        shares = one["fractions"]
        where = f"{shares[0]:g} to {shares[-1]:g} %" if len(shares) > 1 else f"{shares[0]:g} %"
        what = f"With {where} of the labels, {names[one['arm']]}"
        found.append(verdict(what, one["difference"], names[reference], synthetic_data)["text"])
    base = [row for row in rows if row["arm"] == reference]
    if len(base) > 1:
        low, high = (f"{100 * row['scores']['balanced_accuracy']['mean']:.1f} %" for row in (base[0], base[-1]))
        less, more = (f"{row['fraction']:g} %" for row in (base[0], base[-1]))
        found.append(
            f"With {names[reference]} balanced accuracy is {low} with {less} of the labels and {high} with {more}."
        )
    return found


def by_share(rows: Sequence[Row], reference: str, names: Mapping[str, str], synthetic_data: bool) -> list[str]:
    """One sentence for every arm and share of the labels."""
    return [
        verdict(
            f"With {row['fraction']:g} % of the labels, {names[row['arm']]}",
            row["difference"],
            names[reference],
            synthetic_data,
        )["text"]
        for row in rows
        if row["difference"] is not None
    ]


def aim(few: Sequence[Row], arm: str, wanted: float = 3.0) -> dict[str, Any] | None:
    """Whether an arm gained so many points with ``few`` labels, by an interval that excludes 0; None: nobody knows."""
    found = next((one for one in few if one["arm"] == arm), None)
    if found is None or (gained := found["difference"]["scores"]["balanced_accuracy"])["low"] is None:
        return None
    reached = bool(100.0 * gained["mean"] >= wanted and gained["low"] > 0.0)
    shares = " and ".join(f"{share:g}" for share in found["fractions"])
    text = (
        f"The aim was a gain of {wanted:g} points with {shares} % of the labels, by an interval that excludes 0: "
        f"{'reached' if reached else 'not reached'}."
    )
    return {"reached": reached, "text": text}


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """All rows as CSV: one line per share of the labels, arm and score; recalls are scores of their own."""
    text = io.StringIO()
    names = (
        "fraction",
        "arm",
        "score",
        "seeds",
        "mean",
        "low",
        "high",
        "difference",
        "difference_low",
        "difference_high",
    )
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows:
        difference = row["difference"] or {"scores": {}, "recall": {}}
        changes = {**difference["scores"], **{f"recall of {name}": one for name, one in difference["recall"].items()}}
        scores = {**row["scores"], **{f"recall of {name}": found for name, found in row["recall"].items()}}
        for score, found in scores.items():
            line = {"fraction": row["fraction"], "arm": row["arm"], "score": score, "seeds": found["n"]}
            line |= {name: found[name] for name in ("mean", "low", "high")}
            apart = changes.get(score)
            if apart is not None:
                line |= {"difference": apart["mean"], "difference_low": apart["low"], "difference_high": apart["high"]}
            writer.writerow(line)
    return write_bytes(path, text.getvalue().encode())
