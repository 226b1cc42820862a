"""What the cells of the study of generation say together: intervals over seeds, and whether a scenario is solved."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sarcore.engine import write_bytes
from sarcore.experiments.ablation import ABLATION
from sarcore.experiments.generation_study_config import Cell
from sarcore.experiments.set_scores import BETTER
from sarcore.experiments.summary import interval

KID_RATIO, ENL_ERROR, EMD = 1.5, 0.10, 0.02
"""What a solved scenario keeps to: SAR-KID by that of real patches of other scenes, error of the looks, grey values."""
COMPARED = ("kid", "histogram_emd", "enl_error", "spectrum_db", "coverage")  # in the ablation
Results = Sequence[tuple[Cell, Mapping[str, Any]]]


def summarise(cells: Results, floors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of arms, verdicts of single trainings, and sentences, ready for JSON.

    The cells come with their results; ``floors`` are those of `ScenarioJudge.floors` by scenario.
    """
    verdicts = [verdict(cell, result, floors[cell.scenario]) for cell, result in cells]
    arms = list(dict.fromkeys(cell.arm for cell, _ in cells))
    found = {arm: [one for one in verdicts if one["arm"] == arm] for arm in arms}
    return {
        "targets": {"kid_ratio": KID_RATIO, "enl_error": ENL_ERROR, "emd": EMD},
        "rows": [row_of(arm, [(cell, result) for cell, result in cells if cell.arm == arm]) for arm in arms],
        "verdicts": verdicts,
        "headline": headline(verdicts, list(floors)),
        "sentences": [sentence(arm, one) for arm, one in found.items() if "-" not in arm],
        "ablation": ablation(cells),
        "seconds": sum(result["seconds"] for _, result in cells),
    }


def headline(verdicts: Sequence[Mapping[str, Any]], scenarios: Sequence[str]) -> str:
    """Which scenarios are solved in every seed, and by what.

    >>> headline([{"arm": "hard/gan", "solved": True}, {"arm": "simple/gan", "solved": False}], ["hard", "simple"])
    'hard is solved in every seed by gan; simple is not.'
    >>> headline([{"arm": "hard/gan", "solved": False}], ["hard"])
    'No scenario is solved in every seed.'
    """
    said = []
    for scenario in scenarios:
        arms: dict[str, list[bool]] = {}
        for one in verdicts:
            if one["arm"].startswith(f"{scenario}/"):
                arms.setdefault(one["arm"].split("/")[1], []).append(bool(one["solved"]))
        always = [arm_text(arm) for arm, solved in arms.items() if all(solved)]
        said.append(f"{scenario} is solved in every seed by {' and '.join(always)}" if always else f"{scenario} is not")
    solved = any(" is solved " in one for one in said)
    return "; ".join(said) + "." if solved else "No scenario is solved in every seed."


def row_of(arm: str, cells: Results) -> dict[str, Any]:
    """Mean and 95 % t interval over the seeds of every score of an arm, at its own size and enlarged (``used``)."""
    cell = cells[0][0]
    scored = [result for _, result in cells if "scores" in result]
    row: dict[str, Any] = {"arm": arm, "scenario": cell.scenario, "preset": cell.preset, "variant": cell.variant}
    row |= {"seeds": len(cells), "failed": len(cells) - len(scored)}
    row["scores"] = {name: _over_seeds([result["scores"][name]["value"] for result in scored]) for name in BETTER}
    row["used"] = {}
    if scored and "used" in scored[0]:
        row["used"] = {name: _over_seeds([result["used"][name]["value"] for result in scored]) for name in BETTER}
    row["looks"] = _over_seeds([result["looks"] for result in scored])
    for name in ("ratio", "closer_share"):
        row[f"memorisation_{name}"] = _over_seeds([result["memorisation"][name] for result in scored])
    right = [result["classified"]["balanced"] for result in scored if result["classified"] is not None]
    row["right_class"] = _over_seeds(right)
    return row


def ablation(cells: Results) -> list[dict[str, Any]]:
    """What every change of the ablation did to its preset: over the seeds that both have, with a sentence.

    ``scores`` has the intervals of the changed preset (``changed``), of the preset (``base``) and of the difference.
    """
    known = {(cell.arm, cell.seed): (cell, result) for cell, result in cells if "scores" in result}
    asked = {f"{switch.preset}-{switch.change}": switch.asks for switch in ABLATION}
    found = []
    for arm in dict.fromkeys(cell.arm for cell, _ in known.values() if cell.variant):
        pairs = [(result, known.get((cell.base.arm, seed))) for (a, seed), (cell, result) in known.items() if a == arm]
        both = [(changed, base[1]) for changed, base in pairs if base is not None]
        cell = next(cell for (a, _), (cell, _) in known.items() if a == arm)
        one: dict[str, Any] = {"arm": arm, "preset": cell.preset, "change": cell.variant}
        one |= {"asks": asked[f"{cell.preset}-{cell.variant}"], "seeds": len(both), "scores": {}, "last": {}}
        for name in COMPARED:
            one["scores"][name] = _change([tuple(r["scores"][name]["value"] for r in pair) for pair in both])
        for name in ("dead_fraction", "k"):
            one["last"][name] = _over_seeds([changed["last"].get(name) for changed, _ in both])
        found.append({**one, "sentence": ablation_sentence(one)})
    return found


def _change(pairs: Sequence[tuple[float | None, ...]]) -> dict[str, Any]:
    changed, base = ([pair[i] for pair in pairs] for i in range(2))
    whole = [(a, b) for a, b in pairs if a is not None and b is not None]
    difference = _over_seeds([a - b for a, b in whole]) if len(whole) == len(pairs) else None
    return {"changed": _over_seeds(changed), "base": _over_seeds(base), "difference": difference}


