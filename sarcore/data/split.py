"""Splitting patches into train, val and test so that no scene is in two parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.folder import PatchFolder
from sarcore.data.footprints import overlapping_scenes
from sarcore.data.images import write_bytes
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
    buffer: int = 0
    """Pixels around a patch in which no patch of another part lies, as far as the places of the patches are known."""

    def save(self, path: str | Path) -> Path:
        """Write as JSON, atomically."""
        return write_bytes(path, (json.dumps(asdict(self)) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read what `save` wrote; raises DataError for a missing or damaged file."""
        try:
            content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            parts = {part: [int(i) for i in content[part]] for part in PARTS}
            return cls(**parts, seed=int(content["seed"]), buffer=int(content.get("buffer", 0)))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"the split {path} cannot be read ({error!r}); make it again") from error


def split_by_scene(
    folder: PatchFolder, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0, *, buffer: int = 0
) -> Split:
    """Draw a split with disjoint scenes whose class proportions are close to ``fractions`` (train, val, test).

    Minimises ``sum over parts p and classes c of (n_pc / n_c - f_p)^2`` greedily, then by moving single scenes. A class
    with at least two scenes gets one in train and one in test (where that is possible for all classes together); a
    class with a single scene goes to train. The val fraction may be 0. Scenes that overlap on Earth, or come within
    ``buffer`` pixels, count as one, where the folder knows where they lie. Raises ValueError for fractions that are
    negative, do not add up to 1, or leave no train or test; DataError for fewer than two scenes.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=3, size=32))
    >>> split = split_by_scene(folder)
    >>> {folder.scenes[i] for i in split.train} & {folder.scenes[i] for i in split.test}
    set()
    """
    goal = check_fractions(fractions)
    names = scene_groups(folder, buffer)
    if len(set(names)) < 2:
        apart = "come from one scene" if len(set(folder.scenes)) < 2 else "come from scenes that all overlap"
        raise DataError(f"the patches of {folder.root} {apart}; a split by scene needs at least 2")
    part_of = assign(names, folder, goal, seed)
    train, val, test = (np.flatnonzero(part_of == p).tolist() for p in range(3))
    return Split(train, val, test, seed, buffer)


def check_fractions(fractions: tuple[float, float, float]) -> Floats:
    """The fractions as an array; ValueError as `split_by_scene` says.

    >>> check_fractions((0.5, 0.0, 0.5))
    array([0.5, 0. , 0.5])
    """
    goal = np.array(fractions, dtype=np.float64)
    if goal.shape != (3,) or not (goal >= 0).all() or abs(goal.sum() - 1) > 1e-6 or goal[0] == 0 or goal[2] == 0:
        raise ValueError(f"fractions are (train, val, test), add up to 1, train and test above 0; got {fractions}")
    return goal


def scene_groups(folder: PatchFolder, buffer: int = 0) -> list[str]:
    """For each patch the name of its scene, or of the first scene that overlaps with it, directly or through others.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=1, size=32))
    >>> scene_groups(folder) == folder.scenes
    True
    """
    present = set(folder.scenes)
    places = {name: place for name, place in folder.places.items() if name in present}
    first = {name: name for name in present}
    for one, other in overlapping_scenes(places, buffer):
        kept, gone = sorted((first[one], first[other]))
        first = {name: kept if root == gone else root for name, root in first.items()}
    return [first[name] for name in folder.scenes]


def assign(groups: Sequence[str], folder: PatchFolder, goal: Floats, seed: int) -> npt.NDArray[np.int64]:
    """The part (0, 1, 2) of every patch, so that no group (a scene, a block) is in two."""
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    counts = np.zeros((len(names), len(folder.classes)))
    np.add.at(counts, (group_of, folder.labels.numpy()), 1.0)
    counts = counts[:, counts.any(axis=0)]
    return assign_groups(counts, goal, np.random.default_rng(seed))[group_of]


def assign_groups(counts: Floats, goal: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Part (0, 1, 2) of every scene from the (scenes, classes) patch counts.

    >>> assign_groups(np.ones((4, 1)), np.array([0.5, 0.25, 0.25]), np.random.default_rng(0)).tolist()
    [1, 0, 2, 0]
    """
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
