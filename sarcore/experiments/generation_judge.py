"""What generated patches are set against: held-out real patches, and what other real patches score against these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sarcore.errors import DataError
from sarcore.experiments.generation_space import Known, Space, batches
from sarcore.experiments.set_scores import BETTER, LEAST, ImageSet, score_sets
from sarcore.experiments.summary import plain
from sarcore.metrics import FeatureSet, estimate_looks, memorisation

Scores = dict[str, dict[str, float | None]]
_LOOKS_FROM = 256  # patches, some ten thousand blocks
_PAIRS = 8


class Judge:
    """Scores sets of patches against the held-out real ones.

    Every comparison is of n against n patches, drawn ``repeats`` times: n is the size of the smaller real set, but at
    most ``samples``. So what generated patches score can be read beside what real ones do.
    """

    def __init__(self, space: Space, train: Known, held_out: Known, *, samples: int, repeats: int) -> None:
        self.space, self.train, self.held_out, self.repeats = space, train, held_out, repeats
        self.count = min(len(train), len(held_out), samples)
        if self.count < LEAST:
            raise DataError(
                f"{len(train)} real patches to learn from, {len(held_out)} held out and {samples} generated are too "
                f"few to be compared; at least {LEAST} of each are needed"
            )

    def scores(self, made: Known) -> Scores:
        """Every score of a set against the held-out patches: mean and deviation over the draws, None where unknown."""
        n, source = min(self.count, len(made)), torch.Generator().manual_seed(0)
        draws = range(self.repeats)
        return self._summary([(self.held_out.some(n, source), made.some(n, source)) for _ in draws])

    def floors(self) -> dict[str, Scores]:
        """What real patches score: those of the training scenes, and random halves of all patches.

        Halves share scenes: what is left there is the noise of the scores, and below it no generator can come that has
        not seen the held-out scenes.
        """
        both = len(self.held_out) + len(self.train)
        n, source = min(self.count, both // 2), torch.Generator().manual_seed(0)
        pairs = []
        for _ in range(self.repeats):
            order = torch.randperm(both, generator=source)[: 2 * n]
            pairs.append((self._of_both(order[:n]), self._of_both(order[n:])))
        return {"other_scenes": self.scores(self.train), "halves": self._summary(pairs)}

    def looks(self, known: Known) -> float | None:
        """Equivalent number of looks in the most homogeneous places of a set; None where there are none."""
        count, source = min(len(known), _LOOKS_FROM), torch.Generator().manual_seed(0)
        numbers = torch.randperm(len(known), generator=source)[:count].tolist()
        images = self.space.physical(torch.cat(list(batches(known.images, numbers))))
        try:
            return estimate_looks(images, domain=self.space.config.domain)
        except ValueError:  # constant, or of too few whole blocks
            return None

    def memorisation(self, made: Known) -> dict[str, Any]:
        """Whether a set repeats the training patches, and the numbers of the closest pairs (generated, training)."""
        sets = (FeatureSet(known.features, self.space.name) for known in (self.train, self.held_out, made))
        found = memorisation(*sets, pairs=_PAIRS)
        pairs = [[made, train, distance] for made, train, distance in found.pairs]
        return {"ratio": found.ratio, "closer_share": found.closer_share, "p_value": found.p_value, "pairs": pairs}

    def _of_both(self, numbers: Tensor) -> ImageSet:
        """Patches of both parts, numbered one part after the other."""
        first = len(self.held_out)
        parts = self.held_out.part(numbers[numbers < first]), self.train.part(numbers[numbers >= first] - first)
        features = torch.cat([part.features for part in parts])
        return ImageSet(features, (batch for part in parts for batch in part.batches))

    def _summary(self, pairs: Sequence[tuple[ImageSet, ImageSet]]) -> Scores:
        rows = [score_sets(real, made, self.space.config) for real, made in pairs]
        summary: Scores = {}
        for name in BETTER:
            found = torch.tensor([row[name] for row in rows], dtype=torch.float64)
            deviation = float(found.std()) if len(rows) > 1 else 0.0
            summary[name] = {"value": plain(float(found.mean())), "deviation": plain(deviation)}
        return summary
