"""The streaming metrics: any batches, any processes, the functions on everything at once."""

import ast
import inspect
import math

import pytest
import torch

pytest.importorskip("torchmetrics", reason="torchmetrics is not installed (sarcore[train])")

from sarcore import metrics
from sarcore.ops import speckle

from .processes import run_group

CLASSES = 4


def pictures(seed=0, n=9, c=2, size=48):
    """Images above 0 with some no-data, and a copy of them that is speckled."""
    generator = torch.Generator().manual_seed(seed)
    clean = 0.2 + 0.5 * torch.rand(n, c, 1, 1, generator=generator).expand(n, c, size, size).contiguous()
    clean = clean * (1 + 0.1 * torch.rand(n, c, size, size, generator=generator))
    noisy = speckle(clean, looks=9.0, seed=seed).clamp_max(1.0)
    clean[0, 0, :3], noisy[1, 1, :, 5] = torch.nan, torch.nan
    return clean, noisy


def labels(seed=0, n=57):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(CLASSES - 1, (n,), generator=generator)  # the last class is absent
    return torch.randn(n, CLASSES, generator=generator) + torch.nn.functional.one_hot(target, CLASSES), target


def mean_of(function):
    return lambda a, b: function(a, b).mean()


PAIRS = {
    "PSNR": ({"data_range": 2.0}, mean_of(lambda a, b: metrics.psnr(a, b, 2.0))),
    "SSIM": ({}, mean_of(metrics.ssim)),
    "MSSSIM": ({"scales": 2}, mean_of(lambda a, b: metrics.ms_ssim(a, b, scales=2))),
    "MAE": ({}, mean_of(metrics.mean_absolute_error)),
    "SAM": ({}, mean_of(metrics.spectral_angle)),
    "ERGAS": ({"ratio": 2.0}, mean_of(lambda a, b: metrics.ergas(a, b, 2.0))),
    "EdgeCorrelation": ({}, mean_of(metrics.edge_correlation)),
    "EdgePreservation": ({}, mean_of(metrics.edge_preservation_index)),
    "RadiometricBias": ({"domain": "amplitude"}, lambda a, b: metrics.radiometric_bias(a, b, domain="amplitude")),
    "RatioImage": ({}, lambda a, b: dict(zip(("mean", "variance"), metrics.ratio_statistics(a, b), strict=True))),
}


def spectral(generated, real):
    decibels = 10 * (metrics.radial_spectrum(generated, 16) - metrics.radial_spectrum(real, 16))
    return decibels.square().mean().sqrt()


def cumulants(generated, real):
    error = (metrics.log_cumulants(generated) - metrics.log_cumulants(real)).abs()
    return dict(zip(("first", "second", "third"), error, strict=True))


def emd(generated, real):
    first, second = (metrics.histogram_density(x, 32, 0.0, 2.0) for x in (generated, real))
    return metrics.histogram_emd(first, second, 0.0, 2.0)


SETS = {
    "HistogramEMD": ({"bins": 32, "high": 2.0}, emd),
    "SpectralDistance": ({"bins": 16}, spectral),
    "AutocorrelationDistance": (
        {"lags": 3},
        lambda a, b: (metrics.autocorrelation(a, 3) - metrics.autocorrelation(b, 3)).abs().mean(),
    ),
    "LogCumulantError": ({}, cumulants),
    "ENLError": (
        {"block": 8},
        lambda a, b: abs(metrics.estimate_looks(a, block=8) / metrics.estimate_looks(b, block=8) - 1),
    ),
}

SCORES = {
    "OverallAccuracy": metrics.overall_accuracy,
    "BalancedAccuracy": metrics.balanced_accuracy,
    "MacroF1": metrics.macro_f1,
    "PerClassRecall": metrics.per_class_recall,
    "ConfusionMatrix": lambda confusion: confusion,
}
LABELLED = {name: {"classes": CLASSES} for name in (*SCORES, "CalibrationError")}
ALL = {**{name: arguments for name, (arguments, _) in (PAIRS | SETS).items()}, **LABELLED, "DiversityRatio": {}}


def batches(name):
    """The calls of update, 5 of uneven size, that every test of all metrics makes."""
    if name in LABELLED:
        preds, target = labels()
        return [(preds[i], target[i]) for i in torch.arange(57).split(13)]
    clean, noisy = pictures()
    if name in PAIRS:
        return list(zip(clean.split(2), noisy.split(2), strict=True))
    return [(x, True) for x in clean.split(4)] + [(x, False) for x in noisy.split(5)]