def ablation_sentence(one: Mapping[str, Any]) -> str:
    """The answer of one comparison in words.

    >>> kid = {"changed": {"mean": 30.0}, "base": {"mean": 10.0}}
    >>> kid["difference"] = {"mean": 20.0, "low": 5.0, "high": 35.0}
    >>> one = {"preset": "sarcore", "change": "relu", "asks": "Do ReLU outputs die?", "scores": {"kid": kid}}
    >>> ablation_sentence({**one, "seeds": 3})
    'Do ReLU outputs die? sarcore, relu: SAR-KID 30 instead of 10, worse (+5 to +35, 3 seeds).'
    """
    kid, start = one["scores"]["kid"], f"{one['asks']} {one['preset']}, {one['change'].replace('_', ' ')}:"
    if kid["difference"] is None:
        return f"{start} no seed that can be compared."
    mean, low, high = (kid["difference"][name] for name in ("mean", "low", "high"))
    said = f"{start} SAR-KID {kid['changed']['mean']:.3g} instead of {kid['base']['mean']:.3g}"
    if low is None:
        return f"{said} (one seed)."
    clear = low > 0 or high < 0
    verdict = ("worse" if mean > 0 else "better") if clear else "no measurable difference"
    return f"{said}, {verdict} ({low:+.3g} to {high:+.3g}, {one['seeds']} seeds)."


def _over_seeds(values: Sequence[float | None]) -> dict[str, Any] | None:
    """None where the score does not exist for every seed: an interval of the lucky ones would mislead."""
    known = [value for value in values if value is not None]
    return interval(known) if known and len(known) == len(values) else None


def verdict(cell: Cell, result: Mapping[str, Any], floors: Mapping[str, Any]) -> dict[str, Any]:
    """Whether one training solved its scenario, and the numbers that say so; None where there is none.

    ``kid_floor`` is the SAR-KID of real patches of other scenes. KID has no bias, so that may be about 0 or negative,
    and no multiple of it is a target then. What random halves of the real patches score is noise about 0: where its
    root mean square is higher, it is the floor.
    """
    found: dict[str, Any] = {"arm": cell.arm, "seed": cell.seed, "failed": result.get("failed")}
    scores = result.get("scores", {})
    kid, enl, emd = (scores.get(name, {}).get("value") for name in ("kid", "enl_error", "histogram_emd"))
    halves, other = (floors["own"][name]["kid"] for name in ("halves", "other_scenes"))
    floor = max(other["value"], math.hypot(halves["value"], halves["deviation"]))
    ratio = kid / floor if kid is not None and floor > 0 else None
    found |= {"kid": kid, "kid_floor": floor, "kid_ratio": ratio, "enl_error": enl, "emd": emd}
    parts = {"kid": (ratio, KID_RATIO), "enl": (enl, ENL_ERROR), "emd": (emd, EMD)}
    met = {name: value is not None and value <= target for name, (value, target) in parts.items()}
    return {**found, "met": met, "solved": all(met.values())}


def sentence(arm: str, verdicts: Sequence[Mapping[str, Any]]) -> str:
    """In how many seeds an arm solved its scenario, and by what numbers.

    >>> one = {"seed": 0, "failed": None, "kid": 5.0, "kid_floor": 4.0, "kid_ratio": 1.25, "enl_error": 0.04}
    >>> one |= {"emd": 0.031, "solved": False}
    >>> sentence("hard/sarcore", [one])
    'hard, sarcore: solved in 0 of 1 seed; seed 0: SAR-KID 1.25 times the floor, ENL error 4 %, EMD 0.031 (no).'
    """
    solved = sum(bool(one["solved"]) for one in verdicts)
    seeds = f"{len(verdicts)} seed{'s' if len(verdicts) > 1 else ''}"
    return f"{arm_text(arm)}: solved in {solved} of {seeds}; {'; '.join(map(_of_seed, verdicts))}."


def _of_seed(one: Mapping[str, Any]) -> str:
    if one["failed"]:
        return f"seed {one['seed']}: diverged"
    ratio, enl, emd = one["kid_ratio"], one["enl_error"], one["emd"]
    kid = "–" if one["kid"] is None else f"{one['kid']:.3g} beside a floor of {one['kid_floor']:.3g}"
    kid = kid if ratio is None else f"{ratio:.3g} times the floor"
    looks = "–" if enl is None else f"{100 * enl:.0f} %"
    grey = "–" if emd is None else f"{emd:.2g}"
    return f"seed {one['seed']}: SAR-KID {kid}, ENL error {looks}, EMD {grey} ({'yes' if one['solved'] else 'no'})"


def arm_text(arm: str) -> str:
    """An arm in words.

    >>> arm_text("hard/marmanis-soft_histogram")
    'hard, marmanis, soft histogram'
    """
    return arm.replace("/", ", ").replace("-", ", ").replace("_", " ")


def write_table(path: Path, results: Mapping[str, Any]) -> Path:
    """Every score as CSV: a line per arm, size and score, with what real patches score beside it."""
    text = io.StringIO()
    names = ("scenario", "preset", "variant", "size", "score", "mean", "low", "high", "seeds", "other_scenes", "halves")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in results["rows"]:
        for size, key in (("own", "scores"), ("used", "used")):
            floors = results["floors"][row["scenario"]].get(size, {})
            for score, found in row[key].items():
                line = {name: row[name] for name in names[:3]} | {"size": size, "score": score, "seeds": row["seeds"]}
                line |= {name: (found or {}).get(name) for name in ("mean", "low", "high")}
                line |= {name: floors[name][score]["value"] for name in names[-2:]}
                writer.writerow(line)
    return write_bytes(path, text.getvalue().encode())
