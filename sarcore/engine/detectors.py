"""Watching a training for what goes wrong without an error: each finding is one sentence that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

_BOUND = 1e-6  # k this close to 0 or 1 is at its bound
_DEAD = 0.9  # share of generated pixels at or below zero
_DIVERSITY = 0.1  # of that of real images
_EXCESS = 0.25  # share of generated pixels in an end bin beyond that of real ones
_RATIO = 5.0  # of the reconstruction losses of generated and real images; at its equilibrium gamma, below 1
_WON = 0.02  # loss of a discriminator that is never wrong; undecided it is 0.25 (least squares) or 0.69 (entropy)
_GROWN = 1.5  # the generator's loss, over its smallest smoothed one
_SMOOTHING = 0.95  # per observation
_INVERTED = -0.3  # smoothed rank correlation of inputs and translations; of real SAR and optical pairs about -0.07
# What the generator pays whom this discriminator judges, without the other parts of its loss, which may be larger.
_JUDGED = {"loss_d": "loss_g_gan", "loss_d_a": "loss_g_ba", "loss_d_b": "loss_g_ab"}


@dataclass(frozen=True)
class _Rule:
    """A condition that must hold for so many observations in a row and so many steps, and what to say then."""

    observations: int
    steps: int
    sentence: str


_RULES = {
    "k at 0": _Rule(
        50,
        1000,
        "k has been 0 since step {since}: generated images are reconstructed worse than the balance allows and the "
        "discriminator takes no notice of them; raise --gamma, or lower --lr.",
    ),
    "k at 1": _Rule(
        50,
        1000,
        "k has been 1 since step {since}: the balance cannot be reached and the control has no hold any more; "
        "lower --gamma or --lambda-k.",
    ),
    "dead pixels": _Rule(
        10,
        100,
        "{value:.0%} of the generated pixels have been at or below zero, most of them since step {since}, and get no "
        "gradient; start again with --output softplus, or with --output-bias.",
    ),
    "collapse": _Rule(
        3,
        500,
        "The generated images have had {value:.1%} of the diversity of real ones, too little since step {since}: the "
        "generator has collapsed; go back to an earlier checkpoint with a higher --gamma or a lower --lr.",
    ),
    "black": _Rule(
        3,
        500,
        "{value:.0%} of the generated pixels have been black, far more than of the real ones since step {since}; "
        "use --output softplus, or a lower --lr.",
    ),
    "white": _Rule(
        3,
        500,
        "{value:.0%} of the generated pixels have been white, far more than of the real ones since step {since}; "
        "use a lower --lr, or data with wider limits.",
    ),
    "translated collapse": _Rule(
        3,
        500,
        "The translations {of} have had {value:.1%} of the diversity of real images, too little since step {since}: "
        "the generator makes one image of all; go back to an earlier checkpoint with a lower --lr.",
    ),
    "translated black": _Rule(
        3,
        500,
        "{value:.0%} of the pixels translated {of} have been black, far more than of real images since step {since}; "
        "use a lower --lr.",
    ),
    "translated white": _Rule(
        3,
        500,
        "{value:.0%} of the pixels translated {of} have been white, far more than of real images since step {since}; "
        "use a lower --lr, or data with wider limits.",
    ),
    "inversion": _Rule(
        20,
        500,
        "Translations {of} have been dark where their inputs are bright since step {since} (rank correlation of block "
        "means {value:.2f}): the intensities may be inverted, water bright; if the samples show it, start again with a "
        "--structure-weight, a higher --lambda-identity or another --seed.",
    ),
    "reconstruction": _Rule(
        20,
        500,
        "Generated images have been reconstructed {value:.1f} times worse than real ones, badly since step {since}: "
        "the discriminator is winning; raise --gamma, or lower --lr.",
    ),
    "discriminator": _Rule(
        20,
        500,
        "The discriminator has hardly been wrong since step {since} (loss {value:.3g}) while the loss of the generator "
        "grows: it is winning; lower --lr, or give it fewer filters.",
    ),
}


@dataclass
class _Streak:
    since: int
    count: int = 0
    said: bool = False


class Detectors:
    """Finds k stuck at a bound, dead pixels, collapse, saturation and a discriminator that wins.

    A finding is said once, and again only after it has cleared. What a resumed run has said is in its checkpoint.

    >>> detectors = Detectors()
    >>> found = [detectors.observe(step, {"k": 0.0}) for step in range(0, 2000, 10)]
    >>> [step * 10 for step, sentences in enumerate(found) if sentences]
    [1000]
    """

    def __init__(self) -> None:
        self.real: Mapping[str, Mapping[str, Any]] = {}
        """Statistics of real images (`image_statistics`), which those of generated ones are held against: by the
        direction whose translations should be like them, "" where nothing is translated."""
        self._streaks: dict[str, _Streak] = {}
        self._correlation: dict[str, float] = {}  # smoothed
        self._loss_g: dict[str, list[float]] = {}  # smoothed loss of the generator, and its smallest value

    def observe(
        self, step: int, scalars: Mapping[str, float], statistics: Mapping[str, Mapping[str, Any]] | None = None
    ) -> list[str]:
        """Take the scalars of a step, and the statistics of its generated images by direction; new sentences."""
        found = []
        looks = [*self._of_scalars(scalars), *self._of_correlations(scalars)]
        for of, fake in (statistics or {}).items():
            looks += _of_statistics(fake, self.real.get(of), of)
        for name, value, holds in looks:
            kind, _, of = name.partition(":")
            rule = _RULES[kind]
            if not holds:
                self._streaks.pop(name, None)
                continue
            streak = self._streaks.setdefault(name, _Streak(step))
            streak.count += 1
            if not streak.said and streak.count >= rule.observations and step - streak.since >= rule.steps:
                streak.said = True
                found.append(rule.sentence.format(since=streak.since, value=value, of=of))
        return found

    def _of_scalars(self, scalars: Mapping[str, float]) -> Iterator[tuple[str, float, bool]]:
        k = scalars.get("k")
        if k is not None:
            yield "k at 0", k, k <= _BOUND
            yield "k at 1", k, k >= 1 - _BOUND
        if (dead := scalars.get("dead_fraction")) is not None:
            yield "dead pixels", dead, dead > _DEAD
        real, fake = scalars.get("loss_real"), scalars.get("loss_fake")
        if k is not None and real is not None and fake is not None:
            ratio = fake / real if real > 0 else 0.0
            yield "reconstruction", ratio, ratio > _RATIO
            return  # the loss of an autoencoder is near zero without it being always right
        for name, loss_d in scalars.items():
            if name == "loss_d" or name.startswith("loss_d_"):
                paid = (_JUDGED.get(name, name), name.replace("loss_d", "loss_g", 1), "loss_g")
                loss_g = next((scalars[one] for one in paid if one in scalars and one != name), None)
                if loss_g is not None:
                    yield f"discriminator:{name}", loss_d, self._grows(name, loss_g) and loss_d < _WON

    def _of_correlations(self, scalars: Mapping[str, float]) -> Iterator[tuple[str, float, bool]]:
        if "cycle_a" not in scalars:
            return  # pairs tell a model what is dark and what is bright
        for name, of in (("correlation_ab", "AtoB"), ("correlation_ba", "BtoA")):
            if (value := scalars.get(name)) is not None:
                smooth = _SMOOTHING * self._correlation.get(name, value) + (1 - _SMOOTHING) * value
                self._correlation[name] = smooth
                yield f"inversion:{of}", smooth, smooth < _INVERTED

    def _grows(self, name: str, loss_g: float) -> bool:
        smooth, least = self._loss_g.get(name, [loss_g, loss_g])
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * loss_g
        least = min(least, smooth)
        self._loss_g[name] = [smooth, least]
        return smooth > _GROWN * least

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "streaks": {name: asdict(streak) for name, streak in self._streaks.items()},
            "correlation": dict(self._correlation),
            "loss_g": {name: list(values) for name, values in self._loss_g.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self._streaks = {name: _Streak(**streak) for name, streak in state["streaks"].items()}
        self._correlation = dict(state.get("correlation", {}))  # earlier versions looked at none
        self._loss_g = {name: list(values) for name, values in state["loss_g"].items()}


def _of_statistics(
    fake: Mapping[str, Any], real: Mapping[str, Any] | None, of: str
) -> Iterator[tuple[str, float, bool]]:
    if real is None:
        return
    named = f"translated {{}}:{of}" if of else "{}"
    if fake["diversity"] is not None and real["diversity"]:  # None of fewer than two images, 0 of equal ones
        share = fake["diversity"] / real["diversity"]
        yield named.format("collapse"), share, share < _DIVERSITY
    for name, end in (("black", 0), ("white", -1)):
        one, other = fake["histogram"][end], real["histogram"][end]
        if one is not None and other is not None:
            mass, usual = (value / len(fake["histogram"]) for value in (one, other))
            yield named.format(name), mass, mass - usual > _EXCESS
