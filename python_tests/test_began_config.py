"""BEGAN: sizes, settings, presets, and the parameter counts of the papers' layer lists."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sarcore.models.began_config import BEGANConfig, base_and_doublings
from sarcore.models.began_networks import Autoencoder, Generator


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (80, (10, 3)),
        (160, (10, 4)),
        (64, (8, 3)),
        (128, (8, 4)),
        (96, (12, 3)),
        (120, (15, 3)),
        (16, (8, 1)),
        (10, (5, 1)),
        (7, (7, 0)),
    ],
)
def test_size_is_factored(size: int, expected: tuple[int, int]) -> None:
    assert base_and_doublings(size) == expected


@pytest.mark.parametrize("size", [-3, 0, 4, 17, 34, 161, 99, 1001])
def test_refused_size_names_the_nearest_allowed(size: int) -> None:
    allowed = sorted({base << k for base in range(5, 17) for k in range(12)})
    nearest = [max((s for s in allowed if s < size), default=None), min(s for s in allowed if s > size)]
    with pytest.raises(ValueError, match=f"size {size} is not") as error:
        BEGANConfig(size=size)
    assert str(error.value).endswith("; the nearest that are: " + " and ".join(str(s) for s in nearest if s) + ".")


def test_config_goes_through_json() -> None:
    config = BEGANConfig.preset("sarcore", size=160, betas=(0.1, 0.9))
    assert BEGANConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="no field depth"):
        BEGANConfig.from_dict({"depth": 3})


@pytest.mark.parametrize(
    "overrides",
    [
        {"output": "tanh"},
        {"loss": "l3"},
        {"gamma": 0.0},
        {"gamma": 1.5},
        {"width": 0},
        {"k_ema": 1.0},
        {"extra_convs": -1},
    ],
)
def test_bad_setting_is_named(overrides: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(overrides))):
        BEGANConfig(**overrides)


def test_presets_say_what_the_papers_say() -> None:
    berthelot, marmanis, sarcore = (BEGANConfig.preset(name) for name in ("berthelot", "marmanis", "sarcore"))  # type: ignore[arg-type]
    assert (berthelot.loss, berthelot.output, berthelot.latent, berthelot.skip_h0) == ("l1", "linear", 64, True)
    assert (marmanis.loss, marmanis.output, marmanis.bins, marmanis.omega) == ("histogram", "relu", 64, 0.001)
    assert (marmanis.extra_convs, marmanis.scale_free_k, marmanis.output_bias, marmanis.l1_weight) == (
        2,
        False,
        False,
        0.0,
    )
    assert sarcore.scale_free_k
    assert sarcore.output_bias
    assert sarcore.output == "softplus"
    with pytest.raises(ValueError, match="berthelot, marmanis, sarcore"):
        BEGANConfig.preset("wgan")  # type: ignore[arg-type]


# ---- the layer lists


def decoder_parameters(n: int, latent: int, base: int, k: int, convs: int, channels: int, *, skip: bool) -> int:
    count = (latent + 1) * n * base * base
    for stage in range(k + 1):
        for conv in range(convs):
            inputs = 2 * n if skip and stage > 0 and conv == 0 else n
            count += (inputs * 9 + 1) * n
    return count + (n * 9 + 1) * channels


def encoder_parameters(n: int, latent: int, base: int, k: int, convs: int, channels: int) -> int:
    count, previous = (channels * 9 + 1) * n, n
    for stage in range(k + 1):
        filters = n * (stage + 1)
        for _ in range(convs):
            count += (previous * 9 + 1) * filters
            previous = filters
        if stage < k:
            count += (filters * 9 + 1) * filters
    return count + (previous * base * base + 1) * latent


@pytest.mark.parametrize(
    ("preset", "size", "base", "k", "convs"),
    [("berthelot", 64, 8, 3, 2), ("marmanis", 80, 10, 3, 4), ("marmanis", 160, 10, 4, 4)],
)
@pytest.mark.parametrize("skip", [True, False])
def test_parameter_counts(preset: str, size: int, base: int, k: int, convs: int, skip: bool) -> None:
    config = BEGANConfig.preset(preset, size=size, skip_h0=skip)  # type: ignore[arg-type]
    with torch.device("meta"):
        generator, autoencoder = Generator(config), Autoencoder(config)
    decoder = decoder_parameters(64, 64, base, k, convs, 1, skip=skip)
    assert sum(p.numel() for p in generator.parameters()) == decoder
    assert sum(p.numel() for p in autoencoder.parameters()) == decoder + encoder_parameters(64, 64, base, k, convs, 1)
