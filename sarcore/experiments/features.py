"""The feature space of a classifier run, in which sets of patches are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from sarcore.experiments.runs import chosen_weights
from sarcore.metrics import SARFeatures
from sarcore.models import Classifier, ClassifierConfig


class PenultimateLayer(nn.Module):
    """What a classifier knows of an image just before it names a class: (N, C, H, W) in [0, 1] to (N, d).

    >>> import torch
    >>> layer = PenultimateLayer(Classifier(ClassifierConfig(depth=18)).eval())
    >>> layer(torch.rand(2, 1, 32, 32)).shape, layer.dimension
    (torch.Size([2, 256]), 256)

    The last hidden layer of the head tells speckle, blur and missing classes apart as well as the 512 or 2048 pooled
    features below it, and its covariance is known from a fraction of the images. The input normalisation is that of
    the run.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.dimension = cast(nn.Linear, classifier.backbone.fc[-1]).in_features

    def forward(self, images: Tensor) -> Tensor:
        network = self.classifier
        pooled = network.backbone.features(network.inputs(images))
        return cast(Tensor, network.backbone.fc[:-1](pooled))


def classifier_features(run: Path) -> tuple[SARFeatures, dict[str, Any]]:
    """The feature space of a classifier run (or of one of its checkpoints), and the meta data of the checkpoint.

    Of a run that was validated the best checkpoint is taken, else the last; the mean weights where they are kept.
    `SARFeatures.space` names depth, layer and the SHA-256 of the weights. Raises CheckpointError for a missing or
    damaged checkpoint and for one of another model.
    """
    meta, state = chosen_weights(run, "classifier")
    config = ClassifierConfig.from_dict(meta["config"])
    model = Classifier(config)
    model.load_state_dict(state)
    layer = PenultimateLayer(model)
    return SARFeatures(layer, layer.dimension, name=f"resnet{config.depth} penultimate"), meta
