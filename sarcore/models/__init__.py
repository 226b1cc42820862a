"""Networks and their training steps (BEGAN, GAN, the classifier), networks that translate, what steps are made of."""

from sarcore.models.began import BEGAN
from sarcore.models.began_config import BEGANConfig
from sarcore.models.began_networks import Autoencoder, Generator
from sarcore.models.classifier import Classifier, ClassifierConfig
from sarcore.models.contrastive import Contrastive, ContrastiveConfig
from sarcore.models.cyclegan import CycleGAN
from sarcore.models.cyclegan_config import CycleGANConfig
from sarcore.models.gan import GAN
from sarcore.models.gan_config import GANConfig
from sarcore.models.generators import GeneratorName, ResNetGenerator, UNetGenerator, generator
from sarcore.models.image_pool import ImagePool
from sarcore.models.keras_unet import KerasUNet
from sarcore.models.network_weights import InitName, initialise_, load_junyanz
from sarcore.models.norm import KerasLegacyNorm, NormName, norm_layer
from sarcore.models.patchgan import (
    DiscriminatorName,
    KerasPatchDiscriminator,
    PatchDiscriminator,
    PixelDiscriminator,
    discriminator,
)
from sarcore.models.pix2pix import Pix2Pix
from sarcore.models.pix2pix_config import Pix2PixConfig
from sarcore.models.receptive_field import reach, receptive_field
from sarcore.models.resnet import ResNet, check_depth, fold_conv1, load_backbone
from sarcore.models.step import PlainStep, Step
from sarcore.models.translation import Direction, opposite
from sarcore.models.translation_config import TranslationPreset

__all__ = [
    "BEGAN",
    "GAN",
    "Autoencoder",
    "BEGANConfig",
    "Classifier",
    "ClassifierConfig",
    "Contrastive",
    "ContrastiveConfig",
    "CycleGAN",
    "CycleGANConfig",
    "Direction",
    "DiscriminatorName",
    "GANConfig",
    "Generator",
    "GeneratorName",
    "ImagePool",
    "InitName",
    "KerasLegacyNorm",
    "KerasPatchDiscriminator",
    "KerasUNet",
    "NormName",
    "PatchDiscriminator",
    "Pix2Pix",
    "Pix2PixConfig",
    "PixelDiscriminator",
    "PlainStep",
    "ResNet",
    "ResNetGenerator",
    "Step",
    "TranslationPreset",
    "UNetGenerator",
    "check_depth",
    "discriminator",
    "fold_conv1",
    "generator",
    "initialise_",
    "load_backbone",
    "load_junyanz",
    "norm_layer",
    "opposite",
    "reach",
    "receptive_field",
]
