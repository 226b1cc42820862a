"""Augmentations that know the physics of radar images, reproducible from one seed.

They are modules that take (C, H, W) or (N, C, H, W), on the CPU or CUDA. Three places to run them:

* in a data set, per sample: ``transform(image, index=i)`` in ``__getitem__(i)``;
* at collate time, per batch: let the data set return ``(image, i)`` and collate with
  ``lambda items: transform(*default_collate(items))``;
* after the loader, on the device of the batch: ``transform(batch.cuda(), index=numbers)``.

All three give the same values for the same seed, epoch and sample number, with any number of workers. ``set_epoch``
before each pass over the data gives other draws.
"""

from sarcore.transforms._random import RandomTransform
from sarcore.transforms.compose import Compose
from sarcore.transforms.crop import RandomCrop
from sarcore.transforms.despeckle import Despeckle, RandomMultilook
from sarcore.transforms.flip import RandomFlip
from sarcore.transforms.radiometric import RandomRadiometricOffset, ToDecibel
from sarcore.transforms.speckle import RandomLooks, RandomSpeckle

__all__ = [
    "Compose",
    "Despeckle",
    "RandomCrop",
    "RandomFlip",
    "RandomLooks",
    "RandomMultilook",
    "RandomRadiometricOffset",
    "RandomSpeckle",
    "RandomTransform",
    "ToDecibel",
]
