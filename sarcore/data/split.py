"""Splitting patches into train, val and test so that no scene is in two parts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.folder import PatchFolder
from sarcore.data.images import read_image, write_bytes
from sarcore.errors import DataError

PARTS = ("train", "val", "test")
_REFINE_SCENES = 500  # above this many scenes the greedy pass alone is close enough
_MISSING = 10.0  # cost of a class absent from train or test; larger than any difference of proportions

Floats = npt.NDArray[np.float64]


@dataclass
class Split:
    """Indices of the train, val and test patches of a PatchFolder, ascending, and the seed that drew them.

    >>> Split([0, 2], [], [1], seed=0).test
    [1]
    """

    train: list[int]
    val: list[int]
    test: list[int]
    seed: int

    def save(self, path: str | Path) -> Path:
        """Write as JSON, atomically."""
        return write_bytes(path, (json.dumps(asdict(self)) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read what `save` wrote; raises DataError for a missing or damaged file."""
        try:
            content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            parts = {part: [int(i) for i in content[part]] for part in PARTS}
            return cls(**parts, seed=int(content["seed"]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"the split {path} cannot be read ({error!r}); make it again") from error


def split_by_scene(
    folder: PatchFolder, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0
) -> Split:
    """Draw a split with disjoint scenes whose class proportions are close to ``fractions`` (train, val, test).

    Minimises ``sum over parts p and classes c of (n_pc / n_c - f_p)^2`` greedily, then by moving single scenes. A class
    with at least two scenes gets one in train and one in test (where that is possible for all classes together); a
    class with a single scene goes to train. The val fraction may be 0. Raises ValueError for fractions that are
    negative, do not add up to 1, or leave no train or test; DataError for fewer than two scenes.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=3, size=32))
    >>> split = split_by_scene(folder)
    >>> {folder.scenes[i] for i in split.train} & {folder.scenes[i] for i in split.test}
    set()
    """
    goal = np.array(fractions, dtype=np.float64)
    if goal.shape != (3,) or (goal < 0).any() or abs(goal.sum() - 1) > 1e-6 or goal[0] == 0 or goal[2] == 0:
        raise ValueError(f"fractions are (train, val, test), add up to 1, train and test above 0; got {fractions}")
    names, scene_of = np.unique(np.array(folder.scenes), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"the patches of {folder.root} come from one scene; a split by scene needs at least 2")
    counts = np.zeros((len(names), len(folder.classes)))
    np.add.at(counts, (scene_of, folder.labels.numpy()), 1.0)
    counts = counts[:, counts.any(axis=0)]
    part_of = _assign(counts, goal, np.random.default_rng(seed))[scene_of]
    train, val, test = (np.flatnonzero(part_of == p).tolist() for p in range(3))
    return Split(train, val, test, seed)


def _assign(counts: Floats, goal: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Part (0, 1, 2) of every scene from the (scenes, classes) patch counts."""
    total = counts.sum(axis=0)
    scenes_per_class = (counts > 0).sum(axis=0)
    needed = np.stack([np.ones_like(total), np.zeros_like(total), (scenes_per_class >= 2) * 1.0])
    usable = np.flatnonzero(goal > 0)

    def cost(parts: Floats) -> float:
        return float((((parts / total) - goal[:, None]) ** 2).sum() + _MISSING * (needed * (parts == 0)).sum())

    rarest = np.where(counts > 0, scenes_per_class, np.inf).min(axis=1)
    order = np.lexsort((rng.random(len(counts)), -counts.sum(axis=1), rarest))  # rare classes first, then large scenes
    parts = np.zeros((3, counts.shape[1]))
    part_of = np.zeros(len(counts), dtype=np.int64)
    for scene in order:
        part_of[scene] = _cheapest(parts, counts[scene], usable, cost)
        parts[part_of[scene]] += counts[scene]
    for _ in range(20 if len(counts) <= _REFINE_SCENES else 0):
        before = part_of.copy()
        for scene in rng.permutation(len(counts)):
            parts[part_of[scene]] -= counts[scene]
            best = _cheapest(parts, counts[scene], usable, cost)
            parts[best] += counts[scene]
            part_of[scene] = best
        if (part_of == before).all():
            break
    return part_of


def _cheapest(parts: Floats, scene: Floats, usable: npt.NDArray[np.int64], cost: Any) -> int:
    costs = []
    for part in usable:
        trial = parts.copy()
        trial[part] += scene
        costs.append(cost(trial))
    return int(usable[int(np.argmin(costs))])


def check_leakage(folder: PatchFolder, split: Split) -> list[str]:
    """What the parts of a split share, one sentence each: patches, scenes, and patches with equal pixels; [] if clean.

    Reads every patch of the split. Scenes are compared only as far as the folder knows them.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=3, size=32))
    >>> check_leakage(folder, split_by_scene(folder))
    []
    """
    indices = {"train": split.train, "val": split.val, "test": split.test}
    digests = {part: {_digest(folder.paths[i]): i for i in chosen} for part, chosen in indices.items()}
    messages = []
    for first, second in combinations(PARTS, 2):
        twice = set(indices[first]) & set(indices[second])
        if twice:
            messages.append(
                f"{len(twice)} patches are in {first} and in {second}, for example {folder.paths[min(twice)]}"
            )
        scenes = {folder.scenes[i] for i in indices[first]} & {folder.scenes[i] for i in indices[second]}
        if scenes:
            messages.append(f"{len(scenes)} scenes are in {first} and in {second}, for example {min(scenes)}")
        equal = digests[first].keys() & digests[second].keys()
        pairs = sorted(
            (digests[first][d], digests[second][d]) for d in equal if digests[first][d] != digests[second][d]
        )
        if pairs:
            one, other = pairs[0]
            messages.append(
                f"{len(pairs)} patches of {first} and {second} have equal pixels, for example "
                f"{folder.paths[one]} and {folder.paths[other]}"
            )
    return messages


def _digest(path: Path) -> bytes:
    image = read_image(path)  # pixels, not file bytes: a copy saved with other compression is still a copy
    return hashlib.sha256(repr((image.shape, image.dtype.str)).encode() + image.tobytes()).digest()
