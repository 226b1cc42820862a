"""What the tests of translations share: small generators that do not give constant images, and scenes."""

import numpy as np
import torch
from torch import nn

from sarcore import Radiometry
from sarcore.inference import Translator
from sarcore.models import KerasUNet, ResNetGenerator, UNetGenerator

DECIBELS, COLOURS = Radiometry("db", -25.0, 0.0), Radiometry("digital", 0, 255)
FLOATS = Radiometry("db", -1.0, 1.0)  # a result of as many digits as the network has


def lively(network, seed=0):
    """Weights of which every layer makes something else: random norms and biases, outputs all over [-1, 1]."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.02 if layer.bias is None else 0.05, 1.4 / layer.weight[0].numel() ** 0.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0, 0.2)
        elif getattr(layer, "weight", None) is not None:
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.eval()


NETWORKS = {
    "resnet": lambda: ResNetGenerator(1, 2, width=4, blocks=2),
    "resnet keras_legacy": lambda: ResNetGenerator(1, 2, width=4, blocks=1, norm="keras_legacy"),
    "unet": lambda: UNetGenerator(1, 2, width=4, levels=3, norm="instance", dropout=True),
    "keras_unet": lambda: KerasUNet(1, 2, width=4, levels=3),
    "keras_unet instance": lambda: KerasUNet(1, 2, width=4, levels=2, norm="instance"),
}


def translator_of(network, source=DECIBELS, target=FLOATS, **options):
    return Translator(lively(network), source, target, direction="AtoB", **options)


def uneven_scene(shape, seed=0):
    """Decibels of speckle whose brightness and contrast change over the scene, so that no tile is like another."""
    generator = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 1, shape[-2])[:, None], np.linspace(0, 1, shape[-1])
    looks = 2 + 6 * rows + 0 * columns
    speckle = 10 * np.log10(generator.gamma(looks, 1 / looks, shape) + 1e-3)
    return (speckle - 18 + 10 * columns * rows).astype(np.float32)


def colours(network=None):
    return translator_of(network or ResNetGenerator(1, 3, width=4, blocks=1), target=COLOURS)


class Copy(nn.Module):
    """Three channels like the one that goes in."""

    def forward(self, x):
        return x.expand(-1, 3, -1, -1)


def copier(source, target=COLOURS, channels=(1, 3)):
    return Translator(
        Copy() if channels == (1, 3) else nn.Identity(), source, target, direction="AtoB", channels=channels
    )
