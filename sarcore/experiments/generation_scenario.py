"""A scenario's real patches, and generated ones set against them: at their own size, and brought to patch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcore.data import write_image
from sarcore.engine import image_grid
from sarcore.experiments.drawing import GenerativeModel, draw_patches
from sarcore.experiments.generation_judge import Judge
from sarcore.experiments.generation_space import Enlarged, Images, Known, Space
from sarcore.experiments.patches import GENERATED, Filter, Patches, PatchTensor, Scenario, ScenarioPatches, encoded
from sarcore.experiments.progress import Progress

_COLUMNS = 4  # patches of a class in a picture
_ROWS = 6  # of patches without classes


class ScenarioJudge:
    """What the generators of one scenario are scored by.

    Patches of half the side are scored as the scenario shows real ones, and again as they are used: enlarged, against
    whole real patches. There real ones that were shrunk and enlarged alike say what the scenario itself costs.

    ``parts`` are the patches of the training and of the held-out scenes, ``limits`` the samples and repeats of `Judge`.
    """

    def __init__(
        self,
        space: Space,
        parts: tuple[Patches, Patches],
        scenario: Scenario,
        filter: Filter,
        limits: tuple[int, int],
        progress: Progress,
    ) -> None:
        self.space, self.filter, self.limits, self.progress = space, filter, limits, progress
        self.labels = parts[0].labels, parts[1].labels
        self.size = encoded(parts[0], [0]).shape[-1]
        self.views = ScenarioPatches(parts[0], scenario), ScenarioPatches(parts[1], scenario)
        self.own = self._judge(self.views, scenario)
        self.used: Judge | None = None
        self.prepared: Known | None = None
        if scenario != "hard":
            self.used = self._judge((ScenarioPatches(parts[0], "hard"), ScenarioPatches(parts[1], "hard")), "whole")
            self.prepared = self._know(self._enlarged(self.views[0]), self.labels[0], f"{scenario}, enlarged")

    def floors(self) -> dict[str, Any]:
        """What real patches score at the scenario's size (``own``) and enlarged (``used``), their looks and classes."""
        own = self.own
        found: dict[str, Any] = {"space": self.space.name, "n": own.count, "size": own.held_out.images[0][0].shape[-1]}
        found["own"] = own.floors()
        found["looks"] = {"train": own.looks(own.train), "held_out": own.looks(own.held_out)}
        found["classified"] = self.space.classified(own.held_out)
        if self.used is not None and self.prepared is not None:
            found["used"] = {**self.used.floors(), "prepared": self.used.scores(self.prepared)}
        return found

    def judge(self, made: PatchTensor) -> dict[str, Any]:
        """The scores of generated patches."""
        known = self._know(made, made.labels, "generated")
        found: dict[str, Any] = {"scores": self.own.scores(known), "looks": self.own.looks(known)}
        found["classified"] = self.space.classified(known)
        found["memorisation"] = self.own.memorisation(known)
        if self.used is not None:
            enlarged = self._know(self._enlarged(made), made.labels, "generated, enlarged")
            found["used"] = self.used.scores(enlarged)
        return found

    def draw(self, model: GenerativeModel, seed: int) -> PatchTensor:
        """As many patches as are compared at most, of each class as large a share as the training patches have."""
        count, labels = self.limits[0], self.labels[0].sort().values
        self.progress.stage("drawing patches", count)
        side = model.config.size
        if not model.config.classes:
            images = draw_patches(model, count, side, seed=seed, on_batch=lambda done: self.progress.step(done, {}))
            alone = int(labels[0]) if bool((labels == labels[0]).all()) else -1
            return PatchTensor(images, torch.full((count,), alone), GENERATED)
        wanted = labels[((torch.arange(count) + 0.5) * len(labels) / count).long()]
        parts = []
        for label, number in zip(*(t.tolist() for t in wanted.unique(return_counts=True)), strict=True):
            parts.append(draw_patches(model, number, side, label=label, seed=seed))
            self.progress.step(sum(map(len, parts)), {})
        return PatchTensor(torch.cat(parts), wanted, GENERATED)

    def show_real(self, folder: Path) -> None:
        """Write ``real.png``, held-out patches as the scenario shows them, and ``real_used.png``, these enlarged."""
        self._show(self.views[1], self.labels[1], folder, "real")

    def show_made(self, made: PatchTensor, folder: Path) -> None:
        """Write ``generated.png`` and, of patches that are enlarged to be used, ``generated_used.png``."""
        self._show(made, made.labels, folder, "generated")

    def _show(self, images: Images, labels: Tensor, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = shown(labels)
        kinds: list[tuple[str, Images]] = [(name, images)]
        kinds += [(f"{name}_used", self._enlarged(images))] if self.used is not None else []
        for file, one in kinds:
            grid = image_grid(torch.stack([one[i][0] for i in numbers]), columns=_COLUMNS)
            write_image(folder / f"{file}.png", grid[None] if grid.ndim == 2 else grid.transpose(2, 0, 1))

    def _judge(self, views: tuple[Images, Images], what: str) -> Judge:
        train = self._know(views[0], self.labels[0], f"{what}, training scenes")
        held_out = self._know(views[1], self.labels[1], f"{what}, held out")
        return Judge(self.space, train, held_out, samples=self.limits[0], repeats=self.limits[1])

    def _know(self, images: Images, labels: Tensor, what: str) -> Known:
        return self.space.know(images, labels, what, self.progress)

    def _enlarged(self, images: Images) -> Enlarged:
        return Enlarged(images, self.size, self.filter)


def shown(labels: Tensor) -> list[int]:
    """Numbers of the images in a picture: a row of each class, or some rows where there is one class or none.

    >>> shown(torch.tensor([1, 0, 0, 0, 0, 0, 1, 1, 1]))
    [1, 2, 3, 4, 0, 6, 7, 8]
    """
    classes = labels.unique().tolist()
    if len(classes) == 1:
        return list(range(min(_COLUMNS * _ROWS, len(labels))))
    # A class of fewer patches repeats them, so that every row is one class.
    rows = [torch.nonzero(labels == label).flatten().tolist() for label in classes]
    return [row[i % len(row)] for row in rows for i in range(_COLUMNS)]
