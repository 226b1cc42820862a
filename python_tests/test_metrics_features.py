"""Feature spaces: what a network may give, what makes two spaces the same, and what is refused."""

import copy

import pytest
import torch
from torch import nn

from sarcore.metrics import FeatureSet, SARFeatures, frechet_distance, kernel_distance, memorisation, precision_recall
from sarcore.metrics.features import weights_digest


def network(channels=1, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_features_do_not_depend_on_the_batch_or_the_mode(channels):
    features = SARFeatures(network(channels), 6)
    images = torch.rand(7, channels, 20, 20)
    alone = torch.cat([features(image[None]) for image in images])
    features.train()
    assert not features.network.training
    together = features(images)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert not any(p.requires_grad for p in features.parameters())
    embedded = features.embed(images.split(3))
    assert embedded.space == features.space
    torch.testing.assert_close(embedded.values, alone, rtol=1e-5, atol=1e-6)
    assert len(features.embed([])) == 0


def test_half_precision_and_autocast_give_float32_features():
    features = SARFeatures(network(), 6)
    images = torch.rand(3, 1, 20, 20)
    plain = features(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(features(images), plain)
    assert features(images.to(torch.bfloat16)).dtype == torch.float32


def test_the_space_is_named_by_the_weights():
    first = network()
    same, other = copy.deepcopy(first), copy.deepcopy(first)
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 1e-6
    spaces = [SARFeatures(net, 6, name="small").space for net in (first, same, other)]
    assert spaces[0] == spaces[1] != spaces[2]
    assert spaces[0] == f"small sha256:{weights_digest(first)}"
    assert SARFeatures(same, 6, name="large").space != spaces[0]
    statistics = copy.deepcopy(first)
    statistics[1].running_mean += 1
    assert weights_digest(statistics) != weights_digest(first)
    assert weights_digest(first.to(torch.bfloat16)) != weights_digest(same)


def test_images_and_networks_that_are_refused():
    features = SARFeatures(network(), 6)
    for error, message, images in (
        (TypeError, "encoded as the network expects them, got torch.uint8", torch.zeros(2, 1, 20, 20).byte()),
        (ValueError, r"images must be \(N, C, H, W\), got \(1, 20, 20\)", torch.zeros(1, 20, 20)),
        (ValueError, "NaN or infinity", torch.full((2, 1, 20, 20), float("nan"))),
        (ValueError, "NaN or infinity", torch.full((2, 1, 20, 20), float("inf"))),
    ):
        with pytest.raises(error, match=message):
            features(images)
    with pytest.raises(ValueError, match=r"must give \(2, 5\) features, got \(2, 6\)"):
        SARFeatures(network(), 5)(torch.rand(2, 1, 20, 20))
    with pytest.raises(ValueError, match=r"got \(2, 1, 20, 20\); pool"):
        SARFeatures(nn.Identity(), 400)(torch.rand(2, 1, 20, 20))
    with pytest.raises(ValueError, match="dimension must be at least 1, got 0"):
        SARFeatures(network(), 0)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, lambda a, b: precision_recall(a, b)])
def test_sets_that_are_refused(measure):
    good, nan = torch.rand(9, 4), torch.rand(9, 4)
    nan[3, 2] = float("nan")
    cases = (
        (ValueError, r"real must hold the features of at least \d images, got 1", good[:1], good),
        (ValueError, r"generated must hold the features of at least \d images, got 0", good, good[:0]),
        (ValueError, "generated has features that are NaN or infinite", good, nan),
        (ValueError, "real has 4, generated has 3; take all from one network", good, good[:, :3]),
        (ValueError, r"real must be features \(N, d\), got \(36,\)", good.flatten(), good),
        (ValueError, r"real must be features \(N, d\), got \(9, 0\)", good[:, :0], good),
        (TypeError, "generated must be a floating tensor of features, got torch.int64", good, good.long()),
        (TypeError, "real must be a floating tensor of features, got ndarray", good.numpy(), good),
        (ValueError, "different spaces.*real in 'a', generated in 'b'", FeatureSet(good, "a"), FeatureSet(good, "b")),
    )
    for error, message, real, generated in cases:
        with pytest.raises(error, match=message):
            measure(real, generated)
    assert measure(FeatureSet(good, "a"), FeatureSet(good + 1, "a")) == measure(good, good + 1)


def test_memorisation_refuses_what_cannot_be_compared():
    x = torch.rand(9, 4)
    spaces = [FeatureSet(x, name) for name in ("a", "a", "b")]
    with pytest.raises(ValueError, match="train in 'a', held_out in 'a', generated in 'b'"):
        memorisation(*spaces)
    with pytest.raises(ValueError, match="held_out must hold the features of at least 2 images, got 1"):
        memorisation(x, x[:1], x)
    with pytest.raises(ValueError, match="held_out images are copies of training images"):
        memorisation(x, x, x + 1)
    with pytest.raises(ValueError, match="pairs must be at least 0, got -1"):
        memorisation(x, x + 1, x, pairs=-1)
