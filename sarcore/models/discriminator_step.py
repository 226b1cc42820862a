"""The discriminators' half of a training step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sarcore.models.adversarial import LossName, score_loss
from sarcore.models.step import Step

Shown = tuple[nn.Module, Tensor, Tensor]
"""A discriminator, real images and generated ones (N, C, H, W), these without gradient."""


def train_discriminators(step: Step, shown: Mapping[str, Shown], loss: LossName, *, apart: bool) -> dict[str, Tensor]:
    """Step the optimizer "discriminators" on real and generated images; the scalars of the step.

    Each discriminator pays 0.5 (real + generated) in one step of all, or, with `apart`, all of the real ones and in a
    second step all of the generated ones. Scalars: loss_d, the mean of loss_d_<name> (0.5 (real + generated) in either
    case), and d_real and d_fake, the mean scores.
    """
    found: dict[str, list[Tensor]] = defaultdict(list)
    for turn in (("real",), ("fake",)) if apart else (("real", "fake"),):
        step.zero_grad("discriminators")
        for parts in step.parts(*(images for _, *both in shown.values() for images in both)):
            pairs = dict(zip(shown, zip(parts[::2], parts[1::2], strict=True), strict=True))
            losses = []
            for name, (network, _, _) in shown.items():
                for kind in turn:
                    scores = network(pairs[name][kind == "fake"])
                    losses.append(score_loss(scores, loss, real=kind == "real"))
                    found[f"loss_d_{name}"].append(losses[-1].detach())
                    found[f"d_{kind}"].append(scores.detach().float().mean())
            step.backward(sum(losses, torch.zeros_like(losses[0])) / len(turn))
        step.update("discriminators")
    # Real and generated images gave as many losses each: their mean is 0.5 (real + generated).
    scalars = {name: torch.stack(values).mean() for name, values in found.items()}
    scalars["loss_d"] = torch.stack([scalars[f"loss_d_{name}"] for name in shown]).mean()
    return scalars
