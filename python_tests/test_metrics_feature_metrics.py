"""The torchmetrics of feature sets: batches, processes and merged states give what the functions give of everything."""

import json

import pytest
import torch
from torch import nn

pytest.importorskip("torchmetrics")

from sarcore.metrics import (
    DensityCoverage,
    FrechetDistance,
    KernelDistance,
    Memorisation,
    PrecisionRecall,
    SARFeatures,
    density_coverage,
    frechet_distance,
    kernel_distance,
    kernel_distance_subsets,
    memorisation,
    precision_recall,
)

from .processes import run_group

CASES = {
    "frechet": (FrechetDistance, {}, frechet_distance, {}),
    "kernel": (KernelDistance, {}, kernel_distance, {}),
    "subsets": (KernelDistance, {"subsets": 4, "size": 9}, kernel_distance_subsets, {"subsets": 4, "size": 9}),
    "recall": (PrecisionRecall, {"neighbours": 2}, precision_recall, {"neighbours": 2}),
    "coverage": (DensityCoverage, {}, density_coverage, {}),
}


def numbers(result):
    return [float(v) for v in (result.values() if isinstance(result, dict) else [result])]


def feature_sets():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(37, 5, generator=generator), 1.3 * torch.randn(23, 5, generator=generator) + 0.5


@pytest.mark.parametrize("case", CASES)
def test_batches_and_merged_metrics_give_the_whole(case):
    kind, options, function, same_options = CASES[case]
    real, generated = feature_sets()
    whole = function(real, generated, **same_options)
    expected = pytest.approx(list(whole) if isinstance(whole, tuple) else [whole], rel=1e-9, abs=1e-12)
    one, first, second = kind(5, **options), kind(5, **options), kind(5, **options)
    for batch in real.split(8):
        one.update(batch, real=True)
    first.update(real[:20], real=True)
    second.update(real[20:], real=True)
    for metric, rows in ((one, generated), (first, generated[:6]), (second, generated[6:])):
        metric.update(rows, real=False)
    result = one.compute()
    assert numbers(result) == expected
    first.merge_state(second)
    if case != "subsets":  # the order of what was merged is another, so other subsets would be drawn
        assert numbers(first.compute()) == expected
    one.reset()
    one.update(generated, real=False)
    with pytest.raises(ValueError, match=r"real must hold the features of at least \d images, got 0"):
        one.compute()


def test_images_go_through_the_network():
    torch.manual_seed(0)
    features = SARFeatures(nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4)
    metric = FrechetDistance(features)
    real, generated = torch.rand(12, 2, 8, 8), torch.rand(9, 2, 8, 8) ** 2
    metric.update(real, real=True)
    metric.update(generated, real=False)
    assert float(metric.compute()) == pytest.approx(frechet_distance(features(real), features(generated)), rel=1e-9)
    assert metric.space == features.space
    with pytest.raises(ValueError, match=r"different spaces cannot be added: 'Sequential sha256:.*' and ''"):
        metric.merge_state(FrechetDistance(4))


def test_large_means_cost_only_their_digits():
    real, generated = feature_sets()
    real, generated = real.double() + 1e4, generated.double() + 1e4
    metric = FrechetDistance(5)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    assert float(metric.compute()) == pytest.approx(frechet_distance(real, generated), rel=1e-6)


def test_memorisation_batches():
    real, generated = feature_sets()
    train, held_out = real[:20], real[20:]
    metric = Memorisation(5)
    for kind, rows in (("generated", generated), ("train", train), ("held_out", held_out)):
        for batch in rows.split(6):
            metric.update(batch, kind)
    expected = memorisation(train, held_out, generated)
    assert metric.scores() == expected
    assert numbers(metric.compute()) == [expected.ratio, expected.closer_share, expected.p_value]
    with pytest.raises(ValueError, match="kind must be one of train, held_out, generated, got 'real'"):
        metric.update(train, "real")


def test_what_a_metric_refuses():
    for wrong in (0, -3, "network", nn.Flatten()):
        with pytest.raises(ValueError, match="SARFeatures or the number of features"):
            FrechetDistance(wrong)
    metric = FrechetDistance(5)
    for rows, message in (
        (torch.rand(3, 4), r"real must be features \(N, 5\), got \(3, 4\)"),
        (torch.full((3, 5), float("nan")), "real has features that are NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            metric.update(rows, real=True)
    assert int(metric.real_count) == 0
    metric.update(torch.rand(1, 5), real=True)
    metric.update(torch.rand(3, 5), real=False)
    with pytest.raises(ValueError, match="real must hold the features of at least 2 images, got 1"):
        metric.compute()


def one_of_two(rank, out):
    real, generated = feature_sets()
    found = []
    for kind, options, *_ in CASES.values():
        metric = kind(5, **options)
        for batch in real[rank::2].split(7):
            metric.update(batch, real=True)
        if rank == 1:  # rank 0 has seen no generated image at all
            metric.update(generated, real=False)
        found.append(numbers(metric.compute()))
        metric.update(real[rank::2], real=True)  # and the metric goes on afterwards, unsynced
    metric = Memorisation(5)
    for kind, rows in (("train", real[:20]), ("held_out", real[20:]), ("generated", generated)):
        metric.update(rows[rank::2], kind)
    (out / f"{rank}.json").write_text(json.dumps([*found, numbers(metric.compute())]))


def test_two_processes_give_what_one_gives(tmp_path):
    run_group(2, one_of_two, tmp_path)
    rows, others = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert rows == others
    real, generated = feature_sets()
    order = torch.cat([real[0::2], real[1::2]])
    for row, (_, _, function, options) in zip(rows, CASES.values(), strict=False):
        whole = function(order, generated, **options)
        assert row == pytest.approx(list(whole) if isinstance(whole, tuple) else [whole], rel=1e-9, abs=1e-12)
    expected = memorisation(real[:20], real[20:], generated)
    assert rows[-1] == pytest.approx([expected.ratio, expected.closer_share, expected.p_value], rel=1e-9)