def updated(name, calls):
    metric = getattr(metrics, name)(**ALL[name])
    for call in calls:
        metric.update(*call)
    return metric


def plain(value):
    """A computed value as numbers that pytest.approx compares."""
    if isinstance(value, dict):
        return {name: float(v) for name, v in value.items()}
    return torch.as_tensor(value, dtype=torch.float64).flatten().tolist()


def close(value):
    return pytest.approx(plain(value), rel=1e-9, abs=1e-12, nan_ok=True)


def test_every_metric_is_tested_here_or_with_the_feature_spaces():
    offered = set(metrics._MODULE_OF)
    assert offered == set(ALL) | set(metrics._METRICS["feature_metrics"])
    assert offered <= set(metrics.__all__)
    tree = ast.parse(inspect.getsource(metrics))
    typed = {a.name for node in tree.body if isinstance(node, ast.If) for i in node.body for a in i.names}
    assert typed == offered


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_in_batches_are_the_function_on_all(name):
    calls = batches(name)
    clean, noisy = pictures()
    metric = updated(name, calls)
    assert plain(metric.compute()) == close(PAIRS[name][1](clean, noisy))
    assert int(metric.left_out) == int((clean.isnan() | noisy.isnan()).sum())


@pytest.mark.parametrize("name", SETS)
def test_sets_in_batches_are_the_function_on_all(name):
    clean, noisy = pictures()
    metric = updated(name, batches(name))
    assert plain(metric.compute()) == close(SETS[name][1](noisy, clean))
    assert int(metric.left_out) == int(clean.isnan().sum() + noisy.isnan().sum())
    same = plain(updated(name, [(clean, True), (clean, False)]).compute())
    assert set(same.values() if isinstance(same, dict) else same) == {0.0}


@pytest.mark.parametrize("name", SCORES)
def test_scores_in_batches_are_those_of_the_confusion_matrix(name):
    preds, target = labels()
    confusion = metrics.confusion_matrix(target, preds.argmax(1), CLASSES)
    assert plain(updated(name, batches(name)).compute()) == close(SCORES[name](confusion))
    by_class = updated(name, [(preds.argmax(1), target)])
    assert plain(by_class.compute()) == close(SCORES[name](confusion))


@pytest.mark.parametrize("name", ALL)
def test_states_of_processes_add_up(name):
    calls = batches(name)
    whole, first, second = (updated(name, part) for part in (calls, calls[::2], calls[1::2]))
    first.merge_state(second)
    assert plain(first.compute()) == close(whole.compute())
    assert int(first.left_out) == int(whole.left_out)
    whole.half()  # as a module that holds it may be
    assert all(s.dtype != torch.float16 for s in whole.metric_state.values() if isinstance(s, torch.Tensor))
    assert plain(whole.compute()) == close(first.compute())
    whole.reset()
    for call in calls:
        whole.update(*call)
    assert plain(whole.compute()) == close(first.compute())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_seen_is_no_score(name):
    values = plain(getattr(metrics, name)(**ALL[name]).compute())
    values = list(values.values()) if isinstance(values, dict) else values
    assert all(v == 0 for v in values) if name == "ConfusionMatrix" else all(map(math.isnan, values))


def test_calibration_error_by_hand():
    preds, target = labels(n=400)
    confidence, predicted = preds.double().softmax(1).max(1)
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            accuracy = (predicted == target)[inside].double().mean()
            expected += float(inside.double().mean() * (accuracy - confidence[inside].mean()).abs())
    metric = metrics.CalibrationError(CLASSES)
    for i in torch.arange(400).split(150):
        metric.update(preds[i], target[i])
    assert metric.compute().item() == pytest.approx(expected, rel=1e-12)
    from torchmetrics.functional.classification import multiclass_calibration_error

    peer = multiclass_calibration_error(preds, target, CLASSES, n_bins=15)
    assert metric.compute().item() == pytest.approx(peer.item(), rel=1e-4)


def test_confidence_on_an_edge_belongs_to_the_bin_below():
    metric = metrics.CalibrationError(2, bins=2)
    metric.update(torch.tensor([[0.0, 0.0], [math.log(0.6), math.log(0.4)]]), torch.tensor([1, 0]))
    assert metric.compute().item() == pytest.approx((0.5 + 0.4) / 2, rel=1e-6)  # one bin for both would give 0.05


