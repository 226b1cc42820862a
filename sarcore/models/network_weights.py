"""First weights of the translation networks, and weights of junyanz/pytorch-CycleGAN-and-pix2pix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sarcore.errors import CheckpointError

InitName = Literal["normal", "glorot"]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@torch.no_grad()
def initialise_(module: nn.Module, name: InitName, generator: torch.Generator | None = None) -> nn.Module:
    """Draw the weights of all convolutions and linear layers within a module anew, in place, and return it.

    >>> conv = initialise_(nn.Conv2d(1, 1, 3), "normal", torch.Generator().manual_seed(1))
    >>> conv.bias.tolist(), bool(conv.weight.abs().max() < 0.1)
    ([0.0], True)

    ``normal``: N(0, 0.02), and N(1, 0.02) for the weights of batch normalisation (junyanz). ``glorot``: uniform within
    the root of 6 / (fan_in + fan_out), batch normalisation 1 (Keras). Biases 0. ``generator`` draws; the default is
    torch's global one.

    Raises ValueError for another name.
    """
    if name not in get_args(InitName):
        raise ValueError(f"init must be one of {', '.join(get_args(InitName))}; {name!r} was given.")
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if name == "normal":
                nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
            else:
                nn.init.xavier_uniform_(layer.weight, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d) and layer.affine:
            if name == "normal":
                nn.init.normal_(layer.weight, 1.0, 0.02, generator=generator)
            else:
                nn.init.ones_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module


@torch.no_grad()
def load_junyanz(network: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the weights of a network that junyanz/pytorch-CycleGAN-and-pix2pix saved (``latest_net_G_A.pth``).

    >>> from sarcore.models import PatchDiscriminator
    >>> saved = PatchDiscriminator(3, width=8).state_dict()  # the names are that project's
    >>> load_junyanz(PatchDiscriminator(3, width=8), saved)

    The other way round ``network.state_dict()`` is what that project reads. Running statistics that files of PyTorch
    before 0.4 have for instance normalisation, which never used them, are dropped; counts of batches, which such files
    lack, may be absent; a leading ``module.`` of a parallel network is taken off.

    Raises CheckpointError, with the network untouched, naming the first key that is missing or unknown or of another
    shape.
    """
    prefix = "module."
    given = {key.removeprefix(prefix): value for key, value in state_dict.items()}
    unused = {
        f"{name}.{statistic}" if name else statistic
        for name, layer in network.named_modules()
        if isinstance(layer, nn.InstanceNorm2d)
        for statistic in _STATISTICS
    }
    own = network.state_dict()
    given = {key: value for key, value in given.items() if key in own or key not in unused}
    for key, value in own.items():
        if key not in given:
            if key.endswith("num_batches_tracked"):
                continue
            raise _other_network(f"{key} is missing in these weights")
        if given[key].shape != value.shape:
            shape = tuple(given[key].shape)
            raise _other_network(f"{key} has shape {shape} in these weights and {tuple(value.shape)} here")
    unknown = next((key for key in given if key not in own), None)
    if unknown is not None:
        raise _other_network(f"{unknown} of these weights is not known here")
    for key, value in given.items():
        own[key].copy_(value)


def _other_network(what: str) -> CheckpointError:
    return CheckpointError(
        f"{what}: they are of another network; its kind, channels, width, blocks or levels, normalisation and dropout "
        "must be those of the training."
    )
