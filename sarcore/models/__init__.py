"""Networks and their training steps: BEGAN and the ResNet classifier; what such steps are made of."""

from sarcore.models.began import BEGAN, Autoencoder, Generator
from sarcore.models.began_config import BEGANConfig
from sarcore.models.classifier import Classifier, ClassifierConfig
from sarcore.models.image_pool import ImagePool
from sarcore.models.resnet import ResNet, check_depth, fold_conv1, load_backbone
from sarcore.models.step import PlainStep, Step

__all__ = [
    "BEGAN",
    "Autoencoder",
    "BEGANConfig",
    "Classifier",
    "ClassifierConfig",
    "Generator",
    "ImagePool",
    "PlainStep",
    "ResNet",
    "Step",
    "check_depth",
    "fold_conv1",
    "load_backbone",
]