def test_a_result_is_not_changed_by_what_comes_after():
    metric = metrics.ConfusionMatrix(2)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
    before = metric.compute()
    metric.update(torch.tensor([1, 1]), torch.tensor([1, 1]))
    assert before.tolist() == [[1, 1], [0, 0]]


def test_diversity_is_that_of_the_batches():
    clean, noisy = pictures()
    metric = metrics.DiversityRatio()
    metric.update(clean, real=True)
    metric.update(noisy, real=False)
    expected = metrics.pairwise_diversity(noisy) / metrics.pairwise_diversity(clean)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-12)


def test_looks_declared_or_too_few_or_constant():
    image = speckle(torch.ones(1, 1, 128, 128), 5.0, seed=0)
    metric = metrics.ENLError(looks=5.0)
    metric.update(image, real=False)
    assert metric.compute().item() == pytest.approx(abs(metrics.estimate_looks(image) / 5 - 1), rel=1e-9)
    metric.reset()
    metric.update(torch.ones(8, 1, 16, 16), real=False)
    assert metric.compute().item() == math.inf
    metric.reset()
    metric.update(image[..., :16, :], real=False)  # 8 blocks
    assert math.isfinite(metric.compute().item())
    metric.reset()
    metric.update(image[..., :16, :112], real=False)  # 7 blocks
    assert math.isnan(metric.compute().item())


def test_wrong_input_is_refused():
    x, (preds, target) = torch.rand(2, 1, 16, 16), labels()
    for error, message, call in (
        (TypeError, "real must be True for real images", lambda: metrics.HistogramEMD().update(x, 1)),
        (ValueError, r"images must be \(N, C, H, W\)", lambda: metrics.SpectralDistance().update(x[0], real=True)),
        (ValueError, "reference must have the shape", lambda: metrics.PSNR().update(x, x[..., 1:])),
        (ValueError, "more than data_range 1", lambda: metrics.SSIM().update(x, 40 * x)),
        (ValueError, "domain must be one of", lambda: metrics.ENLError(domain="dB")),
        (ValueError, "low and high must be low < high", lambda: metrics.HistogramEMD(low=2.0)),
        (ValueError, "classes must be 2 to 32768, got 1", lambda: metrics.MacroF1(1)),
        (ValueError, r"target must lie in \[0, 4\), got 2 to 4", lambda: score(preds, target + 2)),
        (ValueError, r"preds must lie in \[0, 4\), got -1", lambda: score(target - 1, target)),
        (ValueError, r"preds must be logits \(N, 4\), got \(57, 3\)", lambda: score(preds[:, :3], target)),
        (ValueError, "preds must not hold NaN, got 57 rows", lambda: score(preds * torch.nan, target)),
        (ValueError, "one length, got 56 and 57", lambda: score(preds[1:], target)),
        (ValueError, "target must hold classes, integers", lambda: score(preds, target.float())),
        (ValueError, "got rows of probabilities", lambda: calibration(preds.softmax(1), target)),
        (ValueError, r"preds must be logits \(N, 4\)", lambda: calibration(target, target)),
        (ValueError, "one length, got 56 and 57", lambda: calibration(preds[1:], target)),
    ):
        with pytest.raises(error, match=message):
            call()


def score(preds, target):
    metrics.BalancedAccuracy(CLASSES).update(preds, target)


def calibration(preds, target):
    metrics.CalibrationError(CLASSES).update(preds, target)


def one_of_three(rank, expected):
    for name in ALL:
        calls = batches(name)
        mine = {0: calls[1:], 1: calls[:1]}.get(rank, [])
        metric = updated(name, mine)
        if not mine:
            metric._update_count = 1  # no warning of a compute before any update, which is what is tested
        assert plain(metric.compute()) == pytest.approx(expected[name], rel=1e-9, abs=1e-12, nan_ok=True), (rank, name)


def test_three_processes_give_what_one_gives():
    """Over gloo; the second process sees one call of each metric, the third none."""
    run_group(3, one_of_three, {name: plain(updated(name, batches(name)).compute()) for name in ALL})


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'PNSR'"):
        metrics.PNSR  # noqa: B018
